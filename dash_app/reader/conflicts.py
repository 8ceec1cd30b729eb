"""Find programs that destroy a database, by the locks and inodes of its files.

Nothing is opened for it. In WAL mode, each connection holds SQLite's SHARED range of the main file
and byte 128 of the WAL index (sqlite.org/walformat.html, "WAL Locks"). A process that holds only
one of them, or one of them on another file than the one beside the main file, writes without
knowing of the others.

One look proves nothing: a program that opens or closes a database passes through every state, and
`/proc/locks` is handed out in pieces of 4 kB. In 3,900 readings beside 2,100 processes without
conflict (`ops/soak`), no rule held in five looks within 150 ms.
"""

import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Self

from dash_app.model.conflict import Conflict, ConflictKind
from dash_app.reader.files import Files, FileStamp, UnreadableError, identity_of, stat_files
from dash_app.reader.locks import (
    FileId,
    LockList,
    has_unlisted_locks,
    is_on_index,
    is_on_main,
    list_locks,
    pids_with_other_wal,
)
from dash_app.reader.wal_index import contradicts_wal
from dash_app.system.processes import command_name, is_reader, process_label, unit_of

LOOKS, LOOKS_SECONDS = 5, 0.15
"""The number of looks that must all show a conflict, and the time that they take."""


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
    is_wal_contradicted: bool = False
    """Whether the WAL lacks the last frame that its index names."""
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

    def repeat(self) -> Self | None:
        """Look again at everything; return None if the main file is gone."""
        try:
            again = self.take(stat_files(self.files.path), list_locks())
        except UnreadableError:
            return None
        again.is_wal_contradicted = self.is_wal_contradicted and contradicts_wal(self.files.path)
        again.salts = self.salts
        return again

    @property
    def wal(self) -> FileId | None:
        """The WAL, if it is not empty."""
        return self.files.wal[:2] if self.files.wal and self.files.wal_bytes else None

    @property
    def is_foreign(self) -> bool:
        """Whether an engine has it open that takes no notice of SQLite's locks."""
        files = (self.files.identity, self.wal, self.index)
        return self.has_turso_index or not self.locks.ownerless.isdisjoint(files)


class Finding(NamedTuple):
    """What one look shows."""

    kind: ConflictKind
    pid: int | None
    main: FileId
    wal_index: FileId | None


Suspicion = tuple[ConflictKind, int | None]
"""What identifies a conflict while it stands: the files may change meanwhile."""


class StaleWal(NamedTuple):
    """A WAL that stayed when its main file was replaced."""

    main: FileId
    """The main file that it belongs to."""
    wal: FileId
    salts: bytes
    """Change when the WAL starts over, and then belongs to the new main file."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What earlier looks at a database showed."""

    main: FileId | None = None
    wal: FileStamp | None = None
    salts: bytes = b""
    sessions: frozenset[tuple[int, FileId]] = frozenset()
    """The processes that have an index open, and were seen so while it was beside the main file. An
    index that is gone may have its number taken by one of another database."""
    members: Mapping[int, FileId] = field(default_factory=dict)
    """The processes that held both locks, with the index, and have kept the main file's."""
    lost: frozenset[int] = frozenset()
    """Those that no longer hold the lock on the index. They lost it, or they are a connection that
    waits to have the file to itself, whose process has closed its others."""
    unlocked: frozenset[int] = frozenset()
    """Those of them that were seen in a transaction since, so they lost it."""
    stale: StaleWal | None = None

    def after(self, look: Look) -> Self:
        """Return what is known after another look."""
        sessions = {(p, i) for p, i in self.sessions if i in look.locks.indexes.get(p, ())}
        if look.index:
            sessions |= {(pid, look.index) for pid in look.connected}
        users, connected, main = look.users, look.connected, look.files.identity
        members = {pid: index for pid, index in self.members.items() if pid in users}
        if look.index:
            members |= dict.fromkeys(users & connected, look.index)
        lost = {pid for pid, index in members.items() if index == look.index} - connected
        lost -= look.writers
        return type(self)(
            main,
            look.files.wal,
            look.salts,
            frozenset(sessions),
            members,
            frozenset(lost),
            frozenset(lost & (self.unlocked | {lock.pid for lock in look.locks.on(look.index)})),
            self._stale_after(look, main),
        )

    def _stale_after(self, look: Look, main: FileId) -> StaleWal | None:
        stale = self.stale
        if self.main not in {None, main} and self.main and self.wal and self._has_kept_wal(look):
            stale = stale or StaleWal(self.main, self.wal[:2], self.salts)
        if stale is None or main == stale.main or look.wal != stale.wal:
            return None
        if look.salts and stale.salts not in {b"", look.salts}:
            return None
        return stale._replace(salts=stale.salts or look.salts)

    def _has_kept_wal(self, look: Look) -> bool:
        """Whether it is the same WAL, and not a new one that was given the number of its inode."""
        return self.wal == look.files.wal or self.salts == look.salts != b""


def find(look: Look, memory: Memory) -> Iterator[Finding]:
    """Yield all signs of conflicts. `memory` includes this look."""
    main, index, locks = look.files.identity, look.index, look.locks
    users, connected, writers = look.users, look.connected, look.writers
    on_former = {pid for pid, file in memory.sessions if file != index}
    split = pids_with_other_wal(locks, main, index)
    if index is None:
        split &= on_former
    unlocked = {lock.pid for lock in locks.on(index) if lock.pid > 0} - users
    unlocked |= memory.unlocked - split
    orphans = {pid for pid in on_former if len(locks.indexes[pid]) > len(locks.mains.get(pid, ()))}
    culprits: dict[ConflictKind, Iterable[int | None]] = {
        "wal_split": split,
        "writer_unlocked": unlocked,
        "wal_orphaned": orphans - split,
        "wal_removed": connected if look.files.wal is None else (),
        # Without a process that has the index open, the index means nothing.
        "wal_disagrees": [None] if look.is_wal_contradicted and connected and not writers else (),
        "wal_stale": [None] if memory.stale and not unlocked else (),
        "engine_foreign": [None] if look.is_foreign else (),
    }
    for kind, pids in culprits.items():
        for pid in pids:
            yield Finding(kind, pid, main, index)


class Tripwire:
    """Watches one database for conflicts, and remembers what it saw."""

    def __init__(self) -> None:
        self._memory = Memory()
        self._held: dict[Suspicion, datetime] = {}
        self._confirmed: set[Suspicion] = set()
        self._doubted: set[int] = set()

    @property
    def is_suspected(self) -> bool:
        """Whether SQLite's own programs disagree, as the last looks all showed."""
        return any(kind != "engine_foreign" for kind, _pid in self._held)

    def is_foreign(self, look: Look) -> bool:
        """Whether another engine has the database open, as the last looks and this one show."""
        return look.is_foreign and ("engine_foreign", None) in self._held

    def has_split(self, look: Look) -> bool:
        """Whether a look shows two generations of the WAL."""
        findings = find(look, self._memory.after(look))
        return any(finding.kind == "wal_split" for finding in findings)

    def check(self, look: Look, now: datetime, *, is_hidden: bool) -> Mapping[str, Any]:
        """Return the conflicts that stand, and why others may be unseen, for `Surroundings`.

        If something has changed, look again. A conflict begins when all looks show it with the same
        files at two ticks in a row, and ends when no look shows it. `is_hidden` is whether locks on
        the files are not listed. No connection to the database may be open meanwhile.
        """
        looks = [self._find(look)]
        while len(looks) < LOOKS and self._is_open(looks):
            time.sleep(LOOKS_SECONDS / LOOKS * random.uniform(0.5, 1))  # noqa: S311
            again = look.repeat()
            looks.append(self._find(again) if again else set())
            look = again or look
        in_all = _suspicions(looks[0].intersection(*looks))
        new = in_all - self._held.keys()
        if new and has_unlisted_locks(look.files.path, look.files.identity, look.index):
            is_hidden = True
            in_all -= new
        stands = self._confirmed & _suspicions(looks[0].union(*looks))
        self._confirmed = stands | (in_all & self._held.keys())
        self._held = {which: self._held.get(which, now) for which in stands | in_all}
        unknown = self._unknown(look, is_hidden=is_hidden)
        return {"conflicts": tuple(self._conflicts(look)), "conflicts_unknown": unknown}

    def _find(self, look: Look) -> set[Finding]:
        self._memory = self._memory.after(look)
        found = find(look, self._memory)
        return {one for one in found if one.pid is None or not is_reader(one.pid)}

    def _is_open(self, looks: list[set[Finding]]) -> bool:
        """Whether the looks so far leave open what begins or ends, or another may show more."""
        may_begin = _suspicions(looks[0].intersection(*looks)) - self._confirmed
        may_end = self._confirmed - _suspicions(looks[0].union(*looks))
        return bool(may_begin or may_end or self._memory.lost - self._memory.unlocked)

    def _unknown(self, look: Look, *, is_hidden: bool) -> str | None:
        """Explain in a few words why conflicts may be unseen; None if they would be seen.

        A process that uses the main file in WAL mode without an index may have lost its locks, or
        wait to have the file to itself: locks alone cannot tell.
        """
        doubted = look.users - look.connected if look.wal else set()
        lasting = sorted(doubted & self._doubted - {pid for _kind, pid in self._confirmed})
        self._doubted = doubted
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


def _suspicions(findings: Iterable[Finding]) -> set[Suspicion]:
    return {(finding.kind, finding.pid) for finding in findings}


def _evidence(look: Look, memory: Memory, pids: Iterable[int]) -> dict[str, str]:
    files, locks = look.files, look.locks
    facts = {
        "main file": _describe(files.main),
        "WAL": _describe(files.wal),
        "WAL index": _name(look.index) if look.index else "none",
    }
    if memory.stale:
        facts["main file before"] = _name(memory.stale.main)
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
