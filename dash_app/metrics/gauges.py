"""Which numbers of each database, and of each of its tables, are told, and how they are found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from dash_app.model.host_facts import Disk
from dash_app.model.reading import TableCount
from dash_app.model.snapshot import DatabaseStatus


class Gauge(NamedTuple):
    """One number of each database: its name, what it says, and how it is found."""

    name: str
    help: str
    value: Callable[[DatabaseStatus], float | None]


def seconds(time: datetime | None) -> float | None:
    """Return a time in seconds since 1970."""
    return time.timestamp() if time else None


def free_bytes(disk: Disk | None) -> float | None:
    """Return what may still be written on a disk."""
    return disk.free_bytes if disk else None


def _disk(one: DatabaseStatus) -> Disk | None:
    return one.reading.surroundings.disk


def _tables_uncounted(one: DatabaseStatus) -> float | None:
    if one.reading.code is not None:
        return None
    return sum(not count.is_known for count in one.reading.tables.values())


def _at_most(count: TableCount) -> float | None:
    return count.rows if count.estimate == "at_most" else None


GAUGES = (
    Gauge("rows", "Rows of all tables whose count is known.", lambda one: one.reading.counted_rows),
    Gauge("tables_uncounted", "Tables whose count is not known.", _tables_uncounted),
    Gauge("size_bytes", "Size of the main file.", lambda one: one.reading.size_bytes),
    Gauge("wal_bytes", "Size of the write-ahead log.", lambda one: one.reading.wal_bytes),
    Gauge(
        "wal_backlog_bytes",
        "The part of the log that is not yet checkpointed.",
        lambda one: one.reading.surroundings.backlog_bytes,
    ),
    Gauge(
        "freelist_bytes",
        "What the main file holds and does not use.",
        lambda one: one.reading.free_bytes,
    ),
    Gauge(
        "disk_free_bytes",
        "What an ordinary user may still write on the database's disk.",
        lambda one: free_bytes(_disk(one)),
    ),
    Gauge(
        "disk_size_bytes",
        "The size of the database's disk.",
        lambda one: disk.total_bytes if (disk := _disk(one)) else None,
    ),
    Gauge(
        "last_write_timestamp_seconds",
        "The latest write to main file, log or journal.",
        lambda one: seconds(one.reading.last_modified),
    ),
    Gauge(
        "last_read_timestamp_seconds",
        "When the file was last opened to be read.",
        lambda one: seconds(one.reading.read_at),
    ),
    Gauge(
        "verified_timestamp_seconds",
        "When the file was last seen as it was read.",
        lambda one: seconds(one.reading.verified_at),
    ),
    Gauge(
        "status_since_timestamp_seconds", "When its status began.", lambda one: seconds(one.since)
    ),
)

TABLE_GAUGES: tuple[tuple[str, str, Callable[[TableCount], float | None]], ...] = (
    (
        "table_rows",
        "Rows of a table, counted or estimated; absent where neither is to be had.",
        lambda count: count.rows if count.is_known else None,
    ),
    (
        "table_rows_estimated",
        "Whether the number of rows is an estimate.",
        lambda count: float(not count.is_exact) if count.is_known else None,
    ),
    (
        "table_rows_at_most",
        "How many rows a table may have at most, until it was counted once.",
        _at_most,
    ),
    (
        "table_counted_timestamp_seconds",
        "When the rows of a table were last counted.",
        lambda count: seconds(count.counted_at) if count.rows is not None else None,
    ),
)
