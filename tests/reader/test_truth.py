"""A reading shows the present content of the file, or the age of what it shows."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.airlock_helpers import (
    FileEvents,
    await_quiet,
    open_airlock,
    read,
    read_exact,
    read_until,
    rows,
)
from tests.harness import PATIENCE_SECONDS, LiveWriter, make_database

pytestmark = pytest.mark.usefixtures("count_at_once")

ADD = "INSERT INTO agents (text) VALUES ('one more')"


@pytest.mark.parametrize("wal", [True, False])
def test_every_commit_is_in_the_next_exact_count(tmp_path: Path, *, wal: bool) -> None:
    path = make_database(tmp_path / "a.db", wal=wal, agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert rows(read(airlock)) == {"agents": 3}
        for count in range(4, 30):
            assert writer.do(ADD) == []
            reading = read_exact(airlock)
            assert rows(reading) == {"agents": count}
            assert reading.last_modified is not None
            assert reading.last_modified.timestamp() == pytest.approx(_latest_write(tmp_path))
        assert writer.do("CREATE TABLE tasks (x)") == []
        assert rows(read_exact(airlock)) == {"agents": 29, "tasks": 0}
        assert writer.do("DROP TABLE agents") == []
        assert rows(read_exact(airlock)) == {"tasks": 0}


def _latest_write(folder: Path) -> float:
    return max(path.stat().st_mtime for path in folder.iterdir() if path.suffix != ".db-shm")


def test_uncommitted_rows_are_not_counted(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert writer.do("BEGIN") == writer.do(ADD) == []
        assert rows(read(airlock)) == {"agents": 3}
        assert writer.do("ROLLBACK") == []
        assert rows(read_exact(airlock)) == {"agents": 3}


@pytest.mark.parametrize("live", [True, False])
def test_an_unchanged_file_is_verified_without_being_opened(tmp_path: Path, *, live: bool) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock, FileEvents(tmp_path) as spy:
        if live:
            assert writer.do(ADD) == []
        spy.take()
        read(airlock)
        assert ("opened", "a.db") in spy.take()
        await_quiet(tmp_path)
        settled = read(airlock)
        spy.take()
        for _ in range(5):
            reading = read(airlock)
            assert (reading.read_at, reading.tables) == (settled.read_at, settled.tables)
            assert reading.verified_at > settled.verified_at
        assert spy.take() == set()
        assert writer.do(ADD) == []
        assert rows(read_exact(airlock)) == {"agents": 5 if live else 4}


def _replace(path: Path) -> None:
    os.replace(make_database(path.with_name("new.db"), agents=9), path)  # noqa: PTH105


def _delete(path: Path) -> None:
    path.unlink()


def _recreate(path: Path) -> None:
    path.unlink()
    make_database(path, tasks=2)


def _truncate(path: Path) -> None:
    os.truncate(path, 0)


def _halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _restore_over(path: Path) -> None:
    path.write_bytes(make_database(path.with_name("new.db"), agents=9).read_bytes())


CHANGES: dict[Callable[[Path], None], object] = {
    _replace: {"agents": 9},
    _delete: "file_missing",
    _recreate: {"tasks": 2},
    _truncate: "file_empty",
    _halve: "corrupt",
    _restore_over: {"agents": 9},
}


@pytest.mark.parametrize("settled", [True, False])
def test_changes_of_a_file_are_in_the_next_reading(tmp_path: Path, *, settled: bool) -> None:
    paths = [make_database(tmp_path / change.__name__ / "a.db", agents=3000) for change in CHANGES]
    if settled:
        await_quiet(tmp_path)
    with open_airlock(*paths) as airlock:
        before = airlock.read(PATIENCE_SECONDS)
        assert [rows(reading) for reading in before.values()] == [{"agents": 3000}] * len(paths)
        for change, path in zip(CHANGES, paths, strict=True):
            change(path)
        after = airlock.read(PATIENCE_SECONDS)
        for name, (change, expected) in enumerate(CHANGES.items()):
            reading = after[str(name)]
            if change in {_halve, _restore_over}:  # the same file, so its count may not be due
                reading = read_until(airlock, lambda reading: reading.total_rows != 3000, str(name))
            assert (reading.code or rows(reading)) == expected, change


def test_a_file_that_comes_back_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with open_airlock(path) as airlock:
        assert read(airlock).code == "file_missing"
        make_database(path, agents=3)
        assert rows(read(airlock)) == {"agents": 3}
        path.unlink()
        assert read(airlock).code == "file_missing"
        make_database(path, agents=4)
        assert rows(read(airlock)) == {"agents": 4}


def test_a_clock_that_was_set_back_does_not_stop_readings(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    os.utime(path, (4e9, 4e9))  # the year 2096
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        first = read(airlock)
        second = read(airlock)
        assert second.read_at > first.read_at
        assert writer.do(ADD) == []
        assert rows(read_exact(airlock)) == {"agents": 4}
