"""The newest snapshot and the self-check as Prometheus metrics.

An unknown value has no sample; it is never 0.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
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
from dash_app.model.integrity import IntegrityState
from dash_app.model.problem import Level
from dash_app.model.self_check import SelfReport
from dash_app.model.snapshot import DatabaseStatus, NewestSnapshot, Status
from dash_app.system.processes import memory_bytes

PREFIX = "mission_control"
MAX_LABEL_CHARACTERS = 200


class Exposition(Collector):
    """All metrics, made at each scrape, in a registry of their own."""

    def __init__(self, newest: NewestSnapshot, max_tables: int) -> None:
        """Export at most `max_tables` tables per database."""
        self._newest = newest
        self._max_tables = max_tables
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def encode(self, accepted: str) -> tuple[bytes, str]:
        """Return all metrics in the format of an Accept header, and their content type."""
        try:
            encode, content_type = choose_encoder(accepted)
        except (ArithmeticError, LookupError, TypeError, ValueError):  # a malformed version
            encode, content_type = choose_encoder("")
        return encode(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; before the first snapshot, only those of the service."""
        snapshot = self._newest()
        yield from _service(snapshot.self_report if snapshot else SelfReport())
        if snapshot is not None:
            taken = "When the newest snapshot was taken."
            yield _gauge("snapshot_timestamp_seconds", taken, [({}, seconds(snapshot.taken_at))])
            free = "Space that ordinary users may still write on the history's disk."
            yield _gauge("history_disk_free_bytes", free, [({}, free_bytes(snapshot.history_disk))])
            yield from _databases(snapshot.databases)
            yield from _tables(snapshot.databases, self._max_tables)
            yield from _page_checks(snapshot.databases, self._max_tables)
            yield from _expectations(snapshot.databases)
            yield from _measures(snapshot.databases)


def label(name: str) -> str:
    """Return the name of a table as a label.

    Names that are too long or not valid UTF-8 are shortened, and a part of their hash keeps them
    apart.
    """
    plain = name.encode("utf-8", "backslashreplace").decode()
    if plain == name and len(name) <= MAX_LABEL_CHARACTERS:
        return name
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{plain[:MAX_LABEL_CHARACTERS]}…{digest[:12]}"


def _service(report: SelfReport) -> Iterator[Metric]:
    yield InfoMetricFamily(f"{PREFIX}_build", "The running version.", {"version": VERSION})
    yield SummaryMetricFamily(
        f"{PREFIX}_tick_duration_seconds",
        "Time to read all databases, over all ticks.",
        count_value=report.ticks,
        sum_value=report.ticks_seconds,
    )
    missed = "Ticks skipped because the previous one took too long."
    yield CounterMetricFamily(f"{PREFIX}_ticks_missed", missed, report.ticks_missed)
    yield _gauge(
        "promise_kept",
        "Whether a promise to the programs that write the databases is kept.",
        (({"promise": promise.name}, float(promise.is_kept)) for promise in report.promises),
    )
    readers = [size for pid in report.reader_pids if (size := memory_bytes(pid)) is not None]
    yield _gauge(
        "memory_bytes",
        "Memory of our processes (proportional set size).",
        (
            ({"process": "service"}, memory_bytes("self")),
            ({"process": "readers"}, sum(readers) if readers else None),
        ),
    )


def _databases(databases: Iterable[DatabaseStatus]) -> Iterator[Metric]:
    for gauge in GAUGES:
        samples = ((_labels(status), gauge.value(status)) for status in databases)
        yield _gauge(f"database_{gauge.name}", gauge.help, samples)
    statuses = [(_labels(s), s.status) for s in databases]
    levels = [(_labels(s), s.level) for s in databases]
    yield _one_hot("database_status", "the status of a database", statuses, "status", Status)
    yield _one_hot("database_level", "the level of a database", levels, "level", Level)
    yield _gauge(
        "database_error",
        "1 for the code of the error that keeps a database from being read.",
        (
            (_labels(status) | {"code": status.reading.code}, 1.0)
            for status in databases
            if status.reading.code
        ),
    )
    yield _gauge(
        "database_findings",
        "Number of problems of a database, by kind and level.",
        (
            (_labels(status) | {"kind": kind, "level": level}, float(count))
            for status in databases
            for (kind, level), count in Counter(
                (problem.code, problem.level) for problem in status.findings
            ).items()
        ),
    )


def _tables(databases: Iterable[DatabaseStatus], max_tables: int) -> Iterator[Metric]:
    """Yield the rows of the first tables by name, so that each scrape has the same ones."""
    counts = [
        (_labels(status) | {"table": label(table)}, status.reading.tables[table])
        for status in databases
        for table in sorted(status.reading.tables)[:max_tables]
    ]
    for gauge in TABLE_GAUGES:
        yield _gauge(gauge.name, gauge.help, ((labels, gauge.value(n)) for labels, n in counts))
    yield _gauge(
        "tables_left_out",
        "Tables without metrics, because their database has more than max_tables.",
        (
            (_labels(status), float(max(0, len(status.reading.tables) - max_tables)))
            for status in databases
        ),
    )


def _page_checks(databases: Iterable[DatabaseStatus], max_tables: int) -> Iterator[Metric]:
    """Yield the state of each page check, and the sizes of the first tables and indexes by name."""
    checks = [(_labels(status), status.integrity) for status in databases if status.integrity]
    states = [(labels, check.state) for labels, check in checks]
    what = "the state of the page check of a database"
    yield _one_hot("database_integrity", what, states, "state", IntegrityState)
    yield _gauge(
        "table_bytes",
        "Bytes of a table without its indexes, or of an index, as the page check last found them.",
        (
            (labels | {"table": label(name)}, float(size_bytes))
            for labels, check in checks
            for name, size_bytes in sorted(check.table_bytes.items())[:max_tables]
        ),
    )


def _expectations(databases: Iterable[DatabaseStatus]) -> Iterator[Metric]:
    """Yield the state of each expectation; without the name of a table, it is of the file."""
    expectations = [
        (_labels(status) | {"table": label(table or "")}, expectation)
        for status in databases
        if status.expectations
        for table, expectation in status.expectations.states.items()
    ]
    states = [(labels, expectation.state) for labels, expectation in expectations]
    what = "the state of an expectation (without a table, that of the file)"
    yield _one_hot("expectation_state", what, states, "state", State)
    yield _gauge(
        "expectation_due_timestamp_seconds",
        "When the next write is, or was, due.",
        ((labels, seconds(expectation.due_at)) for labels, expectation in expectations),
    )


def _measures(databases: Iterable[DatabaseStatus]) -> Iterator[Metric]:
    """Yield the values, level and time of each measure; a single value has no label."""
    measures = [
        (_labels(status) | {"measure": report.measure.name}, report)
        for status in databases
        for report in status.measures
    ]
    yield _gauge(
        "measure_value",
        "A value of a measure, in its unit; an age is in seconds.",
        (
            (
                labels | {"label": label(shown.label or ""), "unit": report.measure.unit},
                shown.number,
            )
            for labels, report in measures
            for shown in report.shown
        ),
    )
    levels = [(labels, report.level) for labels, report in measures]
    yield _one_hot("measure_level", "the level of a measure", levels, "level", Level)
    yield _gauge(
        "measure_measured_timestamp_seconds",
        "When the values of a measure were true; they still are if the file has not changed.",
        ((labels, seconds(report.measured_at)) for labels, report in measures),
    )


def _labels(status: DatabaseStatus) -> dict[str, str]:
    return {"database": status.database.name}


def _gauge(
    name: str, text: str, samples: Iterable[tuple[Mapping[str, str], float | None]]
) -> GaugeMetricFamily:
    """Return a gauge with the samples whose value is known."""
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text)
    for labels, value in samples:
        if value is not None:
            family.add_sample(family.name, dict(labels), value)
    return family


def _one_hot(
    name: str,
    what: str,
    known: Iterable[tuple[dict[str, str], str]],
    label_name: str,
    values: object,
) -> GaugeMetricFamily:
    """Return a gauge of a Literal type: one sample per value, with the value as a label."""
    samples = (
        (labels | {label_name: value}, float(value == present))
        for labels, present in known
        for value in get_args(values)
    )
    return _gauge(name, f"1 for {what}, 0 for all others.", samples)
