"""Who had silent databases open and is gone: the process that several have in common, if any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dash_app.incidents.troubles import Trouble
from dash_app.model.snapshot import DatabaseStatus, Snapshot

PROCESS = "process:"
RESIDENT = timedelta(minutes=1)
"""Who has a database open for less comes and goes by nature, as a job does each hour."""

SLACK = timedelta(seconds=2)
"""A file's time may be that of a coarser clock."""

REMEMBERED = timedelta(days=7)
MAX_REMEMBERED = 16
"""So many processes are remembered of each database."""


@dataclass(frozen=True, slots=True)
class Writer:
    """A process that had a database open, from when until when it was seen to.

    `missed_at` is when it was first seen not to have it open any more.
    """

    pid: int
    command: str
    since: datetime
    until: datetime
    missed_at: datetime | None = None

    @property
    def key(self) -> str:
        """The name of the cause that its end is."""
        return f"{PROCESS}{self.pid}"


Seen = dict[str, dict[int, Writer]]
"""Who was seen, by database and pid."""


def look(before: Seen, snapshot: Snapshot) -> Seen:
    """Return who was seen, with who is there now."""
    now = snapshot.taken_at
    return {
        status.database.name: _look(before.get(status.database.name, {}), status, now)
        for status in snapshot.databases
    }


def _look(before: Mapping[int, Writer], status: DatabaseStatus, now: datetime) -> dict[int, Writer]:
    here = {
        one.pid: Writer(one.pid, one.command, one.since, now)
        for one in status.reading.surroundings.holders or ()
    }
    gone = [
        one if one.missed_at else replace(one, missed_at=now)
        for pid, one in before.items()
        if pid not in here and one.until - one.since >= RESIDENT and now - one.until <= REMEMBERED
    ]
    newest = sorted(gone, key=lambda one: one.until, reverse=True)[:MAX_REMEMBERED]
    return here | {one.pid: one for one in newest}


def writers_gone(seen: Seen, snapshot: Snapshot, troubles: Iterable[Trouble]) -> dict[str, Writer]:
    """Return the process whose end explains most of the silence, by silent database.

    It had the database open until nothing was written any more and before something was due, and
    has none open now.
    """
    here = {
        holder.pid
        for status in snapshot.databases
        for holder in status.reading.surroundings.holders or ()
    }
    silent = [one for one in troubles if one.is_silence]
    gone = {
        one.database.name: {
            pid: writer
            for pid, writer in seen[one.database.name].items()
            if pid not in here and _explains(writer, one)
        }
        for one in reversed(silent)
    }
    shared = Counter(pid for writers in gone.values() for pid in writers)
    return {
        name: max(writers.values(), key=lambda one: (shared[one.pid], -one.until.timestamp()))
        for name, writers in gone.items()
        if writers
    }


def _explains(writer: Writer, silence: Trouble) -> bool:
    """Whether nothing was written after a process went, and it went before something was due."""
    if writer.missed_at is None or writer.until > silence.since:
        return False
    return silence.written_at is None or silence.written_at <= writer.missed_at + SLACK
