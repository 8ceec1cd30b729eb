"""Reads the history: at most as many points as a chart can show, each by one index seek."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from dash_app.history.rollups import DAY, HOUR
from dash_app.history.room import POINTS_KEPT
from dash_app.model import Event, EventKind

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Metric = Literal["rows", "size_bytes", "wal_bytes"]
UNITS: dict[Metric, str] = {"rows": "rows", "size_bytes": "bytes", "wal_bytes": "bytes"}

VALUES = """
    SELECT wanted.value, instant.value ->> 1, (
        SELECT last FROM {view} WHERE series = wanted.value AND at {until} instant.value ->> 1
        ORDER BY at DESC LIMIT 1
    ), (
        SELECT min(least) FROM {view} WHERE series = wanted.value
        AND at {since} instant.value ->> 0 AND at {until} instant.value ->> 1
    ), (
        SELECT max(greatest) FROM {view} WHERE series = wanted.value
        AND at {since} instant.value ->> 0 AND at {until} instant.value ->> 1
    )
    FROM json_each(:series) AS wanted, json_each(:instants) AS instant
    ORDER BY wanted.key, instant.key
"""
"""The last, least and greatest value of each series up to each instant, since the one before it."""

EVENTS = """
    SELECT id, database, kind, at, before, after, ended_at FROM event
    WHERE id < ifnull(:before, id + 1)
        AND (:databases = '[]' OR database IN (SELECT value FROM json_each(:databases)))
        AND (:kinds = '[]' OR kind IN (SELECT value FROM json_each(:kinds)))
    ORDER BY id DESC LIMIT :most
"""


VIEWS = {1: "minute", HOUR: "hour", DAY: "day"}
POINTS_REACH, HOURS_REACH = timedelta(days=2), timedelta(days=60)
"""Longer ranges are answered from hours or days: a year of 60 series is half a million hours."""


@dataclass(frozen=True, slots=True)
class Window:
    """A range of time on a regular grid of instants, in seconds since 1970.

    `span` is what one row of the record that answers sums up: 1 for the points themselves. `recent`
    are further instants after the last one, where a series shall reach its range's very end.
    """

    first: int
    last: int
    step: int
    span: int = 1
    recent: tuple[int, ...] = ()

    @classmethod
    def between(cls, since: datetime, until: datetime, points: int, every_seconds: float) -> Window:
        """Return the finest grid with at most so many instants, none finer than the record.

        Instants are multiples of the step, so that a chart does not shimmer as time goes on.
        """
        begin, end = since.timestamp(), until.timestamp()
        step = max(1, round(every_seconds), -int(-(end - begin) // points))
        span = _span_of(since, until)
        step = -(-step // span) * span
        return cls(-int(-begin // step) * step, int(end // step) * step, step, span)

    @property
    def instants(self) -> list[int]:
        """The instants, oldest first."""
        return [*range(self.first, self.last + 1, self.step), *self.recent]

    def to_its_end(self, until: datetime, parts: int = 1) -> Window:
        """Return the same window with so many more instants, up to its end where the grid ends."""
        end = int(until.timestamp())
        pause = max(1, -(-(end - self.last) // parts))
        return replace(self, recent=tuple(range(end, self.last, -pause))[::-1])


_Value = tuple[tuple[int, int | None], tuple[int, int] | None]


@dataclass(frozen=True, slots=True)
class Series:
    """One number over time; `points` are pairs of instant and value, None where not watched.

    `ranges` has for each point the least and greatest value since the one before it, if it moved.
    """

    database: str
    table: str | None
    metric: Metric
    points: tuple[tuple[int, int | None], ...]
    ranges: tuple[tuple[int, int] | None, ...] = ()

    @property
    def unit(self) -> str:
        """The unit of the values."""
        return UNITS[self.metric]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which series are wanted; an empty tuple of names means all."""

    databases: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    metric: Metric = "rows"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are wanted; an empty tuple means all.

    `before` is the id of an event: only older ones are wanted, and at most `most`.
    """

    databases: tuple[str, ...] = ()
    kinds: tuple[EventKind, ...] = ()
    before: int | None = None
    most: int = 50


def series(path: Path, selection: Selection, window: Window) -> list[Series]:
    """Return the last known values at each instant of a window. Raises sqlite3.Error."""
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        wanted = _wanted(connection, selection)
        watched = {
            database: _watched(connection, database, window)
            for database in {database for database, _ in wanted.values()}
        }
        found: dict[int, list[_Value]] = {identity: [] for identity in wanted}
        for identity, at, last, least, greatest in connection.execute(*_values(wanted, window)):
            seen = at in watched[wanted[identity][0]]
            moved = seen and least is not None and least != greatest
            found[identity].append(
                ((at, last if seen else None), (least, greatest) if moved else None)
            )
    return [
        Series(
            database,
            table,
            selection.metric,
            tuple(point for point, _ in found[identity]),
            tuple(extremes for _, extremes in found[identity]),
        )
        for identity, (database, table) in wanted.items()
    ]


def watched_since(path: Path) -> dict[str, int]:
    """Return since when each database has been watched at all. Raises sqlite3.Error."""
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        return dict(
            connection.execute("SELECT database, min(since) FROM watched GROUP BY database")
        )


def events(path: Path, wanted: Wanted) -> list[Event]:
    """Return events, newest first. Raises sqlite3.Error."""
    parameters = {
        "databases": json.dumps(wanted.databases),
        "kinds": json.dumps(wanted.kinds),
        "before": wanted.before,
        "most": wanted.most,
    }
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        rows = connection.execute(EVENTS, parameters).fetchall()
    return [
        Event(
            database=name,
            kind=kind,
            at=datetime.fromisoformat(at),
            before=json.loads(was),
            after=json.loads(now),
            id=number,
            ended_at=datetime.fromisoformat(ended_at) if ended_at else None,
        )
        for number, name, kind, at, was, now, ended_at in rows
    ]


def _values(wanted: Iterable[int], window: Window) -> tuple[str, dict[str, str]]:
    """Return the statement, and its parameters, for the values of some series in a window."""
    instants = window.instants
    befores = [window.first - window.step, *instants[:-1]]
    # A point counts from its own second on; an hour and a day from their end on, but for the
    # running one, which ends now.
    since, until = (">", "<=") if window.span == 1 else (">=", "<")
    return VALUES.format(view=VIEWS[window.span], since=since, until=until), {
        "series": json.dumps(list(wanted)),
        "instants": json.dumps(list(zip(befores, instants, strict=True))),
    }


def _span_of(since: datetime, until: datetime) -> int:
    reach = until - since
    if reach > HOURS_REACH:
        return DAY
    is_kept = datetime.now(UTC) - since < POINTS_KEPT
    return 1 if reach <= POINTS_REACH and is_kept else HOUR


def _wanted(
    connection: sqlite3.Connection, selection: Selection
) -> dict[int, tuple[str, str | None]]:
    rows = connection.execute(
        'SELECT id, database, "table" FROM series WHERE metric = ? ORDER BY database, "table"',
        (selection.metric,),
    )
    return {
        identity: (database, table)
        for identity, database, table in rows
        if (not selection.databases or database in selection.databases)
        and (not selection.tables or table in selection.tables)
    }


def _watched(connection: sqlite3.Connection, database: str, window: Window) -> set[int]:
    """Return the instants before which, within a step, a database was watched."""
    instants = window.instants
    spans: list[tuple[int, int]] = connection.execute(
        "SELECT since, until FROM watched WHERE database = ? AND until > ? AND since <= ?",
        (database, instants[0] - window.step, instants[-1]) if instants else (database, 0, 0),
    ).fetchall()
    return {at for since, until in spans for at in instants if since <= at < until + window.step}
