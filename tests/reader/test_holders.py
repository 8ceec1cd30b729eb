"""The holders of a database, the backlog of its WAL, and its disk."""

import os
import shutil
import signal
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dash_app.model.host_facts import Holder, Surroundings
from dash_app.model.reading import Reading
from dash_app.reader.conflicts import Look
from dash_app.reader.files import stat_files
from dash_app.reader.holders import HostView, view_host
from dash_app.reader.locks import list_locks
from dash_app.system.disk import disk_of
from dash_app.system.processes import command_name
from tests.airlock_helpers import ReaderProcess, await_quiet, open_airlock, read, read_until
from tests.harness import LiveWriter, eventually, make_database

pytestmark = pytest.mark.usefixtures("count_at_once")

ADD = "INSERT INTO agents (text) VALUES ('one more')"
MANY = "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 300)"
GROW = f"{MANY} INSERT INTO agents (text) SELECT hex(randomblob(2000)) FROM many"


def holder_of(reading: Reading, writer: LiveWriter) -> Holder | None:
    holders = reading.surroundings.holders
    assert holders is not None
    return next((holder for holder in holders if holder.pid == writer.process.pid), None)


def test_a_name_of_a_process_moves_no_cursor() -> None:
    name, own = "\x1b[2J\na\u202eb", Path("/proc/self/comm")
    before = own.read_text()
    own.write_text(name)
    try:
        assert command_name(os.getpid()) == "\ufffd[2J\ufffda\ufffdb"
    finally:
        own.write_text(before.strip())


def test_a_connection_is_a_holder_until_it_is_closed(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with open_airlock(path) as airlock:
        assert read(airlock).surroundings.holders == ()
        with LiveWriter(path) as writer:
            assert writer.do(ADD) == []
            holder = holder_of(read(airlock), writer)
            assert holder is not None
            assert holder.uses == ("open",)
            assert holder.command.startswith("python")
            assert holder_of(read(airlock), writer) == holder
        assert read(airlock).surroundings.holders == ()


def test_a_program_that_opens_after_the_listing_of_locks_is_not_hidden(tmp_path: Path) -> None:
    path, before = make_database(tmp_path / "a.db", agents=3), list_locks()
    with LiveWriter(path) as writer:
        assert writer.do(ADD) == []
        look = Look.take(stat_files(str(path)), before)
        host = view_host(look, HostView(), Surroundings(), datetime.now(UTC))
        # Others may be listed: a new file may have the inode of one that was locked a moment ago.
        assert host.surroundings.holders is not None


def test_a_writer_in_a_transaction_has_the_use_write(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert writer.do("BEGIN IMMEDIATE") == []
        holder = holder_of(read(airlock), writer)
        assert holder is not None
        assert holder.uses == ("open", "read", "write")
        assert holder.pins_since is None


@pytest.mark.parametrize("wal", [True, False])
def test_readers_and_writers_are_distinguished_in_both_journal_modes(
    tmp_path: Path, *, wal: bool
) -> None:
    path = make_database(tmp_path / "a.db", wal=wal, agents=3)
    with LiveWriter(path) as first, LiveWriter(path) as second, open_airlock(path) as airlock:
        assert first.do("BEGIN") == second.do("BEGIN IMMEDIATE") == []
        assert first.do("SELECT count(*) FROM agents") == [[3]]
        reading = read(airlock)
        reader, writer = holder_of(reading, first), holder_of(reading, second)
        assert reader is not None
        assert writer is not None
        assert "read" in reader.uses
        assert "write" not in reader.uses
        assert "write" in writer.uses


def test_a_reader_that_holds_back_the_wal_is_found_with_the_backlog(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, LiveWriter(path) as reader, open_airlock(path) as airlock:
        assert writer.do(ADD) == reader.do("BEGIN") == []
        assert reader.do("SELECT count(*) FROM agents") == [[4]]
        assert writer.do(GROW) == []
        _busy, frames, checkpointed = writer.do("PRAGMA wal_checkpoint(PASSIVE)")[0]
        assert checkpointed < frames
        first = read(airlock)
        assert first.surroundings.backlog_bytes == (frames - checkpointed) * (4096 + 24)
        pinned = holder_of(first, reader)
        assert pinned is not None
        assert pinned.pins_since is not None
        assert holder_of(first, writer).pins_since is None  # type: ignore[union-attr]
        assert writer.do(GROW) == []
        assert holder_of(read(airlock), reader) == pinned
        assert reader.do("COMMIT") == []
        assert writer.do("PRAGMA wal_checkpoint(PASSIVE)")[0][0] == 0
        last = read(airlock)
        assert last.surroundings.backlog_bytes == 0
        assert last.wal_bytes
        freed = holder_of(last, reader)
        assert freed is not None
        assert freed.pins_since is None


def test_our_own_processes_are_not_holders_and_do_not_disturb_the_index(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert writer.do(ADD) == []
        for _ in range(3):
            own = {os.getpid(), *airlock.pids}
            holders = read(airlock).surroundings.holders
            assert holders is not None
            assert not own & {holder.pid for holder in holders}
            assert writer.do(ADD) == []


def test_the_backlog_of_a_wal_without_index_is_unknown(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer:
        assert writer.do(ADD) == []
    path.with_name("a.db-shm").unlink()
    with open_airlock(path) as airlock:
        surroundings = read(airlock).surroundings
    assert surroundings.backlog_bytes is None
    assert surroundings.holders == ()


def test_the_disk_of_a_missing_file_is_that_of_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with open_airlock(path) as airlock:
        disk = read(airlock).surroundings.disk
    assert disk is not None
    assert disk.device == tmp_path.stat().st_dev
    assert disk.total_bytes == sum(shutil.disk_usage(tmp_path)[1:])
    assert disk_of("/proc/self/status/none") is None
    assert disk_of(str(tmp_path / "gone" / "a.db")) is None


def test_a_wal_left_behind_because_of_a_reading_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    tables: dict[str, int] = {f"t{number}": 1 for number in range(400)}
    make_database(path, wal=True, **tables)
    with closing(sqlite3.connect(path)) as writer, ReaderProcess(path) as reader:

        def is_stopped() -> bool:
            with writer:
                writer.execute("INSERT INTO t0 (text) VALUES ('one more')")
            return reader.stop_while_reading()

        eventually(is_stopped)
        writer.close()
        os.kill(reader.pid, signal.SIGCONT)
        assert reader.response().code is None
        assert reader.sidecars_left == 1
        await_quiet(tmp_path)
        assert reader.read().code is None
        assert reader.sidecars_left == 0


def test_a_verified_reading_has_new_surroundings(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert writer.do(ADD) == []
        await_quiet(tmp_path)
        first = read_until(airlock, lambda reading: reading.total_rows == 4)
        assert holder_of(first, writer) is not None
        writer.kill()
        second = read(airlock)
        assert second.read_at == first.read_at
        assert second.surroundings.holders == ()
