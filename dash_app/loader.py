"""Read-only pandas frames for the page: tables of the snapshot, and trends of the history.

Counts never become floats: their columns have the type `Int64`, with `<NA>` for unknown. Those of
measures have `Float64`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from math import inf
from pathlib import Path
from typing import Any

import pandas as pd

from dash_app.history import series
from dash_app.history.chart_grid import Window
from dash_app.history.coverage import Span
from dash_app.history.rollups import DAY, HOUR
from dash_app.history.series import Selection, Series, TableDay
from dash_app.model.expectation import OVERDUE
from dash_app.model.measure import AGE, MAX_SHOWN, OTHERS, Measure
from dash_app.model.reading import TableCount
from dash_app.model.snapshot import DatabaseStatus, Snapshot

TIME = "datetime64[us, UTC]"
BARS = ((timedelta(hours=1), 300), (timedelta(days=2), HOUR), (timedelta.max, DAY))
"""The seconds that a bar of rows written covers at least, by how far a chart reaches."""

RECENT_POINTS = 8
"""Number of points after the last instant of the grid. A new database has no others."""

TABLE = {
    "table": "str",
    "rows": "Int64",
    "counted_at": TIME,
    "estimate": "str",
    "error": "str",
    "state": "str",
    "is_overdue": "bool",
    "every": "timedelta64[us]",
    "written_at": TIME,
}
"""A table's count, and the state of its expectation; `state` is missing if it has none."""

COUNT_COLUMNS = {"database": "str", **TABLE}
TABLE_COLUMNS = {**TABLE, "change": "Int64", "per_hour": "float", "grew_at": TIME}


def counts_frame(snapshot: Snapshot) -> pd.DataFrame:
    """Return one row per table of all databases, with COUNT_COLUMNS.

    Within a database: overdue tables first, then unknown counts, then rows descending, then name.
    """
    rows = [
        {"database": status.database.name, **_table(status, name, count)}
        for status in snapshot.databases
        for name, count in status.reading.tables.items()
    ]
    return _frame(rows, COUNT_COLUMNS).sort_values(
        ["database", "is_overdue", "rows", "table"],
        ascending=[True, False, False, True],
        na_position="first",
    )


def table_frame(path: Path | None, status: DatabaseStatus, now: datetime) -> pd.DataFrame:
    """Return one row per table of one database, with TABLE_COLUMNS, sorted by name.

    `change` is the difference to the rows of a day ago, or of the first record if that is later;
    `per_hour` the average number of rows written since then. Both are unknown without the path of
    a history. Raise sqlite3.Error.
    """
    days = series.last_day_by_table(path, status.database.name, now) if path else {}
    rows = [
        _table(status, name, count) | _last_day(count, days.get(name))
        for name, count in status.reading.tables.items()
    ]
    return _frame(rows, TABLE_COLUMNS).sort_values("table", ignore_index=True)


@dataclass(frozen=True, slots=True)
class Trend:
    """A request for trends over the last `reach`, in at most `points` steps of at least `every`.

    `database` selects the tables of one database; None selects the sums of all databases. `is_rate`
    selects rows written instead of rows. The range ends at `until`, or now.
    """

    reach: timedelta
    points: int
    every: timedelta
    database: str | None = None
    is_rate: bool = False
    until: datetime | None = None


def trend_frame(path: Path, trend: Trend) -> pd.DataFrame:
    """Return rows over time, or rows written per five minutes, hour, day or longer step.

    Index: instants (TIME), oldest first; of a rate, the start of each step. They are regular except
    for the most recent ones and for dips between two of them. Columns: databases, or the tables of
    one, as `Int64`; `<NA>` if not watched, and in a sum also if the count of one table is unknown.

    Attributes: `step`, the length of a step, and `until`, the end of the last one: the last step of
    a rate still runs if it has not that length. `meanwhile` maps columns to the times that nobody
    watched and that ended in this range: (start, end, rows written meanwhile), which are in no
    step. `written` maps columns of a rate to the rows written in exactly this range, meanwhile too.
    A table that was never counted is in no sum: `uncounted` maps databases to such tables.
    Raise sqlite3.Error.
    """
    until = trend.until or datetime.now(UTC)
    since, window = _range(trend, until)
    columns, uncounted, meanwhile = _trend_columns(path, trend, window)
    index = pd.Index(window.instants)
    columns = {name: pd.Series(pd.NA, index, dtype="Int64") for name in uncounted} | columns
    index = reduce(pd.Index.union, (column.index for column in columns.values()), index)
    trends = pd.DataFrame(
        {name: _reindex(column, index) for name, column in columns.items()}, index=index
    )
    starts = [window.first - window.step, *window.instants[:-1]]
    trends = trends.set_axis(pd.to_datetime(starts if trend.is_rate else index, unit="s", utc=True))
    trends.attrs = {
        "written": _written(path, trend, since, until) if trend.is_rate else {},
        "step": timedelta(seconds=window.step),
        "until": _time(window.instants[-1]),
        "meanwhile": {
            name: [(_time(start), _time(end), rows) for (start, end), rows in sorted(gaps.items())]
            for name, gaps in meanwhile.items()
        },
        "uncounted": uncounted,
    }
    return trends


def measure_trend_frame(path: Path, database: str, measure: Measure, trend: Trend) -> pd.DataFrame:
    """Return the values of a measure over time. Of a trend, the range and the steps count.

    Index and attributes: as those of rows in `trend_frame`, without dips and times that nobody
    watched, in which a value is missing. Columns, as `Float64`: the labels of the values; "" of a
    measure with one number. Of more than `MAX_SHOWN`, the greatest last ones, in order of their
    first value, and OTHERS, the sum of the others; of ages, the greatest. Raise sqlite3.Error.
    """
    until = trend.until or datetime.now(UTC)
    _since, window = _range(replace(trend, is_rate=False), until)
    index = pd.to_datetime(window.instants, unit="s", utc=True).astype(TIME)
    selection = Selection((database,), metric=measure.metric)
    columns = {
        found.label or "": pd.Series([value for _, value in found.points], index, dtype="Float64")
        for found in series.find_series(path, selection, window)
    }
    trends = _greatest(pd.DataFrame(columns, index), measure)
    trends.attrs = {"step": timedelta(seconds=window.step), "until": _time(window.instants[-1])}
    return trends


def _greatest(values: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return at most `MAX_SHOWN` columns, and one that combines the others."""
    own = values.drop(columns=OTHERS, errors="ignore")
    if len(own.columns) <= MAX_SHOWN:
        return values
    newest = own.ffill().iloc[-1].fillna(-inf)
    rest = newest.sort_values(kind="stable").index[:-MAX_SHOWN]
    others = values[values.columns.intersection([*rest, OTHERS])]
    combined = others.max(axis=1) if measure.unit == AGE else others.sum(axis=1, min_count=1)
    return own.drop(columns=rest).assign(**{OTHERS: combined.astype("Float64")})


def with_present(
    trends: pd.DataFrame, snapshot: Snapshot, database: str | None = None
) -> pd.DataFrame:
    """Append the snapshot's counts to a trend frame, so that charts agree with the cards."""
    counts: dict[str, int | None] = {}
    if database is not None:
        tables = snapshot.status_of(database).reading.tables
        counts = {name: count.rows if count.is_known else None for name, count in tables.items()}
    else:
        uncounted = trends.attrs.get("uncounted", {})
        for status in snapshot.databases:
            name, reading = status.database.name, status.reading
            is_complete = reading.unknown_tables <= uncounted.get(name, set())
            counts[name] = reading.counted_rows if is_complete else None
    row = {name: rows for name, rows in counts.items() if name in trends.columns}
    present = _frame([row], dict.fromkeys(row, "Int64"))
    present.index = pd.DatetimeIndex([snapshot.taken_at])
    extended = pd.concat([trends, present])
    extended.attrs = trends.attrs
    return extended


def _range(trend: Trend, until: datetime) -> tuple[datetime, Window]:
    """Return the start of a trend's range and its instants, of which rows have one at the start."""
    every_seconds = trend.every.total_seconds()
    if trend.is_rate:
        every_seconds = max(every_seconds, next(bar for reach, bar in BARS if trend.reach <= reach))
    window = Window.between(until - trend.reach, until, trend.points, every_seconds)
    window = window.extended_to(until, 1 if trend.is_rate else RECENT_POINTS)
    since = int((until - trend.reach).timestamp()) // window.span * window.span
    if not trend.is_rate and since < window.first:
        window = replace(window, start=(since,))
    return _time(since), window


def _written(path: Path, trend: Trend, since: datetime, until: datetime) -> dict[str, int]:
    """Return the rows written in a range, by column."""
    written: Counter[str] = Counter()
    for database, table, rows in series.written_between(path, since, until):
        if trend.database in {None, database}:
            written[table if trend.database else database] += rows
    return written


def _trend_columns(
    path: Path, trend: Trend, window: Window
) -> tuple[dict[str, pd.Series[int]], dict[str, set[str]], dict[str, Counter[Span]]]:
    """Return columns by name, tables of each database that were never counted, and gaps."""
    databases = (trend.database,) if trend.database else ()
    metric: series.Metric = "inserted" if trend.is_rate else "rows"
    columns: dict[str, pd.Series[int]] = {}
    uncounted: dict[str, set[str]] = {}
    meanwhile: dict[str, Counter[Span]] = {}
    for table in series.find_series(path, Selection(databases, metric=metric), window):
        name = str(table.table) if trend.database else table.database
        gaps = meanwhile.setdefault(name, Counter())
        for start, end, rows in table.gaps:
            gaps[start, end] += rows
        if trend.database:
            columns[name] = _column(table, [value for _, value in table.points])
        elif all(value is None for _, value in table.points):
            uncounted.setdefault(table.database, set()).add(str(table.table))
        else:
            column = _column(table, table.parts)
            if name in columns:
                index = columns[name].index.union(column.index)
                column = _reindex(columns[name], index) + _reindex(column, index)
            columns[name] = column
    return columns, uncounted, meanwhile


def _time(seconds: int) -> pd.Timestamp:
    return pd.Timestamp(seconds, unit="s", tz="UTC")


def _column(table: Series, values: Sequence[int | None]) -> pd.Series[int]:
    """Return values at the instants of a series, and its dips; the index is seconds since 1970."""
    instants = [at for at, _ in table.points]
    known = dict(sorted({**dict(zip(instants, values, strict=True)), **_dips(table)}.items()))
    return pd.Series(pd.array(list(known.values()), dtype="Int64"), index=list(known))


def _dips(table: Series) -> dict[int, int]:
    """Return minima below both neighbours, half-way between them: emptied and filled again."""
    dips = {}
    steps = zip(table.points, table.points[1:], table.ranges[1:], strict=False)
    for (start, before), (end, after), range_ in steps:
        if range_ and before is not None and after is not None and range_[0] < min(before, after):
            dips[(start + end) // 2] = range_[0]
    return dips


def _reindex(column: pd.Series[int], index: pd.Index[int]) -> pd.Series[int]:
    """Return a column at more instants, where it has the value of the instant before."""
    return column if column.index.equals(index) else column.reindex(index, method="ffill")


def _table(status: DatabaseStatus, name: str, count: TableCount) -> dict[str, Any]:
    expected = status.expectations.tables.get(name) if status.expectations else None
    return {
        "table": name,
        "rows": count.rows,
        "counted_at": count.counted_at,
        "estimate": count.estimate,
        "error": count.error,
        "state": expected and expected.state,
        "is_overdue": expected is not None and expected.state in OVERDUE,
        "every": expected and expected.expect.every,
        "written_at": expected and expected.last_at,
    }


def _last_day(count: TableCount, day: TableDay | None) -> dict[str, Any]:
    if day is None or not count.is_known or count.rows is None or day.rows_before is None:
        return {"change": None, "per_hour": None, "grew_at": None}
    since_record = max(0, count.rows - (count.rows if day.rows_last is None else day.rows_last))
    grew_at = datetime.fromtimestamp(day.grew_at, UTC) if day.grew_at else None
    return {
        "change": count.rows - day.rows_before,
        "per_hour": ((day.written or 0) + since_record) * HOUR / max(day.seconds, HOUR),
        "grew_at": count.counted_at if since_record else grew_at,
    }


def _frame(rows: list[dict[str, Any]], types: dict[str, str]) -> pd.DataFrame:
    """Return a frame, made column by column: made at once, counts would pass through floats."""
    columns = {
        name: pd.Series([row[name] for row in rows], dtype=dtype) for name, dtype in types.items()
    }
    return pd.DataFrame(columns)
