"""Find programs that destroy a database, by the locks and inodes of its files.

Nothing is opened for it. In WAL mode, each connection holds SQLite's SHARED range of the main file
and byte 128 of the WAL index (sqlite.org/walformat.html, "WAL Locks"). A process that holds only
one of them, or one of them on another file than the one beside the main file, writes without
knowing of the others.

One look proves nothing: a program that opens or closes a database passes through every state, and
`/proc/locks` is handed out in pieces of 4 kB. In 6,500 looks beside 1,800 processes, no rule held
in five looks within 150 ms.
"""

import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Self

from dash_app.model.conflict import Conflict, ConflictKind
from dash_app.reader.files import Files, FileStamp, UnreadableError, identity_of, stat_files
from dash_app.reader.locks import (
    FileId,
    LockList,
    is_on_index,
    is_on_main,
    list_locks,
    pids_with_other_wal,
)
from dash_app.system.processes import OWN_NAME, command_name, process_label, unit_of

LOOKS, LOOKS_SECONDS = 5, 0.15
"""The number of looks that must all show a conflict, and the time that they take."""


@dataclass(frozen=True, slots=True)
class Look:
    """The files of a database, and the locks of all processes, at one moment."""

    files: Files
    index: FileId | None
    locks: LockList

    @classmethod
    def take(cls, files: Files, locks: LockList) -> Self:
        """Look at the WAL index beside a main file."""
        return cls(files, identity_of(f"{files.path}-shm"), locks)

    @classmethod
    def repeat(cls, path: str) -> Self | None:
        """Look again at everything; return None if the main file is gone."""
        try:
            return cls.take(stat_files(path), list_locks())
        except (UnreadableError, OSError):
            return None


class Finding(NamedTuple):
    """What one look shows."""

    kind: ConflictKind
    pid: int | None
    main: FileId
    wal_index: FileId | None


Suspicion = tuple[ConflictKind, int | None]
"""What identifies a conflict while it stands: the files may change meanwhile."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What earlier looks at a database showed."""

    index: FileId | None = None
    former_indexes: frozenset[FileId] = frozenset()
    """Indexes that were beside the main file, and have been locked ever since."""
    members: Mapping[int, FileId] = field(default_factory=dict)
    """The processes that held both locks, with the index, and have kept the main file's."""

    def after(self, look: Look) -> Self:
        """Return what is known after another look."""
        locked = look.locks.by_file.keys()
        former = self.former_indexes | ({self.index} if self.index else set())
        shared, connected = _shared(look), _connected(look)
        members = {pid: index for pid, index in self.members.items() if pid in shared}
        if look.index:
            members |= dict.fromkeys(shared & connected, look.index)
        return type(self)(look.index, former & locked - {look.index}, members)


def find(look: Look, memory: Memory) -> Iterator[Finding]:
    """Yield all signs of conflicts. `memory` includes this look."""
    main, index, locks = look.files.identity, look.index, look.locks
    shared, connected = _shared(look), _connected(look)
    in_index = {lock.pid for lock in locks.on(index)}
    writing = {lock.pid for lock in locks.on(main) if lock.is_write}
    split = {
        pid
        for pid in pids_with_other_wal(locks, main, index)
        if index or memory.former_indexes & locks.indexes[pid]
    }
    members = {pid for pid, last_index in memory.members.items() if last_index == index}
    lost = members & shared - connected - writing
    for pid in split:
        yield Finding("wal_split", pid, main, index)
    for pid in (in_index - shared) | (lost - split):
        yield Finding("writer_unlocked", pid, main, index)


class Tripwire:
    """Watches one database for conflicts, and remembers what it saw."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._memory = Memory()
        self._held: dict[Suspicion, datetime] = {}
        self._confirmed: set[Suspicion] = set()

    @property
    def is_suspected(self) -> bool:
        """Whether the last looks all showed a conflict, or one stands."""
        return bool(self._held)

    def has_split(self, look: Look) -> bool:
        """Whether a look shows two generations of the WAL."""
        findings = find(look, self._memory.after(look))
        return any(finding.kind == "wal_split" for finding in findings)

    def check(self, look: Look, now: datetime) -> tuple[Conflict, ...]:
        """Return the conflicts that stand; look again if something has changed.

        A conflict begins when all looks show it with the same files at two ticks in a row, and ends
        when no look shows it. No connection to the database may be open meanwhile.
        """
        looks = [self._find(look)]
        while len(looks) < LOOKS and self._is_open(looks):
            time.sleep(LOOKS_SECONDS / LOOKS * random.uniform(0.5, 1))  # noqa: S311
            again = Look.repeat(self._path)
            looks.append(self._find(again) if again else set())
            look = again or look
        in_all = _suspicions(looks[0].intersection(*looks))
        stands = self._confirmed & _suspicions(looks[0].union(*looks))
        self._confirmed = stands | (in_all & self._held.keys())
        self._held = {which: self._held.get(which, now) for which in stands | in_all}
        return tuple(self._conflicts(look))

    def _find(self, look: Look) -> set[Finding]:
        self._memory = self._memory.after(look)
        found = find(look, self._memory)
        return {one for one in found if one.pid is None or command_name(one.pid) != OWN_NAME}

    def _is_open(self, looks: list[set[Finding]]) -> bool:
        """Whether the looks so far leave open what begins or ends."""
        may_begin = _suspicions(looks[0].intersection(*looks)) - self._confirmed
        may_end = self._confirmed - _suspicions(looks[0].union(*looks))
        return bool(may_begin or may_end)

    def _conflicts(self, look: Look) -> Iterator[Conflict]:
        """Yield one conflict per kind, with all its processes in the evidence."""
        kinds: dict[ConflictKind, list[int | None]] = {}
        for kind, pid in sorted(
            self._confirmed, key=lambda which: (self._held[which], which[1] or 0)
        ):
            kinds.setdefault(kind, []).append(pid)
        for kind, pids in kinds.items():
            pid = pids[0]
            yield Conflict(
                kind,
                self._held[kind, pid],
                pid,
                command_name(pid) if pid else "",
                unit_of(pid) if pid else None,
                _evidence(look, [pid for pid in pids if pid]),
            )


def _suspicions(findings: Iterable[Finding]) -> set[Suspicion]:
    return {(finding.kind, finding.pid) for finding in findings}


def _shared(look: Look) -> set[int]:
    """Return the processes that use the main file as SQLite does."""
    return {lock.pid for lock in look.locks.on(look.files.identity) if is_on_main(lock)}


def _connected(look: Look) -> set[int]:
    """Return the processes that have the index beside the main file open."""
    return {lock.pid for lock in look.locks.on(look.index) if is_on_index(lock)}


def _evidence(look: Look, pids: Iterable[int]) -> dict[str, str]:
    files, locks = look.files, look.locks
    return {
        "main file": _describe(files.main),
        "WAL": _describe(files.wal),
        "WAL index": _name(look.index) if look.index else "none",
    } | {
        process_label(pid): f"locks main files {_names(locks.mains.get(pid, ()))}"
        f" and WAL indexes {_names(locks.indexes.get(pid, ()))}"
        for pid in pids
    }


def _describe(stamp: FileStamp | None) -> str:
    return f"{_name(stamp[:2])}, {stamp.size_bytes} bytes" if stamp else "none"


def _names(files: Iterable[FileId]) -> str:
    return ", ".join(map(_name, sorted(files))) or "none"


def _name(file: FileId) -> str:
    """Return a file's device and inode as `/proc/locks` shows them."""
    device, inode = file
    return f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
