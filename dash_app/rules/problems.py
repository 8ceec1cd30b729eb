"""The problems of a database: danger, damage, those left by events, its WAL, exceeded limits.

Pure functions over the model. A problem ends with its cause. One that an event left behind ends
when that is undone or turns out to be usual work, or when a person acknowledges it.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dash_app.model.database import Database
from dash_app.model.event import Event
from dash_app.model.expectation import OVERDUE, ExpectationReport, Rules
from dash_app.model.integrity import Integrity
from dash_app.model.problem import FindingKind, Level, LimitKind, Problem
from dash_app.model.reading import Reading
from dash_app.rules.changes import NEWEST, WHOLE, progress
from dash_app.rules.drop_policy import (
    DEFAULT_POLICY,
    MIN_LOST_ROWS,
    RECENTLY,
    DropPolicy,
    is_rotation,
)
from dash_app.rules.ignored import without_ignored
from dash_app.words import problems as words
from dash_app.words.events import event_text

LOG_HELD_BYTES = 64_000_000
LOG_HELD = timedelta(minutes=1)
"""SQLite checkpoints every 4 MB by default. If a reader this old holds back this much, it will not
end soon."""

LIMITS: dict[LimitKind, Level] = {
    "few_rows": "fault",
    "no_such_table": "notice",
    "wal_large": "notice",
    "file_large": "notice",
    "disk_low": "notice",
    "mounted_alone": "notice",
}

Exceeded = Iterator[tuple[LimitKind, str | None, str]]
"""Exceeded limits: a code, the table concerned and a sentence each."""


def problem_of(event: Event) -> Problem | None:
    """Return the problem that an event leaves behind, if any."""
    has_lost_rows = bool(event.before.get("rows"))
    kinds: dict[str, FindingKind] = {"rolled_back": "rolled_back", "replaced": "replaced"}
    kind = kinds.get(event.kind, "rows_dropped" if has_lost_rows else None)
    if kind is None or WHOLE in event.before:
        return None
    level: Level = "notice" if kind == "replaced" and not has_lost_rows else "fault"
    text, remedy = f"{event_text(event)}.", words.remedy_for(event, kind)
    return Problem(kind, level, event.at, text, remedy, event.database, needs_acknowledgement=True)


def resolve_events(
    open_events: Sequence[Event],
    new: Sequence[Event],
    reading: Reading,
    acknowledged_until: datetime | None,
    policy: DropPolicy = DEFAULT_POLICY,
) -> tuple[Event, ...]:
    """Return all events, open and new; those whose problem is over have their end.

    A person acknowledged all events up to `acknowledged_until`.
    """
    reading = without_ignored(reading, policy.rules)
    is_another_copy = any(event.kind in {"back", "replaced"} for event in new)
    over = [
        event
        for event in open_events
        if _is_undone(event, reading, policy, is_another_copy=is_another_copy)
    ]
    if any(_is_replacement(event) for event in over):
        # The return of the original file is itself a replacement, but leaves no problem.
        over += [event for event in new if "file" in event.before]
    if acknowledged_until:
        # An event in the future happened before the clock was set back.
        over += [e for e in open_events if not acknowledged_until < e.at <= reading.verified_at]
    return tuple(
        replace(event, ended_at=reading.verified_at)
        if event in over or _is_usual(event, policy)
        else event
        for event in (*open_events, *new)
    )


def _is_replacement(event: Event) -> bool:
    return NEWEST in event.before or event.kind in {"back", "replaced", "rolled_back"}


def _is_usual(event: Event, policy: DropPolicy) -> bool:
    """Whether a file that is replaced regularly lost no rows, or kept its previous file."""
    is_less = bool(event.before.get("rows")) or "counters" in event.before
    is_kept = not is_less or is_rotation(event)
    return event.kind == "replaced" and policy.habits.is_replaced and is_kept


def _is_undone(
    event: Event, reading: Reading, policy: DropPolicy, *, is_another_copy: bool
) -> bool:
    """Whether the state before an event is back.

    The newest state is back with its file, or with a copy of it. If the file is still the same
    copy, counters and rows that catch up prove nothing, since new rows increase them too.
    """
    if reading.code is not None:
        return False
    if _is_replacement(event) and not policy.rules.expects_replacement:
        if _is_built_again(event, reading):
            return True
        is_original = "file" in event.before and event.before["file"] == reading.file
        if NEWEST not in event.before:  # stored by an earlier version
            return is_original
        newest, now = event.before[NEWEST], progress(reading)
        if newest["modified"] and now == newest != event.after[NEWEST]:
            return True
        is_candidate = is_original or is_another_copy  # the inode of a deleted file is reused
        counters = ("totalRows", "changes")
        return is_candidate and all((now[name] or 0) >= (newest[name] or 0) for name in counters)
    return all(
        (count := reading.tables.get(table)) is not None
        and count.is_exact
        and not policy.is_reportable(table, rows, count.rows or 0)
        for table, rows in event.before.get("rows", {}).items()
        if not policy.rules.ignores(table)
    )


def _is_built_again(event: Event, reading: Reading) -> bool:
    """Whether a file that began without rows, unlike an older copy, has all of them again soon.

    Programs that build a file anew delete it, create it and fill it.
    """
    is_soon = timedelta(0) <= reading.verified_at - event.at <= RECENTLY
    left = event.after.get("rows", {}).values()
    return (
        is_soon
        and bool(left)
        and all((rows or 0) < MIN_LOST_ROWS for rows in left)
        and all(
            (count := reading.tables.get(table)) is not None
            and count.is_exact
            and (count.rows or 0) >= rows
            for table, rows in event.before["rows"].items()
        )
    )


def conflict_problems(
    database: str, reading: Reading, starts: Mapping[str, datetime]
) -> Iterator[Problem]:
    """Yield a problem for each conflict.

    `starts` has the start of known problems by their ids, also from before a restart.
    """
    for conflict in reading.surroundings.conflicts:
        level: Level = "fault" if conflict.is_certain else "unknown"
        text, remedy = words.conflict_text(conflict)
        problem = Problem(conflict.kind, level, conflict.since, text, remedy, database)
        since = starts.get(problem.id, conflict.since)
        yield replace(problem, since=since, evidence=words.evidence_line(conflict))


def damage_problems(database: str, integrity: Integrity | None) -> Iterator[Problem]:
    """Yield a problem for each table with damaged pages, until a clean check of the table."""
    if integrity:
        for damage, text in zip(integrity.damage, words.pages_damaged(integrity), strict=True):
            at, remedy = damage.found_at, words.REMEDIES["pages_damaged"]
            table = damage.table or None
            yield Problem("pages_damaged", "fault", at, text, remedy, database, table)


def wal_problems(database: str, reading: Reading) -> Iterator[Problem]:
    """Yield the problem of a WAL that cannot be checkpointed, or does not start over."""
    host = reading.surroundings
    pins = [(holder.pins_since, holder) for holder in host.holders or () if holder.pins_since]
    if pins and (host.backlog_bytes or 0) >= LOG_HELD_BYTES:
        since, holder = min(pins, key=lambda pin: pin[0])
        if reading.verified_at - since >= LOG_HELD:
            text = words.log_held(reading, holder, since)
            yield Problem("log_held", "notice", since, text, words.REMEDIES["log_held"], database)
            return
    growth = host.wal_growth
    if growth and growth.is_lasting:
        text, remedy = words.wal_growing(reading, growth)
        yield Problem("wal_growing", "notice", growth.since, text, remedy, database)


def with_earlier_growth(reading: Reading, last: Reading | None) -> Reading:
    """Return a reading whose WAL growth starts as early as in `last`, if it is the same growth.

    `last` is the last good reading, which may be from before a restart. A WAL of the same
    generation has not started over since.
    """
    growth = reading.surroundings.wal_growth
    earlier = last.surroundings.wal_growth if last else None
    if not growth or not earlier or earlier.generation != growth.generation:
        return reading
    since, is_lasting = min(growth.since, earlier.since), growth.is_lasting or earlier.is_lasting
    growth = replace(growth, since=since, is_lasting=is_lasting)
    return replace(reading, surroundings=replace(reading.surroundings, wal_growth=growth))


def limit_problems(
    database: Database,
    reading: Reading,
    report: ExpectationReport | None,
    before: Iterable[Problem],
    starts: Mapping[str, datetime],
) -> Iterator[Problem]:
    """Yield the expectations and limits of the configuration that do not hold.

    `before` are the previous problems of the database: all limits keep their result while the
    database cannot be read. `starts` has the start of known problems by their ids, also from before
    a restart.
    """
    rules, name = database.rules, database.name
    known = [(problem, code) for problem in before for code in LIMITS if problem.code == code]
    missing = _missing_tables(rules, reading, report)
    if reading.code is not None:
        missing = [p.table for p, code in known if code == "no_such_table" and p.table]
    yield from _overdue_writes(name, reading, report, missing)
    if reading.code is not None:
        yield from (replace(problem, remedy=words.REMEDIES[code]) for problem, code in known)
        return
    for code, table, text in _exceeded(rules, reading, missing):
        level, now = LIMITS[code], reading.verified_at
        problem = Problem(code, level, now, text, words.REMEDIES[code], name, table)
        yield replace(problem, since=starts.get(problem.id, now))


def _overdue_writes(
    name: str, reading: Reading, report: ExpectationReport | None, missing: Container[str]
) -> Iterator[Problem]:
    """Yield overdue writes, except those into tables that are reported as missing."""
    for table, state in report.states.items() if report else ():
        if state.due_at is None or state.state not in OVERDUE or table in missing:
            continue
        text, since = words.overdue(state, table), state.last_at
        if table and reading.code is None and table not in reading.tables:
            text, since = words.no_such_table(state, table), None
        code: LimitKind = "late" if state.state == "late" else "down"
        level: Level = "notice" if code == "late" else "fault"
        problem = Problem(code, level, state.due_at, text, words.REMEDIES[code], name, table)
        yield replace(problem, text_since=since)


def _missing_tables(rules: Rules, reading: Reading, report: ExpectationReport | None) -> list[str]:
    """Return the tables that have rules and do not exist, except those once seen to be written."""
    states = report.tables if report else {}
    return [
        table
        for table, own in rules.tables.items()
        if table not in reading.tables and not own.paused
        if not (table in states and states[table].last_at)
    ]


def _exceeded(rules: Rules, reading: Reading, missing: Iterable[str]) -> Exceeded:
    yield from _row_limits(rules, reading)
    tables = tuple(sorted(reading.tables))
    for table in missing:
        if rules.tables[table].min_rows is None:  # or it has too few rows already
            yield "no_such_table", table, words.unknown_table(table, tables)
    wal, size, disk = reading.wal_bytes, reading.size_bytes, reading.surroundings.disk
    if rules.max_wal_bytes is not None and (wal or 0) > rules.max_wal_bytes:
        yield "wal_large", None, words.too_large("WAL", wal or 0, rules.max_wal_bytes)
    if rules.max_size_bytes is not None and (size or 0) > rules.max_size_bytes:
        yield "file_large", None, words.too_large("File", size or 0, rules.max_size_bytes)
    if disk and (
        disk.is_low if rules.min_free_bytes is None else disk.free_bytes < rules.min_free_bytes
    ):
        yield "disk_low", None, words.disk_low(disk, rules.min_free_bytes)
    access = reading.surroundings.access
    if access and access.is_mounted_alone:
        yield "mounted_alone", None, words.MOUNTED_ALONE


def _row_limits(rules: Rules, reading: Reading) -> Exceeded:
    judged = without_ignored(reading, rules)
    if rules.min_rows is not None and judged.total_complete:
        rows = judged.total_rows or 0
        if rows < rules.min_rows:
            yield "few_rows", None, words.few_rows(None, rows, rules.min_rows)
    for table, own in rules.tables.items():
        count = reading.tables.get(table)
        if own.paused or own.min_rows is None or (count and not count.is_known):
            continue
        rows = (count.rows or 0) if count else 0
        if rows < own.min_rows:
            yield "few_rows", table, words.few_rows(table, rows if count else None, own.min_rows)
