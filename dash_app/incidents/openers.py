"""Follow the processes that have databases open, and find those that explain a problem."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from dash_app.model.host_facts import Holder
from dash_app.model.opener import Opener
from dash_app.model.problem import Problem
from dash_app.model.snapshot import DatabaseStatus, Snapshot

RESIDENT = timedelta(minutes=1)
"""Minimum time a process must hold the database open to count as its writer.

Shorter ones are jobs that come and go, each hour for example.
"""

SLACK = timedelta(seconds=2)
"""The time of a file may come from a coarser clock."""

REOPENED = timedelta(minutes=3)
"""A process that opens a database again so soon never closed it, as far as people are concerned.

Some open it for each statement. A restart of ours takes less too.
"""

KEPT = timedelta(days=7)
MAX_RESIDENT, MAX_VISITS = 16, 100
"""Maximum age and, per database, maximum numbers of processes kept in memory that closed it: those
that were its writer, and others, which are kept until they are stored."""

Openers = dict[str, tuple[Opener, ...]]
"""The processes that have each database open, then those that had, newest writers first."""


def update_openers(before: Openers, snapshot: Snapshot) -> Openers:
    """Add the processes of a snapshot to those seen before.

    If it is unknown which processes have a database open, its openers stay as they are.
    """
    now, openers = snapshot.taken_at, {}
    for status in snapshot.databases:
        name, holders = status.database.name, status.reading.surroundings.holders
        known = before.get(name, ())
        if holders is None or status.is_stale:
            openers[name] = known
            continue
        present = [_opener(holder, known, now) for holder in holders]
        keys = {(opener.pid, opener.since) for opener in present}
        closed = [opener for opener in known if (opener.pid, opener.since) not in keys]
        if not all(opener.missed_at for opener in closed):
            closed = _closed(closed, now)
        openers[name] = (*present, *closed)
    return openers


def _closed(openers: Iterable[Opener], now: datetime) -> list[Opener]:
    """Note that processes closed a database; return those that are kept."""
    missed = [
        opener if opener.missed_at else replace(opener, missed_at=now)
        for opener in openers
        if now - opener.until <= KEPT
    ]
    missed.sort(key=lambda opener: opener.until, reverse=True)
    resident = [opener for opener in missed if _is_resident(opener)][:MAX_RESIDENT]
    return resident + [opener for opener in missed if not _is_resident(opener)][:MAX_VISITS]


def _opener(holder: Holder, known: Iterable[Opener], now: datetime) -> Opener:
    for opener in known:
        is_same = (opener.pid, opener.command) == (holder.pid, holder.command)
        if is_same and now - opener.until <= REOPENED:
            return replace(opener, unit=holder.unit or opener.unit, until=now, missed_at=None)
    return Opener(holder.pid, holder.command, holder.unit, holder.since, now)


def _is_resident(opener: Opener) -> bool:
    return opener.until - opener.since >= RESIDENT


def open_at(openers: Iterable[Opener], time: datetime) -> tuple[Opener, ...]:
    """Return those that had a database open at a time, or may have closed it just then."""
    return tuple(
        opener
        for opener in openers
        if opener.since <= time + SLACK and time <= (opener.missed_at or time) + SLACK
    )


def stopped_writers(
    openers: Openers, statuses: Mapping[str, DatabaseStatus], problems: Iterable[Problem]
) -> dict[str, Opener]:
    """Return the process whose end explains the silence of each silent database, by name.

    Such a process had the database open until writes stopped and before one was due, and has no
    database open now. Of several, the one that explains most databases is chosen.
    """
    present = {
        holder.pid
        for status in statuses.values()
        for holder in status.reading.surroundings.holders or ()
    }
    due = {
        problem.database: problem.since
        for problem in reversed([*problems])
        if problem.is_silence and problem.database
    }
    candidates = {
        name: {
            opener.pid: opener
            for opener in reversed(openers[name])
            if opener.pid not in present
            and _explains(opener, due_at, statuses[name].reading.last_modified)
        }
        for name, due_at in due.items()
    }
    shared = Counter(pid for found in candidates.values() for pid in found)
    return {
        name: max(
            found.values(), key=lambda opener: (shared[opener.pid], -opener.until.timestamp())
        )
        for name, found in candidates.items()
        if found
    }


def _explains(opener: Opener, due_at: datetime, written_at: datetime | None) -> bool:
    if opener.missed_at is None or opener.until > due_at or not _is_resident(opener):
        return False
    return written_at is None or written_at <= opener.missed_at + SLACK
