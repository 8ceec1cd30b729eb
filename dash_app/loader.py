"""Pandas frames for the faces: the newest snapshot, and trends from the history.

Counts stay integers to the last step: every column of numbers is `Int64` with `<NA>` for unknown.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from dash_app import words
from dash_app.history import query
from dash_app.history.query import Selection
from dash_app.history.window import Window

if TYPE_CHECKING:
    from pathlib import Path

    from dash_app.model import DatabaseStatus, Snapshot

TIME = "datetime64[us, UTC]"
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
COUNT_COLUMNS = {
    "database": "str",
    "table": "str",
    "rows": "Int64",
    "counted_at": TIME,
    "estimate": "str",
    "error": "str",
}


def status_frame(snapshot: Snapshot) -> pd.DataFrame:
    """Return one row a database, in configured order, with the columns of STATUS_COLUMNS.

    `badge` is the worst thing true of it: a status, or the kind of a finding; it began at `since`.
    `cause` and `remedy` are missing where nothing is amiss, `last_good_*` where there is none;
    `change` is by how many rows there are more than at `change_since`, and `hours` a tuple of rows
    written in each of 24 hours. `asks` is whether a person may acknowledge it, `notes` a list of
    further lines.
    """
    return _frame([_status_row(status) for status in snapshot.databases], STATUS_COLUMNS)


def counts_frame(snapshot: Snapshot) -> pd.DataFrame:
    """Return one row a table, with the columns of COUNT_COLUMNS.

    Within a database: unknown counts first, then rows descending, then name.
    """
    rows = [
        {
            "database": status.database.name,
            "table": table,
            "rows": count.rows,
            "counted_at": count.counted_at,
            "estimate": count.estimate,
            "error": count.error,
        }
        for status in snapshot.databases
        for table, count in status.reading.tables.items()
    ]
    return _frame(rows, COUNT_COLUMNS).sort_values(
        ["database", "rows", "table"], ascending=[True, False, True], na_position="first"
    )


def trend_frame(path: Path, reach: timedelta, points: int, every: timedelta) -> pd.DataFrame:
    """Return all rows of each database over time.

    Index: instants (TIME), oldest first, regular but for the latest. Columns: database names,
    `Int64`, `<NA>` where nobody watched. Raises sqlite3.Error.
    """
    now = datetime.now(UTC)
    window = Window.between(now - reach, now, points, every.total_seconds())
    window = window.to_its_end(now, RECENT_POINTS)
    found = query.series(path, Selection(metric="rows"), window)
    index = pd.to_datetime(window.instants, unit="s", utc=True)
    columns: dict[str, pd.Series[int]] = {}
    for series in found:
        values = pd.array([value for _, value in series.points], dtype="Int64")
        table = pd.Series(values, index=index)
        known = columns.get(series.database)
        columns[series.database] = table if known is None else known.add(table, fill_value=0)
    return pd.DataFrame(columns, index=index)


def with_present(trends: pd.DataFrame, snapshot: Snapshot) -> pd.DataFrame:
    """Return a trend frame that ends with what is true now, so that no face lags behind another."""
    totals = {
        status.database.name: status.reading.total_rows
        for status in snapshot.databases
        if status.database.name in trends.columns
    }
    present = _frame([totals], dict.fromkeys(totals, "Int64"))
    present.index = pd.DatetimeIndex([snapshot.taken_at])
    return pd.concat([trends, present])


def _frame(rows: list[dict[str, Any]], kinds: dict[str, str]) -> pd.DataFrame:
    """Return a frame of rows, each column made by itself: together, counts pass through floats."""
    columns = {
        name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in kinds.items()
    }
    return pd.DataFrame(columns)


def _status_row(status: DatabaseStatus) -> dict[str, Any]:
    reading, good = status.reading, status.last_good
    finding = status.findings[0] if status.findings and not status.fault else None
    return {
        "name": status.database.name,
        "label": status.database.label,
        "path": str(status.database.path),
        "status": status.status,
        "level": status.level,
        "badge": finding.kind if finding else status.status,
        "since": finding.since if finding else status.since,
        "cause": finding.text if finding else status.fault and status.fault.message,
        "remedy": finding.remedy if finding else status.fault and status.fault.remedy,
        "asks": any(one.asks for one in status.findings),
        "notes": words.notes(status),
        "total_rows": reading.total_rows,
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
