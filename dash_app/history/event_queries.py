"""Find events in the history."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dash_app.history.file import open_read_only
from dash_app.history.row_codec import select
from dash_app.model.event import Event, EventKind

EVENTS = """
    SELECT id, database, kind, at, before, after, ended_at, length(before) + length(after) AS size
    FROM event WHERE id < ifnull(:before, id + 1) AND id > ifnull(:since_id, id - 1)
        AND at > ifnull(:since_time, '')
        AND (:databases = '[]' OR database IN (SELECT value FROM json_each(:databases)))
        AND (:kinds = '[]' OR kind IN (SELECT value FROM json_each(:kinds)))
    ORDER BY id {order} LIMIT :limit
"""

MAX_PAGE_SIZE = 2_000_000
"""Characters of JSON in the events of one page: a single changed schema may take 4 million."""


@dataclass(frozen=True, slots=True)
class EventQuery:
    """A selection of events, newest first; empty tuples select all databases and kinds.

    `before` is an id: only earlier events are selected. `since` is an id or a time: only later
    events are selected, oldest first, so that a client that continues from the last id misses none.
    """

    databases: tuple[str, ...] = ()
    kinds: tuple[EventKind, ...] = ()
    before: int | None = None
    limit: int = 50
    since: int | datetime | None = None


def find_events(path: Path, query: EventQuery) -> Iterator[Event]:
    """Yield events in the order of the query. Raise sqlite3.Error."""
    for event, _size in _find(path, query):
        yield event


def events_page(path: Path, query: EventQuery) -> tuple[list[Event], bool]:
    """Return at most `MAX_PAGE_SIZE` of events, but at least one; and whether more may follow.

    Raise sqlite3.Error.
    """
    events: list[Event] = []
    total_size = 0
    for event, size in _find(path, query):
        total_size += size
        if events and total_size > MAX_PAGE_SIZE:
            return events, True
        events.append(event)
    return events, len(events) == query.limit


def _find(path: Path, query: EventQuery) -> Iterator[tuple[Event, int]]:
    """Yield each event and its size, read from the file one by one."""
    since = query.since
    parameters = {
        "since_id": since if isinstance(since, int) else None,
        "since_time": since.isoformat() if isinstance(since, datetime) else None,
        "databases": json.dumps(query.databases),
        "kinds": json.dumps(query.kinds),
        "before": query.before,
        "limit": query.limit,
    }
    sql = EVENTS.format(order="DESC" if since is None else "ASC")
    with open_read_only(path) as connection:
        for row in select(connection, sql, parameters):
            size = row.pop("size")
            yield Event(**row), size
