"""The expectations and limits of the configuration that do not hold."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from dash_app.model.database import Database
from dash_app.model.expectation import OVERDUE, ExpectationReport, Rules
from dash_app.model.level import Level
from dash_app.model.problem import LimitKind, Problem
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

LIMITS: dict[LimitKind, Level] = {
    "few_rows": "fault",
    "no_such_table": "notice",
    "wal_large": "notice",
    "file_large": "notice",
    "disk_low": "notice",
}


def limit_problems(
    database: Database,
    reading: Reading,
    report: ExpectationReport | None,
    before: Iterable[Problem],
) -> Iterator[Problem]:
    """Yield the expectations and limits of the configuration that do not hold.

    `before` are the previous problems of the database: one that is still there keeps its start,
    and all limits keep their result while the database cannot be read.
    """
    rules, name = database.rules, database.name
    known = {(problem.code, problem.table): problem for problem in before if problem.code in LIMITS}
    if reading.code is not None:
        missing = [table for code, table in known if code == "no_such_table" and table]
        yield from _silences(name, reading, report, missing)
        yield from known.values()
        return
    missing = _missing_tables(rules, reading, report)
    yield from _silences(name, reading, report, missing)
    unknown = _unknown_tables(rules, missing, reading)
    for code, table, text in (*_rows(rules, reading), *unknown, *_sizes(rules, reading)):
        earlier = known.get((code, table))
        since = earlier.since if earlier else reading.verified_at
        yield Problem(code, LIMITS[code], since, text, REMEDIES[code], name, table)


def _silences(
    name: str, reading: Reading, report: ExpectationReport | None, missing: Container[str]
) -> Iterator[Problem]:
    """Yield overdue writes, except those into tables that are reported as missing."""
    for table, state in report.states.items() if report else ():
        if state.due_at is None or state.state not in OVERDUE or table in missing:
            continue
        text = overdue(state, table)
        if table and reading.code is None and table not in reading.tables:
            text = no_such_table(state, table)
        code: LimitKind = "late" if state.state == "late" else "down"
        level: Level = "notice" if code == "late" else "fault"
        yield Problem(code, level, state.due_at, text, REMEDIES[code], name, table)


def _missing_tables(rules: Rules, reading: Reading, report: ExpectationReport | None) -> list[str]:
    """Return the tables that have rules and do not exist, except those once seen to be written."""
    states = report.tables if report else {}
    return [
        table
        for table, own in rules.tables.items()
        if table not in reading.tables and not own.paused
        if not (table in states and states[table].last_at)
    ]


def _unknown_tables(
    rules: Rules, missing: Iterable[str], reading: Reading
) -> Iterator[tuple[LimitKind, str | None, str]]:
    """Yield missing tables, except those that `_rows` reports as having too few rows."""
    tables = tuple(sorted(reading.tables))
    for table in missing:
        if rules.tables[table].min_rows is None:
            yield "no_such_table", table, unknown_table(table, tables)


def _rows(rules: Rules, reading: Reading) -> Iterator[tuple[LimitKind, str | None, str]]:
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


def _sizes(rules: Rules, reading: Reading) -> Iterator[tuple[LimitKind, None, str]]:
    wal, size, disk = reading.wal_bytes, reading.size_bytes, reading.surroundings.disk
    if rules.max_wal_bytes is not None and (wal or 0) > rules.max_wal_bytes:
        yield "wal_large", None, too_large("WAL", wal or 0, rules.max_wal_bytes)
    if rules.max_size_bytes is not None and (size or 0) > rules.max_size_bytes:
        yield "file_large", None, too_large("File", size or 0, rules.max_size_bytes)
    if disk and (
        disk.is_low if rules.min_free_bytes is None else disk.free_bytes < rules.min_free_bytes
    ):
        yield "disk_low", None, f"{disk_line(disk)}."
