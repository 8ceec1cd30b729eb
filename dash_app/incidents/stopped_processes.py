"""Find the process whose end explains why databases fell silent."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dash_app.model.problem import Problem
from dash_app.model.snapshot import DatabaseStatus, Snapshot

RESIDENT = timedelta(minutes=1)
"""Minimum time a process must hold the database open to count as its writer.

Shorter ones are jobs that come and go, each hour for example.
"""

SLACK = timedelta(seconds=2)
"""The time of a file may come from a coarser clock."""

KEPT = timedelta(days=7)
MAX_STOPPED = 16
"""Maximum age and, per database, maximum number of stopped processes that are kept."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that had a database open, first and last seen at `since` and `until`.

    `missed_at` is when it was first found not to have it open any longer.
    """

    pid: int
    command: str
    since: datetime
    until: datetime
    missed_at: datetime | None = None


SeenProcesses = dict[str, dict[int, Process]]
"""The processes that had a database open, by database and pid."""


def update_seen(before: SeenProcesses, snapshot: Snapshot) -> SeenProcesses:
    """Add the processes of a snapshot to those seen before."""
    now, seen = snapshot.taken_at, {}
    for status in snapshot.databases:
        name = status.database.name
        present = {
            holder.pid: Process(holder.pid, holder.command, holder.since, now)
            for holder in status.reading.surroundings.holders or ()
        }
        stopped = [
            process if process.missed_at else replace(process, missed_at=now)
            for pid, process in before.get(name, {}).items()
            if pid not in present
            if process.until - process.since >= RESIDENT and now - process.until <= KEPT
        ]
        newest = sorted(stopped, key=lambda process: process.until, reverse=True)[:MAX_STOPPED]
        seen[name] = present | {process.pid: process for process in newest}
    return seen


def stopped_writers(
    seen: SeenProcesses, statuses: Mapping[str, DatabaseStatus], problems: Iterable[Problem]
) -> dict[str, Process]:
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
            pid: process
            for pid, process in seen[name].items()
            if pid not in present
            and _explains(process, due_at, statuses[name].reading.last_modified)
        }
        for name, due_at in due.items()
    }
    shared = Counter(pid for processes in candidates.values() for pid in processes)
    return {
        name: max(processes.values(), key=lambda p: (shared[p.pid], -p.until.timestamp()))
        for name, processes in candidates.items()
        if processes
    }


def _explains(process: Process, due_at: datetime, written_at: datetime | None) -> bool:
    if process.missed_at is None or process.until > due_at:
        return False
    return written_at is None or written_at <= process.missed_at + SLACK
