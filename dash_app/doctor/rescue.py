"""Finds the files of a database that programs have open, deleted ones too.

A deleted file can be copied from `/proc/PID/fd` as long as a process has it open. Only the user of
a process, or root, may look there; the service's sandbox may not.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from dash_app.doctor.check import Check
from dash_app.history.incidents import IncidentQuery, find_incidents
from dash_app.model.conflict import Conflict
from dash_app.model.database import Database
from dash_app.model.incident import Incident
from dash_app.reader.files import identity_of
from dash_app.reader.locks import list_locks
from dash_app.system.processes import OWN_NAME, command_name, process_label
from dash_app.words.incidents import incident_sentence
from dash_app.words.numbers import join_names
from dash_app.words.problems import conflict_text
from dash_app.words.rescue import OTHER_USER, Generation, Step, rescue_steps, spell_out_steps

SIDES = ("-wal", "-shm", "-tshm")
"""The files that belong to a main file: its WAL, and the indexes of SQLite and of Turso."""


class OpenFile(NamedTuple):
    """A file that a process has open."""

    descriptor: Path
    """Its link below `/proc`, from which it can be copied."""
    path: Path
    """Where it is, or was."""
    is_deleted: bool
    identity: tuple[int, int] | None
    """Device and inode."""


class Holder(NamedTuple):
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
    database: Database, conflicts: Iterable[Conflict], incident: Incident | None
) -> Iterator[Check]:
    """Yield the steps that save a database in danger, or a database with deleted files.

    `incident` is the danger that the service sees: it remembers what one reading cannot show.
    """
    path = database.path.resolve()
    holders = find_holders(path)
    deleted = [pid for pid, holder in holders.items() if holder.has_deleted]
    certain = [conflict for conflict in conflicts if conflict.is_certain]
    kinds = {conflict.kind for conflict in certain} | ({incident.kind} if incident else set())
    if deleted:
        programs = join_names([process_label(pid) for pid in deleted])
        text = f"{database.label}: {programs} has deleted files of it open. Rows can be lost."
    elif incident:
        text = incident_sentence(incident)
    elif certain:
        cause, _ = conflict_text(certain[0])
        text = f"{database.label}: {cause}"
    else:
        return
    is_visible = _lock_holders(path) <= holders.keys() and (holders or kinds == {"wal_stale"})
    cure = spell_out_steps(steps(database, datetime.now(UTC))) if is_visible else OTHER_USER
    yield Check("fault", "in_danger", text, cure)


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
    holders = find_holders(path)
    return rescue_steps(path, beside, folder, holders, find_generations(path, holders))


def find_holders(path: Path) -> dict[int, Holder]:
    """Return the processes that have a database open, by their pids.

    `path` has no symbolic links. Processes whose files we may not see are missing.
    """
    main_at = identity_of(str(path))
    holders, locking = {}, _lock_holders(path)
    for process in Path("/proc").glob("[0-9]*"):
        # Other files may be on a disk that hangs.
        near = None if int(process.name) in locking else path
        files = list(_open_files(process, near))
        mains = [file for file in files if file.identity == main_at or file.path == path]
        names = {path, *(file.path for file in mains)}
        wals, indexes = (
            [file for file in files if file.path in {_beside(name, side) for name in names}]
            for side in ("-wal", "-shm")
        )
        if wals and not mains:  # it was renamed
            locked = list_locks().mains.get(int(process.name), ())
            mains = [file for file in files if file.identity in locked]
        if mains or wals:
            holders[int(process.name)] = Holder(mains, wals, indexes)
    return holders


def is_in_use(path: Path) -> bool:
    """Whether a process has a database open, as far as locks and open files show."""
    return bool(_lock_holders(path) or find_holders(path))


def find_generations(path: Path, holders: Mapping[int, Holder]) -> list[Generation]:
    """Return the files that each process uses together, and those at `path`.

    A WAL that is used with another main file does not belong to the one at `path`.
    """
    found: dict[tuple[object, ...], Generation] = {}
    main_at, wal_at = identity_of(str(path)), identity_of(f"{path}-wal")
    for holder in holders.values():
        index = holder.wal_index
        for main in holder.mains:
            for wal in holder.wals:
                key = (main.identity, wal.identity, index and index.identity)
                files = (main.descriptor, wal.descriptor, index and index.descriptor)
                found.setdefault(key, Generation(*files))
            if not holder.wals and main.identity != main_at:
                found.setdefault((main.identity, None), Generation(main.descriptor))
    is_its_own = wal_at and all(main == main_at for main, wal, *_ in found if wal == wal_at)
    if main_at and not any(key[:2] == (main_at, wal_at) for key in found):
        found[main_at, None] = Generation(path, _beside(path, "-wal") if is_its_own else None)
    return list(found.values())


def _open_files(process: Path, near: Path | None) -> Iterator[OpenFile]:
    """Yield the files of a process; with `near`, those in its folder or of a similar name."""
    if command_name(int(process.name)) == OWN_NAME:  # open for milliseconds only
        return
    with suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                name = str(descriptor.readlink())
                path = Path(name.removesuffix(" (deleted)"))
                if near and near.parent != path.parent and not path.name.startswith(near.name):
                    continue
                yield OpenFile(descriptor, path, str(path) != name, identity_of(str(descriptor)))


def _lock_holders(path: Path) -> set[int]:
    """Return the processes that have locks on a database, whether we see their files or not."""
    files = (identity_of(str(path)), identity_of(f"{path}-shm"))
    locks = list_locks()
    pids = {lock.pid for file in files for lock in locks.on(file)}
    return {pid for pid in pids if command_name(pid) != OWN_NAME}


def _beside(path: Path, side: str) -> Path:
    return path.with_name(path.name + side)
