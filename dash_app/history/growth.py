"""Reads when tables gained rows, and when anybody would have seen it."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dash_app.history.file import reading

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GROWTH = """
    SELECT database, "table", at FROM (
        SELECT series, at, written > lag(written) OVER (PARTITION BY series ORDER BY at) AS grew
        FROM point WHERE written IS NOT NULL
    ) JOIN series ON series = id WHERE grew AND at >= :since ORDER BY at
"""
"""Each point of a table at which more had been written than at the one before it."""

Instants = dict[str, list[datetime]]
Spans = list[tuple[datetime, datetime]]


def grown(path: Path, since: datetime) -> Mapping[str, Instants]:
    """Return when each table gained rows, by database and table, oldest first.

    Raises sqlite3.Error.
    """
    found: dict[str, Instants] = defaultdict(lambda: defaultdict(list))
    with reading(path) as connection:
        known = 'SELECT database, "table" FROM series WHERE "table" IS NOT NULL ORDER BY 1, 2'
        for database, table in connection.execute(known):
            found[database][table] = []
        for database, table, at in connection.execute(GROWTH, {"since": since.timestamp()}):
            found[database][table].append(datetime.fromtimestamp(at, UTC))
    return found


def watched(path: Path, since: datetime) -> Mapping[str, Spans]:
    """Return the spans in which each database was watched, oldest first. Raises sqlite3.Error."""
    sql = "SELECT database, max(since, :since), until FROM watched WHERE until > :since ORDER BY 2"
    found: dict[str, Spans] = defaultdict(list)
    with reading(path) as connection:
        for database, *span in connection.execute(sql, {"since": int(since.timestamp())}):
            begin, end = (datetime.fromtimestamp(at, UTC) for at in span)
            found[database].append((begin, end))
    return found
