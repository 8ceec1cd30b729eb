"""Keep the history within its retention and its maximum size."""

import sqlite3
from datetime import datetime, timedelta

from dash_app.history.rollups import DAY, HOUR

MAX_POINT_AGE = timedelta(days=35)
"""A chart of earlier times shows hours or days, which stay for the whole retention."""

MAX_OPENER_AGE = timedelta(days=30)
MAX_OPENERS = 5000
"""Maximum age and, per database, maximum number of openers: 700 kB, one every 9 min in 30 days."""

SPARE_PAGES = 16
"""Pages below the limit: deleting needs some itself, in a file that may not grow any further."""

PRUNABLE = """
    SELECT min((SELECT at FROM {view} WHERE series = id ORDER BY at LIMIT 1 OFFSET 1)),
        max((SELECT at FROM {view} WHERE series = id ORDER BY at DESC LIMIT 1))
    FROM series
"""
"""The time range that may be pruned: each series keeps one older point, whose value still holds."""


def prune(connection: sqlite3.Connection, now: datetime, retention: timedelta) -> None:
    """Delete everything older than the retention. Raise sqlite3.Error."""
    _delete_points(connection, int((now - min(retention, MAX_POINT_AGE)).timestamp()))
    _delete_the_rest(connection, int((now - retention).timestamp()))
    _delete_labels(connection, int((now - retention).timestamp()))
    connection.execute(
        "DELETE FROM opener WHERE until < :at OR (database, since, pid) IN ("
        " SELECT database, since, pid FROM (SELECT *, row_number() OVER"
        " (PARTITION BY database ORDER BY until DESC) AS place FROM opener WHERE database IN"
        " (SELECT database FROM opener GROUP BY database HAVING count(*) > :max))"
        " WHERE place > :max)",
        {"at": int((now - MAX_OPENER_AGE).timestamp()), "max": MAX_OPENERS},
    )
    for table in ("integrity", "answer"):
        connection.execute(
            f"DELETE FROM {table} WHERE database NOT IN (SELECT database FROM watched)"  # noqa: S608
        )


def is_nearly_full(connection: sqlite3.Connection) -> bool:
    """Whether the file is near its maximum size; if not, the disk is full."""
    pages, limit = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "max_page_count")
    )
    return bool(pages > 0.9 * limit)


def limit_size(connection: sqlite3.Connection, max_bytes: int, *, spare: int = SPARE_PAGES) -> None:
    """Limit the size of the file, except for some spare pages. Raise sqlite3.Error."""
    page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {max_bytes // page_bytes - spare}")


def make_room(connection: sqlite3.Connection, max_bytes: int, share: float) -> None:
    """Delete the oldest `share` of the time of points and rollups. Raise sqlite3.Error."""
    limit_size(connection, max_bytes, spare=0)
    try:
        with connection:
            for view, delete in (("minute", _delete_points), ("hour", _delete_the_rest)):
                oldest, newest = connection.execute(PRUNABLE.format(view=view)).fetchone()
                if oldest is not None:
                    delete(connection, int(oldest + (newest - oldest) * share) + 1)
    finally:
        limit_size(connection, max_bytes)


def _delete_points(connection: sqlite3.Connection, before: int) -> None:
    """Delete older points, except the newest of each series, whose value still holds."""
    connection.execute(
        "DELETE FROM point WHERE at < :at AND EXISTS (SELECT 1 FROM point AS later WHERE"
        " later.series = point.series AND later.at > point.at AND later.at <= :at)",
        {"at": before},
    )


def _delete_the_rest(connection: sqlite3.Connection, before: int) -> None:
    """Delete older rollups in the same way, and spans, events, incidents and notifications."""
    connection.execute(
        "DELETE FROM rollup WHERE at < :at AND EXISTS (SELECT 1 FROM rollup AS later WHERE"
        " later.span = rollup.span AND later.series = rollup.series"
        " AND later.at > rollup.at AND later.at <= :at)",
        {"at": before},
    )
    connection.execute("DELETE FROM watched WHERE until < ?", (before,))
    connection.execute("DELETE FROM opener WHERE until < ?", (before,))
    connection.execute("DELETE FROM event WHERE unixepoch(at) < ?", (before,))
    connection.execute("DELETE FROM incident WHERE unixepoch(ended_at) < ?", (before,))
    connection.execute(
        "DELETE FROM message WHERE incident NOT IN (SELECT id FROM incident)"
        " OR (incident IS NULL AND unixepoch(made_at) < ?)",
        (before,),
    )


def _delete_labels(connection: sqlite3.Connection, before: int) -> None:
    """Delete the labels of measures that have had no value since a time, to make room for others.

    Their newest point, which no other deletion touches, says that the value is unknown.
    """
    gone = connection.execute(
        "SELECT id FROM series WHERE label IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM point WHERE series = id AND (at >= ? OR number IS NOT NULL))",
        (before,),
    ).fetchall()
    for sql in (
        "DELETE FROM point WHERE series = ?",
        f"DELETE FROM rollup WHERE span IN ({HOUR}, {DAY}) AND series = ?",  # noqa: S608
        "DELETE FROM series WHERE id = ?",
    ):
        connection.executemany(sql, gone)
