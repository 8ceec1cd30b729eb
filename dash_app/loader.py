"""Pandas frames for the faces: the newest snapshot, and trends from the history.

Counts stay integers to the last step: every column of numbers is `Int64` with `<NA>` for unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from dash_app.history import series
from dash_app.history.chart_grid import Window
from dash_app.history.rollups import DAY, HOUR
from dash_app.history.series import Selection, Series, TableDay
from dash_app.model.expectation import OVERDUE
from dash_app.model.reading import TableCount
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.words import numbers, summaries

TIME = "datetime64[us, UTC]"
WRITTEN_BY_HOUR = timedelta(days=2)
RECENT_POINTS = 8
"""How finely the time since the last regular instant is drawn: a new database has no other."""

STATUS_COLUMNS = {
    "name": "str",
    "label": "str",
    "path": "str",
    "status": "str",
    "level": "str",
    "badge": "str",
    "since": TIME,
    "cause": "str",
    "remedy": "str",
    "asks": "bool",
    "notes": "object",
    "total_rows": "Int64",
    "total_complete": "bool",
    "change": "Int64",
    "change_since": TIME,
    "hours": "object",
    "last_modified": TIME,
    "verified_at": TIME,
    "last_good_at": TIME,
    "last_good_rows": "Int64",
    "size_bytes": "Int64",
    "wal_bytes": "Int64",
}
EXPECTED_COLUMNS = {"state": "str", "is_silent": "bool", "every": "str", "written_at": TIME}
"""How a table stands to what is expected of it, whether it is overdue; missing where nothing is."""

TABLE_COLUMNS = {
    "table": "str",
    "rows": "Int64",
    "counted_at": TIME,
    "estimate": "str",
    "error": "str",
    **EXPECTED_COLUMNS,
    "change": "Int64",
    "per_hour": "float",
    "grew_at": TIME,
}
COUNT_COLUMNS = {
    "database": "str",
    "table": "str",
    "rows": "Int64",
    "counted_at": TIME,
    "estimate": "str",
    "error": "str",
    **EXPECTED_COLUMNS,
}


def status_frame(snapshot: Snapshot) -> pd.DataFrame:
    """Return one row a database, in configured order, with the columns of STATUS_COLUMNS.

    `badge` is the worst thing true of it: a status, the kind of a finding, or "paused"; it began at
    `since`.
    `cause` and `remedy` are missing where nothing is amiss, `last_good_*` where there is none;
    `change` is by how many rows there are more than at `change_since`, and `hours` a tuple of rows
    written in each of 24 hours. `asks` is whether a person may acknowledge it, `notes` a list of
    further lines.
    """
    return _frame([_status_row(status) for status in snapshot.databases], STATUS_COLUMNS)


def counts_frame(snapshot: Snapshot) -> pd.DataFrame:
    """Return one row a table, with the columns of COUNT_COLUMNS.

    Within a database: silent tables first, then unknown counts, then rows descending, then name.
    """
    rows = [
        {
            "database": status.database.name,
            "table": table,
            "rows": count.rows,
            "counted_at": count.counted_at,
            "estimate": count.estimate,
            "error": count.error,
            **_expected(status, table),
        }
        for status in snapshot.databases
        for table, count in status.reading.tables.items()
    ]
    return _frame(rows, COUNT_COLUMNS).sort_values(
        ["database", "is_silent", "rows", "table"],
        ascending=[True, False, False, True],
        na_position="first",
    )


@dataclass(frozen=True, slots=True)
class Trend:
    """What a chart shows: how far back, at how many points, none finer than the record.

    `database` is the one whose tables are shown; None for all databases. `is_rate` is whether rows
    written are shown, and not rows.
    """

    reach: timedelta
    points: int
    every: timedelta
    database: str | None = None
    is_rate: bool = False


def table_frame(path: Path | None, status: DatabaseStatus, now: datetime) -> pd.DataFrame:
    """Return one row a table of a database, with the columns of TABLE_COLUMNS; by name.

    Without the path of a history, columns that need it are empty.

    `change` is by how many rows there are more than a day ago, or when we began; `per_hour` how
    many were written an hour since then. Raises sqlite3.Error.
    """
    days = series.days_of_tables(path, status.database.name, now) if path else {}
    rows = [
        _table_row(name, count, days.get(name)) | _expected(status, name)
        for name, count in status.reading.tables.items()
    ]
    return _frame(rows, TABLE_COLUMNS).sort_values("table", ignore_index=True)


def trend_frame(path: Path, trend: Trend) -> pd.DataFrame:
    """Return rows over time, or rows written in each hour, day or more from its begin on.

    Index: instants (TIME), oldest first, regular but for the latest and for dips between two of
    them. Columns: names of databases, or of the tables of one, `Int64`, `<NA>` where nobody
    watched or, in a sum, where the count of a table was unknown. A table that was never counted is
    in no sum; `attrs["uncounted"]` maps databases to sets of them. Raises sqlite3.Error.
    """
    now = datetime.now(UTC)
    every_seconds = trend.every.total_seconds()
    if trend.is_rate:
        every_seconds = DAY if trend.reach > WRITTEN_BY_HOUR else HOUR
    window = Window.between(now - trend.reach, now, trend.points, every_seconds)
    window = window.to_its_end(now, 1 if trend.is_rate else RECENT_POINTS)
    databases = (trend.database,) if trend.database else ()
    metric: series.Metric = "inserted" if trend.is_rate else "rows"
    columns: dict[str, pd.Series[int]] = {}
    uncounted: dict[str, set[str]] = {}
    for one in series.series(path, Selection(databases, metric=metric), window):
        if trend.database:
            columns[str(one.table)] = _course(one, [value for _, value in one.points])
        elif all(value is None for _, value in one.points):
            uncounted.setdefault(one.database, set()).add(str(one.table))
        else:
            name, course = one.database, _course(one, one.parts)
            columns[name] = _sum(columns[name], course) if name in columns else course
    index = pd.Index(window.instants)
    columns = {name: pd.Series(pd.NA, index, dtype="Int64") for name in uncounted} | columns
    for column in columns.values():
        index = index.union(column.index)
    trends = pd.DataFrame({name: _at(one, index) for name, one in columns.items()}, index=index)
    begins = [window.first - window.step, *window.instants[:-1]]
    times = pd.to_datetime(begins if trend.is_rate else index, unit="s", utc=True)
    trends = trends.set_axis(times)
    trends.attrs["uncounted"] = uncounted
    return trends


def with_present(
    trends: pd.DataFrame, snapshot: Snapshot, database: str | None = None
) -> pd.DataFrame:
    """Return a trend frame that ends with what is true now, so that no face lags behind another."""
    present_rows = _present(snapshot, database, trends.attrs.get("uncounted", {}))
    totals = {name: rows for name, rows in present_rows.items() if name in trends.columns}
    present = _frame([totals], dict.fromkeys(totals, "Int64"))
    present.index = pd.DatetimeIndex([snapshot.taken_at])
    return pd.concat([trends, present])


def _dips(series: Series) -> dict[int, int]:
    """Return the values below both their neighbours, half-way between: emptied and filled again."""
    dips = {}
    for (before, was), (at, now), moved in zip(
        series.points, series.points[1:], series.ranges[1:], strict=False
    ):
        if moved and was is not None and now is not None and moved[0] < min(was, now):
            dips[(before + at) // 2] = moved[0]
    return dips


def _course(series: Series, values: Sequence[int | None]) -> pd.Series[int]:
    """Return values at a series' own instants, and its dips, in seconds since 1970."""
    instants = [at for at, _ in series.points]
    known = dict(sorted({**dict(zip(instants, values, strict=True)), **_dips(series)}.items()))
    return pd.Series(pd.array(list(known.values()), dtype="Int64"), index=list(known))


def _sum(one: pd.Series[int], other: pd.Series[int]) -> pd.Series[int]:
    index = one.index.union(other.index)
    return _at(one, index) + _at(other, index)


def _at(course: pd.Series[int], index: pd.Index[int]) -> pd.Series[int]:
    """Return a course at more instants, at which it stood unchanged."""
    return course if course.index.equals(index) else course.reindex(index, method="ffill")


def _present(
    snapshot: Snapshot, database: str | None, uncounted: Mapping[str, set[str]]
) -> dict[str, int | None]:
    if database is None:
        rows: dict[str, int | None] = {}
        for status in snapshot.databases:
            name, reading = status.database.name, status.reading
            is_whole = reading.unknown_tables <= uncounted.get(name, set())
            rows[name] = reading.counted_rows if is_whole else None
        return rows
    tables = next(s.reading.tables for s in snapshot.databases if s.database.name == database)
    return {name: count.rows if count.is_known else None for name, count in tables.items()}


def _table_row(name: str, count: TableCount, day: TableDay | None) -> dict[str, Any]:
    row = {
        "table": name,
        "rows": count.rows,
        "counted_at": count.counted_at,
        "estimate": count.estimate,
        "error": count.error,
        "change": None,
        "per_hour": None,
        "grew_at": None,
    }
    if day is None or not count.is_known or count.rows is None or day.rows_before is None:
        return row
    since_record = max(0, count.rows - (count.rows if day.rows_last is None else day.rows_last))
    grew_at = datetime.fromtimestamp(day.grew_at, UTC) if day.grew_at else None
    return row | {
        "change": count.rows - day.rows_before,
        "per_hour": ((day.written or 0) + since_record) * HOUR / max(day.seconds, HOUR),
        "grew_at": count.counted_at if since_record else grew_at,
    }


def _expected(status: DatabaseStatus, table: str) -> dict[str, Any]:
    standing = status.watch.tables.get(table) if status.watch else None
    return {
        "state": standing and standing.state,
        "is_silent": standing is not None and standing.state in OVERDUE,
        "every": standing and numbers.exact_duration(standing.expect.every),
        "written_at": standing and standing.last_at,
    }


def _frame(rows: list[dict[str, Any]], kinds: dict[str, str]) -> pd.DataFrame:
    """Return a frame of rows, each column made by itself: together, counts pass through floats."""
    columns = {
        name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in kinds.items()
    }
    return pd.DataFrame(columns)


def _status_row(status: DatabaseStatus) -> dict[str, Any]:
    reading, good = status.reading, status.last_good
    problem = status.problems[0] if status.problems else None
    return {
        "name": status.database.name,
        "label": status.database.label,
        "path": str(status.database.path),
        "status": status.status,
        "level": status.level,
        "badge": summaries.badge(status),
        "since": problem.since if problem else status.since,
        "cause": problem and problem.text,
        "remedy": problem and problem.remedy,
        "asks": any(one.needs_acknowledgement for one in status.problems),
        "notes": summaries.notes(status),
        "total_rows": reading.counted_rows,
        "total_complete": reading.total_complete,
        "change": status.change,
        "change_since": status.activity and status.activity.since,
        "hours": status.activity and status.activity.hours,
        "last_modified": reading.last_modified,
        "verified_at": reading.verified_at,
        "last_good_at": good and good.read_at,
        "last_good_rows": good and good.total_rows,
        "size_bytes": reading.size_bytes,
        "wal_bytes": reading.wal_bytes,
    }
