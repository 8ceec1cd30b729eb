"""What the history knows of a database: when it was watched, and when its tables were written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from dash_app.history.file import reading
from dash_app.history.series import last_changes
from dash_app.model.quiet_hours import TimeRange
from dash_app.model.reading import Reading


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of one database.

    `watched` is when it was watched, in order; `written` when rows were last written into each
    table that was seen to grow; `last` the last reading with tables.
    """

    watched: tuple[TimeRange, ...] = ()
    written: Mapping[str, datetime] = field(default_factory=dict)
    last: Reading | None = None


def past_of(path: Path, database: str, last: Reading | None) -> Past:
    """Return what is known of a database whose last reading is this one. Raises sqlite3.Error."""
    sql = "SELECT since, until FROM watched WHERE database = ? ORDER BY since"
    with reading(path) as connection:
        spans = connection.execute(sql, (database,)).fetchall()
    watched = tuple((_time(since), _time(until)) for since, until in spans)
    written = {str(table): _time(at) for table, at in last_changes(path, database).items()}
    return Past(watched, written, last)


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
