"""The processes that have a database open, what they do with it and what they hold back."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from dash_app.model.host_facts import Holder, Surroundings, Use
from dash_app.reader.conflicts import Look
from dash_app.reader.files import Files
from dash_app.reader.locks import (
    PENDING_BYTE,
    is_wal_index_open,
    list_locks,
)
from dash_app.reader.wal_growth import LARGE_BYTES, GrowthState, WalSample, read_generation
from dash_app.reader.wal_index import (
    LOCK_USES,
    OPEN_LOCK_BYTE,
    READ_LOCK_BYTES,
    WalIndex,
    read_wal_index,
)
from dash_app.system.processes import (
    RecordLock,
    command_name,
    is_reader,
    process_label,
    unit_of,
)

Uses = set[tuple[Use, int | None]]
"""What a process does, and the slot of its read mark if it reads a WAL."""


@dataclass(frozen=True, slots=True)
class HostView:
    """The surroundings of a database, and the facts that the next view needs."""

    surroundings: Surroundings = field(default_factory=Surroundings)
    files: Files | None = None
    index: WalIndex | None = None
    since: Mapping[tuple[int, object], datetime] = field(default_factory=dict)
    """When each process was first seen with an open connection or a certain read mark."""
    is_write_locked: bool = False
    """Whether another process holds a write lock on the main file."""
    may_have_other_wal: bool = False
    """Whether another process may have the main file open with another WAL."""
    is_hidden: bool = False
    """Whether processes that `/proc/locks` does not list have the WAL index open."""
    growth: GrowthState = field(default_factory=GrowthState)


def view_host(look: Look, before: HostView, surroundings: Surroundings, now: datetime) -> HostView:
    """Find the holders of a database and what its WAL holds back; add them to `surroundings`.

    The WAL index is opened only if the database's files have changed since `before`. No connection
    to the database may be open meanwhile: see `read_start`.
    """
    files, shm, locks = look.files, look.index, look.locks
    on_main, on_index = locks.on(files.identity), locks.on(shm)
    index, is_hidden = (before.index, before.is_hidden) if shm else (None, False)
    if shm and before.files != files:
        index = read_wal_index(f"{files.path}-shm") or index
        # The locks may be listed under another device number, or not at all. One that was taken
        # after the listing is in the next.
        is_hidden = not on_index and is_wal_index_open(files.path) and not list_locks().on(shm)
    is_write_locked = any(lock.is_write for lock in on_main)
    if is_write_locked:  # that process keeps everyone else out, and the index in its own memory
        index = None
    uses = _uses_by_pid(on_main, on_index, in_wal=files.wal is not None)
    since = _first_seen(uses, index, before, now)
    units = {holder.pid: holder.unit for holder in before.surroundings.holders or ()}
    pids = sorted(pid for pid in uses if pid in units or not is_reader(pid))
    holders = tuple(_holder(pid, uses[pid], since, index, units) for pid in pids)
    other_wal = bool(look.with_other_wal)
    at = time.monotonic()
    growth = before.growth.updated(_wal_sample(files, before, index, uses), at, now)
    surroundings = replace(
        surroundings,
        holders=None if is_hidden else holders,
        backlog_bytes=index.backlog_bytes if index else None if files.wal_bytes else 0,
        is_foreign=_is_foreign(look),
        wal_growth=growth.report(at),
    )
    return HostView(
        surroundings, files, index, since, is_write_locked, other_wal, is_hidden, growth
    )


def _first_seen(
    uses: Mapping[int, Uses], index: WalIndex | None, before: HostView, now: datetime
) -> dict[tuple[int, object], datetime]:
    keys = [(pid, key) for pid in uses for key in ("open", *_pins(uses[pid], index))]
    return {key: before.since.get(key, now) for key in keys}


def _is_foreign(look: Look) -> bool:
    """Whether an engine other than SQLite's own has the database open.

    Turso locks the WAL itself, or keeps an index of its own beside it. SQLite never does either.
    """
    is_wal_locked = look.files.wal and look.locks.on(look.files.wal[:2])
    return bool(is_wal_locked) or look.has_turso_index


def _wal_sample(
    files: Files, before: HostView, index: WalIndex | None, uses: Mapping[int, Uses]
) -> WalSample | None:
    """Measure the WAL; return None if it is small."""
    if files.wal_bytes < LARGE_BYTES:
        return None
    last = before.growth.last if before.files == files else None
    # A reader at slot 0 reads only the main file.
    readers = [pid for pid in uses if any(use == "read" and slot for use, slot in uses[pid])]
    writers = [pid for pid in uses if ("write", None) in uses[pid]]
    return WalSample(
        last.generation if last else read_generation(files.path),
        index.used_bytes if index else files.wal_bytes,
        index.backlog_bytes if index else None,
        files.main.size_bytes,
        tuple(map(process_label, readers)),
        tuple(map(process_label, writers)),
    )


def _uses_by_pid(
    on_main: Iterable[RecordLock], on_index: Iterable[RecordLock], *, in_wal: bool
) -> dict[int, Uses]:
    uses: defaultdict[int, Uses] = defaultdict(set)
    for lock in on_main:
        uses[lock.pid].add((_use_of_main(lock, in_wal=in_wal), None))
    for lock in on_index:
        for byte in range(lock.first, min(lock.last, OPEN_LOCK_BYTE) + 1):
            if byte in LOCK_USES:
                uses[lock.pid].add((LOCK_USES[byte], None))
            elif byte in READ_LOCK_BYTES:
                uses[lock.pid].add(("read", READ_LOCK_BYTES.index(byte)))
    return uses


def _use_of_main(lock: RecordLock, *, in_wal: bool) -> Use:
    """Interpret a lock on the main file. In WAL mode, each open connection holds one."""
    if in_wal or lock.first < PENDING_BYTE:
        return "open"
    return "write" if lock.is_write else "read"


def _pins(uses: Uses, index: WalIndex | None) -> Iterator[tuple[int, int]]:
    """Yield slot and value of each read mark by which a process holds back the WAL."""
    for use, slot in uses:
        if index and use == "read" and slot is not None and index.is_held_back_by(slot):
            yield slot, index.read_marks[slot]


def _holder(
    pid: int,
    uses: Uses,
    since: Mapping[tuple[int, object], datetime],
    index: WalIndex | None,
    units: Mapping[int, str | None],
) -> Holder:
    pinned = [since[pid, pin] for pin in _pins(uses, index)]
    names = tuple(sorted({use for use, _ in uses}))
    unit = units[pid] if pid in units else unit_of(pid)
    pinned_since = min(pinned, default=None)
    return Holder(pid, command_name(pid), names, since[pid, "open"], pinned_since, unit)
