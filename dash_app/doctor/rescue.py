"""Finds the files of a database that programs have open, deleted ones too.

A deleted file can be copied from `/proc/PID/fd` as long as a process has it open. Only the user of
a process, or root, may look there; the service's sandbox may not.
"""

import sqlite3
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from dash_app.doctor.check import Check
from dash_app.history.incidents import IncidentQuery, find_incidents
from dash_app.model.database import Database
from dash_app.model.host_facts import Surroundings
from dash_app.model.incident import Incident
from dash_app.reader.files import identity_of
from dash_app.reader.locks import is_on_index, list_locks
from dash_app.system.processes import IS_CONTAINER, is_reader, process_label
from dash_app.words.incidents import incident_sentence
from dash_app.words.numbers import join_names
from dash_app.words.problems import conflict_text
from dash_app.words.rescue import (
    OTHER_USER,
    OUTSIDE,
    Generation,
    Step,
    rescue_steps,
    spell_out_steps,
)

SIDES = ("-wal", "-shm", "-tshm")
"""The files that belong to a main file: its WAL, and the indexes of SQLite and of Turso."""


class OpenFile(NamedTuple):
    """A file that a process has open."""

    pid: int
    descriptor: Path
    """Its link below `/proc`, from which it can be copied."""
    path: Path
    """Where it is, or was."""
    is_deleted: bool

    @property
    def identity(self) -> tuple[int, int] | None:
        """Device and inode. This may hang if the file is on a disk that hangs."""
        return identity_of(str(self.descriptor))

    @property
    def is_writable(self) -> bool:
        """Whether it is open for writing, as the mode of its link shows (proc_pid_fd(5))."""
        return bool(self.descriptor.lstat().st_mode & stat.S_IWUSR)


class HeldFiles(NamedTuple):
    """The main files, WALs and WAL indexes that a process has open of one database."""

    mains: list[OpenFile]
    wals: list[OpenFile]
    indexes: list[OpenFile]

    @property
    def wal_index(self) -> OpenFile | None:
        """The index of its WAL; None if it has several WALs, or keeps the index in its memory."""
        is_single = len({file.identity for file in self.wals}) == 1
        identities = {file.identity for file in self.indexes}
        return self.indexes[0] if is_single and len(identities) == 1 else None

    @property
    def has_deleted(self) -> bool:
        """Whether one of them was deleted, or replaced by another file."""
        return any(file.is_deleted for file in (*self.mains, *self.wals))


def examine(
    database: Database,
    host: Surroundings,
    incident: Incident | None,
    open_files: Iterable[OpenFile],
) -> Check | None:
    """Return the steps that save a database in danger, or one whose files show more than its locks.

    `open_files` are those of all processes. `incident` is the danger that the service sees: it
    remembers what one reading cannot show.
    """
    path = database.path.resolve()
    holders = find_holders(path, open_files)
    deleted = [pid for pid, holder in holders.items() if holder.has_deleted]
    unlocked = [] if host.holders is None else find_unlocked(path, holders)
    certain = [conflict for conflict in host.conflicts if conflict.is_certain]
    kinds = {conflict.kind for conflict in certain} | ({incident.kind} if incident else set())
    programs = join_names([process_label(pid) for pid in deleted or unlocked])
    if deleted:
        text = f"{database.label}: deleted files of it are open in {programs}. Rows can be lost."
    elif unlocked and kinds <= {"wal_disagrees"}:
        text = f"{database.label} is open without SQLite's locks in {programs}. Rows can be lost."
    elif incident:
        text = incident_sentence(incident)
    elif certain:
        cause, _ = conflict_text(certain[0])
        text = f"{database.label}: {cause}"
    else:
        return None
    is_visible = _lock_holders(path) <= holders.keys() and (holders or kinds == {"wal_stale"})
    if IS_CONTAINER:  # paths and pids may be others outside, where the files are
        cure = OUTSIDE
    else:
        cure = spell_out_steps(steps(database, datetime.now(UTC))) if is_visible else OTHER_USER
    return Check("fault", "in_danger", text, cure)


def find_dangers(history: Path) -> dict[str, Incident]:
    """Return the open incidents of databases in danger, by the names of the databases."""
    try:
        incidents = find_incidents(history, IncidentQuery(is_open=True))
    except sqlite3.Error:  # there is no history yet
        return {}
    dangers = [incident for incident in incidents if incident.is_danger]
    return {name: incident for incident in dangers for name in incident.databases}


def steps(database: Database, now: datetime) -> list[Step]:
    """Return the steps that save the rows of a database in danger."""
    path = database.path.resolve()
    beside = [file for side in SIDES if (file := _beside(path, side)).exists()]
    folder = f"~/rescue-{database.name}-{now:%m%d-%H%M%S}"
    holders = find_holders(path, list_open_files())
    return rescue_steps(path, beside, folder, holders, find_generations(path, holders))


def list_open_files() -> list[OpenFile]:
    """List the open files of all processes that we may see, except our own readers."""
    files = []
    for process in Path("/proc").glob("[0-9]*"):
        pid = int(process.name)
        if is_reader(pid):  # it has files open for milliseconds only
            continue
        with suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with suppress(OSError):
                    name = str(descriptor.readlink())
                    path = name.removesuffix(" (deleted)")
                    files.append(OpenFile(pid, descriptor, Path(path), path != name))
    return files


def find_holders(path: Path, open_files: Iterable[OpenFile]) -> dict[int, HeldFiles]:
    """Return the processes that have a database open, by their pids.

    `path` has no symbolic links. Files of other names are looked at only in processes that have
    locks on the database: they may be on a disk that hangs.
    """
    main_at, holders, locking = identity_of(str(path)), {}, _lock_holders(path)
    by_pid: dict[int, list[OpenFile]] = {}
    for file in open_files:
        is_near = file.path.parent == path.parent or file.path.name.startswith(path.name)
        if is_near or file.pid in locking:
            by_pid.setdefault(file.pid, []).append(file)
    for pid, files in by_pid.items():
        mains = [file for file in files if file.path == path or file.identity == main_at]
        names = {path, *(file.path for file in mains)}
        wals, indexes = (
            [file for file in files if file.path in {_beside(name, side) for name in names}]
            for side in ("-wal", "-shm")
        )
        if wals and not mains:  # it was renamed
            locked = list_locks().mains.get(pid, ())
            mains = [file for file in files if file.identity in locked]
        if mains or wals:
            holders[pid] = HeldFiles(mains, wals, indexes)
    return holders


def find_unlocked(path: Path, holders: Mapping[int, HeldFiles]) -> list[int]:
    """Return the processes that have a WAL open for writing without SQLite's locks.

    A connection has the index of its WAL open, or keeps others from the main file.
    """
    main_at, wal_at, index_at = (identity_of(f"{path}{side}") for side in ("", "-wal", "-shm"))
    locks = list_locks()
    locked = {lock.pid for lock in locks.on(index_at) if is_on_index(lock)}
    locked |= {lock.pid for lock in locks.on(main_at) if lock.is_write}
    with suppress(OSError):  # a process exits
        return [
            pid
            for pid, holder in holders.items()
            if pid not in locked
            and any(file.is_writable and file.identity == wal_at for file in holder.wals)
        ]
    return []


def is_in_use(path: Path) -> bool:
    """Whether a process has a database open, as far as locks and open files show."""
    return bool(_lock_holders(path) or find_holders(path, list_open_files()))


def find_generations(path: Path, holders: Mapping[int, HeldFiles]) -> list[Generation]:
    """Return the files that each process uses together, and those at `path`.

    A WAL that is used with another main file does not belong to the one at `path`. One that is used
    with two indexes is also copied without: all that one program sees may be damaged.
    """
    found: dict[tuple[object, ...], Generation] = {}
    main_at, wal_at = identity_of(str(path)), identity_of(f"{path}-wal")
    for holder in holders.values():
        index = holder.wal_index
        for main in holder.mains:
            for wal in holder.wals:
                key = (main.identity, wal.identity, index and index.identity)
                paths = (main.descriptor, wal.descriptor, index and index.descriptor)
                found.setdefault(key, Generation(*paths))
            if not holder.wals and main.identity != main_at:
                found.setdefault((main.identity, None, None), Generation(main.descriptor))
    uses = Counter(key[:2] for key in found)
    for (main_id, wal_id, *_), files in [*found.items()]:
        if uses[main_id, wal_id] > 1:
            found.setdefault((main_id, wal_id, None), replace(files, index=None))
    is_its_own = wal_at and all(main == main_at for main, wal, *_ in found if wal == wal_at)
    if main_at and not any(key[:2] == (main_at, wal_at) for key in found):
        found[main_at, None, None] = Generation(path, _beside(path, "-wal") if is_its_own else None)
    return list(found.values())


def _lock_holders(path: Path) -> set[int]:
    """Return the processes that have locks on a database, whether we see their files or not."""
    files = (identity_of(str(path)), identity_of(f"{path}-shm"))
    locks = list_locks()
    pids = {lock.pid for file in files for lock in locks.on(file)}
    return {pid for pid in pids if not is_reader(pid)}


def _beside(path: Path, side: str) -> Path:
    return path.with_name(path.name + side)
