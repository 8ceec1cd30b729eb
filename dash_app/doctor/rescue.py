"""Finds the files of a database that programs have open, deleted ones too.

A deleted file can be copied from `/proc/PID/fd` as long as a process has it open. Only the user of
a process, or root, may look there; the service's sandbox may not.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from dash_app.doctor.check import Check
from dash_app.model.conflict import Conflict
from dash_app.model.database import Database
from dash_app.reader.files import identity_of
from dash_app.system.processes import process_label, record_locks
from dash_app.words.numbers import join_names
from dash_app.words.rescue import Generation, Step, rescue_steps, spell_out_steps

OURS = b"dash_app.reader"
"""In the command of our own readers, which have a database open for milliseconds only."""


class OpenFile(NamedTuple):
    """A file that a process has open."""

    descriptor: Path
    """Its link below `/proc`, from which it can be copied."""
    path: Path
    """Where it is, or was."""
    is_deleted: bool
    identity: tuple[int, int] | None
    """Device and inode."""

    @property
    def is_index(self) -> bool:
        """Whether it is the index of a WAL."""
        return self.path.name.endswith("-shm")


class Holder(NamedTuple):
    """The main files and the WALs that a process has open of one database."""

    mains: list[OpenFile]
    wals: list[OpenFile]

    @property
    def has_deleted(self) -> bool:
        """Whether one of them was deleted, or replaced by another file."""
        return any(file.is_deleted for file in (*self.mains, *self.wals))


def examine(database: Database, conflicts: Iterable[Conflict]) -> Iterator[Check]:
    """Yield the steps that save a database in danger, or a database with deleted files."""
    certain = [conflict for conflict in conflicts if conflict.is_certain]
    holders = find_holders(database.path.resolve())
    deleted = [pid for pid, holder in holders.items() if holder.has_deleted]
    if not (certain or deleted):
        return
    text = f"{database.label} is in danger."
    if deleted:
        programs = join_names([process_label(pid) for pid in deleted])
        text = f"{database.label} is in danger: {programs} has deleted files of it open."
    if {conflict.pid for conflict in certain if conflict.pid} <= holders.keys():
        cure = spell_out_steps(steps(database, datetime.now(UTC)))
    else:
        cure = "Run this as root for the steps that save it: its programs belong to another user."
    yield Check("fault", "in_danger", text, cure)


def steps(database: Database, now: datetime) -> list[Step]:
    """Return the steps that save the rows of a database in danger."""
    path = database.path.resolve()
    beside = [side for side in (_beside(path, "-wal"), _beside(path, "-shm")) if side.exists()]
    folder = f"~/rescue-{database.name}-{now:%m%d-%H%M%S}"
    holders = find_holders(path)
    return rescue_steps(path, beside, folder, holders, find_generations(path, holders))


def find_holders(path: Path) -> dict[int, Holder]:
    """Return the processes that have a database open, by their pids.

    `path` has no symbolic links. Processes whose files we may not see are missing.
    """
    main_at, wal_at = identity_of(str(path)), identity_of(f"{path}-wal")
    holders = {}
    for process in Path("/proc").glob("[0-9]*"):
        files = list(_open_files(process))
        mains = [file for file in files if file.identity == main_at or file.path == path]
        paths = {_beside(main, "-wal") for main in (path, *(file.path for file in mains))}
        wals = [file for file in files if file.identity == wal_at or file.path in paths]
        if wals and not mains:  # it was renamed
            locked = {lock.file for lock in record_locks() if lock.pid == int(process.name)}
            beside = [file for file in files if file.path.parent == path.parent]
            mains = [file for file in beside if file.identity in locked and not file.is_index]
        if mains or wals:
            holders[int(process.name)] = Holder(mains, wals)
    return holders


def find_generations(path: Path, holders: Mapping[int, Holder]) -> list[Generation]:
    """Return each pair of a main file and a WAL that a process uses, and the pair at `path`.

    A WAL that is used with another main file does not belong to the one at `path`.
    """
    found: dict[tuple[object, object], Generation] = {}
    main_at, wal_at = identity_of(str(path)), identity_of(f"{path}-wal")
    for holder in holders.values():
        for main in holder.mains:
            for wal in holder.wals:
                generation = Generation(main.descriptor, wal.descriptor)
                found.setdefault((main.identity, wal.identity), generation)
            if not holder.wals and main.identity != main_at:
                found.setdefault((main.identity, None), Generation(main.descriptor))
    is_its_own = wal_at and all(main == main_at for main, wal in found if wal == wal_at)
    if main_at:
        at_path = Generation(path, _beside(path, "-wal") if is_its_own else None)
        found.setdefault((main_at, wal_at if is_its_own else None), at_path)
    return list(found.values())


def _open_files(process: Path) -> Iterator[OpenFile]:
    with suppress(OSError):
        if OURS in (process / "cmdline").read_bytes():
            return
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                name = str(descriptor.readlink())
                path, identity = name.removesuffix(" (deleted)"), identity_of(str(descriptor))
                yield OpenFile(descriptor, Path(path), path != name, identity)


def _beside(path: Path, side: str) -> Path:
    return path.with_name(path.name + side)
