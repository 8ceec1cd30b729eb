"""Databases are read in every state in which a live, locking or killed writer leaves them."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import Mock

import pytest

from dash_app.reader import reader, wal_index
from dash_app.reader.counts import Budget
from dash_app.reader.files import Files, stat_files
from dash_app.reader.reader import CachedReading, Reader
from dash_app.reader.wal_index import read_wal_index
from tests.airlock_helpers import (
    ReaderProcess,
    await_quiet,
    file_states,
    open_airlock,
    public_folder,
    read,
    read_exact,
    read_until,
    rows,
)
from tests.harness import LiveWriter, eventually, make_database

pytestmark = pytest.mark.usefixtures("count_at_once")

ADD = "INSERT INTO agents (text) VALUES ('one more')"
MANY = "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 300)"
SPILL = (
    "PRAGMA cache_size = 5",
    "BEGIN IMMEDIATE",
    f"{MANY} INSERT INTO agents (text) SELECT hex(randomblob(2000)) FROM many",
)
"""A transaction larger than the writer's cache: its pages reach the files before the commit."""


def leave_hot_journal(path: Path) -> None:
    make_database(path, wal=False, agents=3)
    with LiveWriter(path) as writer:
        for sql in SPILL:
            assert "error" not in writer.do(sql)


def leave_wal(path: Path) -> None:
    """Leave a WAL with a commit that is not in the main file."""
    make_database(path, agents=3)
    with LiveWriter(path) as writer:
        assert writer.do(ADD) == []


def test_a_journal_left_by_a_killed_writer_needs_recovery(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    leave_hot_journal(path)
    before = file_states(tmp_path)
    with open_airlock(path) as airlock:
        read_until(airlock, lambda reading: reading.code == "needs_recovery")
        assert file_states(tmp_path) == before
        with LiveWriter(path) as writer:
            assert writer.do("SELECT count(*) FROM agents") == [[3]]
        assert rows(read_until(airlock, lambda reading: reading.code is None)) == {"agents": 3}


def test_nothing_needs_recovery_while_a_program_uses_the_wal(tmp_path: Path) -> None:
    """Its index can be unreadable for a moment, while that program writes it."""
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer:
        assert writer.do(ADD) == []
        with path.with_name("a.db-shm").open("r+b") as index:
            index.write(bytes(96))
        assert Reader(str(path), Budget(1, 2, 0.02)).read().code == "locked"
        assert writer.do(ADD) == []
        assert Reader(str(path), Budget(1, 2, 0.02)).read().code is None


def test_an_error_counts_only_if_the_files_stood_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A WAL that a program removes during the reading looks like an unfinished one."""
    path = make_database(tmp_path / "a.db", agents=3)

    def fail(_: Reader, _route: str, files: Files, *_more: object) -> CachedReading:
        path.touch()
        return CachedReading(replace(files.reading(datetime.now(UTC)), code="needs_recovery"))

    monkeypatch.setattr(Reader, "_read_by", fail)
    monkeypatch.setattr(reader, "choose_route", lambda *_, **_more: "shared")
    assert Reader(str(path), Budget(1, 2, 0.02)).read().code == "locked"


@pytest.mark.parametrize("mode", ["DELETE", "TRUNCATE", "PERSIST"])
def test_a_running_rollback_transaction_keeps_the_last_reading(tmp_path: Path, mode: str) -> None:
    path = make_database(tmp_path / "a.db", wal=False, agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        writer.do(f"PRAGMA journal_mode = {mode}")
        first = read(airlock)
        for sql in SPILL:
            assert "error" not in writer.do(sql)
        during = read(airlock)
        assert rows(during) == {"agents": 3}
        assert during.verified_at == first.verified_at
        assert writer.do("COMMIT") == []
        after = read_until(airlock, lambda reading: reading.total_rows == 303)
        assert after.journal_mode == "delete"
        assert after.verified_at > first.verified_at


def test_a_database_that_is_locked_at_the_first_reading_reports_the_holder(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", wal=False, agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        for sql in SPILL:
            assert "error" not in writer.do(sql)
        reading = read(airlock)
        assert reading.code == "locked"
        assert f"(pid {writer.process.pid})" in reading.detail["holder"]
        assert writer.do("ROLLBACK") == []
        assert rows(read(airlock)) == {"agents": 3}


def test_a_long_rollback_transaction_does_not_need_recovery(tmp_path: Path) -> None:
    """Also if its program locks by a folder, as on network file systems without locks."""
    paths = [make_database(tmp_path / name, wal=False, agents=3) for name in ("a.db", "b.db")]
    with (
        LiveWriter(paths[0]) as writer,
        LiveWriter(paths[1], "unix-dotfile") as other,
        open_airlock(*paths) as airlock,
    ):
        for sql in SPILL:
            assert "error" not in writer.do(sql)
            assert "error" not in other.do(sql)
        await_quiet(tmp_path)
        assert [read(airlock, name).code for name in "01"] == ["locked", "locked"]


def test_a_transaction_that_ends_during_a_reading_does_not_need_recovery(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", wal=False, agents=3)
    with LiveWriter(path) as writer:
        for sql in SPILL:
            assert "error" not in writer.do(sql)
        await_quiet(tmp_path)
        files = stat_files(str(path))
        assert writer.do("COMMIT") == []
    reader = Reader(str(path), Budget(1, 1, 1))
    assert reader._explain_no_reading(files, datetime.now(UTC), was_free=False).code == "locked"


def test_without_a_guard_a_database_in_exclusive_mode_is_locked(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, ReaderProcess(path, guarded=False) as reader:
        assert writer.do("PRAGMA locking_mode = EXCLUSIVE") == [["exclusive"]]
        assert writer.do(ADD) == []
        reading = reader.read()
        assert reading.code == "locked"
        assert f"(pid {writer.process.pid})" in reading.detail["holder"]


@pytest.mark.parametrize("index", [True, False])
def test_a_wal_of_a_killed_writer_is_read_with_and_without_its_index(
    tmp_path: Path, *, index: bool
) -> None:
    path = tmp_path / "a.db"
    leave_wal(path)
    if not index:
        (tmp_path / "a.db-shm").unlink()
    before = file_states(tmp_path)
    with open_airlock(path) as airlock:
        reading = read_until(airlock, lambda reading: reading.code is None)
        assert rows(reading) == {"agents": 4}
        assert reading.wal_bytes == (tmp_path / "a.db-wal").stat().st_size > 0
        await_quiet(tmp_path)
        assert rows(read(airlock)) == {"agents": 4}
    assert file_states(tmp_path) == before


def test_an_ordinary_user_reads_a_wal_in_a_read_only_folder() -> None:
    with public_folder() as folder:
        path = folder / "a.db"
        leave_wal(path)
        (folder / "a.db-shm").unlink()
        folder.chmod(0o555)
        before = file_states(folder)
        with ReaderProcess(path, nobody=True) as reader:
            assert reader.read().code in {None, "read_only_folder"}
            reading = eventually(lambda: (last := reader.read()).code is None and last)
            assert reading
            assert rows(reading) == {"agents": 4}
        assert file_states(folder) == before


def test_without_a_guard_a_wal_without_index_in_a_read_only_folder_is_reported() -> None:
    with public_folder() as folder:
        path = folder / "a.db"
        leave_wal(path)
        (folder / "a.db-shm").unlink()
        folder.chmod(0o555)
        with ReaderProcess(path, nobody=True, guarded=False) as reader:
            assert reader.read().code == "read_only_folder"


def test_a_symbolic_link_is_read_with_the_wal_beside_the_real_file(tmp_path: Path) -> None:
    path = make_database(tmp_path / "real" / "a.db", agents=3)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with LiveWriter(path) as writer, open_airlock(link) as airlock:
        assert rows(read(airlock)) == {"agents": 3}
        assert writer.do(ADD) == []
        reading = read_exact(airlock)
        assert rows(reading) == {"agents": 4}
        assert reading.wal_bytes == (tmp_path / "real" / "a.db-wal").stat().st_size
    assert {file.name for file in tmp_path.iterdir()} == {"real", "link.db"}


def test_several_names_of_a_file_have_the_same_counts(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with LiveWriter(path) as writer, open_airlock(path, link, path) as airlock:
        for count in range(4, 20):
            assert writer.do(ADD) == []
            assert [rows(read_exact(airlock, name)) for name in "012"] == [{"agents": count}] * 3


def test_a_reading_knows_a_writer_without_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    monkeypatch.setattr(wal_index, "BURST_COMMITS_PER_SECOND", 0.001)
    budgets = Mock(return_value=Budget(1, 1, 1))
    monkeypatch.setattr(Budget, "beside_writer", budgets)
    with LiveWriter(path) as writer:
        reader = Reader(str(path), Budget(1, 1, 1))
        for least_rate, is_burst in ((0.001, False), (0.001, True), (1e6, False)):
            monkeypatch.setattr(wal_index, "BURST_COMMITS_PER_SECOND", least_rate)
            before = read_wal_index(f"{path}-shm")
            assert writer.do(ADD) == []
            after = read_wal_index(f"{path}-shm")
            assert after is not None
            assert before is None or after.commits == before.commits + 1
            reader.read()  # the first one has nothing to compare with
            assert budgets.call_args.kwargs == {"is_burst": is_burst}
