"""Reads the events of the history: newest first, or on from what somebody saw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dash_app.history.file import reading
from dash_app.model.event import Event, EventKind

EVENTS = """
    SELECT id, database, kind, at, before, after, ended_at FROM event
    WHERE id < ifnull(:before, id + 1) AND id > ifnull(:since_id, id - 1)
        AND at > ifnull(:since_time, '')
        AND (:databases = '[]' OR database IN (SELECT value FROM json_each(:databases)))
        AND (:kinds = '[]' OR kind IN (SELECT value FROM json_each(:kinds)))
    ORDER BY id {order} LIMIT :most
"""

MAX_BYTES = 2_000_000
"""Of what the events of one answer tell, unless a single one tells more: a schema may be 4 MB."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are wanted; an empty tuple means all.

    `before` is the id of an event: only older ones are wanted, and at most `most`. `since` is an id
    or a time: only newer ones are wanted, oldest first, so that none is left out between two looks.
    """

    databases: tuple[str, ...] = ()
    kinds: tuple[EventKind, ...] = ()
    before: int | None = None
    most: int = 50
    since: int | datetime | None = None


def events_of(path: Path, wanted: Wanted) -> Iterator[Event]:
    """Yield events, newest first; oldest first with `since`. Raise sqlite3.Error."""
    for event, _bytes in _events(path, wanted):
        yield event


def page_of(path: Path, wanted: Wanted) -> tuple[list[Event], bool]:
    """Return as many of the events as one answer may hold, and whether more may follow.

    Raises sqlite3.Error.
    """
    found: list[Event] = []
    held_bytes = 0
    for event, size_bytes in _events(path, wanted):
        held_bytes += size_bytes
        if found and held_bytes > MAX_BYTES:
            return found, True
        found.append(event)
    return found, len(found) == wanted.most


def _events(path: Path, wanted: Wanted) -> Iterator[tuple[Event, int]]:
    """Yield events with the size of what they tell, each read when it is asked for."""
    since = wanted.since
    parameters = {
        "since_id": since if isinstance(since, int) else None,
        "since_time": since.isoformat() if isinstance(since, datetime) else None,
        "databases": json.dumps(wanted.databases),
        "kinds": json.dumps(wanted.kinds),
        "before": wanted.before,
        "most": wanted.most,
    }
    sql = EVENTS.format(order="DESC" if since is None else "ASC")
    with reading(path) as connection:
        for number, name, kind, at, was, now, ended_at in connection.execute(sql, parameters):
            event = Event(
                database=name,
                kind=kind,
                at=datetime.fromisoformat(at),
                before=json.loads(was),
                after=json.loads(now),
                id=number,
                ended_at=datetime.fromisoformat(ended_at) if ended_at else None,
            )
            yield event, len(was) + len(now)
