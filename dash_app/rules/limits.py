"""What is amiss by what a person expects: silence, and numbers beyond their limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from dash_app.model.expectation import OVERDUE, ExpectationReport, Rules, State
from dash_app.model.level import Level
from dash_app.model.problem import Finding, FindingKind
from dash_app.model.reading import Reading
from dash_app.words.problems import (
    REMEDIES,
    disk_line,
    few_rows,
    no_such_table,
    overdue,
    too_large,
    unknown_table,
)

LIMITS: dict[FindingKind, Level] = {
    "few_rows": "fault",
    "no_such_table": "notice",
    "wal_large": "notice",
    "file_large": "notice",
    "disk_low": "notice",
}


def beyond(
    rules: Rules, reading: Reading, watch: ExpectationReport | None, before: Iterable[Finding]
) -> Iterator[Finding]:
    """Yield what does not hold of what is expected of a database.

    `before` is what was found last: it says since when, and stands while nothing can be read.
    """
    known = {(one.kind, one.table): one for one in before if one.kind in LIMITS}
    missing = _missing_tables(rules, reading, watch)
    if reading.code is not None:
        missing = [table for kind, table in known if kind == "no_such_table" and table]
    if watch:
        for table, standing in watch.states.items():
            if standing.due_at and standing.state in OVERDUE and table not in missing:
                text = overdue(standing, table)
                if table and reading.code is None and table not in reading.tables:
                    text = no_such_table(standing, table)
                yield _silence(table, standing.state, standing.due_at, text)
    if reading.code is not None:
        yield from known.values()
        return
    unknown = _unknown(rules, missing, reading)
    for kind, table, text in (*_rows(rules, reading), *unknown, *_sizes(rules, reading)):
        last = known.get((kind, table))
        since = last.since if last else reading.verified_at
        yield Finding(kind, LIMITS[kind], since, text, REMEDIES[kind], table=table)


def _missing_tables(rules: Rules, reading: Reading, watch: ExpectationReport | None) -> list[str]:
    """Return the tables that have rules and do not exist, unless they were ever seen written."""
    standings = watch.tables if watch else {}
    return [
        table
        for table, own in rules.tables.items()
        if reading.code is None and table not in reading.tables and not own.paused
        if not (table in standings and standings[table].last_at)
    ]


def _unknown(
    rules: Rules, missing: Iterable[str], reading: Reading
) -> Iterator[tuple[FindingKind, str | None, str]]:
    """Yield missing tables, but not those of which too few rows are reported already."""
    tables = tuple(sorted(reading.tables))
    for table in missing:
        if rules.tables[table].min_rows is None:
            yield "no_such_table", table, unknown_table(table, tables)


def _silence(table: str | None, state: State, since: datetime, text: str) -> Finding:
    if state == "late":
        return Finding("late", "notice", since, text, REMEDIES["late"], table=table)
    return Finding("down", "fault", since, text, REMEDIES["down"], table=table)


def _rows(rules: Rules, reading: Reading) -> Iterator[tuple[FindingKind, str | None, str]]:
    if rules.min_rows is not None and reading.total_complete:
        rows = reading.total_rows or 0
        if rows < rules.min_rows:
            yield "few_rows", None, few_rows(None, rows, rules.min_rows)
    for table, own in rules.tables.items():
        count = reading.tables.get(table)
        if own.paused or own.min_rows is None or (count and not count.is_known):
            continue
        rows = (count.rows or 0) if count else 0
        if rows < own.min_rows:
            text = few_rows(table, rows if count else None, own.min_rows)
            yield "few_rows", table, text


def _sizes(rules: Rules, reading: Reading) -> Iterator[tuple[FindingKind, None, str]]:
    wal, size, disk = reading.wal_bytes, reading.size_bytes, reading.surroundings.disk
    if rules.max_wal_bytes is not None and (wal or 0) > rules.max_wal_bytes:
        yield "wal_large", None, too_large("WAL", wal or 0, rules.max_wal_bytes)
    if rules.max_size_bytes is not None and (size or 0) > rules.max_size_bytes:
        yield "file_large", None, too_large("File", size or 0, rules.max_size_bytes)
    if disk and (
        disk.is_low if rules.min_free_bytes is None else disk.free_bytes < rules.min_free_bytes
    ):
        yield "disk_low", None, f"{disk_line(disk)}."
