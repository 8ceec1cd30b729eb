"""Who had silent databases open and is gone: the process that several have in common, if any."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from dash_app.watch.troubles import SILENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from dash_app.model import DatabaseStatus, Snapshot
    from dash_app.watch.troubles import Trouble

RESIDENT = timedelta(minutes=1)
"""Who has a database open for less comes and goes by nature, as a job does each hour."""

SLACK = timedelta(minutes=1)
"""Closing a database writes its log into it, later than anybody was seen to have it open."""

REMEMBERED = timedelta(days=7)
MOST_REMEMBERED = 16
"""So many processes are remembered of each database."""


@dataclass(frozen=True, slots=True)
class Writer:
    """A process that had a database open, from when until when it was seen to."""

    pid: int
    command: str
    since: datetime
    until: datetime

    @property
    def key(self) -> str:
        """The name of the cause that its end is."""
        return f"process:{self.pid}"


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
        one
        for pid, one in before.items()
        if pid not in here and one.until - one.since >= RESIDENT and now - one.until <= REMEMBERED
    ]
    newest = sorted(gone, key=lambda one: one.until, reverse=True)[:MOST_REMEMBERED]
    return here | {one.pid: one for one in newest}


def writers_gone(seen: Seen, snapshot: Snapshot, troubles: Iterable[Trouble]) -> dict[str, Writer]:
    """Return the process whose end explains most of the silence, by silent database.

    It had the database open at its last write or after, and has none open now.
    """
    silent = dict.fromkeys(one.database.name for one in troubles if one.kind in SILENCE)
    here = {
        holder.pid
        for status in snapshot.databases
        for holder in status.reading.surroundings.holders or ()
    }
    gone = {
        name: {pid: one for pid, one in seen[name].items() if pid not in here} for name in silent
    }
    found = {}
    for name in silent:
        last = snapshot.of(name).reading.last_modified
        able = [one for one in gone[name].values() if last is None or one.until >= last - SLACK]
        if able:
            found[name] = max(
                able, key=lambda one: (sum(one.pid in of for of in gone.values()), _early(one))
            )
    return found


def _early(one: Writer) -> float:
    """Return a number that is greater the nearer to the last write a process went."""
    return -one.until.timestamp()
