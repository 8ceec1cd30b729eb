"""The numbers of each database and table: name, help text, and how to get the value."""

from collections.abc import Callable
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from dash_app.model.host_facts import Disk
from dash_app.model.integrity import Integrity
from dash_app.model.reading import TableCount
from dash_app.model.snapshot import DatabaseStatus

Subject = TypeVar("Subject")


class Gauge(NamedTuple, Generic[Subject]):
    """A number of a database or table. A value of None has no sample."""

    name: str
    help: str
    value: Callable[[Subject], float | None]


def seconds(time: datetime | None) -> float | None:
    """Return a time in seconds since 1970."""
    return time.timestamp() if time else None


def free_bytes(disk: Disk | None) -> float | None:
    """Return the free space of a disk."""
    return disk.free_bytes if disk else None


def damaged_pages(integrity: Integrity | None) -> float | None:
    """Return the number of damaged pages; None if there was no check of all tables yet."""
    if integrity is None or not (integrity.checked_at or integrity.damage):
        return None
    return sum(damage.pages for damage in integrity.damage)


GAUGES: tuple[Gauge[DatabaseStatus], ...] = (
    Gauge("rows", "Rows of all tables with a known count.", lambda s: s.reading.counted_rows),
    Gauge(
        "tables_uncounted",
        "Number of tables without a known count.",
        lambda s: None if s.reading.code else len(s.reading.unknown_tables),
    ),
    Gauge("size_bytes", "Size of the main file.", lambda s: s.reading.size_bytes),
    Gauge("wal_bytes", "Size of the WAL.", lambda s: s.reading.wal_bytes),
    Gauge(
        "wal_backlog_bytes",
        "The part of the WAL that is not yet checkpointed.",
        lambda s: s.reading.surroundings.backlog_bytes,
    ),
    Gauge(
        "freelist_bytes",
        "Unused space within the main file.",
        lambda s: s.reading.free_bytes,
    ),
    Gauge(
        "disk_free_bytes",
        "Space that ordinary users may still write on the database's disk.",
        lambda s: free_bytes(s.reading.surroundings.disk),
    ),
    Gauge(
        "disk_size_bytes",
        "Size of the database's disk.",
        lambda s: disk.total_bytes if (disk := s.reading.surroundings.disk) else None,
    ),
    Gauge(
        "last_write_timestamp_seconds",
        "The last write to main file, WAL or journal.",
        lambda s: seconds(s.reading.last_modified),
    ),
    Gauge(
        "last_read_timestamp_seconds",
        "When the file was last opened.",
        lambda s: seconds(s.reading.read_at),
    ),
    Gauge(
        "verified_timestamp_seconds",
        "When the file was last found unchanged since it was opened.",
        lambda s: seconds(s.reading.verified_at),
    ),
    Gauge(
        "integrity_checked_timestamp_seconds",
        "When the last page check of all tables ended.",
        lambda s: seconds(s.integrity.checked_at) if s.integrity else None,
    ),
    Gauge(
        "integrity_checked_share",
        "The checked share of the present page check, from 0 to 1.",
        lambda s: s.integrity.checked_share if s.integrity else None,
    ),
    Gauge(
        "damaged_pages",
        "Damaged pages found and not refuted by a later check; no sample if never checked.",
        lambda s: damaged_pages(s.integrity),
    ),
    Gauge("status_since_timestamp_seconds", "When its status began.", lambda s: seconds(s.since)),
)

TABLE_GAUGES: tuple[Gauge[TableCount], ...] = (
    Gauge(
        "table_rows",
        "Rows of a table, counted or estimated; no sample if unknown.",
        lambda count: count.rows if count.is_known else None,
    ),
    Gauge(
        "table_rows_estimated",
        "Whether the number of rows is an estimate.",
        lambda count: float(not count.is_exact) if count.is_known else None,
    ),
    Gauge(
        "table_rows_at_most",
        "Upper bound for the rows of a table that was never counted.",
        lambda count: count.rows if count.estimate == "at_most" else None,
    ),
    Gauge(
        "table_counted_timestamp_seconds",
        "When the rows of a table were last counted.",
        lambda count: seconds(count.counted_at) if count.rows is not None else None,
    ),
)
