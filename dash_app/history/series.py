"""Reads the history: at most as many points as a chart can show, by one walk a series."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from dash_app.history.chart_grid import VIEWS, Step, Window
from dash_app.history.file import reading
from dash_app.history.rollups import DAY, HOUR
from dash_app.model.host_facts import Activity

Metric = Literal["rows", "inserted", "size_bytes", "wal_bytes"]
_Value = tuple[int, int | None, int | None, int | None]
"""A time, and what the record says of a series then: last, least and greatest."""

_Instant = tuple[int, int | None, int | None, int | None, bool]
"""A value at an instant of a window, and whether the series had begun by then."""

_Points = tuple[tuple[int, int | None], ...]
_Ranges = tuple[tuple[int, int] | None, ...]
_Parts = tuple[int | None, ...]
HOURS_SHOWN = 24

UNITS: dict[Metric, str] = {
    "rows": "rows",
    "inserted": "rows",
    "size_bytes": "bytes",
    "wal_bytes": "bytes",
}

WALK = """
    SELECT at, {column}, least, greatest FROM {view}
    WHERE series = :series AND at < :until AND at >= coalesce(
        (SELECT max(at) FROM {view} WHERE series = :series AND at < :since), :since
    ) ORDER BY at
"""
"""A series from what was known at the start of a window to its end, in the order of the index."""

INSERTED: Metric = "inserted"
"""Stored beside the rows of a table, and not as a series of its own."""


@dataclass(frozen=True, slots=True)
class TableDay:
    """A table's rows at first and at last, and rows written between, in seconds; when it grew."""

    rows_before: int | None
    rows_last: int | None
    written: int | None
    seconds: int
    grew_at: int | None


@dataclass(frozen=True, slots=True)
class Series:
    """One number over time; `points` are pairs of instant and value, None where not watched.

    `ranges` has for each point the least and greatest value since the one before it, if it moved.
    `parts` are what each point adds to the sum of its database: 0 where a table was not there yet,
    or no longer; None where nobody watched or the count was unknown.
    """

    database: str
    table: str | None
    metric: Metric
    points: tuple[tuple[int, int | None], ...]
    ranges: tuple[tuple[int, int] | None, ...] = ()
    parts: tuple[int | None, ...] = ()

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


class Extent(NamedTuple):
    """The number of series in a selection, and the bytes of their names in an answer."""

    series: int
    name_bytes: int


def series(path: Path, selection: Selection, window: Window) -> Iterator[Series]:
    """Yield the last known values at each instant of a window. Raises sqlite3.Error.

    Of a metric that only grows, each value is by how much since the instant before it. One series
    after the other: a thousand of 300 points, kept at once as they are read, took 45 MB.
    """
    grows = selection.metric == INSERTED
    if grows:
        window = replace(window, first=window.first - window.step)
    with reading(path) as connection:
        wanted = _wanted(connection, selection)
        watched = {
            database: _watched(connection, database, window)
            for database in {database for database, _ in wanted.values()}
        }
        column, course = ("written", _growth) if grows else ("last", _course)
        walk = WALK.format(column=column, view=VIEWS[window.span])
        steps = window.steps
        reach = {"since": steps[0][1], "until": steps[-1][2]}
        for identity, (database, table) in wanted.items():
            rows = connection.execute(walk, {"series": identity, **reach})
            values = list(_values(rows, steps))
            yield Series(database, table, selection.metric, *course(values, watched[database]))


def extent(path: Path, selection: Selection) -> Extent:
    """Return the extent of a selection. Raise sqlite3.Error if the history cannot be read."""
    with reading(path) as connection:
        names = _wanted(connection, selection).values()
        return Extent(len(names), sum(len(json.dumps(name)) for name in names))


def activity(path: Path, databases: Iterable[str], now: datetime) -> dict[str, Activity]:
    """Return what was written into each database lately. Raises sqlite3.Error."""
    last = int(now.timestamp()) // HOUR * HOUR
    hourly = Window(last - (HOURS_SHOWN - 2) * HOUR, last, HOUR).to_its_end(now)
    written = list(series(path, Selection(metric="inserted"), hourly))
    found = {}
    for name in databases:
        hours = [_sum(column) for column in _columns(written, name)] or [None] * HOURS_SHOWN
        since = _known_since(path, name, now - timedelta(seconds=DAY))
        rows = series(path, Selection((name,)), Window(since, since, 1)) if since else []
        parts = {str(one.table): one.parts[0] for one in rows}
        unknown = frozenset(table for table, part in parts.items() if part is None)
        began = datetime.fromtimestamp(since or now.timestamp(), UTC)
        found[name] = Activity(tuple(hours), _sum(parts.values()), began, unknown)
    return found


def days_of_tables(path: Path, database: str, now: datetime) -> dict[str, TableDay]:
    """Return what the last day brought to each table of a database. Raises sqlite3.Error."""
    since = _known_since(path, database, now - timedelta(seconds=DAY))
    if since is None:
        return {}
    then = Window(since, since, HOUR)  # what was recorded within that time still stands
    rows = series(path, Selection((database,)), then.to_its_end(now))
    span = int(now.timestamp()) - since
    written = series(path, Selection((database,), metric="inserted"), then.to_its_end(now))
    sums = {one.table: one.points[-1][1] for one in written}
    grew_at = last_changes(path, database)
    return {
        str(one.table): TableDay(
            rows_before=one.points[0][1],
            rows_last=one.points[-1][1],
            written=sums.get(one.table),
            seconds=span,
            grew_at=grew_at.get(one.table),
        )
        for one in rows
    }


def size_before(path: Path, database: str, now: datetime) -> tuple[int, datetime] | None:
    """Return how large a database was a day ago, or when we began. Raises sqlite3.Error."""
    since = _known_since(path, database, now - timedelta(seconds=DAY))
    if since is None:
        return None
    found = series(path, Selection((database,), metric="size_bytes"), Window(since, since, 1))
    size_bytes = next((one.points[0][1] for one in found), None)
    return (size_bytes, datetime.fromtimestamp(since, UTC)) if size_bytes is not None else None


def watched_since(path: Path) -> dict[str, int]:
    """Return since when each database has been watched at all. Raises sqlite3.Error."""
    with reading(path) as connection:
        return dict(
            connection.execute("SELECT database, min(since) FROM watched GROUP BY database")
        )


def last_watched(path: Path) -> int | None:
    """Return when anything was watched last, in seconds since 1970. Raises sqlite3.Error."""
    with reading(path) as connection:
        last: int | None = connection.execute("SELECT max(until) FROM watched").fetchone()[0]
        return last


def _course(values: list[_Instant], seen: set[int]) -> tuple[_Points, _Ranges, _Parts]:
    """Return the last values at instants at which we were watching, and ranges where they moved."""
    points = tuple((at, last if at in seen else None) for at, last, *_ in values)
    ranges = tuple(
        (least, greatest)
        if least is not None and greatest is not None and least != greatest and at in seen
        else None
        for at, _, least, greatest, _ in values
    )
    return points, ranges, _parts(values, seen)


def _parts(values: list[_Instant], seen: set[int]) -> _Parts:
    """Return the `parts` of a series.

    Earlier versions recorded a table that was gone as unknown, and this one as empty: what is
    unknown up to an empty table is taken for the same.
    """
    parts: list[int | None] = []
    follows = None
    for at, last, _, _, has_begun in reversed(values):
        is_absent = not has_begun or (last is None and follows == 0)
        parts.append(None if at not in seen else 0 if is_absent else last)
        follows = follows if last is None else last
    return tuple(reversed(parts))


def _growth(values: list[_Instant], seen: set[int]) -> tuple[_Points, _Ranges, _Parts]:
    """Return by how much a sum grew up to each value but the first."""
    grown = tuple(
        (at, last - (before or 0))
        if at in seen and last is not None and (then in seen or before is None)
        else (at, None)
        for (then, before, *_), (at, last, *_) in pairwise(values)
    )
    begun = (has_begun for *_, has_begun in values[1:])
    parts = tuple(
        0 if at in seen and not has_begun else value
        for (at, value), has_begun in zip(grown, begun, strict=True)
    )
    return grown, (None,) * len(grown), parts


def last_changes(path: Path, database: str) -> dict[str | None, int]:
    """Return when each table last grew: when the sum of what was written reached its end."""
    sql = """
        SELECT "table", min(at) FROM series JOIN point ON series = id
        WHERE database = ? AND written > 0 AND written = (
            SELECT written FROM point WHERE series = id ORDER BY at DESC LIMIT 1
        ) GROUP BY id
    """
    with reading(path) as connection:
        return dict(connection.execute(sql, (database,)))


def _columns(found: Iterable[Series], database: str) -> Iterable[tuple[int | None, ...]]:
    """Return the values of a database's series at each instant."""
    rows = [[value for _, value in one.points] for one in found if one.database == database]
    return zip(*rows, strict=True)


def _sum(values: Iterable[int | None]) -> int | None:
    """Return the sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _known_since(path: Path, database: str, earliest: datetime) -> int | None:
    """Return the first instant from a time on at which we watched a database."""
    sql = "SELECT min(max(since, :at)) FROM watched WHERE database = :name AND until >= :at"
    at = int(earliest.timestamp())
    with reading(path) as connection:
        found: int | None = connection.execute(sql, {"name": database, "at": at}).fetchone()[0]
    return found


def _values(rows: Iterator[_Value], steps: list[Step]) -> Iterator[_Instant]:
    """Yield what a walk says at each instant: what was last known, and the extremes of its step."""
    row, last, has_begun = next(rows, None), None, False
    for instant, since, until in steps:
        least = greatest = None
        while row and row[0] < until:
            at, last, low, high = row
            has_begun = True
            if at >= since and low is not None and high is not None:
                least = low if least is None or low < least else least
                greatest = high if greatest is None or high > greatest else greatest
            row = next(rows, None)
        yield instant, last, least, greatest, has_begun


def _wanted(
    connection: sqlite3.Connection, selection: Selection
) -> dict[int, tuple[str, str | None]]:
    rows = connection.execute(
        'SELECT id, database, "table" FROM series WHERE metric = ? ORDER BY database, "table"',
        ("rows" if selection.metric == INSERTED else selection.metric,),
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
