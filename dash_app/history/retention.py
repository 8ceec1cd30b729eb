"""Keeps the history within its retention and its greatest size."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

POINTS_KEPT = timedelta(days=35)
"""Older than that, a chart shows hours or days, which stay for the whole retention."""

SPARE_PAGES = 16
"""Deleting may need some pages itself, of a file that has no more to give."""

EXTENT = """
    SELECT min((SELECT at FROM {view} WHERE series = id ORDER BY at LIMIT 1 OFFSET 1)),
        max((SELECT at FROM {view} WHERE series = id ORDER BY at DESC LIMIT 1))
    FROM series
"""
"""From when to when values lie that can be given up: of each series one older stands and stays."""


def prune(connection: sqlite3.Connection, now: datetime, retention: timedelta) -> None:
    """Drop what is older than its retention. Raises sqlite3.Error."""
    _forget_points(connection, int((now - min(retention, POINTS_KEPT)).timestamp()))
    _forget_the_rest(connection, int((now - retention).timestamp()))


def is_grown(connection: sqlite3.Connection) -> bool:
    """Return whether the file is near its greatest size: then it is not the disk that is full."""
    pages, most = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "max_page_count")
    )
    return bool(pages > 0.9 * most)


def limit(connection: sqlite3.Connection, max_bytes: int, *, spare: int = SPARE_PAGES) -> None:
    """Let the file grow to so many bytes but for some pages. Raises sqlite3.Error."""
    page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {max_bytes // page_bytes - spare}")


def make_room(connection: sqlite3.Connection, max_bytes: int, share: float) -> None:
    """Give up this share of the time of the points, and of their sums. Raises sqlite3.Error."""
    limit(connection, max_bytes, spare=0)
    try:
        with connection:
            for view, forget in (("minute", _forget_points), ("hour", _forget_the_rest)):
                oldest, newest = connection.execute(EXTENT.format(view=view)).fetchone()
                if oldest is not None:
                    forget(connection, int(oldest + (newest - oldest) * share) + 1)
    finally:
        limit(connection, max_bytes)


def _forget_points(connection: sqlite3.Connection, before: int) -> None:
    """Drop older points, but for the newest of each series: its value still stands then."""
    connection.execute(
        "DELETE FROM point WHERE at < :at AND EXISTS (SELECT 1 FROM point AS later WHERE"
        " later.series = point.series AND later.at > point.at AND later.at <= :at)",
        {"at": before},
    )


def _forget_the_rest(connection: sqlite3.Connection, before: int) -> None:
    connection.execute(
        "DELETE FROM rollup WHERE at < :at AND EXISTS (SELECT 1 FROM rollup AS later WHERE"
        " later.span = rollup.span AND later.series = rollup.series"
        " AND later.at > rollup.at AND later.at <= :at)",
        {"at": before},
    )
    connection.execute("DELETE FROM watched WHERE until < ?", (before,))
    connection.execute("DELETE FROM event WHERE unixepoch(at) < ?", (before,))
    connection.execute("DELETE FROM incident WHERE unixepoch(ended_at) < ?", (before,))
    connection.execute(
        "DELETE FROM message WHERE incident NOT IN (SELECT id FROM incident)"
        " OR (incident IS NULL AND unixepoch(made_at) < ?)",
        (before,),
    )
