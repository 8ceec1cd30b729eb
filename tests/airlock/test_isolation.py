"""A child that dies, hangs or cannot start is replaced, and other databases are still read."""

import fcntl
import os
import re
import shutil
import signal
import sqlite3
import sys
import termios
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest

from dash_app.airlock import line_process
from dash_app.airlock.airlock import ALONE_NICE, MAX_ABANDONED, MAX_ALONE, Airlock, Suspect
from dash_app.airlock.child_process import (
    ACKNOWLEDGE_SECONDS,
    SILENT_SECONDS,
    ChildProcess,
    Limits,
)
from dash_app.model.reading import Reading
from dash_app.reader.__main__ import Child
from tests.airlock_helpers import LIMITS, open_airlock, read, read_exact, read_until, rows
from tests.harness import (
    PATIENCE_SECONDS,
    LiveWriter,
    NoThread,
    eventually,
    make_database,
    thousand_descriptors,
)

QUICK = Limits(deadline_seconds=1.0, table_seconds=0.1)
PIPE_BYTES = 65_536
ADD = "INSERT INTO agents (text) VALUES ('one more')"


def send(airlock: Airlock, number: signal.Signals) -> list[int]:
    """Send every child a signal; return their process ids."""
    pids = airlock.pids
    for pid in pids:
        os.kill(pid, number)
    return pids


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_a_lost_child_is_replaced_in_the_same_call(tmp_path: Path, number: signal.Signals) -> None:
    paths = [make_database(tmp_path / f"{n}.db", agents=n) for n in range(5)]
    with open_airlock(*paths, limits=Limits(deadline_seconds=5, table_seconds=1)) as airlock:
        airlock.read(20)
        for _ in range(3):
            requested_at = datetime.now(UTC)
            pids = send(airlock, number)
            readings = airlock.read(20)
            assert [rows(readings[str(n)]) for n in range(5)] == [{"agents": n} for n in range(5)]
            assert all(reading.verified_at > requested_at for reading in readings.values())
            assert airlock.pids
            assert not set(pids) & set(airlock.pids)
            await_exit(airlock, pids)


def await_exit(airlock: Airlock, pids: list[int]) -> None:
    """Wait until these processes have exited and were reaped."""

    def have_exited() -> bool:
        airlock.read(20)
        return not any(map(exists, pids))

    eventually(have_exited)


@pytest.mark.parametrize("alone", [False, True])
def test_a_child_that_reads_one_database_may_acknowledge_later(*, alone: bool) -> None:
    """A busy machine may let it wait. It keeps no other database waiting."""
    child = ChildProcess(LIMITS, alone=alone)
    eventually(lambda: child.readings() or child.guards is not None)
    os.kill(child.pid, signal.SIGSTOP)
    child.request_readings({"a": "/none/a.db"})
    late = time.monotonic() + ACKNOWLEDGE_SECONDS + SILENT_SECONDS + 0.1
    eventually(lambda: time.monotonic() > late)
    assert child.is_hung() != alone
    child.kill()


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_closing_leaves_no_process_and_no_descriptor(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    descriptors = {*os.listdir("/proc/self/fd")}  # noqa: PTH208
    with open_airlock(path) as airlock:
        pids = set()
        for _ in range(5):
            read(airlock)
            pids |= {*send(airlock, signal.SIGKILL)}
        read(airlock)
        pids |= {*airlock.pids}
        assert len(pids) == 6
    assert not [pid for pid in pids if exists(pid)]
    # The thread that passes on what a child prints closes its pipe a moment later.
    eventually(lambda: descriptors.issuperset(os.listdir("/proc/self/fd")))  # noqa: PTH208


def test_a_child_that_cannot_start_is_retried_only_a_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    log = tmp_path / "starts"
    broken = tmp_path / "python"
    broken.write_text(f"#!/bin/sh\necho start >> {log}\nexit 1\n")
    broken.chmod(0o755)
    with open_airlock(path) as airlock:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(broken))
            assert airlock.read(1.0) == {}
            assert len(log.read_text().splitlines()) <= 4
            patched.setattr(sys, "executable", str(tmp_path / "nowhere"))
            assert airlock.read(1.0) == {}
            assert airlock.pids == []
        with monkeypatch.context() as patched:
            patched.setattr(line_process, "Thread", NoThread)
            assert airlock.read(1.0) == {}
            assert airlock.pids == []
        assert rows(read(airlock)) == {"agents": 3}


def test_the_last_reading_is_kept_while_no_child_can_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with open_airlock(path) as airlock:
        before = read(airlock)
        send(airlock, signal.SIGKILL)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(tmp_path / "nowhere"))
            assert airlock.read(1.0) == {"0": before}
        assert read(airlock).verified_at > before.verified_at


@contextmanager
def slow_to_read(path: Path) -> Iterator[Callable[[], object]]:
    """A database that delays each reading by a lock; yield a function to call before each."""
    make_database(path, agents=3)
    with LiveWriter(path) as writer:
        writer.do("PRAGMA locking_mode = EXCLUSIVE")
        yield lambda: writer.do(ADD)


def strike(airlock: Airlock, busy: Callable[[], object], number: signal.Signals) -> Reading | None:
    """Send a signal to every child that is reading database 0; return its newest reading."""
    busy()
    reading = airlock.read(0.02).get("0")
    for child in airlock._children():
        if "0" in child.started:
            os.kill(child.pid, number)
    return reading


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, "reader_crashed"), (signal.SIGSTOP, "not_responding")]
)
def test_a_database_that_loses_its_reader_is_read_alone_until_it_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: str
) -> None:
    monkeypatch.setattr("dash_app.airlock.airlock.MAX_BACK_OFF_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr("dash_app.airlock.airlock.BACK_OFF_SECONDS", PATIENCE_SECONDS)
    well = make_database(tmp_path / "well.db", agents=7)
    paths = (tmp_path / "slow.db", well)
    with LiveWriter(well) as writer, open_airlock(*paths, limits=QUICK) as airlock:
        with slow_to_read(paths[0]) as busy:
            reading = eventually(
                lambda: (hit := strike(airlock, busy, number)) and hit.code == code and hit
            )
            assert reading
            assert not reading.tables

            def other_is_read() -> bool:
                """Whether the other one is read: a busy machine may have failed it too."""
                if suspect := airlock._suspects.get("1"):
                    suspect.retry_at = time.monotonic()
                return airlock.read(1)["1"].code is None and not airlock._pending()

            eventually(other_is_read)
            assert airlock.read(20)["0"].code == code
            assert len(airlock.pids) == 1  # it is not read until its pause is over
            assert writer.do(ADD) == []
            assert rows(read_exact(airlock, "1")) == {"agents": 8}

        def has_recovered() -> bool:
            """Whether it is read once its pause is over. A busy machine may fail it again."""
            for suspect in airlock._suspects.values():
                suspect.retry_at = time.monotonic()
            return airlock.read(20)["0"].code is None

        eventually(has_recovered)
        assert set(read(airlock).tables) == {"agents"}
        assert len(airlock.pids) == 1  # it is read together with the others again


def endless(path: Path) -> Path:
    """A database with a view that never ends: it is counted until the time limit.

    It finds no row, or FTS5 would sort rows until the memory is full.
    """
    numbers = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)"
    view = f"{numbers} SELECT n, n FROM r WHERE n < 0"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE VIEW endless(id, x) AS {view}")
        connection.execute(
            "CREATE VIRTUAL TABLE f USING fts5(x, content = 'endless', content_rowid = 'id')"
        )
    return path


def test_a_thousand_databases_are_read_although_their_request_fills_the_pipe(
    tmp_path: Path,
) -> None:
    """A pipe holds 64 kB (pipe(7)); these paths take four times as much."""
    first = make_database(tmp_path / "first.db", wal=False, agents=3).read_bytes()
    folder = tmp_path / ("f" * 120) / ("g" * 60)
    folder.mkdir(parents=True)
    paths = [folder / f"database_of_an_agent_{n:04}.db" for n in range(1000)]
    for path in paths:
        path.write_bytes(first)
    with open_airlock(*paths) as airlock:
        readings = airlock.read(PATIENCE_SECONDS)
        assert {name: rows(reading) for name, reading in readings.items()} == {
            str(n): {"agents": 3} for n in range(1000)
        }
        assert len(airlock.pids) == 1


def test_databases_that_never_answer_do_not_delay_others(tmp_path: Path) -> None:
    hostile = [endless(tmp_path / f"stuck{n}.db") for n in range(9)]
    well = make_database(tmp_path / "well.db", agents=7)
    patient = Limits(deadline_seconds=PATIENCE_SECONDS, table_seconds=PATIENCE_SECONDS)
    with open_airlock(*hostile, well, limits=patient) as airlock:
        assert rows(read_until(airlock, lambda reading: reading.code is None, "9")) == {"agents": 7}
        assert not airlock._suspects  # no reading had to be given up first


def test_an_answer_in_the_pipe_is_used_however_late_it_is_read(
    tmp_path: Path,
) -> None:
    paths = [tmp_path / f"{n}.db" for n in range(4)]
    with closing(sqlite3.connect(paths[0], isolation_level=None)) as connection:
        connection.execute("BEGIN")
        for n in range(900):
            connection.execute(f"CREATE TABLE a_table_with_a_name_of_some_length_{n:04} (x)")
        connection.execute("COMMIT")
    for path in paths[1:]:
        shutil.copy(paths[0], path)
    with open_airlock(*paths) as airlock:
        airlock.start()

        def has_large_answer(child: ChildProcess) -> bool:
            """Whether readings have started, and a large answer is in the pipe."""
            for path in paths if not child.started else ():
                os.utime(path)  # so that all databases are read again
            airlock.read(0.02)
            ends = time.monotonic() + 1
            while child.started and not is_full(child) and time.monotonic() < ends:
                os.sched_yield()
            return bool(child.started) and is_full(child)

        def is_used() -> bool:
            """Whether the child is kept: it is if a busy machine lets it go on in time."""
            child = airlock._children()[0]
            eventually(partial(has_large_answer, child))
            long_ago = time.monotonic() - LIMITS.deadline_seconds - 1
            child.started = dict.fromkeys(child.started, long_ago)
            readings = airlock.read(PATIENCE_SECONDS)
            # A database that was touched during its reading has not been read yet.
            codes = {reading.code for reading in readings.values()}
            return codes <= {None, "locked"} and airlock.pids == [child.pid]

        eventually(is_used)


def is_full(child: ChildProcess) -> bool:
    """Whether the pipe of the answers is nearly full (ioctl(2), FIONREAD)."""
    size = fcntl.ioctl(child.answers, termios.FIONREAD, b"1234")
    return int.from_bytes(size, sys.byteorder) > PIPE_BYTES * 0.9


def test_only_a_few_databases_are_read_alone_at_a_time(tmp_path: Path) -> None:
    paths = [make_database(tmp_path / f"{n}.db", agents=n) for n in range(6)]
    with open_airlock(*paths) as airlock:
        airlock._suspects = {str(n): Suspect(failures=n) for n in range(6)}
        airlock.read(0)
        assert len(airlock.pids) == MAX_ALONE
        priorities = [os.getpriority(os.PRIO_PROCESS, pid) for pid in airlock.pids]
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert priorities == [own, max(own, ALONE_NICE)]  # the second one has failed before

        def all_are_read() -> bool:  # a busy machine may make one of them miss its deadline
            return len(airlock.read(PATIENCE_SECONDS)) == len(paths) and not airlock._suspects

        eventually(all_are_read)


def hungry(path: Path) -> Path:
    """A database whose full-text table asks for 600 MB."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE VIEW v(id, x) AS SELECT 1, 2 WHERE length(hex(zeroblob(300000000))) > 0"
        )
        connection.execute(
            "CREATE VIRTUAL TABLE f USING fts5(x, content = 'v', content_rowid = 'id')"
        )
    return path


def test_a_database_that_needs_too_much_memory_is_reported_as_such(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = hungry(tmp_path / "a.db")
    with open_airlock(path, make_database(tmp_path / "well.db", agents=7)) as airlock:
        reading = read_until(airlock, lambda reading: reading.code is not None)
        assert (reading.code, reading.detail) == ("reader_crashed", {"memory": "256 MB"})
        assert rows(read_exact(airlock, "1")) == {"agents": 7}
    first, *_ = caplog.messages
    assert re.fullmatch("airlock: while reading 0(, 1)?: reader_crashed, memory 256 MB", first)


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        ("kill -KILL $$", {"signal": "SIGKILL"}),
        ("kill -SEGV $$", {}),
        ("exit 71", {"memory": "256 MB"}),
        ('echo \'{"failed": "KeyError"}\'; exit 70', {"bug": "KeyError"}),
        ("exit 3", {"bug": "exit code 3"}),
        ("echo nonsense; read line", {"bug": "JSONDecodeError"}),
    ],
)
def test_the_failure_of_a_child_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, detail: dict[str, str]
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    child = ChildProcess(LIMITS)
    eventually(lambda: child.readings() or child.is_closed)
    if "read" in script:
        child.kill()
    assert child.failure() == ("reader_crashed", detail)
    child.kill()


def test_databases_in_the_queue_of_a_failed_child_are_read_in_the_same_call(
    tmp_path: Path,
) -> None:
    hostile = [hungry(tmp_path / f"hungry{n}.db") for n in range(18)]
    well = make_database(tmp_path / "well.db", agents=7)
    with open_airlock(*hostile, well) as airlock:
        assert rows(airlock.read(PATIENCE_SECONDS)["18"]) == {"agents": 7}


def test_a_reading_ends_at_its_deadline_without_the_parent(tmp_path: Path) -> None:
    views = [f"CREATE VIEW v{n} AS SELECT a.x FROM v{n - 1} a, v{n - 1} b" for n in range(1, 24)]
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        for sql in ("CREATE TABLE t (a)", "CREATE VIEW v0 AS SELECT 1 AS x", *views):
            connection.execute(sql)
        # SQLite takes a second to expand these views, and cannot be interrupted.
        connection.execute("CREATE VIRTUAL TABLE f USING fts5(x, content = 'v23')")
    child = ChildProcess(Limits(deadline_seconds=0.2, table_seconds=0.1))

    def has_exited() -> bool:
        """Whether it has exited; ask again if the count was interrupted before the views."""
        child.readings()
        if not child.pending and not child.is_closed:
            child.request_readings({"a": str(tmp_path / "a.db")})
        return child.has_exited()

    eventually(has_exited)
    child.readings()
    assert child.is_closed
    assert child.failure() == ("not_responding", {})
    assert child.overdue() == {"a"}
    child.kill()


def test_more_than_a_thousand_descriptors_are_supported(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with thousand_descriptors(), open_airlock(path) as airlock:
        assert rows(read(airlock)) == {"agents": 3}


def test_two_names_of_a_file_share_a_lock() -> None:
    """Closing a file drops all locks of this process on it (fcntl(2))."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        child = Child(5.0, 1.0, writes_denied=False)
        with ThreadPoolExecutor(2) as pool:
            for inode in range(3000):
                barrier = Barrier(2)

                def lock(inode: int = inode, barrier: Barrier = barrier) -> object:
                    barrier.wait()
                    return child._file_lock((1, inode))

                first, second = pool.submit(lock), pool.submit(lock)
                assert first.result() is second.result()
    finally:
        sys.setswitchinterval(interval)


def test_the_pause_of_a_suspect_doubles_with_each_failure() -> None:
    suspect = Suspect()
    pauses = []
    for _failure in range(6):
        started = time.monotonic()
        suspect.fail("not_responding")
        assert not suspect.is_ready()
        pauses.append(round(suspect.retry_at - started))
    assert pauses == [5, 10, 20, 30, 30, 30]
    assert suspect.reading is not None
    assert suspect.reading.code == "not_responding"


def test_the_number_of_children_that_cannot_be_killed_is_limited(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with open_airlock(path) as airlock:
        held = [ChildProcess(LIMITS) for _ in range(MAX_ABANDONED)]
        airlock._abandoned = held  # running, as if they were stuck in the kernel
        assert airlock.read(1.0) == {}
        assert airlock.pids == []
        for child in held:
            child.kill()
            child.join(1)
        assert rows(read_until(airlock, lambda reading: reading.code is None)) == {"agents": 3}
        assert airlock._abandoned == []
