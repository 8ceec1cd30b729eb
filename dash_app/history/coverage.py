"""Find when databases were watched, and when their tables gained rows."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from pathlib import Path

from dash_app.history.file import open_read_only
from dash_app.model.quiet_hours import TimeRange
from dash_app.model.reading import Reading

Span = tuple[int, int]
"""A start and an end, in seconds since 1970."""

LONG_GAP_SECONDS = 3600
"""A longer time without watching may have hidden a fault."""

WATCHED = """
    SELECT max(since, :since), until FROM watched
    WHERE database = :database AND until > :since AND since <= :until ORDER BY watched.since
"""
GROWTH = """
    SELECT at FROM (
        SELECT at, written > lag(written) OVER (ORDER BY at) AS grew
        FROM point WHERE series = ? AND written IS NOT NULL
    ) WHERE grew AND at >= ?
"""
"""Times of the points of a table at which more rows had been written than at the previous point."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the history contains about one database."""

    watched: tuple[TimeRange, ...] = ()
    """When it was watched, oldest first."""

    written: Mapping[str, datetime] = field(default_factory=dict)
    """The last write to each table that was seen to gain rows."""

    last: Reading | None = None
    """The last reading with tables."""


def find_coverage(path: Path, database: str, last: Reading | None, now: datetime) -> Coverage:
    """Return the coverage of a database until now, whose last reading is given.

    What is stored with a later time is from before the clock was set back. Raise sqlite3.Error.
    """
    until = int(now.timestamp())
    with open_read_only(path) as connection:
        found = spans(connection, database, until=until)
        watched = tuple((_time(start), _time(end)) for start, end in found)
        written = last_writes(connection, database, until)
    return Coverage(watched, {table: _time(at) for table, at in written.items()}, last)


def find_watched(path: Path, database: str, since: datetime) -> list[TimeRange]:
    """Return the ranges in which a database was watched, from a time on. Raise sqlite3.Error."""
    with open_read_only(path) as connection:
        found = spans(connection, database, int(since.timestamp()))
        return [(_time(start), _time(end)) for start, end in found]


def find_growth(path: Path, database: str, since: datetime) -> Iterator[tuple[str, list[datetime]]]:
    """Yield each table of a database and the times at which it gained rows, oldest first.

    Raise sqlite3.Error.
    """
    sql = """SELECT id, "table" FROM series WHERE database = ? AND metric = 'rows' ORDER BY 2"""
    with open_read_only(path) as connection:
        for series, table in connection.execute(sql, (database,)):
            times = connection.execute(GROWTH, (series, since.timestamp()))
            yield table, [_time(at) for (at,) in times]


def first_watched(path: Path) -> dict[str, int]:
    """Return the first time at which each database was watched. Raise sqlite3.Error."""
    sql = "SELECT database, min(since) FROM watched GROUP BY database"
    with open_read_only(path) as connection:
        return dict(connection.execute(sql))


def last_watched(path: Path) -> int | None:
    """Return the last time at which any database was watched. Raise sqlite3.Error."""
    with open_read_only(path) as connection:
        at: int | None = connection.execute("SELECT max(until) FROM watched").fetchone()[0]
        return at


def undisturbed_since(path: Path, databases: Iterable[str], now: datetime) -> datetime | None:
    """Return since when databases have been watched until now without a long gap or a fault.

    It is None if one of them was never watched. Open incidents do not count. Raise sqlite3.Error.
    """
    sql = """
        SELECT max(iif(level = 'fault', ended_at, fault_until)) FROM incident
        WHERE databases <> '[]'
    """
    with open_read_only(path) as connection:
        (ended_at,) = connection.execute(sql).fetchone()
        until = int(now.timestamp())
        watched = [spans(connection, database, until=until) for database in databases]
    if not all(watched):
        return None
    starts = [
        _time(end)
        for own in watched
        for start, end in [(0, own[0][0]), *gaps_between(own)]
        if end - start > LONG_GAP_SECONDS
    ]
    ends = [datetime.fromisoformat(ended_at)] if ended_at else []
    return min(max([*starts, *ends]), now) if starts or ends else None


def spans(
    connection: sqlite3.Connection, database: str, since: int = 0, until: float = inf
) -> list[Span]:
    """Return the spans in which a database was watched and that began in a time, oldest first."""
    facts = {"database": database, "since": since, "until": until}
    return connection.execute(WATCHED, facts).fetchall()


def gaps_between(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield the spans between spans, which are ordered by their start and may overlap."""
    reached: int | None = None
    for start, end in spans:
        if reached is not None and reached < start:
            yield reached, start
        reached = max(end, reached or end)


def last_writes(connection: sqlite3.Connection, database: str, until: int) -> dict[str, int]:
    """Return the last write until a time to each table that was seen to gain rows.

    It is the time at which the sum of written rows reached its present value.
    """
    sql = """
        SELECT "table", min(at) FROM series JOIN point ON series = id
        WHERE database = :database AND written > 0 AND written = (
            SELECT written FROM point WHERE series = id AND at <= :until ORDER BY at DESC LIMIT 1
        ) GROUP BY id
    """
    return dict(connection.execute(sql, {"database": database, "until": until}))


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
