"""Rollups: the last, least and greatest value of each hour and day in which a value changed.

For a table, also the sum of all rows written up to its end. An hour or day without a change has no
row, because the value at its start held throughout. Each row is computed from all points or hours
that it covers, so that it never contradicts them.
"""

import sqlite3
from collections.abc import Iterable

HOUR, DAY = 3_600, 86_400

_ROLL_UP = """
    INSERT OR REPLACE INTO rollup
    WITH within AS (
        SELECT at, last, least, greatest, written FROM {finer}
        WHERE series = :series AND at >= :at AND at < :at + {span}
        UNION ALL
        SELECT at, last, last, last, written FROM (
            SELECT at, last, written FROM {finer} WHERE series = :series AND at <= :at
            ORDER BY at DESC LIMIT 1
        )
    ), sums AS (
        SELECT min(least) AS least, max(greatest) AS greatest,
            (SELECT last FROM within ORDER BY at DESC LIMIT 1) AS last,
            (SELECT written FROM within ORDER BY at DESC LIMIT 1) AS written
        FROM within
    )
    SELECT :series, {span}, :at, {counts}, written, {numbers} FROM sums
"""
_COLUMNS = ("last", "least", "greatest")
_PLACES = {
    "counts": ", ".join(f"iif(typeof({name}) = 'real', NULL, {name})" for name in _COLUMNS),
    "numbers": ", ".join(f"iif(typeof({name}) = 'real', {name}, NULL)" for name in _COLUMNS),
}
"""Values of measures are real numbers, in columns of their own."""

_HOURS = _ROLL_UP.format(finer="minute", span=HOUR, **_PLACES)
_DAYS = _ROLL_UP.format(finer="hour", span=DAY, **_PLACES)


def roll_up(connection: sqlite3.Connection, changed: Iterable[tuple[int, int]]) -> None:
    """Compute the hours and days of points, given by series and time. Raise sqlite3.Error."""
    next_at = "SELECT min(at) FROM point WHERE series = ? AND at > ?"
    hours = set()
    for series, at in changed:
        # If the clock was set back, the hour of the next point now starts with another value.
        (after,) = connection.execute(next_at, (series, at)).fetchone()
        hours |= {(series, time // HOUR * HOUR) for time in (at, after) if time is not None}
    days = {(series, at // DAY * DAY) for series, at in hours}
    for sql, spans in ((_HOURS, hours), (_DAYS, days)):
        connection.executemany(sql, [{"series": series, "at": at} for series, at in spans])


def roll_up_all(connection: sqlite3.Connection) -> None:
    """Compute the hours and days of every point. Raise sqlite3.Error."""
    roll_up(connection, connection.execute("SELECT series, at FROM point").fetchall())
