"""Each way in which live programs destroy a database is found, with the right process.

The programs are real, as are their locks. Each scene goes on step by step; after each step, two
readings must show exactly the conflicts that the scene names.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import pytest

from dash_app.model.conflict import Conflict, ConflictKind
from dash_app.model.reading import Reading
from dash_app.reader import conflicts, locks, reader
from dash_app.reader.conflicts import Look, Memory
from dash_app.reader.counts import Budget
from dash_app.reader.files import Files, FileStamp, identity_of
from dash_app.reader.locks import list_locks
from dash_app.reader.reader import Reader
from dash_app.system import processes
from tests.airlock_helpers import (
    FileEvents,
    is_exact,
    open_airlock,
    read,
    read_until,
    rows,
)
from tests.harness import PATIENCE_SECONDS, LiveWriter, close_as_last, execute, make_database
from tests.mounts import CAN_MOUNT, Mount, run_with_own_locks
from tests.soak.watch import soak, summary

pytestmark = pytest.mark.usefixtures("count_at_once")

F_OFD_SETLK = 37
ADD = "INSERT INTO agents (text) VALUES ('one more')"
COUNT = "SELECT count(*) FROM agents"

Expected = Mapping[ConflictKind, LiveWriter | None]
Open = Callable[..., LiveWriter]
Steps = Generator[Expected, None, None]
Scene = Callable[[Path, Open], Steps]


def side(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def write(writer: LiveWriter, commits: int = 1) -> None:
    for _commit in range(commits):
        assert writer.do(ADD) == []


@contextmanager
def writing_on(writer: LiveWriter) -> Iterator[None]:
    """Let a process commit without pause."""
    stopped = Event()

    def commit() -> None:
        with suppress(OSError, ValueError):  # the test failed, and killed it
            while not stopped.is_set():
                writer.do(ADD)

    thread = Thread(target=commit)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def wal_and_index_unlinked(path: Path, start: Open) -> Steps:
    write(first := start(path))
    yield {}
    side(path, "-wal").unlink()
    side(path, "-shm").unlink()
    yield {"wal_split": first}
    execute(path, COUNT)  # leaves a new, empty pair
    yield {"wal_split": first}
    write(second := start(path))
    write(first)
    yield {"wal_split": first}
    first.kill()
    yield {}
    write(second)
    yield {}


def index_unlinked(path: Path, start: Open) -> Steps:
    write(first := start(path))
    yield {}
    side(path, "-shm").unlink()
    yield {"wal_split": first}
    write(start(path))
    yield {"wal_split": first}


def wal_unlinked(path: Path, start: Open) -> Steps:
    write(first := start(path))
    yield {}
    side(path, "-wal").unlink()
    yield {"wal_removed": first}
    start(path).do(COUNT)  # makes a new, empty one, which it cannot use
    yield {"wal_disagrees": None}
    write(first)
    yield {"wal_disagrees": None}


def main_locks_cancelled(path: Path, start: Open) -> Steps:
    write(first := start(path))
    yield {}
    first.read_file(path)
    yield {"writer_unlocked": first}
    close_as_last(path)
    yield {"wal_orphaned": first}
    write(first)
    write(start(path))
    yield {"wal_orphaned": first}


def index_locks_cancelled_in_a_transaction(path: Path, start: Open) -> Steps:
    write(first := start(path))
    write(start(path))
    yield {}
    assert first.do("BEGIN IMMEDIATE") == []
    write(first)
    first.read_file(side(path, "-shm"))
    yield {}  # as of a connection that waits to have the file to itself
    assert first.do("COMMIT") == first.do("BEGIN") == []
    assert first.do(COUNT) == [[6]]
    yield {"writer_unlocked": first}
    assert first.do("COMMIT") == []
    yield {"writer_unlocked": first}


def index_locks_cancelled(path: Path, start: Open) -> Steps:
    write(first := start(path))
    first.read_file(side(path, "-shm"))
    write(second := start(path))  # makes a new index in the same file
    yield {}
    with writing_on(first), writing_on(second):
        yield {"writer_unlocked": first}
    yield {"writer_unlocked": first}


def main_replaced(path: Path, start: Open) -> Steps:
    copy = Path(shutil.copy(path, side(path, "-copy")))
    write(first := start(path))
    yield {}
    copy.rename(path)
    write(first)
    yield {"writer_unlocked": first}
    first.kill()
    yield {"wal_stale": None}


def wal_left_beside_another_main(path: Path, start: Open) -> Steps:
    write(writer := start(path))
    writer.kill()
    yield {}
    make_database(side(path, "-other"), agents=9).rename(path)
    yield {"wal_stale": None}
    side(path, "-wal").unlink()
    yield {}


def wal_left_and_started_over(path: Path, start: Open) -> Steps:
    write(writer := start(path))
    writer.kill()
    yield {}
    make_database(side(path, "-other"), agents=3).rename(path)
    yield {"wal_stale": None}
    writer = start(path)
    assert writer.do("PRAGMA wal_checkpoint(RESTART)")[0][0] == 0
    write(writer)
    yield {}


def main_mounted_alone(path: Path, start: Open) -> Steps:
    inside = path.parent / "inside" / "a.db"
    inside.parent.mkdir()
    if CAN_MOUNT:
        inside.touch()
        subprocess.run(["mount", "--bind", path, inside], check=True)
    else:
        inside.hardlink_to(path)
    try:
        write(start(path))
        yield {}
        write(second := start(inside))
        yield {"wal_split": second}
        second.close()
        yield {}
    finally:
        if CAN_MOUNT:
            subprocess.run(["umount", "--lazy", inside], check=True)


def written_without_locks(path: Path, start: Open) -> Steps:
    write(first := start(path))
    yield {}
    second = start(path, vfs="unix-none")
    assert second.do("PRAGMA locking_mode = EXCLUSIVE") == [["exclusive"]]
    unlike = "INSERT INTO agents (text) VALUES ('not the same page')"
    assert second.do(unlike) == []
    write(first, 2)
    assert second.do(unlike) == []  # over the second commit of the other
    yield {"wal_disagrees": None}
    second.close()
    assert not side(path, "-wal").exists()
    yield {"wal_removed": first}


@contextmanager
def locked_by_turso(path: Path) -> Iterator[None]:
    """Hold the lock of an open file, which belongs to no process."""
    with path.open("a+b") as file:
        byte = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 0, 1, 0)
        fcntl.fcntl(file, F_OFD_SETLK, byte)
        yield


def opened_by_turso(path: Path, start: Open) -> Steps:
    yield {}
    with locked_by_turso(side(path, "-tshm")):
        yield {"engine_foreign": None}
        write(start(path))
        yield {"engine_foreign": None}
    yield {}  # Turso leaves its index behind
    with locked_by_turso(path):
        yield {"engine_foreign": None}
    yield {}


def used_as_intended(path: Path, start: Open) -> Steps:
    write(first := start(path))
    write(second := start(path))
    yield {}
    assert first.do("BEGIN") == second.do("BEGIN IMMEDIATE") == []
    assert first.do(COUNT) == [[5]]
    write(second)
    yield {}
    assert first.do("COMMIT") == second.do("COMMIT") == []
    first.close()
    assert second.do("PRAGMA journal_mode = DELETE") == [["delete"]]
    write(second)
    yield {}
    assert second.do("PRAGMA journal_mode = WAL") == [["wal"]]
    assert second.do("VACUUM") == []
    write(second)
    yield {}
    second.close()
    make_database(side(path, "-other"), agents=9).rename(path)
    yield {}


SCENES: list[Scene] = [
    wal_and_index_unlinked,
    index_unlinked,
    wal_unlinked,
    main_locks_cancelled,
    index_locks_cancelled_in_a_transaction,
    index_locks_cancelled,
    main_replaced,
    wal_left_beside_another_main,
    wal_left_and_started_over,
    main_mounted_alone,
    written_without_locks,
    opened_by_turso,
    used_as_intended,
]


MAX_READINGS = 5


def test_each_conflict_is_found_with_its_process(tmp_path: Path) -> None:
    """At the second reading, unless locks of other tests hide some."""
    if CAN_MOUNT:
        run_with_own_locks(lambda: play(tmp_path, max_readings=2))
    else:
        play(tmp_path, max_readings=MAX_READINGS)


def play(folder: Path, max_readings: int) -> None:
    """Play all scenes at once, step by step; read until the readings show what they must."""
    with ExitStack() as stack:
        paths = [make_database(folder / scene.__name__ / "a.db", agents=3) for scene in SCENES]
        airlock = stack.enter_context(open_airlock(*paths))

        def start(path: Path, vfs: str = "unix") -> LiveWriter:
            return stack.enter_context(LiveWriter(path, vfs))

        scenes = {
            str(number): (scene.__name__, scene(path, start))
            for number, (scene, path) in enumerate(zip(SCENES, paths, strict=True))
        }
        for _name, steps in scenes.values():
            stack.callback(steps.close)
        while scenes:
            expected = {}
            for number, (name, steps) in list(scenes.items()):
                if (conflicts := next(steps, None)) is None:
                    del scenes[number]
                else:
                    expected[number, name] = {
                        kind: writer and writer.process.pid for kind, writer in conflicts.items()
                    }
            found: dict[tuple[str, str], dict[ConflictKind, int | None]] = {}
            for reading in range(MAX_READINGS):
                readings = airlock.read(PATIENCE_SECONDS)
                found = {
                    (number, name): {c.kind: c.pid for c in conflicts_of(readings[number])}
                    for number, name in expected
                }
                if reading and found == expected:
                    break
                late = {key[1] for key in expected if found[key] != expected[key]}
                # Only in a transaction can it be told, which a busy machine may miss.
                assert reading + 1 < max_readings or late == {index_locks_cancelled.__name__}
            assert found == expected


def test_a_conflict_is_followed_by_another_without_a_reading_between(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        write(writer)
        read(airlock)
        writer.read_file(path)
        read_until(airlock, lambda reading: bool(conflicts_of(reading)))
        close_as_last(path)
        assert [conflict.kind for conflict in conflicts_of(read(airlock))] == ["wal_orphaned"]


def test_commits_beside_the_index_are_found_at_the_second_of_them(tmp_path: Path) -> None:
    """A program without locks appends to the WAL, and the other one overwrites it, in turns."""
    path = make_database(tmp_path / "a.db", agents=3)
    with ExitStack() as stack:
        first = stack.enter_context(LiveWriter(path))
        write(first)
        second = stack.enter_context(LiveWriter(path, "unix-none"))
        assert second.do("PRAGMA locking_mode = EXCLUSIVE") == [["exclusive"]]
        airlock = stack.enter_context(open_airlock(path))
        assert not conflicts_of(read(airlock))
        write(second)
        assert not conflicts_of(read(airlock))  # as of a program that was killed
        write(first)
        write(second)
        for _reading in range(3):
            assert [one.kind for one in conflicts_of(read(airlock))] == ["wal_disagrees"]
        write(first)
        assert [one.kind for one in conflicts_of(read(airlock))] == ["wal_disagrees"]
        second.kill()
        assert first.do("PRAGMA wal_checkpoint(RESTART)")[0][0] == 0
        write(first)
        read(airlock)
        assert not conflicts_of(read(airlock))


@pytest.mark.parametrize("sides", [("-wal", "-shm"), ("-shm",)])
def test_a_wal_that_was_deleted_before_the_first_reading_is_found(
    tmp_path: Path, sides: tuple[str, ...]
) -> None:
    path = make_database(tmp_path / "no mount has this name.db", agents=3)
    with LiveWriter(path) as writer:
        write(writer)
        for suffix in sides:
            side(path, suffix).unlink()
        with open_airlock(path) as airlock:
            readings = [read(airlock) for _ in range(4)]
        assert [reading.code for reading in readings] == [None] * 4
        kinds = [{c.kind: c.pid for c in conflicts_of(reading)} for reading in readings]
        assert kinds == [{}, *[{"wal_split": writer.process.pid}] * 3]


def conflicts_of(reading: Reading) -> tuple[Conflict, ...]:
    return reading.surroundings.conflicts


def test_a_conflict_has_its_evidence_and_the_counts_are_those_of_one_generation(
    tmp_path: Path,
) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        write(writer)
        assert not read(airlock).detail
        index = side(path, "-shm").stat().st_ino
        side(path, "-wal").unlink()
        side(path, "-shm").unlink()
        first, second, third = read(airlock), read(airlock), read(airlock)
        assert not conflicts_of(first)
        (conflict,) = conflicts_of(second)
        assert conflict.since < second.verified_at
        assert conflict.command.startswith("python")
        assert conflict.evidence["WAL"] == conflict.evidence["WAL index"] == "none"
        assert f":{path.stat().st_ino}, " in conflict.evidence["main file"]
        assert f":{index}" in conflict.evidence[f"{conflict.command} (pid {conflict.pid})"]
        assert conflicts_of(third)[0].since == conflict.since
        for reading in (first, second, third):
            assert reading.detail == {"one_generation": "yes"}
            assert [count.estimate for count in reading.tables.values()] == ["about"]
        writer.close()
        last = read_until(airlock, lambda reading: is_exact(reading) and not reading.detail)
        assert (rows(last), conflicts_of(last)) == ({"agents": 4}, ())


def test_the_last_reading_is_kept_while_another_engine_has_it_open(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with open_airlock(path) as airlock, FileEvents(tmp_path) as spy:
        with locked_by_turso(side(path, "-tshm")):
            read(airlock)
            (conflict,) = conflicts_of(read(airlock))
            assert (conflict.command, conflict.is_certain) == ("Turso", False)
            with LiveWriter(path) as writer:
                write(writer)
                spy.take()
                kept = read(airlock)
                assert spy.take() <= {("opened", "a.db-shm")}
                assert (rows(kept), kept.wait_reason) == ({"agents": 3}, "writes")
                (conflict,) = conflicts_of(kept)
                assert conflict.is_certain  # SQLite has it open too
        assert read_until(airlock, lambda reading: reading.total_rows == 4).wait_reason is None


def look_of(
    main: int, wal: FileStamp | None, index: int | None, *users: tuple[int, int], salts: bytes = b""
) -> Look:
    """A look at made-up files; `users` are processes with the index that each has open."""
    files = Files("/srv/a.db", FileStamp(1, main, 4096, 0, 0), wal, None)
    indexes = {pid: {(1, inode)} for pid, inode in users}
    listed = locks.LockList({}, {}, indexes, set(), None)
    connected = {pid for pid, inode in users if inode == index}
    shm = (1, index) if index else None
    return Look(files, shm, listed, False, connected, connected, set(), salts=salts)


def test_the_number_of_a_deleted_index_may_be_given_to_another_database() -> None:
    memory = Memory()
    memory.update(look_of(10, None, 12, (7, 12)))
    assert memory.update(look_of(10, None, None, (7, 12), (8, 12))) == {("wal_orphaned", 7)}


def test_the_number_of_a_deleted_wal_may_be_given_to_the_next() -> None:
    old, new = FileStamp(1, 11, 4152, 1, 1), FileStamp(1, 11, 8272, 2, 2)
    for wal, salts, is_stale in ((new, b"new", False), (new, b"old", True), (old, b"", True)):
        memory = Memory()
        memory.update(look_of(10, old, 12, (7, 12), salts=b"old"))
        found = memory.update(look_of(20, wal, 22, (7, 22), salts=salts))
        assert found == ({("wal_stale", None)} if is_stale else set())


def test_our_own_processes_are_in_no_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiveWriter, "arguments", ("-m", "dash_app.reader"))
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as ours, open_airlock(path) as airlock:
        write(ours)
        assert read(airlock).surroundings.holders == ()
        side(path, "-shm").unlink()
        read(airlock)
        assert not conflicts_of(read(airlock))


def test_what_cannot_be_told_has_a_reason(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, LiveWriter(path) as idle, open_airlock(path) as airlock:
        assert read(airlock).surroundings.conflicts_unknown == list_locks().unseen
        write(idle)
        idle.read_file(side(path, "-shm"))  # which shows once it has a transaction
        read(airlock)
        reason = read(airlock).surroundings.conflicts_unknown
        assert reason == list_locks().unseen or f"(pid {idle.process.pid})" in (reason or "")
        idle.close()
        assert writer.do("PRAGMA locking_mode = EXCLUSIVE") == [["exclusive"]]
        write(writer)
        read(airlock)
        reason = read(airlock).surroundings.conflicts_unknown
        assert reason == list_locks().unseen or f"(pid {writer.process.pid})" in (reason or "")


@pytest.mark.skipif(not CAN_MOUNT, reason="mounting requires root")
def test_locks_that_are_listed_under_another_device_are_unknown(tmp_path: Path) -> None:
    """Overlayfs, of two file systems, shows their devices in stat(2) but its own in the list."""
    with ExitStack() as stack:
        stack.enter_context(Mount(tmp_path / "lower", "tmpfs", ""))
        make_database(tmp_path / "lower" / "a.db", agents=3)
        for name in ("upper", "work"):
            (tmp_path / name).mkdir()
        parts = {name: f"{name}dir={tmp_path / name}" for name in ("lower", "upper", "work")}
        merged = tmp_path / "merged"
        stack.enter_context(Mount(merged, "overlay", ",".join(["xino=off", *parts.values()])))
        path = merged / "a.db"
        with LiveWriter(path) as writer, open_airlock(path) as airlock:
            write(writer)
            surroundings = [read(airlock).surroundings for _ in range(3)][-1]
            assert (surroundings.holders, surroundings.conflicts) == (None, ())
            assert "another device" in (surroundings.conflicts_unknown or "")


def test_a_pid_namespace_of_its_own_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from dash_app.reader.locks import list_locks; print(list_locks().unseen)"
    inside = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    done = subprocess.run(inside, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no pid namespace available: {done.stderr}")
    assert done.stdout == "programs outside this container are not seen\n"
    monkeypatch.setattr(locks, "sees_all_processes", lambda: True)
    monkeypatch.setattr(locks, "record_locks", set)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert list_locks().unseen == "the locks of other programs cannot be listed"


def test_locks_on_an_index_under_another_number_are_noticed(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer:
        write(writer)
        main, index = identity_of(str(path)), identity_of(f"{path}-shm")
        assert main is not None
        assert not locks.has_unlisted_locks(str(path), main, index)
        assert locks.has_unlisted_locks(str(path), (0, main[1]), index)
        assert locks.has_unlisted_locks(str(path), main, (0, main[1]))


def test_a_reading_uses_the_locks_that_were_listed_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer:
        write(writer)
        listed = list_locks()
        for module in (locks, conflicts, reader):
            monkeypatch.setattr(module, "list_locks", None)
        reading = Reader(str(path), Budget(1, 2, 0.02)).read(listed)
        assert [holder.pid for holder in reading.surroundings.holders or ()] == [writer.process.pid]
        assert rows(reading) == {"agents": 4}


DOCKER = "746f4e33259d" + "a" * 52


@pytest.mark.parametrize(
    ("groups", "unit"),
    [
        ("0::/system.slice/agent.service\n", "agent.service"),
        ("0::/user.slice/user-7.slice/user@7.service/app.slice/a.service/x\n", "a.service"),
        ("2:cpu:/\n1:name=systemd:/system.slice/cron.service\n0::/\n", "cron.service"),
        ("0::/user.slice/user-7.slice/session-3.scope\n", "session-3.scope"),
        (f"0::/system.slice/docker-{DOCKER}.scope\n", "container 746f4e33259d"),
        (f"4:memory:/docker/{DOCKER}\n", "container 746f4e33259d"),
        ("0::/lxc.payload.web/system.slice/agent.service\n", "container web"),
        ("0::/\n", None),
        ("", None),
    ],
)
def test_the_unit_of_a_process_is_that_of_its_control_group(
    groups: str, unit: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_read", lambda name: groups if name == "7/cgroup" else "")
    assert processes.unit_of(7) == unit


def test_no_conflict_is_reported_beside_programs_without_one(tmp_path: Path) -> None:
    report = soak(12, 1, tmp_path)
    assert not report.alarms, summary(report)
    assert report.lives.total() == 12
    assert report.readings["read"] > 10
