"""What is around a database's content: who has it open, what its log holds back, its disk."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from struct import Struct
from typing import NamedTuple, Self

from dash_app.model.host_facts import Holder, Surroundings, Use
from dash_app.reader.files import Files, read_start
from dash_app.reader.locks import (
    INDEX_LOCKS_BYTES,
    INDEX_LOCKS_FIRST,
    PENDING_BYTE,
    SHARED_BYTES,
    SHARED_FIRST,
    find_lock,
    find_write_lock,
    wal_users_elsewhere,
)
from dash_app.reader.permissions import access_to
from dash_app.reader.wal_growth import LARGE_BYTES, Growth, Look, follow, generation_of, summary
from dash_app.system.disk import disk_of
from dash_app.system.processes import RecordLock, command_name, process_label, record_locks

INDEX_HEADER = Struct("=II IBBH II II 8s 2I")
INDEX_BYTES = 136
INDEX_VERSION = 3007000
FRAME_HEADER_BYTES = 24
MARKS = Struct("=I5I")
MARKS_OFFSET = 96
"""The index of a log, in the machine's byte order (sqlite.org/walformat.html)."""

UNUSED_MARK = 0xFFFFFFFF
INDEX_USES: dict[int, Use] = {120: "write", 121: "checkpoint", 122: "recover", 128: "open"}
READ_BYTES = range(123, 128)
INDEX_LAST_BYTE = INDEX_LOCKS_FIRST + INDEX_LOCKS_BYTES - 1
"""Which byte of the index is locked for what (sqlite.org/walformat.html, "WAL Locks")."""


class Index(NamedTuple):
    """What a log's index says: frames in the log, those checkpointed, and five read marks.

    `salts` stand in the header of the log, and of each frame that belongs to it.
    """

    page_bytes: int
    frames: int
    checkpointed: int
    marks: tuple[int, ...]
    salts: bytes = b""

    @property
    def used_bytes(self) -> int:
        """The size of all frames."""
        return self.frames * (self.page_bytes + FRAME_HEADER_BYTES)

    @property
    def backlog_bytes(self) -> int:
        """The size of the frames that are not yet checkpointed."""
        return (self.frames - self.checkpointed) * (self.page_bytes + FRAME_HEADER_BYTES)

    def pins(self, slot: int) -> bool:
        """Whether a reader with this mark keeps newer frames from being checkpointed."""
        behind = self.marks[slot] < self.frames
        return self.backlog_bytes > 0 and behind and self.marks[slot] != UNUSED_MARK

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Return the index; None where it is being written, or none."""
        size = INDEX_HEADER.size
        if len(data) < INDEX_BYTES or data[:size] != data[size : 2 * size]:
            return None
        header = INDEX_HEADER.unpack_from(data)
        version, _, _, is_made, _, page_bytes, frames, *_, salts, _, _ = header
        checkpointed, *marks = MARKS.unpack_from(data, MARKS_OFFSET)
        if version != INDEX_VERSION or not is_made or checkpointed > frames:
            return None
        page_bytes = 1 << 16 if page_bytes == 1 else page_bytes
        return cls(page_bytes, frames, checkpointed, tuple(marks), salts)


@dataclass(frozen=True, slots=True)
class HostView:
    """What was seen around a database: also since when each process was seen at what.

    `is_write_locked` is whether another process holds a write lock on the main file,
    `has_strangers` whether one may have it open with a WAL elsewhere.
    `is_hidden` is whether the index is in use by processes that `/proc/locks` does not show.
    """

    surroundings: Surroundings
    files: Files | None = None
    index: Index | None = None
    since: Mapping[tuple[int, object], datetime] = field(default_factory=dict)
    is_write_locked: bool = False
    has_strangers: bool = False
    is_hidden: bool = False
    growth: Growth = field(default_factory=Growth)


def look_around(files: Files, before: HostView | None, now: datetime) -> HostView:
    """Return what is around a database now, given what was before.

    The log's index is opened only where the database's files have changed. Closing it drops this
    process's locks on it, so no connection to it may be open meanwhile.
    """
    before = before or HostView(Surroundings())
    shm_path = f"{files.path}-shm"
    shm = _identity(shm_path)
    locks = [lock for lock in record_locks() if lock.pid != os.getpid()]
    on_main = [lock for lock in locks if lock.file == files.identity]
    on_index = [lock for lock in locks if lock.file == shm]
    index = before.index if shm else None
    is_hidden = before.is_hidden and shm is not None
    if shm and before.files != files:
        index = _read_index(shm_path) or index
        # The locks may be listed under another device number, or not at all.
        is_hidden = not on_index and is_index_used(files.path)
    is_write_locked = any(lock.is_write for lock in on_main)
    uses = _uses(on_main, on_index, in_wal=files.wal is not None)
    # A connection that keeps everyone else out keeps the index in its own memory.
    known = None if is_write_locked else index
    seen: dict[tuple[int, object], datetime] = {(pid, "there"): now for pid in uses} | {
        (pid, pin): now for pid, found in uses.items() for pin in _pins(found, known)
    }
    since = {key: before.since.get(key, now) for key in seen}
    holders = tuple(_holder(pid, found, since, known) for pid, found in sorted(uses.items()))
    backlog_bytes = known.backlog_bytes if known else None if files.wal_bytes else 0
    look, at = _wal_look(files, before, known, uses), time.monotonic()
    growth = follow(before.growth, look, at, now)
    around = Surroundings(
        None if is_hidden else holders,
        backlog_bytes,
        disk_of(files.path),
        access_to(files.path),
        _is_foreign(files, locks),
        summary(growth, at),
    )
    elsewhere = bool(wal_users_elsewhere(locks, files.identity, shm))
    return HostView(around, files, known, since, is_write_locked, elsewhere, is_hidden, growth)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_foreign(files: Files, locks: Iterable[RecordLock]) -> bool:
    """Return whether an engine has it open that is not SQLite's own.

    Turso locks the WAL itself, or keeps an index of its own beside it. SQLite never does either.
    """
    is_wal_locked = files.wal and any(lock.file == files.wal[:2] for lock in locks)
    return bool(is_wal_locked) or os.path.exists(f"{files.path}-tshm")


def _wal_look(
    files: Files,
    before: HostView,
    index: Index | None,
    uses: Mapping[int, set[tuple[Use, int | None]]],
) -> Look | None:
    """Return the size of the WAL now; None if it is small."""
    if files.wal_bytes < LARGE_BYTES:
        return None
    last = before.growth.last if before.files == files else None
    # A reader at slot 0 reads the main file alone.
    reading = [pid for pid in uses if any(use == "read" and slot for use, slot in uses[pid])]
    writing = [pid for pid in uses if ("write", None) in uses[pid]]
    return Look(
        last.generation if last else generation_of(files.path),
        index.used_bytes if index else files.wal_bytes,
        index.backlog_bytes if index else None,
        files.main.size_bytes,
        tuple(map(process_label, reading)),
        tuple(map(process_label, writing)),
    )


def find_stranger(files: Files) -> int | None:
    """Return the pid of a process that has a main file in WAL mode open with a WAL elsewhere.

    No connection of this process to it may be open meanwhile, as for `find_lock`.
    """
    locks, index = record_locks(), _identity(f"{files.path}-shm")
    if elsewhere := wal_users_elsewhere(locks, files.identity, index):
        return min(elsewhere)
    is_listed = any(lock.file == files.identity for lock in locks)
    # A program that keeps the file to itself uses no index.
    is_exclusive = files.wal is not None and find_write_lock(files.path) is not None
    if is_listed or files.wal_bytes or is_exclusive or is_index_used(files.path):
        return None
    # Who reads a main file or is connected in WAL mode locks this range; nobody else does.
    return find_lock(files.path, SHARED_FIRST, SHARED_BYTES)


def is_index_used(path: str) -> bool:
    """Return whether another process has the index of a database's WAL open.

    No connection of this process to it may be open meanwhile, as for `find_lock`.
    """
    return find_lock(f"{path}-shm", INDEX_LOCKS_FIRST, INDEX_LOCKS_BYTES) is not None


def _read_index(path: str) -> Index | None:
    try:
        return Index.parse(read_start(path, INDEX_BYTES))
    except OSError:
        return None


def _uses(
    on_main: Iterable[RecordLock], on_index: Iterable[RecordLock], *, in_wal: bool
) -> dict[int, set[tuple[Use, int | None]]]:
    """Return what each other process does, and by which read mark."""
    uses: defaultdict[int, set[tuple[Use, int | None]]] = defaultdict(set)
    for lock in on_main:
        uses[lock.pid].add((_use_of_main(lock, in_wal=in_wal), None))
    for lock in on_index:
        for byte in range(lock.first, min(lock.last, INDEX_LAST_BYTE) + 1):
            if byte in INDEX_USES:
                uses[lock.pid].add((INDEX_USES[byte], None))
            elif byte in READ_BYTES:
                uses[lock.pid].add(("read", READ_BYTES.index(byte)))
    return uses


def _use_of_main(lock: RecordLock, *, in_wal: bool) -> Use:
    """Return what a lock on the main file means: beside a WAL it lasts as long as a connection."""
    if in_wal or lock.first < PENDING_BYTE:
        return "open"
    return "write" if lock.is_write else "read"


def _pins(uses: set[tuple[Use, int | None]], index: Index | None) -> Iterator[tuple[int, int]]:
    for use, slot in uses:
        if index and use == "read" and slot is not None and index.pins(slot):
            yield slot, index.marks[slot]


def _holder(
    pid: int,
    uses: set[tuple[Use, int | None]],
    since: Mapping[tuple[int, object], datetime],
    index: Index | None,
) -> Holder:
    pinned = [since[pid, pin] for pin in _pins(uses, index)]
    names = tuple(sorted({use for use, _ in uses}))
    return Holder(pid, command_name(pid), names, since[pid, "there"], min(pinned, default=None))
