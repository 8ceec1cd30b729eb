"""The record in hours and days: the last, least and greatest value of each in which one changed.

Of a table, also all that was written into it up to the end. An hour or day without a change has no
row: what stood at its begin stood throughout. Each row is made anew from what it sums up, so that
it never contradicts it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

HOUR, DAY = 3_600, 86_400

_SUM_UP = """
    INSERT OR REPLACE INTO rollup
    WITH within AS (
        SELECT at, last, least, greatest, written FROM {finer}
        WHERE series = :series AND at >= :at AND at < :at + {span}
        UNION ALL
        SELECT at, last, last, last, written FROM (
            SELECT at, last, written FROM {finer} WHERE series = :series AND at <= :at
            ORDER BY at DESC LIMIT 1
        )
    )
    SELECT :series, {span}, :at, (SELECT last FROM within ORDER BY at DESC LIMIT 1),
        min(least), max(greatest), (SELECT written FROM within ORDER BY at DESC LIMIT 1)
    FROM within
"""
_HOURS = _SUM_UP.format(finer="minute", span=HOUR)
_DAYS = _SUM_UP.format(finer="hour", span=DAY)


def roll_up(connection: sqlite3.Connection, changed: Iterable[tuple[int, int]]) -> None:
    """Sum up the hours and days of some points, by series and time. Raises sqlite3.Error."""
    hours = set()
    for series, at in changed:
        # Where the clock was set back, the span of the next point begins with another value now.
        next_at = "SELECT min(at) FROM point WHERE series = ? AND at > ?"
        (after,) = connection.execute(next_at, (series, at)).fetchone()
        hours |= {(series, one // HOUR * HOUR) for one in (at, after) if one is not None}
    days = {(series, at // DAY * DAY) for series, at in hours}
    for sql, spans in ((_HOURS, hours), (_DAYS, days)):
        connection.executemany(sql, [{"series": series, "at": at} for series, at in spans])


def roll_up_all(connection: sqlite3.Connection) -> None:
    """Sum up every point that there is. Raises sqlite3.Error."""
    roll_up(connection, connection.execute("SELECT series, at FROM point").fetchall())
