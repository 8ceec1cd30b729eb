"""Prometheus exposition of the newest snapshot, and of how we are ourselves.

What is not known is left out, never 0. Nothing here opens a watched file.
"""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, get_args

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from dash_app import VERSION
from dash_app.model import Level, Status
from dash_app.selfcheck import memory_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from prometheus_client.metrics_core import Metric

    from dash_app.model import DatabaseStatus, Snapshot, TableCount
    from dash_app.sampler import Sampler
    from dash_app.settings import Settings
    from dash_app.surroundings import Disk

PREFIX = "mission_control"
MOST_CHARACTERS = 200
"""A longer name, and one that no UTF-8 can hold, is told apart by a part of its hash."""


class Gauge(NamedTuple):
    """One number of each database: its name, what it says, and how it is found."""

    name: str
    help: str
    value: Callable[[DatabaseStatus], float | None]


def create_metrics(settings: Settings, sampler: Sampler) -> Blueprint:
    """Return the route `/metrics`, with a registry of its own."""
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(sampler, settings.metrics.max_tables))
    ProcessCollector(registry=registry)
    blueprint = Blueprint("metrics", __name__)

    @blueprint.get("/metrics")
    def metrics() -> Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(registry), content_type=content_type)

    return blueprint


class SnapshotCollector(Collector):
    """The newest snapshot and the sampler's own numbers as metrics, made for each scrape."""

    def __init__(self, sampler: Sampler, max_tables: int) -> None:
        """Take the sampler, and how many tables of one database are named at most."""
        self._sampler = sampler
        self._max_tables = max_tables

    def collect(self) -> Iterator[Metric]:
        """Return what is known now."""
        yield from _service(self._sampler)
        snapshot = self._sampler.snapshot
        if snapshot is not None:
            yield from _snapshot(snapshot)
            yield from _databases(snapshot.databases)
            yield from _tables(snapshot.databases, self._max_tables)


def label(name: str) -> str:
    """Return a name as a label: itself, or where that cannot be, a part of it and of its hash."""
    plain = name.encode("utf-8", "backslashreplace").decode()
    if plain == name and len(name) <= MOST_CHARACTERS:
        return name
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{plain[:MOST_CHARACTERS]}…{digest[:12]}"


def _service(sampler: Sampler) -> Iterator[Metric]:
    check = sampler.selfcheck
    yield InfoMetricFamily(f"{PREFIX}_build", "What runs.", {"version": VERSION})
    yield SummaryMetricFamily(
        f"{PREFIX}_tick_duration_seconds",
        "How long all databases took to be read, over all ticks.",
        count_value=check.ticks,
        sum_value=check.ticks_seconds,
    )
    missed = "Ticks left out because the one before took too long."
    yield CounterMetricFamily(f"{PREFIX}_ticks_missed", missed, check.ticks_missed)
    yield _gauge(
        "promise_kept",
        "Whether a promise to those who write the databases is kept.",
        (({"promise": one.name}, float(one.kept)) for one in check.promises()),
    )
    readers = [size for pid in check.pids if (size := memory_bytes(pid)) is not None]
    yield _gauge(
        "memory_bytes",
        "Our share of the memory, with what is shared counted in parts (Pss).",
        (
            ({"process": "service"}, memory_bytes("self")),
            ({"process": "readers"}, sum(readers) if readers else None),
        ),
    )


def _snapshot(snapshot: Snapshot) -> Iterator[Metric]:
    taken = "When the databases were last looked at."
    yield _gauge("snapshot_timestamp_seconds", taken, [({}, _seconds(snapshot.taken_at))])
    free = "What may still be written on the disk of our own history."
    yield _gauge("history_disk_free_bytes", free, [({}, _free_bytes(snapshot.history_disk))])


def _databases(databases: Iterable[DatabaseStatus]) -> Iterator[Metric]:
    for gauge in GAUGES:
        samples = (({"database": one.database.name}, gauge.value(one)) for one in databases)
        yield _gauge(f"database_{gauge.name}", gauge.help, samples)
    yield _gauge(
        "database_status",
        "1 for the status that a database has, 0 for the others.",
        _one_hot(databases, "status", get_args(Status), lambda one: one.status),
    )
    yield _gauge(
        "database_level",
        "1 for how much a database needs a person, 0 for the other levels.",
        _one_hot(databases, "level", get_args(Level), lambda one: one.level),
    )
    yield _gauge(
        "database_error",
        "1 for the code of what keeps a database from being read; absent where nothing does.",
        (
            ({"database": one.database.name, "code": one.fault.code}, 1.0)
            for one in databases
            if one.fault
        ),
    )
    yield _gauge(
        "database_findings",
        "How many rules of a kind do not hold now; absent where all hold.",
        (
            ({"database": one.database.name, "kind": kind, "level": level}, float(count))
            for one in databases
            for (kind, level), count in Counter((f.kind, f.level) for f in one.findings).items()
        ),
    )


def _tables(databases: Iterable[DatabaseStatus], most: int) -> Iterator[Metric]:
    """Return the rows of each table: by name, so that the same ones are named each time."""
    named = [
        ({"database": one.database.name, "table": label(table)}, one.reading.tables[table])
        for one in databases
        for table in sorted(one.reading.tables)[:most]
    ]
    for name, text, value in TABLE_GAUGES:
        yield _gauge(name, text, ((labels, value(count)) for labels, count in named))
    yield _gauge(
        "tables_left_out",
        "Tables that are not named here, because a database has more than max_tables.",
        (
            ({"database": one.database.name}, float(max(0, len(one.reading.tables) - most)))
            for one in databases
        ),
    )


def _gauge(
    name: str, text: str, samples: Iterable[tuple[Mapping[str, str], float | None]]
) -> GaugeMetricFamily:
    """Return a gauge with all of its samples that are known."""
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text)
    for labels, value in samples:
        if value is not None:
            family.add_sample(family.name, dict(labels), value)
    return family


def _one_hot(
    databases: Iterable[DatabaseStatus],
    name: str,
    states: Iterable[str],
    state_of: Callable[[DatabaseStatus], str],
) -> Iterator[tuple[Mapping[str, str], float]]:
    for one in databases:
        for state in states:
            yield {"database": one.database.name, name: state}, float(state == state_of(one))


def _seconds(time: datetime | None) -> float | None:
    return time.timestamp() if time else None


def _free_bytes(disk: Disk | None) -> float | None:
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
    Gauge("rows", "Rows of all tables whose count is known.", lambda one: one.reading.total_rows),
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
        lambda one: _free_bytes(_disk(one)),
    ),
    Gauge(
        "disk_size_bytes",
        "The size of the database's disk.",
        lambda one: disk.total_bytes if (disk := _disk(one)) else None,
    ),
    Gauge(
        "last_write_timestamp_seconds",
        "The latest write to main file, log or journal.",
        lambda one: _seconds(one.reading.last_modified),
    ),
    Gauge(
        "last_read_timestamp_seconds",
        "When the file was last opened to be read.",
        lambda one: _seconds(one.reading.read_at),
    ),
    Gauge(
        "verified_timestamp_seconds",
        "When the file was last seen as it was read.",
        lambda one: _seconds(one.reading.verified_at),
    ),
    Gauge(
        "status_since_timestamp_seconds", "When its status began.", lambda one: _seconds(one.since)
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
        lambda count: _seconds(count.counted_at) if count.rows is not None else None,
    ),
)
