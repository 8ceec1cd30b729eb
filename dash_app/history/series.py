"""Read series: numbers over time, with at most as many points as a chart can show."""

import json
import sqlite3
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dash_app.history.chart_grid import VIEWS, Step, Window
from dash_app.history.coverage import Span, gaps_between, last_writes, spans
from dash_app.history.file import open_read_only
from dash_app.history.rollups import DAY, HOUR
from dash_app.model.host_facts import Activity
from dash_app.words.numbers import A_WEEK, is_one_day

Metric = Literal["rows", "inserted", "size_bytes", "wal_bytes", "table_bytes"]
MEASURE = r"measure:[a-z0-9_-]{1,60}"
"""The metrics of measures. Their values are floats, all others are whole numbers."""

Number = Any
"""An int, or a float if the metric is a measure."""

_Row = tuple[int, Number | None, Number | None, Number | None]
"""A time, and the last, least and greatest value stored for it."""

_Range = tuple[Number, Number] | None
_Value = tuple[int, Number | None, _Range, bool]
"""An instant of a window, the last value of its step, the range if it moved, and whether the series
had started by then."""

_Points = tuple[tuple[int, Number | None], ...]
_Ranges = tuple[_Range, ...]
_Parts = tuple[int | None, ...]
_Meanwhile = tuple[int, int, int]
"""Start and end of a time in which a database was not watched, and the rows written meanwhile."""

ACTIVITY_HOURS = 24
PAUSE_SECONDS = 180
"""Time after a record for which the current step counts as watched. Records are a minute apart."""

GAPS_REACH, MIN_GAP_SECONDS = timedelta(days=7), 600
"""How far back gaps are reported, and the longest that is not. A restart is no news."""

WALK = """
    SELECT at, {column}, least, greatest FROM {view}
    WHERE series = :series AND at < :until AND at >= coalesce(
        (SELECT max(at) FROM {view} WHERE series = :series AND at < :since), :since
    ) ORDER BY at
"""
"""A series from the value at the start of a window to its end, in the order of the index."""

IS_COUNTED = "SELECT EXISTS (SELECT 1 FROM hour WHERE series = ? AND last IS NOT NULL)"
COUNTED_AT = """
    SELECT max((SELECT min(at) FROM point WHERE series = id AND value IS NOT NULL AND at >=
        (SELECT max(at) FROM point WHERE series = id AND at <= :since)))
    FROM series WHERE database = :database AND metric = 'rows'
"""
"""When the last of the tables that were there at a time was counted. It may have been before."""

_WRITTEN_AT = """coalesce(
    (SELECT written FROM point WHERE series = :series AND at <= {at} ORDER BY at DESC LIMIT 1),
    (SELECT written FROM hour WHERE series = :series AND at <= min({at},
        (SELECT min(at) - 3600 FROM point WHERE series = :series)) ORDER BY at DESC LIMIT 1),
    0)"""
"""The sum of a table's written rows at a time; that of the hour if its points are pruned."""

_WRITTEN_BETWEEN = """
    SELECT database, "table", {until} - {since} FROM series WHERE metric = 'rows'
        AND EXISTS (SELECT 1 FROM hour WHERE series = id AND last IS NOT NULL)
"""
WRITTEN_BETWEEN = _WRITTEN_BETWEEN.format(
    until=_WRITTEN_AT.format(at=":until"), since=_WRITTEN_AT.format(at=":since")
).replace(":series", "id")

_MEANWHILE = """
    SELECT start, until, max(0, {written_until} - {written_start}) FROM (
        SELECT since AS until, max(until) OVER (
            ORDER BY since ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS start FROM watched WHERE database = :database AND since >= coalesce(
            (SELECT max(since) FROM watched WHERE database = :database AND since < :since), 0)
    ) WHERE until >= :since AND until < :until AND start < until
        AND (start - :since) / :step < (until - :since) / :step
"""
MEANWHILE = _MEANWHILE.format(
    written_until=_WRITTEN_AT.format(at="until"), written_start=_WRITTEN_AT.format(at="start")
)
"""The gaps of a table from one step to another. The rows of one within a step are of that step."""

BYTES_AT = """
    SELECT "table", max(at, :since), value FROM series JOIN point ON series = id
    WHERE database = :database AND metric = 'table_bytes' AND at = coalesce(
        (SELECT max(at) FROM point WHERE series = id AND at <= :since),
        (SELECT min(at) FROM point WHERE series = id)
    )
"""
"""The size of each table and index at a time, or when it was first measured after that."""

INSERTED: Metric = "inserted"
"""Stored beside the rows of a table, not as an own series."""


@dataclass(frozen=True, slots=True)
class TableDay:
    """One table over the last day, or since it was first watched."""

    rows_before: int | None
    rows_last: int | None
    written: int | None
    """Rows written in that time."""

    seconds: int
    """The length of that time."""

    grew_at: int | None
    """When it last gained rows, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Series:
    """One number over time."""

    database: str
    table: str | None
    metric: str
    """A `Metric`, or one that matches `MEASURE`."""

    points: _Points
    """Pairs of an instant and its value, None if the database was not watched."""

    ranges: _Ranges = ()
    """For each point, the least and greatest value since the previous point, if it moved."""

    parts: _Parts = ()
    """For each point, its part in the sum of its database: 0 while there was no such table, None
    while the database was not watched or the count was unknown."""

    gaps: tuple[_Meanwhile, ...] = ()
    """For a table, each time in which its database was not watched from one step to another: start,
    end, and the rows written meanwhile. Those rows are in no value of `inserted`."""

    label: str | None = None
    """Which value of a measure it is; None if the measure has one number."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection of series; empty tuples select all databases and tables."""

    databases: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    metric: str = "rows"


class Extent(NamedTuple):
    """The number of series in a selection, and the bytes of their names in JSON."""

    series: int
    name_bytes: int


def find_series(path: Path, selection: Selection, window: Window) -> Iterator[Series]:
    """Yield each series with its last known value at each instant. Raise sqlite3.Error.

    A value of `inserted` is the number of rows written since the previous instant, except those
    written in a gap. A first count is no growth. Series are read one by one: a thousand of 300
    points took 45 MB when they were all in memory.
    """
    with open_read_only(path) as connection:
        yield from _find(connection, selection, window)


def extent(path: Path, selection: Selection) -> Extent:
    """Return the extent of a selection. Raise sqlite3.Error if the history cannot be read."""
    with open_read_only(path) as connection:
        names = _select(connection, selection).values()
        return Extent(len(names), sum(len(json.dumps(name)) for name in names))


def written_between(path: Path, since: datetime, until: datetime) -> Iterator[tuple[str, str, int]]:
    """Yield database, table and the rows written in a range, in gaps too. Raise sqlite3.Error.

    A table that was never counted is left out.
    """
    facts = {"since": int(since.timestamp()), "until": int(until.timestamp())}
    with open_read_only(path) as connection:
        yield from connection.execute(WRITTEN_BETWEEN, facts)


def written_by(
    connection: sqlite3.Connection, database: str, table: str, since: datetime, until: datetime
) -> int | None:
    """Return the rows written to a table in a range; None if it was never counted."""
    facts = {"since": int(since.timestamp()), "until": int(until.timestamp())}
    sql = f'{WRITTEN_BETWEEN} AND database = :database AND "table" = :table'
    found = connection.execute(sql, {**facts, "database": database, "table": table}).fetchone()
    return found[2] if found else None


def recent_activity(path: Path, databases: Iterable[str], now: datetime) -> dict[str, Activity]:
    """Return the activity of the last 24 hours by database. Raise sqlite3.Error."""
    with open_read_only(path) as connection:
        facts = {"since": now.timestamp() - DAY, "until": now.timestamp()}
        written: Counter[str] = Counter()
        for database, _, rows in connection.execute(WRITTEN_BETWEEN, facts):
            written[database] += rows
        return {name: _activity(connection, name, now, written[name]) for name in databases}


def last_day_by_table(path: Path, database: str, now: datetime) -> dict[str, TableDay]:
    """Return the last day of each table of a database. Raise sqlite3.Error."""
    with open_read_only(path) as connection:
        since = _watched_a_day_ago(connection, database, now)
        if since is None:
            return {}
        seconds = max(1, int(now.timestamp()) - since)
        window = Window(since, since, seconds).extended_to(now)
        rows, written = (
            {str(series.table): series for series in _find(connection, selection, window)}
            for selection in (Selection((database,)), Selection((database,), metric=INSERTED))
        )
        grew_at = last_writes(connection, database, int(now.timestamp()))
    return {
        table: TableDay(
            rows_before=rows[table].parts[0],
            rows_last=rows[table].points[-1][1],
            written=written[table].points[-1][1] if table in written else None,
            seconds=seconds,
            grew_at=grew_at.get(table),
        )
        for table in rows
    }


def size_a_day_ago(path: Path, database: str, now: datetime) -> tuple[int, datetime] | None:
    """Return the bytes of a database a day ago or when first watched after that, and that time.

    Return None if it was not watched or the size is unknown. Raise sqlite3.Error.
    """
    with open_read_only(path) as connection:
        since = _watched_a_day_ago(connection, database, now)
        if since is None:
            return None
        selection = Selection((database,), metric="size_bytes")
        found = _find(connection, selection, Window(since, since, 1))
        size_bytes = next((series.points[0][1] for series in found), None)
    return None if size_bytes is None else (size_bytes, datetime.fromtimestamp(since, UTC))


def bytes_a_week_ago(path: Path, database: str, now: datetime) -> dict[str, tuple[int, datetime]]:
    """Return the bytes of each table and index of a database a week ago, and that time.

    If it was first measured later, return the first size and its time. Raise sqlite3.Error.
    """
    facts = {"database": database, "since": int((now - A_WEEK).timestamp())}
    with open_read_only(path) as connection:
        rows = connection.execute(BYTES_AT, facts).fetchall()
    return {name: (size_bytes, datetime.fromtimestamp(at, UTC)) for name, at, size_bytes in rows}


def recent_gaps(path: Path, now: datetime) -> tuple[tuple[datetime, datetime, int], ...]:
    """Return the longer gaps of the last 7 days, and the rows of each. Raise sqlite3.Error."""
    earliest = int((now - GAPS_REACH).timestamp())
    with open_read_only(path) as connection:
        # What began later was stored before the clock was set back.
        sql = "SELECT since, until FROM watched WHERE since <= ? ORDER BY since"
        watched = connection.execute(sql, (now.timestamp(),))
        rows = {
            (start, end): 0
            for start, end in gaps_between(watched)
            if end >= earliest and end - start > MIN_GAP_SECONDS
        }
        every = {"since": earliest, "until": int(now.timestamp()), "step": 1}
        for id_, (database, *_) in _select(connection, Selection()).items() if rows else ():
            facts = {"series": id_, "database": database, **every}
            for start, end, written in connection.execute(MEANWHILE, facts):
                # A database may be back some seconds after the first one.
                for gap in rows:
                    rows[gap] += written if start <= gap[0] and gap[1] <= end else 0
    return tuple(
        (datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC), count)
        for (start, end), count in reversed(rows.items())
    )


def _find(connection: sqlite3.Connection, selection: Selection, window: Window) -> Iterator[Series]:
    is_inserted = selection.metric == INSERTED
    if is_inserted:
        window = replace(window, first=window.first - window.step)
    walk = WALK.format(column="written" if is_inserted else "last", view=VIEWS[window.span])
    names = _select(connection, selection)
    watched = {
        name: _watched(spans(connection, name), window, is_inserted=is_inserted)
        for name in {name for name, *_ in names.values()}
    }
    steps = window.steps
    facts: dict[str, object] = {"since": steps[0][1], "until": steps[-1][2], "step": window.step}
    for id_, (database, table, label) in names.items():
        facts |= {"series": id_, "database": database}
        rows: Iterator[_Row] = connection.execute(walk, facts)
        if is_inserted and not connection.execute(IS_COUNTED, (id_,)).fetchone()[0]:
            rows = iter(())  # 0 would be untrue
        values = list(_at_steps(rows, steps))
        gaps = tuple(connection.execute(MEANWHILE, facts)) if table is not None else ()
        if is_inserted:
            columns = _differences(_without(gaps, values, steps), watched[database])
        else:
            columns = _values(values, watched[database])
        yield Series(database, table, selection.metric, *columns, gaps, label)


def _without(
    gaps: Sequence[_Meanwhile], values: Iterable[_Value], steps: Iterable[Step]
) -> list[_Value]:
    """Return sums of written rows without the rows that were written in gaps."""
    ends = [end for _, end, _ in gaps]
    sums = [0, *accumulate(rows for *_, rows in gaps)]
    return [
        (at, None if last is None else last - sums[bisect_left(ends, until)], moved, has_started)
        for (at, last, moved, has_started), (*_, until) in zip(values, steps, strict=True)
    ]


def _activity(
    connection: sqlite3.Connection, database: str, now: datetime, written_in_day: int
) -> Activity:
    last = int(now.timestamp()) // HOUR * HOUR
    hourly = Window(last - (ACTIVITY_HOURS - 2) * HOUR, last, HOUR).extended_to(now)
    written = _find(connection, Selection((database,), metric=INSERTED), hourly)
    columns = zip(*(series.points for series in written), strict=True)
    hours = [_sum(value for _, value in column) for column in columns] or [None] * ACTIVITY_HOURS
    watched = _watched(spans(connection, database), hourly, is_inserted=True)
    parts: dict[str, int | None] = {}
    since = _watched_a_day_ago(connection, database, now)
    if since is not None:
        facts = {"database": database, "since": since}
        since = max(since, connection.execute(COUNTED_AT, facts).fetchone()[0] or 0)
        rows = _find(connection, Selection((database,)), Window(since, since, 1))
        parts = {str(series.table): series.parts[0] for series in rows}
    since_time = datetime.fromtimestamp(since or now.timestamp(), UTC)
    return Activity(
        hours=tuple(hours),
        rows_before=_sum(parts.values()),
        since=since_time,
        unknown_before=frozenset(table for table, part in parts.items() if part is None),
        watched=tuple(at in watched for at in hourly.instants),
        is_whole_day=is_one_day(since_time, now),
        last_hour=datetime.fromtimestamp(last, UTC),
        written=written_in_day,
    )


def _values(values: list[_Value], watched: set[int]) -> tuple[_Points, _Ranges, _Parts]:
    points = tuple((at, last if at in watched else None) for at, last, *_ in values)
    ranges = tuple(moved if at in watched else None for at, _, moved, _ in values)
    return points, ranges, _parts(values, watched)


def _parts(values: list[_Value], watched: set[int]) -> _Parts:
    """Return the parts of a series in the sum of its database.

    Earlier versions stored a missing table as unknown, and this one stores it as empty. So an
    unknown value before an empty table counts as empty.
    """
    parts: list[int | None] = []
    following = None
    for at, last, _, has_started in reversed(values):
        is_absent = not has_started or (last is None and following == 0)
        parts.append(None if at not in watched else 0 if is_absent else last)
        following = following if last is None else last
    return tuple(reversed(parts))


def _differences(values: list[_Value], watched: set[int]) -> tuple[_Points, _Ranges, _Parts]:
    """Return the growth of a sum up to each value except the first."""
    points = tuple(
        (at, None if at not in watched or last is None else last - (before or 0))
        for (_, before, *_), (at, last, *_) in pairwise(values)
    )
    started = (has_started for *_, has_started in values[1:])
    parts = tuple(
        0 if at in watched and not has_started else value
        for (at, value), has_started in zip(points, started, strict=True)
    )
    return points, (None,) * len(points), parts


def _sum(values: Iterable[int | None]) -> int | None:
    """Return the sum of the known values; None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _watched_a_day_ago(connection: sqlite3.Connection, database: str, now: datetime) -> int | None:
    """Return the first time at which a database was watched in the last day."""
    earliest = int((now - timedelta(seconds=DAY)).timestamp())
    found = spans(connection, database, earliest - 1, now.timestamp())
    return max(found[0][0], earliest) if found else None


def _at_steps(rows: Iterator[_Row], steps: list[Step]) -> Iterator[_Value]:
    row, last, has_started = next(rows, None), None, False
    for instant, since, until in steps:
        extremes: list[int] = []
        while row and row[0] < until:
            at, last, low, high = row
            has_started = True
            if at >= since and low is not None and high is not None:
                extremes += low, high
            row = next(rows, None)
        has_moved = extremes and min(extremes) < max(extremes)
        moved = (min(extremes), max(extremes)) if has_moved else None
        yield instant, last, moved, has_started


def _select(
    connection: sqlite3.Connection, selection: Selection
) -> dict[int, tuple[str, str | None, str | None]]:
    """Return database, table and label of each selected series by its id."""
    rows = connection.execute(
        'SELECT id, database, "table", label FROM series WHERE metric = ?'
        ' ORDER BY database, "table", id',
        ("rows" if selection.metric == INSERTED else selection.metric,),
    )
    return {
        id_: (database, table, label)
        for id_, database, table, label in rows
        if (not selection.databases or database in selection.databases)
        and (not selection.tables or table in selection.tables)
    }


def _watched(spans: Sequence[Span], window: Window, *, is_inserted: bool) -> set[int]:
    """Return the instants before which, within a step, a database was watched.

    A number holds for a step after its record. A sum says nothing of the time after it, except that
    the next record of the step that now runs may be yet to come.
    """
    starts, ends = [start for start, _ in spans], list(accumulate((end for _, end in spans), max))
    pause = min(PAUSE_SECONDS, window.step) if is_inserted else window.step
    watched = set()
    for at, since, until in window.steps:
        first = bisect_right(ends, min(since, at - pause) if is_inserted else at - pause)
        if first < len(starts) and starts[first] < (at if is_inserted else until):
            watched.add(at)
    return watched
