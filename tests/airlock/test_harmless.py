"""Reading changes no file or folder and blocks no writer, with and without a guard."""

import os
from contextlib import ExitStack, nullcontext
from pathlib import Path

import pytest

from tests.airlock_helpers import (
    FileEvents,
    ReaderProcess,
    await_quiet,
    file_states,
    give_to_nobody,
    is_exact,
    open_airlock,
    public_folder,
    read_exact,
    read_until,
    rows,
)
from tests.harness import LiveWriter, eventually, make_database

ADD = "INSERT INTO agents (text) VALUES ('one more')"
CHANGES = {"modified", "closed after writing", "attributes", "created", "deleted", "moved"}
BEYOND_CACHE = (
    "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 300) "
    "INSERT INTO agents (text) SELECT hex(randomblob(2000)) FROM many"
)


def cleanly_closed(path: Path) -> LiveWriter | None:
    make_database(path, agents=3)
    return None


def rollback_closed(path: Path) -> LiveWriter | None:
    make_database(path, wal=False, agents=3)
    return None


def rollback_live(path: Path) -> LiveWriter | None:
    make_database(path, wal=False, agents=3)
    writer = LiveWriter(path)
    assert writer.do("SELECT count(*) FROM agents") == [[3]]
    return writer


def wal_live(path: Path) -> LiveWriter | None:
    make_database(path, agents=2)
    writer = LiveWriter(path)
    assert writer.do(ADD) == []
    return writer


def wal_exclusive(path: Path) -> LiveWriter | None:
    make_database(path, agents=2)
    writer = LiveWriter(path)
    writer.do("PRAGMA locking_mode = EXCLUSIVE")
    assert writer.do(ADD) == []
    return writer


def killed(path: Path) -> LiveWriter | None:
    writer = wal_live(path)
    assert writer is not None
    writer.kill()
    return None


def killed_without_index(path: Path) -> LiveWriter | None:
    killed(path)
    path.with_name("a.db-shm").unlink()
    return None


STATES = [
    cleanly_closed,
    rollback_closed,
    rollback_live,
    wal_live,
    wal_exclusive,
    killed,
    killed_without_index,
]


@pytest.mark.parametrize("guarded", [True, False])
def test_reading_changes_no_file(*, guarded: bool) -> None:
    with public_folder() as folder, ExitStack() as stack:
        paths = [folder / state.__name__ / "a.db" for state in STATES]
        writers = [state(path) for state, path in zip(STATES, paths, strict=True)]
        give_to_nobody(folder)
        before = [file_states(path.parent) for path in paths]
        spies = [stack.enter_context(FileEvents(path.parent)) for path in paths]
        readers = [
            stack.enter_context(ReaderProcess(path, nobody=not guarded, guarded=guarded))
            for path in paths
        ]
        for pause in (nullcontext, await_quiet):
            pause(folder)
            for reader in readers * 5:
                reader.read()
        for path, spy, writer, states_before in zip(paths, spies, writers, before, strict=True):
            # SQLite opens a WAL for writing if it can.
            events = {event for event, name in spy.take() if guarded or name != "a.db-wal"}
            assert events & CHANGES == set(), path
            assert file_states(path.parent) == states_before, path
            if writer:
                stack.enter_context(writer)
                assert writer.do(ADD) == []
                assert writer.do("SELECT count(*) FROM agents") == [[4]]


def test_readings_beside_a_busy_writer_change_and_lock_no_file(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock, FileEvents(tmp_path) as spy:
        for count in range(4, 54):
            assert writer.do(ADD) == []
            before = file_states(tmp_path)
            spy.take()
            assert rows(read_exact(airlock)) == {"agents": count}
            assert {event for event, _name in spy.take()} & CHANGES == set()
            assert file_states(tmp_path) == before
            assert not _locks_of(airlock.pids)
            assert not _open_files(airlock.pids, tmp_path)
        assert airlock.guards


def _locks_of(pids: list[int]) -> list[str]:
    lines = Path("/proc/locks").read_text().splitlines()
    return [line for line in lines if int(line.split()[-4]) in pids]


def _open_files(pids: list[int], folder: Path) -> list[str]:
    links = [link for pid in pids for link in Path(f"/proc/{pid}/fd").iterdir()]
    targets = [os.readlink(link) for link in links]  # noqa: PTH115
    return [target for target in targets if target.startswith(str(folder))]


def test_a_writer_can_checkpoint_truncate_and_close_between_readings(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with open_airlock(path) as airlock:
        for count in range(4, 9):
            with LiveWriter(path) as writer:
                assert writer.do(ADD) == []
                assert rows(read_exact(airlock)) == {"agents": count}
                assert writer.do("PRAGMA wal_checkpoint(TRUNCATE)") == [[0, 0, 0]]
                assert rows(read_exact(airlock)) == {"agents": count}
                assert writer.process.stdin is not None
                writer.process.stdin.close()
                assert writer.process.wait() == 0
            assert [file.name for file in tmp_path.iterdir()] == ["a.db"]
            assert rows(read_exact(airlock)) == {"agents": count}
            assert [file.name for file in tmp_path.iterdir()] == ["a.db"]


@pytest.mark.parametrize("guarded", [True, False])
def test_a_long_quiet_transaction_loses_nothing(tmp_path: Path, *, guarded: bool) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, ReaderProcess(path, guarded=guarded) as reader:
        for sql in ("PRAGMA cache_size = 5", "BEGIN", BEYOND_CACHE):
            assert writer.do(sql) == []
        assert (tmp_path / "a.db-wal").stat().st_size > 0
        await_quiet(tmp_path)
        assert rows(reader.read()) == {"agents": 3}
        assert writer.do("COMMIT") == []
        writer.kill()
        reading = eventually(lambda: (last := reader.read()) and is_exact(last) and last)
        assert reading
        assert rows(reading) == {"agents": 303}


def test_a_rollback_writer_never_fails_because_of_a_reading(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", wal=False, agents=3)
    with LiveWriter(path) as writer, open_airlock(path, path.parent / "a.db") as airlock:
        assert writer.do("PRAGMA busy_timeout = 0") == [[0]]
        for _commit in range(100):
            airlock.read(0)  # still running while the writer commits
            assert writer.do(ADD) == []
        read_until(airlock, lambda reading: reading.total_rows == 103)
