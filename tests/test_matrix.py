"""The fault matrix: each way a database can go wrong, and what its card then says.

Each row watches the faulty database beside four healthy ones, two of them with a live writer, and
looks at every snapshot from the fault on.
"""

from __future__ import annotations

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
from dash_app.history.writer import History
from dash_app.model.snapshot import DatabaseStatus
from dash_app.sampler import Sampler
from dash_app.words import numbers
from tests import faults
from tests.airlock_helpers import public_folder, run_children_as_nobody
from tests.faults import ADD, add, make_large, make_rollback, make_wal
from tests.harness import LiveWriter, eventually, make_database, write_config
from tests.mounts import CAN_MOUNT, BadDisk, Mount

Fault = Callable[[Path], object]
Rows = dict[str, int | None]


@dataclass(frozen=True)
class Row:
    """What is there at first, what happens after a reading of it, and what the card says then.

    `strike` is a signal for the first two readers that are found at this database.
    """

    first: Fault | None
    then: Fault | None
    code: str | None
    says: str
    rows: Rows | None = None
    status: str = "error"
    name: str = "a.db"
    nobody: bool = False
    strike: signal.Signals | None = None


def fine(
    first: Fault, then: Fault | None, name: str = "a.db", says: str = "", **rows: int | None
) -> Row:
    ((_table, count),) = rows.items()
    return Row(first, then, None, says or f"{count} rows in 1 table.", rows, "connected", name)


def calm(first: Fault | None, code: str, says: str, name: str = "a.db") -> Row:
    return Row(first, None, code, says, status="not_initialized", name=name)


def broken(first: Fault, code: str, says: str) -> Row:
    return Row(first, None, code, says)


def closed(then: Fault) -> Row:
    says = "User {user} has no permission to read {path}."
    return Row(make_wal, then, "permission_denied", says, name="folder/a.db", nobody=True)


def struck(number: signal.Signals, code: str, says: str) -> Row:
    return Row(make_wal, faults.exclusive_mode_large_wal, code, says, strike=number)


NO_FILE = "No file yet at {path}."
NO_DATABASE = "Not an SQLite file, or encrypted."
DAMAGED = "The file is damaged (malformed)."
WAL2 = "It has the WAL2 format of an SQLite branch, which SQLite does not read."
IN_ITS_PLACE = "Another file is in its place, and not an SQLite file, or encrypted. It held 3 rows."
HEAD = "No longer an SQLite file: its head was overwritten or encrypted. It held 3 rows."
UNFINISHED = "A crash left unfinished work in its journal or WAL."
HELD = "{holder} has locked it."
NO_DATA = "The disk did not return the data."
NO_ANSWER = "No answer within 1 s."
ANOTHER = "Replaced by another file."
ODD_NAME = "3 rows counted in 2 tables, 1 unknown."
ODD_ROWS: Rows = {"agents": 3, "zz\\xff\\xfe": None}
ON_DISK = "disk/a.db"

MATRIX = {
    "missing file": calm(None, "file_missing", NO_FILE),
    "missing folder": calm(None, "folder_missing", "No folder yet for {path}.", "gone/a.db"),
    "empty file": calm(Path.touch, "file_empty", "The file is empty: no tables yet."),
    "no tables": calm(faults.drop_tables, "no_tables", "No tables yet."),
    "symlink loop": calm(partial(faults.symlink_to, target="a.db"), "file_missing", NO_FILE),
    "name too long": calm(None, "file_missing", NO_FILE, "n" * 256),
    "folder": broken(Path.mkdir, "not_a_file", "{path} is a folder, not a file."),
    "pipe": broken(os.mkfifo, "not_a_file", "{path} is a pipe, not a file."),
    "socket": broken(faults.socket_file, "not_a_file", "{path} is a socket, not a file."),
    "device": broken(
        partial(faults.symlink_to, target="/dev/null"),
        "not_a_file",
        "{path} is a device, not a file.",
    ),
    "text": broken(lambda a: a.write_text("no\n" * 9999), "not_a_database", NO_DATABASE),
    "random": broken(partial(faults.random_bytes, size=54_321), "not_a_database", NO_DATABASE),
    "encrypted": Row(make_wal, partial(faults.random_bytes, size=40_960), "corrupt", HEAD),
    "head zeroed": Row(make_wal, faults.zero_header, "corrupt", HEAD),
    "replaced by text": Row(make_wal, faults.replace_by_text, "not_a_database", IN_ITS_PLACE),
    "random body": Row(
        make_wal, partial(faults.random_bytes, size=40_860, after=100), "corrupt", DAMAGED
    ),
    "WAL2": Row(make_wal, faults.set_newer_format, "unsupported", WAL2),
    "closed file": closed(lambda path: path.chmod(0o000)),
    "closed folder": closed(lambda path: path.parent.chmod(0o000)),
    "deleted": Row(make_wal, Path.unlink, "file_missing", "The file is gone."),
    "folder gone": Row(
        make_wal,
        faults.remove_folder,
        "folder_missing",
        "Its folder {folder} is gone. Is its disk mounted?",
        name="folder/a.db",
    ),
    "emptied": Row(make_wal, faults.empty, "file_empty", "The file was emptied: it held 3 rows."),
    "dropped": Row(make_wal, faults.drop, "no_tables", "All tables are gone: there was 1."),
    "halved": Row(make_large, faults.halve, "corrupt", DAMAGED),
    "replaced": fine(make_wal, faults.replace, says="Replaced by another file.", agents=9),
    "swapped": fine(make_wal, faults.swap, says=ANOTHER, tasks=7),
    "recreated": fine(make_wal, faults.recreate, says=ANOTHER, tasks=2),
    "retargeted": fine(faults.symlink_to_database, faults.retarget, says=ANOTHER, tasks=8),
    "restored": fine(faults.keep_backup, faults.restore, agents=3),
    "restored with its time": fine(
        faults.keep_backup,
        partial(faults.restore, copy=shutil.copy2),
        says="Went back to an older state.",
        agents=3,
    ),
    "clock back": fine(make_wal, faults.set_times_back, agents=5),
    "two commits": fine(make_wal, faults.two_commits, agents=5),
    "odd path": fine(make_wal, add, "a b?mode=rw#c%20.db", agents=4),
    "path not UTF-8": fine(
        partial(faults.symlink_to_database, name=os.fsdecode(b"latin\xe9.db")), add, agents=4
    ),
    "hard link": fine(faults.hard_link, None, agents=11),
    "link to a live one": fine(partial(faults.symlink_to, target="live.db"), None, agents=6),
    "table not UTF-8": Row(faults.table_name_not_utf8, None, None, ODD_NAME, ODD_ROWS, "connected"),
    "log without index": fine(faults.leave_wal, None, agents=4),
    "log of another": Row(make_large, faults.copy_wal_of_another, "corrupt", DAMAGED),
    "log in closed folder": replace(
        fine(faults.leave_wal_in_closed_folder, None, "folder/a.db", agents=4), nobody=True
    ),
    "large log in closed folder": replace(
        fine(
            partial(faults.leave_wal_in_closed_folder, size_bytes=faults.LARGE_WAL_BYTES),
            None,
            "folder/a.db",
            agents=4,
        ),
        nobody=True,
    ),
    "hot journal": broken(
        lambda a: faults.kill_writer(make_rollback(a)), "needs_recovery", UNFINISHED
    ),
    "journal of a killed writer": Row(
        make_rollback, faults.kill_writer, "needs_recovery", UNFINISHED
    ),
    "log of a killed writer": fine(make_wal, faults.kill_writer, agents=3),
    "writer at first sight": broken(
        lambda a: faults.open_transaction(make_rollback(a)), "locked", HELD
    ),
    "stopped writer": fine(make_rollback, faults.stop_writer, agents=3),
    "stopped writer of a log": fine(make_wal, faults.stop_writer, agents=3),
    "EXCLUSIVE transaction": fine(make_rollback, faults.exclusive_transaction, agents=3),
    "EXCLUSIVE mode": fine(make_wal, faults.exclusive_mode, agents=4),
    "EXCLUSIVE mode, large log": fine(make_wal, faults.exclusive_mode_large_wal, agents=4),
    "reader killed": struck(signal.SIGSEGV, "reader_crashed", "SQLite crashed while reading it."),
    "reader stopped": struck(signal.SIGSTOP, "not_responding", NO_ANSWER),
    "unreadable file": broken(
        partial(faults.symlink_to, target="/sys/class/net/lo/speed"),
        "cannot_read",
        "SQLite can't read it: EINVAL, Invalid argument.",
    ),
}
MOUNTED = {
    "disk that fails": (
        Row(make_wal, partial(BadDisk, behaviour="fails"), "io_error", NO_DATA, name=ON_DISK),
        "unreadable file",
    ),
    "disk that hangs": (
        Row(
            make_wal, partial(BadDisk, behaviour="hangs"), "not_responding", NO_ANSWER, name=ON_DISK
        ),
        "reader stopped",
    ),
    "disk that hangs from the start": (
        Row(partial(BadDisk, behaviour="hangs"), None, "not_responding", NO_ANSWER, name=ON_DISK),
        "reader stopped",
    ),
    "read-only disk": (
        fine(faults.read_only_disk, None, ON_DISK, agents=4),
        "log in closed folder",
    ),
    "full disk": (
        fine(faults.full_disk, None, ON_DISK, "Disk 100% full, 0 B left.", agents=4),
        "log without index",
    ),
}
"""Rows that take root, each with the row that shows the same to anybody."""


def mounted(name: str) -> ParameterSet:
    row, instead = MOUNTED[name]
    reason = f"mounting takes root: the row {instead!r} shows the same"
    return pytest.param(row, id=name, marks=pytest.mark.skipif(not CAN_MOUNT, reason=reason))


ROWS = [*(pytest.param(row, id=name) for name, row in MATRIX.items()), *map(mounted, MOUNTED)]


COMMITS = 3
QUIET: list[Rows] = [{"agents": 11}, {"agents": 12, "tasks": 5}]


def rows(status: DatabaseStatus) -> Rows:
    return {name: count.rows for name, count in status.reading.tables.items()}


def neighbours(folder: Path, stack: ExitStack) -> list[LiveWriter]:
    """Make the four healthy databases; return the writers of two."""
    make_database(folder / "quiet.db", agents=11)
    make_database(folder / "plain.db", agents=12, tasks=5)
    paths = make_wal(folder / "live.db"), make_rollback(folder / "busy.db")
    return [stack.enter_context(LiveWriter(path)) for path in paths]


class ExpectationReport:
    """A sampler whose ticks follow at once on one another, each of its snapshots looked at."""

    def __init__(self, path: Path, folder: Path, stack: ExitStack) -> None:
        names = ["live", "busy", "quiet", "plain"]
        databases = [("faulty", path), *((name, folder / f"{name}.db") for name in names)]
        config = write_config(folder, databases, sampler='deadline = "1s"')
        loaded = settings.load(config)
        history = stack.enter_context(closing(History(loaded.history)))
        self._sampler = Sampler(loaded, history)
        self._airlock = self._sampler._airlock
        self._struck: set[int] = set()
        stack.callback(self._airlock.close)

    def tick(self) -> tuple[DatabaseStatus, ...]:
        self._sampler.tick()
        assert self._sampler.snapshot is not None
        return self._sampler.snapshot.databases

    def connected(self) -> bool:
        """Whether all were read, but for the first, which may be at fault already."""
        return {one.status for one in self.tick()[1:]} == {"connected"}

    def strike(self, number: signal.Signals, *, alone: bool = False) -> bool:
        """Send a signal to the child that is at the first database; return whether one is.

        With `alone`, only a child that reads nothing else counts: a fast one may have ended.
        """
        self._airlock.read(0.02)
        children = self._airlock._children()
        shared = self._airlock._shared
        found = {child.pid for child in children if "faulty" in child.began} - self._struck
        for pid in found:
            os.kill(pid, number)
        self._struck |= found
        return bool(found - {shared.pid} if alone and shared else found)

    def look(self, commits: int) -> tuple[DatabaseStatus, bool]:
        """Return the first database, and whether each commit to the others was seen.

        Those must be right, or right as of a moment ago, in every snapshot.
        """
        faulty, live, busy, *quiet = self.tick()
        assert {one.status for one in (live, busy, *quiet)} == {"connected"}
        assert [rows(one) for one in quiet] == QUIET
        counts = [one.reading.total_rows or 0 for one in (live, busy)]
        assert all(3 <= count <= 3 + commits for count in counts)
        return faulty, counts == [3 + commits] * 2


def facts(path: Path, made: object) -> Mapping[str, str]:
    """Return what the words may name: the path, our user, and who holds the file."""
    found = {
        "path": numbers.short_path(path),
        "folder": numbers.short_path(path.parent),
        "user": getpass.getuser(),
    }
    if isinstance(made, LiveWriter):
        pid = made.process.pid
        found["holder"] = f"{Path(f'/proc/{pid}/comm').read_text().strip()} (pid {pid})"
    return found


@pytest.mark.parametrize("row", ROWS)
def test_each_fault_is_told_by_its_card_alone(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    with public_folder() as folder, ExitStack() as stack:
        path = folder / row.name
        if row.nobody:
            run_children_as_nobody(folder, monkeypatch)
        writers = neighbours(folder, stack)
        made = keep(row.first, path, stack)
        watch = ExpectationReport(path, folder, stack)
        eventually(watch.connected)
        if row.then:
            assert watch.tick()[0].status == "connected"
            made = keep(row.then, path, stack)
        for commits in range(COMMITS):
            watch.look(commits)
            assert [writer.do(ADD) for writer in writers] == [[], []]
        if row.strike:
            eventually(partial(watch.strike, row.strike))  # the reader of all
            eventually(partial(watch.strike, row.strike, alone=True))
        says = row.says.format_map(facts(path, made))

        def told() -> bool:
            faulty, all_seen = watch.look(COMMITS)
            found = (faulty.status, faulty.reading.code, faulty.verdict, rows(faulty) or None)
            return all_seen and found == (row.status, row.code, says, row.rows)

        eventually(told)


def keep(fault: Fault | None, path: Path, stack: ExitStack) -> object:
    """Make a fault, for as long as the stack lasts."""
    made = fault and fault(path)
    return stack.enter_context(made) if isinstance(made, LiveWriter | Mount | ExitStack) else made
