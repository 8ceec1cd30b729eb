"""The newest snapshot, and how we are ourselves, as Prometheus reads it.

What is not known is left out, never 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from dash_app import VERSION
from dash_app.metrics.gauges import GAUGES, TABLE_GAUGES, free_bytes, seconds
from dash_app.model.expectation import State
from dash_app.model.level import Level
from dash_app.model.self_check import SelfReport
from dash_app.model.snapshot import DatabaseStatus, NewestSnapshot, Snapshot, Status
from dash_app.system.processes import memory_bytes

PREFIX = "mission_control"
MAX_CHARACTERS = 200
"""A longer name, and one that no UTF-8 can hold, is told apart by a part of its hash."""


class Exposition:
    """All metrics, in a registry of their own."""

    def __init__(self, newest: NewestSnapshot, max_tables: int) -> None:
        """Take the sampler, and how many tables of one database are named at most."""
        self._registry = CollectorRegistry()
        self._registry.register(SnapshotCollector(newest, max_tables))
        ProcessCollector(registry=self._registry)

    def written(self, accepted: str) -> tuple[bytes, str]:
        """Return them in the format that a client accepts, and what that is called."""
        try:
            encode, content_type = choose_encoder(accepted)
        except (ArithmeticError, LookupError, TypeError, ValueError):  # of a version that is none
            encode, content_type = choose_encoder("")
        return encode(self._registry), content_type


class SnapshotCollector(Collector):
    """The newest snapshot and the sampler's own numbers as metrics, made for each scrape."""

    def __init__(self, newest: NewestSnapshot, max_tables: int) -> None:
        """Take the sampler, and how many tables of one database are named at most."""
        self._newest = newest
        self._max_tables = max_tables

    def collect(self) -> Iterator[Metric]:
        """Return what is known now."""
        snapshot = self._newest()
        yield from _service(snapshot.self_report if snapshot else SelfReport())
        if snapshot is not None:
            yield from _snapshot(snapshot)
            yield from _databases(snapshot.databases)
            yield from _tables(snapshot.databases, self._max_tables)
            yield from _expectations(snapshot.databases)


def label(name: str) -> str:
    """Return a name as a label: itself, or where that cannot be, a part of it and of its hash."""
    plain = name.encode("utf-8", "backslashreplace").decode()
    if plain == name and len(name) <= MAX_CHARACTERS:
        return name
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{plain[:MAX_CHARACTERS]}…{digest[:12]}"


def _service(report: SelfReport) -> Iterator[Metric]:
    yield InfoMetricFamily(f"{PREFIX}_build", "What runs.", {"version": VERSION})
    yield SummaryMetricFamily(
        f"{PREFIX}_tick_duration_seconds",
        "How long all databases took to be read, over all ticks.",
        count_value=report.ticks,
        sum_value=report.ticks_seconds,
    )
    missed = "Ticks left out because the one before took too long."
    yield CounterMetricFamily(f"{PREFIX}_ticks_missed", missed, report.ticks_missed)
    yield _gauge(
        "promise_kept",
        "Whether a promise to those who write the databases is kept.",
        (({"promise": promise.name}, float(promise.is_kept)) for promise in report.promises),
    )
    readers = [size for pid in report.reader_pids if (size := memory_bytes(pid)) is not None]
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
    yield _gauge("snapshot_timestamp_seconds", taken, [({}, seconds(snapshot.taken_at))])
    free = "What may still be written on the disk of our own history."
    yield _gauge("history_disk_free_bytes", free, [({}, free_bytes(snapshot.history_disk))])


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
            ({"database": one.database.name, "code": one.reading.code}, 1.0)
            for one in databases
            if one.reading.code
        ),
    )
    yield _gauge(
        "database_findings",
        "How many rules of a kind do not hold now; absent where all hold.",
        (
            ({"database": one.database.name, "kind": kind, "level": level}, float(count))
            for one in databases
            for (kind, level), count in _findings(one).items()
        ),
    )


def _findings(status: DatabaseStatus) -> Counter[tuple[str, Level]]:
    """Count the problems besides the error, by code and level."""
    code = status.reading.code
    return Counter((one.code, one.level) for one in status.problems if one.code != code)


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


def _expectations(databases: Iterable[DatabaseStatus]) -> Iterator[Metric]:
    """Return how all stands of which something is expected; a file is the one without a table."""
    standings = [
        ({"database": one.database.name, "table": label(table or "")}, standing)
        for one in databases
        if one.watch
        for table, standing in one.watch.states.items()
    ]
    yield _gauge(
        "expectation_state",
        "1 for how a table, or a file where none is named, stands to what is expected of it.",
        (
            (labels | {"state": state}, float(state == standing.state))
            for labels, standing in standings
            for state in get_args(State)
        ),
    )
    yield _gauge(
        "expectation_due_timestamp_seconds",
        "By when the next write is expected, or was.",
        ((labels, seconds(standing.due_at)) for labels, standing in standings),
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
