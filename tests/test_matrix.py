"""The fault matrix: each fault of a database, and the code and sentence on its card.

Each case reads the faulty database together with four healthy ones, two of which have a writer,
and checks every snapshot from the fault on.
"""

import getpass
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from dash_app import settings
from dash_app.airlock.airlock import Airlock
from dash_app.history.writer import History
from dash_app.model.snapshot import DatabaseStatus
from dash_app.sampler import Sampler
from dash_app.system.processes import command_name, process_label, unit_of
from dash_app.words import numbers
from dash_app.words.problems import process_name
from tests import faults
from tests.airlock_helpers import AS_NOBODY, WITHOUT_TURNS, change_children, public_folder
from tests.faults import ADD, add, make_large, make_rollback, make_wal
from tests.harness import (
    PATIENT,
    LiveWriter,
    close_as_last,
    eventually,
    make_database,
    write_config,
)
from tests.mounts import CAN_MOUNT, BadDisk, Mount

Fault = Callable[[Path], object]
Rows = dict[str, int | None]


@dataclass(frozen=True)
class Case:
    """What makes the file, the fault after a first reading, and the status expected then.

    `kill` is a signal for the first two readers that read this database.
    """

    first: Fault | None
    then: Fault | None
    code: str | None
    verdict: str
    rows: Rows | None = None
    status: str = "error"
    name: str = "a.db"
    nobody: bool = False
    kill: signal.Signals | None = None


def readable(
    first: Fault, then: Fault | None, name: str = "a.db", verdict: str = "", **rows: int | None
) -> Case:
    ((_table, count),) = rows.items()
    verdict = verdict or f"{count} rows in 1 table."
    return Case(first, then, None, verdict, rows, "connected", name)


def not_initialized(first: Fault | None, code: str, verdict: str, name: str = "a.db") -> Case:
    return Case(first, None, code, verdict, status="not_initialized", name=name)


def unreadable(first: Fault, code: str, verdict: str) -> Case:
    return Case(first, None, code, verdict)


def in_danger(first: Fault, then: Fault | None, verdict: str, agents: int) -> Case:
    return Case(first, then, None, verdict, {"agents": agents}, "connected")


def no_permission(then: Fault) -> Case:
    verdict = "User {user} has no permission to read {path}."
    return Case(make_wal, then, "permission_denied", verdict, name="folder/a.db", nobody=True)


def reader_killed(number: signal.Signals, code: str, verdict: str) -> Case:
    return Case(make_wal, faults.exclusive_mode_large_wal, code, verdict, kill=number)


NO_FILE = "No file yet at {path}."
NO_DATABASE = "Not an SQLite file, or encrypted."
DAMAGED = "The file is damaged (malformed)."
WAL2 = "It uses the WAL2 format of an SQLite branch, which SQLite cannot read."
IN_ITS_PLACE = "Another file replaced it: not an SQLite file, or encrypted. It held 3 rows."
HEAD = "No longer an SQLite file: its header was overwritten or encrypted. It held 3 rows."
UNFINISHED = "A crash left unfinished work in its journal or WAL."
HELD = "{holder} has locked it."
NO_DATA = "The disk did not return the data."
NO_ANSWER = "No answer within 1 s."
ANOTHER = "Replaced by another file; the previous file is now {}."
ODD_NAME = "3 rows counted in 2 tables, 1 unknown."
ODD_ROWS: Rows = {"agents": 3, "zz\\xff\\xfe": None}
ON_DISK = "disk/a.db"

MATRIX = {
    "missing file": not_initialized(None, "file_missing", NO_FILE),
    "missing folder": not_initialized(
        None, "folder_missing", "No folder yet for {path}.", "gone/a.db"
    ),
    "empty file": not_initialized(Path.touch, "file_empty", "The file is empty: no tables yet."),
    "no tables": not_initialized(faults.drop_tables, "no_tables", "No tables yet."),
    "symlink loop": not_initialized(
        partial(faults.symlink_to, target="a.db"), "file_missing", NO_FILE
    ),
    "name too long": not_initialized(None, "file_missing", NO_FILE, "n" * 256),
    "folder": unreadable(Path.mkdir, "not_a_file", "{path} is a folder, not a file."),
    "pipe": unreadable(os.mkfifo, "not_a_file", "{path} is a pipe, not a file."),
    "socket": unreadable(faults.socket_file, "not_a_file", "{path} is a socket, not a file."),
    "device": unreadable(
        partial(faults.symlink_to, target="/dev/null"),
        "not_a_file",
        "{path} is a device, not a file.",
    ),
    "text": unreadable(lambda a: a.write_text("no\n" * 9999), "not_a_database", NO_DATABASE),
    "random": unreadable(partial(faults.random_bytes, size=54_321), "not_a_database", NO_DATABASE),
    "encrypted": Case(make_wal, partial(faults.random_bytes, size=40_960), "corrupt", HEAD),
    "head zeroed": Case(make_wal, faults.zero_header, "corrupt", HEAD),
    "replaced by text": Case(make_wal, faults.replace_by_text, "not_a_database", IN_ITS_PLACE),
    "random body": Case(
        make_wal, partial(faults.random_bytes, size=40_860, after=100), "corrupt", DAMAGED
    ),
    "WAL2": Case(make_wal, faults.set_newer_format, "unsupported", WAL2),
    "closed file": no_permission(lambda path: path.chmod(0o000)),
    "closed folder": no_permission(lambda path: path.parent.chmod(0o000)),
    "deleted": Case(make_wal, Path.unlink, "file_missing", "The file is gone."),
    "folder gone": Case(
        make_wal,
        faults.remove_folder,
        "folder_missing",
        "Its folder {folder} is gone. Is its disk mounted?",
        name="folder/a.db",
    ),
    "emptied": Case(make_wal, faults.empty, "file_empty", "The file was emptied: it held 3 rows."),
    "dropped": Case(make_wal, faults.drop, "no_tables", "All tables are gone: there was 1."),
    "halved": Case(make_large, faults.halve, "corrupt", DAMAGED),
    "replaced": readable(make_wal, faults.replace, verdict="Replaced by another file.", agents=9),
    "swapped": readable(make_wal, faults.swap, verdict=ANOTHER.format("new.db"), tasks=7),
    "recreated": readable(make_wal, faults.recreate, verdict=ANOTHER.format("former"), tasks=2),
    "retargeted": readable(
        faults.symlink_to_database, faults.retarget, verdict=ANOTHER.format("real.db"), tasks=8
    ),
    "restored": readable(faults.keep_backup, faults.restore, agents=3),
    "restored with its time": readable(
        faults.keep_backup,
        partial(faults.restore, copy=shutil.copy2),
        verdict="Went back to an older state.",
        agents=3,
    ),
    "clock back": readable(make_wal, faults.set_times_back, agents=5),
    "two commits": readable(make_wal, faults.two_commits, agents=5),
    "odd path": readable(make_wal, add, "a b?mode=rw#c%20.db", agents=4),
    "path not UTF-8": readable(
        partial(faults.symlink_to_database, name=os.fsdecode(b"latin\xe9.db")), add, agents=4
    ),
    "hard link": readable(faults.hard_link, None, agents=11),
    "link to a live one": readable(partial(faults.symlink_to, target="live.db"), None, agents=6),
    "table not UTF-8": Case(
        faults.table_name_not_utf8, None, None, ODD_NAME, ODD_ROWS, "connected"
    ),
    "WAL without index": readable(faults.leave_wal, None, agents=4),
    "WAL of another": Case(make_large, faults.copy_wal_of_another, "corrupt", DAMAGED),
    "WAL in closed folder": replace(
        readable(faults.leave_wal_in_closed_folder, None, "folder/a.db", agents=4), nobody=True
    ),
    "large WAL in closed folder": replace(
        readable(
            partial(faults.leave_wal_in_closed_folder, size_bytes=faults.LARGE_WAL_BYTES),
            None,
            "folder/a.db",
            agents=4,
        ),
        nobody=True,
    ),
    "hot journal": unreadable(
        lambda a: faults.kill_writer(make_rollback(a)), "needs_recovery", UNFINISHED
    ),
    "journal of a killed writer": Case(
        make_rollback, faults.kill_writer, "needs_recovery", UNFINISHED
    ),
    "WAL of a killed writer": readable(make_wal, faults.kill_writer, agents=3),
    "writer at first sight": unreadable(
        lambda a: faults.open_transaction(make_rollback(a)), "locked", HELD
    ),
    "stopped writer": readable(make_rollback, faults.stop_writer, agents=3),
    "stopped writer of a WAL": readable(make_wal, faults.stop_writer, agents=3),
    "EXCLUSIVE transaction": readable(make_rollback, faults.exclusive_transaction, agents=3),
    "EXCLUSIVE mode": readable(make_wal, faults.exclusive_mode, agents=4),
    "EXCLUSIVE mode, large WAL": readable(make_wal, faults.exclusive_mode_large_wal, agents=4),
    "reader killed": reader_killed(
        signal.SIGSEGV, "reader_crashed", "SQLite crashed while reading it."
    ),
    "reader stopped": reader_killed(signal.SIGSTOP, "not_responding", NO_ANSWER),
    "WAL deleted": in_danger(
        faults.live_writer,
        faults.unlink_wal,
        "The WAL of {process} was deleted while in use. New rows can be lost.",
        agents=3,
    ),
    "locks cancelled": in_danger(
        faults.cancel_locks,
        None,
        "{process} uses it without all of SQLite's locks. Rows can be lost.",
        agents=4,
    ),
    "WAL deleted by another program": in_danger(
        faults.cancel_locks,
        close_as_last,
        "{process} writes to a WAL that was deleted. Other programs do not see these rows.",
        agents=4,
    ),
    "WAL of the previous file": in_danger(
        faults.leave_wal,
        faults.replace,
        "Its WAL belongs to another file, which this one replaced.",
        agents=4,
    ),
    "unreadable file": unreadable(
        partial(faults.symlink_to, target="/sys/class/net/lo/speed"),
        "cannot_read",
        "SQLite can't read it: EINVAL, Invalid argument.",
    ),
}
MOUNTED = {
    "disk that fails": (
        Case(make_wal, partial(BadDisk, behaviour="fails"), "io_error", NO_DATA, name=ON_DISK),
        "unreadable file",
    ),
    "disk that hangs": (
        Case(
            make_wal, partial(BadDisk, behaviour="hangs"), "not_responding", NO_ANSWER, name=ON_DISK
        ),
        "reader stopped",
    ),
    "disk that hangs from the start": (
        Case(partial(BadDisk, behaviour="hangs"), None, "not_responding", NO_ANSWER, name=ON_DISK),
        "reader stopped",
    ),
    "read-only disk": (
        readable(faults.read_only_disk, None, ON_DISK, agents=4),
        "WAL in closed folder",
    ),
    "full disk": (
        readable(faults.full_disk, None, ON_DISK, "Disk 100% full, 0 B free.", agents=4),
        "WAL without index",
    ),
}
"""Cases that require root, each with the case that shows the same without it."""


def mounted(name: str) -> ParameterSet:
    case, instead = MOUNTED[name]
    reason = f"mounting requires root; the case {instead!r} shows the same"
    return pytest.param(case, id=name, marks=pytest.mark.skipif(not CAN_MOUNT, reason=reason))


CASES = [*(pytest.param(case, id=name) for name, case in MATRIX.items()), *map(mounted, MOUNTED)]


COMMITS = 3
QUIET: list[Rows] = [{"agents": 11}, {"agents": 12, "tasks": 5}]


def rows(status: DatabaseStatus) -> Rows:
    return {name: count.rows for name, count in status.reading.tables.items()}


def neighbours(folder: Path, stack: ExitStack) -> list[LiveWriter]:
    """Make the four healthy databases; return the writers of two of them."""
    make_database(folder / "quiet.db", agents=11)
    make_database(folder / "plain.db", agents=12, tasks=5)
    paths = make_wal(folder / "live.db"), make_rollback(folder / "busy.db")
    return [stack.enter_context(LiveWriter(path)) for path in paths]


class Watch:
    """A sampler without a thread, whose every snapshot is checked."""

    def __init__(self, path: Path, folder: Path, stack: ExitStack, deadline: str) -> None:
        names = ["live", "busy", "quiet", "plain"]
        databases = [("faulty", path), *((name, folder / f"{name}.db") for name in names)]
        config = write_config(folder, databases, sampler=deadline)
        loaded = settings.load(config)
        history = stack.enter_context(closing(History(loaded.history)))
        self._airlock = Airlock.from_settings(loaded)
        self._sampler = Sampler(loaded, history, self._airlock)
        self._killed: set[int] = set()
        stack.callback(self._airlock.close)

    def tick(self) -> tuple[DatabaseStatus, ...]:
        return self._sampler.tick().databases

    def connected(self) -> bool:
        """Whether all were read, except the first, which may be faulty already."""
        return {status.status for status in self.tick()[1:]} == {"connected"}

    def is_idle(self) -> bool:
        """Whether no reading is in progress, which would see half of a change."""
        self._airlock.read(1)
        return self._airlock.is_idle

    def lose_reader(self, number: signal.Signals) -> None:
        """Send a signal to the shared reader of the first database, and to its own one after it.

        Nothing if that has failed. One that had answered before its signal counts for nothing.
        """
        if "faulty" not in self._airlock._suspects:
            eventually(partial(self._kill_reader, number))
            eventually(partial(self._kill_reader, number, alone=True))

    def _kill_reader(self, number: signal.Signals, *, alone: bool = False) -> bool:
        """Send a signal to the child that reads the first database; return whether there was one.

        With `alone`, only a child that reads nothing else counts.
        """
        self._airlock.read(0.02)
        children = self._airlock._children()
        shared = self._airlock._shared
        pids = {child.pid for child in children if "faulty" in child.started} - self._killed
        for pid in pids:
            os.kill(pid, number)
        self._killed |= pids
        return bool(pids - {shared.pid} if alone and shared else pids)

    def check_tick(self, commits: int) -> tuple[DatabaseStatus, bool]:
        """Tick; return the first status, and whether all commits to the others were read.

        The others must be correct in every snapshot, or at most some commits behind.
        """
        faulty, live, busy, *quiet = self.tick()
        assert {status.status for status in (live, busy, *quiet)} == {"connected"}
        assert [rows(status) for status in quiet] == QUIET
        counts = [status.reading.total_rows or 0 for status in (live, busy)]
        assert all(3 <= count <= 3 + commits for count in counts)
        return faulty, counts == [3 + commits] * 2


def facts(path: Path, made: object) -> Mapping[str, str]:
    """Return the facts that a verdict may contain: path, user, and the holder of the file."""
    texts = {
        "path": f"`{numbers.short_path(path)}`",
        "folder": f"`{numbers.short_path(path.parent)}`",
        "user": getpass.getuser(),
    }
    if isinstance(made, LiveWriter):
        pid = made.process.pid
        texts["holder"] = process_label(pid)
        texts["process"] = process_name(command_name(pid), pid, unit_of(pid))
    return texts


@pytest.mark.parametrize("case", CASES)
def test_each_fault_changes_its_own_card_only(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    with public_folder() as folder, ExitStack() as stack:
        path = folder / case.name
        writers = neighbours(folder, stack)
        made = cause(case.first, path, stack)
        as_nobody = [AS_NOBODY] if case.nobody and os.geteuid() == 0 else []
        change_children(folder, monkeypatch, WITHOUT_TURNS, *as_nobody)
        deadline = 'deadline = "1s"' if case.verdict == NO_ANSWER else PATIENT
        watch = Watch(path, folder, stack, deadline)
        eventually(watch.connected)
        if case.then:
            assert watch.tick()[0].status == "connected"
            eventually(watch.is_idle)
            made = cause(case.then, path, stack) or made
        for commits in range(COMMITS):
            watch.check_tick(commits)
            assert [writer.do(ADD) for writer in writers] == [[], []]
        verdict = case.verdict.format_map(facts(path, made))

        def is_as_expected() -> bool:
            if case.kill:
                watch.lose_reader(case.kill)
            faulty, all_read = watch.check_tick(COMMITS)
            # Right after a count, the next one may not be due: then the last one is an estimate.
            shown = faulty.verdict.removeprefix("≈\N{NO-BREAK SPACE}")
            found = (faulty.status, faulty.reading.code, shown, rows(faulty) or None)
            return all_read and found == (case.status, case.code, verdict, case.rows)

        eventually(is_as_expected)


def cause(fault: Fault | None, path: Path, stack: ExitStack) -> object:
    """Cause a fault, until the stack is closed."""
    made = fault and fault(path)
    return stack.enter_context(made) if isinstance(made, LiveWriter | Mount | ExitStack) else made
