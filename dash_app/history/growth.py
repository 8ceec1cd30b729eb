"""Reads when tables gained rows, and when anybody would have seen it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from dash_app.history.file import reading

GROWTH = """
    SELECT at FROM (
        SELECT at, written > lag(written) OVER (ORDER BY at) AS grew
        FROM point WHERE series = ? AND written IS NOT NULL
    ) WHERE grew AND at >= ?
"""
"""Each point of a table at which more had been written than at the one before it."""

Instants = list[datetime]
Spans = list[tuple[datetime, datetime]]


def grown(path: Path, database: str, since: datetime) -> Iterator[tuple[str, Instants]]:
    """Yield when each table of a database gained rows, oldest first, one table at a time.

    Raises sqlite3.Error.
    """
    sql = 'SELECT id, "table" FROM series WHERE database = ? AND "table" IS NOT NULL ORDER BY 2'
    with reading(path) as connection:
        for series, table in connection.execute(sql, (database,)):
            found = connection.execute(GROWTH, (series, since.timestamp()))
            yield table, [datetime.fromtimestamp(at, UTC) for (at,) in found]


def watched(path: Path, database: str, since: datetime) -> Spans:
    """Return the spans in which a database was watched, oldest first. Raises sqlite3.Error."""
    sql = """
        SELECT max(since, :since), until FROM watched
        WHERE database = :name AND until > :since ORDER BY watched.since
    """
    with reading(path) as connection:
        spans = connection.execute(sql, {"name": database, "since": int(since.timestamp())})
        return [
            (datetime.fromtimestamp(begin, UTC), datetime.fromtimestamp(end, UTC))
            for begin, end in spans.fetchall()
        ]
