"""Find programs that destroy a database, by the locks and inodes of its files.

Nothing is opened for it. In WAL mode, each connection holds SQLite's SHARED range of the main file
and byte 128 of the WAL index (sqlite.org/walformat.html, "WAL Locks"). A process that holds only
one of them, or one of them on another file than the one beside the main file, writes without
knowing of the others.

One look proves nothing: a program that opens or closes a database passes through every state, and
`/proc/locks` is handed out in pieces of 4 kB. In 3,200 readings beside 2,000 processes without
conflict (`ops/soak`), the looks of one tick showed a conflict six times, those of two never.
"""

import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from dash_app.model.conflict import Conflict, ConflictKind
from dash_app.reader.files import Files, FileStamp, UnreadableError, identity_of, stat_files
from dash_app.reader.locks import (
    SHARED_BYTES,
    SHARED_FIRST,
    FileId,
    LockList,
    find_lock,
    find_write_lock,
    has_unlisted_locks,
    is_on_index,
    is_on_main,
    is_wal_index_open,
    list_locks,
)
from dash_app.reader.wal_index import FIRST_LOCK_BYTE, Commit, compare_with_wal, read_wal_index
from dash_app.system.disk import is_mount_point
from dash_app.system.processes import (
    command_name,
    has_mounted_alone,
    is_reader,
    process_label,
    unit_of,
)

LOOKS, LOOKS_SECONDS = 5, 0.15
"""The number of looks that must all show a conflict, and the time that they take."""

TRANSACTION_SECONDS, TRANSACTION_PAUSE_SECONDS = 0.25, 0.001
"""How long to wait for a transaction, and the pause between looks, which take a tenth of a core. A
program that commits five times per second is named at the second tick, one that commits once per
second after about five."""


@dataclass(slots=True)
class Look:
    """The files of a database, and the locks of all processes on them, at one moment."""

    files: Files
    index: FileId | None
    locks: LockList
    has_turso_index: bool
    users: set[int]
    """The processes that use the main file as SQLite does."""
    connected: set[int]
    """The processes that have the WAL index open."""
    writers: set[int]
    """The processes that keep others from the main file."""
    lacks_frame: bool = False
    """Whether the WAL lacks the last frame that its index names."""
    strays: frozenset[Commit] = frozenset()
    """The commits in the WAL that its index does not name, while no program is writing one."""
    salts: bytes = b""
    """The salts of the WAL that the index belongs to; empty if unknown."""

    @classmethod
    def take(cls, files: Files, locks: LockList) -> Self:
        """Look at the indexes beside a main file, and select its locks."""
        index = identity_of(f"{files.path}-shm")
        on_main = locks.on(files.identity)
        return cls(
            files,
            index,
            locks,
            identity_of(f"{files.path}-tshm") in locks.ownerless,
            {lock.pid for lock in on_main if is_on_main(lock)},
            {lock.pid for lock in locks.on(index) if is_on_index(lock)},
            {lock.pid for lock in on_main if lock.is_write},
        )

    def repeat(self, *, compare: bool = False) -> Self | None:
        """Look again; return None if the main file is gone.

        `compare` is whether to compare the WAL with its index.
        """
        compared = compare_with_wal(self.files.path) if compare else None
        try:
            again = self.take(stat_files(self.files.path), list_locks())
        except UnreadableError:
            return None
        again.salts = self.salts
        if compared:
            index, again.lacks_frame, strays = compared
            writes = (lock for lock in again.locks.on(again.index) if lock.is_write)
            is_committing = any(lock.first <= FIRST_LOCK_BYTE for lock in writes)
            # A program that has just committed has changed the index.
            if strays and not is_committing and read_wal_index(f"{self.files.path}-shm") == index:
                again.strays = strays
        return again

    @property
    def file_ids(self) -> tuple[FileId, FileId | None]:
        """The main file and the WAL index beside it."""
        return self.files.identity, self.index

    @property
    def wal(self) -> FileId | None:
        """The WAL, if it is not empty."""
        return self.files.wal[:2] if self.files.wal and self.files.wal_bytes else None

    @property
    def with_other_wal(self) -> set[int]:
        """The processes that use the main file with another WAL than the one beside it.

        A process with fewer indexes than main files proves nothing, since a connection that waits
        to have the file to itself has no index.
        """
        mains, indexes = self.locks.mains, self.locks.indexes
        pids = self.users - self.writers - self.connected
        return {pid for pid in pids if len(indexes.get(pid, ())) >= len(mains[pid])}

    @property
    def without_index(self) -> set[int]:
        """The processes that use the main file in WAL mode without an index.

        They lost their locks on it, or wait to have the file to themselves.
        """
        return self.users - self.connected - self.with_other_wal if self.wal else set()

    @property
    def is_foreign(self) -> bool:
        """Whether an engine has it open that takes no notice of SQLite's locks."""
        files = (self.files.identity, self.wal, self.index)
        return self.has_turso_index or not self.locks.ownerless.isdisjoint(files)


def find_pid_with_other_wal(look: Look) -> int | None:
    """Return the pid of a process that uses a main file in WAL mode with another WAL, if any.

    Locks that are not listed are found too. No connection to the database may be open meanwhile.
    """
    if pids := look.with_other_wal:
        return min(pids)
    files = look.files
    # A program that keeps the file to itself uses no index.
    is_exclusive = files.wal is not None and find_write_lock(files.path) is not None
    is_listed = bool(look.locks.on(files.identity))
    if is_listed or files.wal_bytes or is_exclusive or is_wal_index_open(files.path):
        return None
    # Only a process that reads the main file, or is connected to it in WAL mode, locks this range.
    return find_lock(files.path, SHARED_FIRST, SHARED_BYTES)


Suspicion = tuple[ConflictKind, int | None]
"""A kind of conflict, and the process that uses the wrong files."""

FOREIGN: Suspicion = ("engine_foreign", None)
OVERWRITTEN: Suspicion = ("wal_disagrees", None)


class Memory:
    """What the looks at a database have shown."""

    def __init__(self) -> None:
        self.main: FileId | None = None
        self.wal: FileStamp | None = None
        self.salts = b""
        self.owner: FileId | None = None
        """The main file that the WAL was first seen beside."""
        self.sessions: set[tuple[int, FileId]] = set()
        """The processes that have an index open, and were seen so while it was beside the main
        file. An index that is gone may have its number taken by one of another database."""
        self.unlocked: set[int] = set()
        """The processes that have been without the lock on the index since they were seen in a
        transaction without it. One that waits to have the file to itself has no transaction."""
        self.strays: set[Commit] = set()

    def update(self, look: Look) -> set[Suspicion]:
        """Remember another look; return all signs of conflicts that it shows."""
        self._note_owner(look)
        self.strays |= look.strays
        indexes = look.locks.indexes
        self.sessions = {(pid, file) for pid, file in self.sessions if file in indexes.get(pid, ())}
        if look.index:
            self.sessions |= {(pid, look.index) for pid in look.connected}
        self.unlocked |= {lock.pid for lock in look.locks.on(look.index)}
        self.unlocked &= look.without_index - look.writers
        return {
            which for which in self._suspicions(look) if not which[1] or not is_reader(which[1])
        }

    def _note_owner(self, look: Look) -> None:
        """Note whose WAL it is: that of the main file beside which it began or started over."""
        main, wal = look.files.identity, look.files.wal
        is_same = self.wal is not None and look.wal == self.wal[:2]
        if main != self.main:  # a new WAL may have been given the number of the inode
            is_same &= wal == self.wal or self.salts == look.salts != b""
        if not is_same or (self.salts and look.salts and self.salts != look.salts):
            self.owner, self.salts = main, b""
        self.main, self.wal, self.salts = main, wal, look.salts or self.salts

    def _suspicions(self, look: Look) -> Iterator[Suspicion]:
        index, locks = look.index, look.locks
        on_former = {pid for pid, file in self.sessions if file != index}
        split = look.with_other_wal if index else look.with_other_wal & on_former
        unlocked = {lock.pid for lock in locks.on(index) if lock.pid > 0} - look.users
        unlocked |= self.unlocked
        orphans = {p for p in on_former if len(locks.indexes[p]) > len(locks.mains.get(p, ()))}
        # Without a process that has the index open, the index means nothing.
        is_overwritten = look.lacks_frame and look.connected and not look.writers
        culprits: dict[ConflictKind, Iterable[int | None]] = {
            "wal_split": split,
            "writer_unlocked": unlocked,
            "wal_orphaned": orphans - split,
            "wal_removed": look.connected if look.files.wal is None else (),
            "wal_disagrees": [None] if is_overwritten else (),
            "wal_stale": [None] if look.wal and self.owner != self.main and not unlocked else (),
            "engine_foreign": [None] if look.is_foreign else (),
        }
        return ((kind, pid) for kind, pids in culprits.items() for pid in pids)


class Tripwire:
    """Watches one database for conflicts, and remembers what it saw."""

    def __init__(self) -> None:
        self._memory = Memory()
        self._held: dict[Suspicion, datetime] = {}
        self._confirmed: set[Suspicion] = set()
        self._without_index: set[int] = set()
        self._overwritten_salts = b""

    @property
    def is_suspected(self) -> bool:
        """Whether SQLite's own programs disagree, as the last looks all showed."""
        return bool(self._held.keys() - {FOREIGN})

    def is_foreign(self, look: Look) -> bool:
        """Whether another engine has the database open, as the last looks and this one show."""
        return look.is_foreign and FOREIGN in self._held

    def is_split(self, look: Look, pid: int) -> bool:
        """Whether a process that uses another WAL uses one of this path, and note that it does.

        Otherwise its WAL is beside another name of the main file: a hard link, or a mount of the
        file alone. Without such a name, it was deleted before the first look.
        """
        if ("wal_split", pid) in self._memory.update(look):
            return True
        path = look.files.path
        is_alone = look.files.links == 1 and pid in look.with_other_wal
        if not is_alone or is_mount_point(path) or has_mounted_alone(pid, path):
            return False
        self._memory.sessions |= {(pid, index) for index in look.locks.indexes[pid]}
        return True

    def check(
        self, look: Look, now: datetime, *, compare: bool, is_hidden: bool
    ) -> Mapping[str, Any]:
        """Return the conflicts that stand, and why others may be unseen, for `Surroundings`.

        If something has changed, look again. A conflict begins when all looks show it with the same
        files at two ticks in a row, and ends when no look shows it.

        `compare` is whether to compare the WAL with its index. `is_hidden` is whether locks on the
        files are not listed. No connection to the database may be open meanwhile.
        """
        known, self._memory.strays = self._memory.strays, set()
        if compare and compare_with_wal(look.files.path):
            look = look.repeat(compare=True) or look
        if look.files.wal != self._memory.wal or look.without_index - self._without_index:
            self._await_transaction(look)
        look, found = self._look_again(look, compare=compare)
        in_all, in_any = found[0].intersection(*found), found[0].union(*found)
        # A killed program may leave a stray commit, but none that is new at each tick.
        if self._memory.strays - known:
            in_all.add(OVERWRITTEN)
        if look.wal and look.connected and look.salts == self._overwritten_salts != b"":
            in_any.add(OVERWRITTEN)
        new = in_all - self._held.keys()
        if new and has_unlisted_locks(look.files.path, look.files.identity, look.index):
            is_hidden = True
            in_all -= new
        self._judge(in_all, in_any, now)
        self._overwritten_salts = look.salts if OVERWRITTEN in self._confirmed else b""
        unknown = self._unknown(look, is_hidden=is_hidden)
        return {"conflicts": tuple(self._conflicts(look)), "conflicts_unknown": unknown}

    def _look_again(self, look: Look, *, compare: bool) -> tuple[Look, list[set[Suspicion]]]:
        """Look again as long as that may change anything; return the last look, and all signs."""
        found = [self._memory.update(look)]
        while len(found) < LOOKS:
            may_begin = found[0].intersection(*found) - self._confirmed
            may_end = self._confirmed - found[0].union(*found)
            if not may_begin and not may_end:
                break
            time.sleep(LOOKS_SECONDS / LOOKS * random.uniform(0.5, 1))  # noqa: S311
            again = look.repeat(compare=compare)
            is_same = again is not None and again.file_ids == look.file_ids
            found.append(self._memory.update(again) if again and is_same else set())
            look = again or look
        return look, found

    def _judge(self, in_all: set[Suspicion], in_any: set[Suspicion], now: datetime) -> None:
        """Decide which conflicts stand, from the signs in all looks of a tick, and in any of them.

        Beside one that stands, another needs one tick only: a program that goes on destroying often
        does so in several ways.
        """
        stands = self._confirmed & (in_any | in_all)
        is_first = not self._confirmed - {FOREIGN}
        self._confirmed = stands | (in_all & self._held.keys() if is_first else in_all)
        self._held = {which: self._held.get(which, now) for which in stands | in_all}

    def _await_transaction(self, look: Look | None) -> None:
        """Look often until each process without an index was seen in a transaction.

        Most transactions last for a few milliseconds, while their commit waits for the disk.
        """
        ends = time.monotonic() + TRANSACTION_SECONDS
        while look and look.without_index - look.writers - self._memory.unlocked:
            if time.monotonic() > ends:
                break
            time.sleep(TRANSACTION_PAUSE_SECONDS)
            if look := look.repeat():
                self._memory.update(look)

    def _unknown(self, look: Look, *, is_hidden: bool) -> str | None:
        """Explain in a few words why conflicts may be unseen; None if they would be seen."""
        culprits = {pid for _kind, pid in self._confirmed}
        lasting = sorted(look.without_index & self._without_index - culprits)
        self._without_index = look.without_index
        if is_hidden and not look.locks.unseen:
            return "its locks are listed under another device, or not at all"
        if lasting and not look.locks.unseen:
            return f"{process_label(lasting[0])} has it open without the WAL's index"
        return look.locks.unseen

    def _conflicts(self, look: Look) -> Iterator[Conflict]:
        """Yield one conflict per kind, with all its processes in the evidence."""
        kinds: dict[ConflictKind, list[int]] = {}
        by_age = sorted(self._confirmed, key=lambda which: (self._held[which], which[1] or 0))
        for kind, pid in by_age:
            kinds.setdefault(kind, []).extend([pid] if pid else [])
        for kind, pids in kinds.items():
            pid = pids[0] if pids else None
            command = command_name(pid) if pid else ""
            if kind == "engine_foreign":
                command = "Turso" if look.has_turso_index else "An engine other than SQLite"
            yield Conflict(
                kind,
                self._held[kind, pid],
                pid,
                command,
                unit_of(pid) if pid else None,
                _evidence(look, self._memory, pids or look.users | look.connected),
                is_certain=kind != "engine_foreign" or bool(look.users | look.connected),
            )


def _evidence(look: Look, memory: Memory, pids: Iterable[int]) -> dict[str, str]:
    files, locks = look.files, look.locks
    facts = {
        "main file": _describe(files.main),
        "WAL": _describe(files.wal),
        "WAL index": _name(look.index) if look.index else "none",
    }
    if look.wal and memory.owner and memory.owner != memory.main:
        facts["main file before"] = _name(memory.owner)
    if former := {file for _pid, file in memory.sessions if file != look.index}:
        facts["WAL index before"] = _names(former)
    if look.has_turso_index:
        facts["other engine"] = "Turso's index (-tshm)"
    return facts | {
        process_label(pid): f"locks main files {_names(locks.mains.get(pid, ()))}"
        f" and WAL indexes {_names(locks.indexes.get(pid, ()))}"
        for pid in sorted(pids)
    }


def _describe(stamp: FileStamp | None) -> str:
    return f"{_name(stamp[:2])}, {stamp.size_bytes} bytes" if stamp else "none"


def _names(files: Iterable[FileId]) -> str:
    return ", ".join(map(_name, sorted(files))) or "none"


def _name(file: FileId) -> str:
    """Return a file's device and inode as `/proc/locks` shows them."""
    device, inode = file
    return f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
