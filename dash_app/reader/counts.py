"""Count the rows of all user tables, each in its own short statement, within budgets."""

import re
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf, sqrt

from dash_app.model.reading import Reading, TableCount
from dash_app.reader.connection import time_limit
from dash_app.reader.errors import concerns_only_table
from dash_app.reader.rowid_scan import (
    RowidBounds,
    ScanProgress,
    Table,
    max_rows,
    quote,
    read_rowid_bounds,
    resume,
    rowid_names,
    scan,
)
from dash_app.reader.schema import list_tables, short_name

COUNTED_KINDS = (b"table", b"virtual")
MIN_COST_SECONDS = 20e-6
"""Minimum cost of a count, which is about the time to prepare the statement."""

MAX_WHOLE_ROWS, MAX_BURST_ROWS = 1_000_000, 20_000
"""Beside a writer, and beside one that commits without a pause, larger tables are counted in
slices. A million rows take 3 to 6 ms in one statement; slices take 1 ms on average."""

BURST_SHARE = 0.2
"""Share of its budget that a table gets beside a writer without a pause. Slices become as much
shorter."""

PAUSE_FACTOR = 4.0
"""Beside a writer, pause after each slice for this multiple of the slice's duration."""

TABLES_PER_STATEMENT = 50
"""Tables whose bounds are read by one statement. SQLite joins 500 at most."""

NOT_REACHED = "not counted yet"
TOO_LARGE = "too large to count in one go"
NEEDS = "needs "
MISSING_COLLATION = re.compile(r"no such collation sequence: (.+)", re.DOTALL)
MISSING_EXTENSIONS = (
    (re.compile(r"no such module: (.{1,80})"), NEEDS + "the {} module"),
    (re.compile(r"no such collation sequence: (.{1,80})"), NEEDS + "the collation {}"),
    (re.compile(r"(?:no such|unknown) tokenizer: (.{1,80})"), NEEDS + "the tokenizer {}"),
    (re.compile(r"no such function: (.{1,80})"), NEEDS + "the function {}"),
)
"""SQLite's messages about extensions that only the writing program has, and our reasons."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of counting: one table, one reading, and this database's share of a core.

    Tables with more than `whole_rows` are counted only in slices, with pauses between them: during
    a statement, a busy writer's WAL cannot start over.
    """

    table_seconds: float
    reading_seconds: float
    core_share: float
    whole_rows: float = inf

    def beside_writer(self, *, is_burst: bool) -> "Budget":
        """Return the budget beside a writer; `is_burst` is whether it commits without a pause."""
        if not is_burst:
            return replace(self, whole_rows=MAX_WHOLE_ROWS)
        seconds = self.table_seconds * BURST_SHARE
        return replace(self, whole_rows=MAX_BURST_ROWS, table_seconds=seconds)


@dataclass(frozen=True, slots=True)
class CountState:
    """A table's newest count, and the facts that decide when it is counted again."""

    count: TableCount
    cost_seconds: float
    """The processor time of the last attempt."""
    is_current: bool
    """Whether the table was counted since the file last changed."""
    tried_at: float
    """On the monotonic clock, so that setting the clock does not move a table's turn."""
    scan: ScanProgress | None = None
    """The progress of a table that is too large for one statement."""


def user_tables(connection: sqlite3.Connection) -> tuple[Table, ...]:
    """List the tables that a person made, without views and shadow tables.

    A virtual table has no rowid here, since only its module knows what reading it would cost.
    Raise sqlite3.Error.
    """
    names = rowid_names(connection)
    return tuple(
        Table(name, names.get(name, "rowid") if has_rowid and _is_utf8(name) else None)
        for name, kind, without_rowid in list_tables(connection)
        if kind in COUNTED_KINDS and not name.lower().startswith(b"sqlite_")
        for has_rowid in [kind == b"table" and not without_rowid]
    )


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def mark_outdated(states: Mapping[bytes, CountState]) -> dict[bytes, CountState]:
    """Return the states after the file has changed: exact counts become estimates."""
    return {
        name: replace(
            state,
            is_current=False,
            count=_estimated(state.count),
            scan=state.scan and replace(state.scan, is_exact=False, is_unchanged=False),
        )
        for name, state in states.items()
    }


def follow_renames(
    states: Mapping[bytes, CountState], tables: Iterable[Table], before: Reading, after: Reading
) -> dict[bytes, CountState]:
    """Return the states by the new names of tables. A table keeps its first page if it is renamed.

    Another table may have its old name by now, as with rotated logs, and is not counted yet.
    """
    by_page = {page: name for name, page in before.roots.items()}
    by_name = {short_name(name): name for name in states}
    renamed: dict[bytes, bytes] = {}
    for table in tables:
        name = short_name(table.name)
        old = by_page.get(after.roots.get(name, 0), "")
        # VACUUM moves first pages, so a table that had this name before is not taken for another.
        if (
            name not in before.roots
            and old in by_name
            and _columns(before, old) == _columns(after, name)
        ):
            renamed[table.name] = by_name[old]
    kept = {name: state for name, state in states.items() if name not in renamed.values()}
    return kept | {name: states[old] for name, old in renamed.items()}


def _columns(reading: Reading, table: str) -> set[str]:
    start = f"column {table}."
    return {name.removeprefix(start) for name in reading.objects or () if name.startswith(start)}


def count_tables(
    connection: sqlite3.Connection,
    tables: Iterable[Table],
    before: Mapping[bytes, CountState],
    budget: Budget,
) -> dict[bytes, CountState]:
    """Count the tables that are due, those that waited longest first.

    Return a state for each table. A table that is not due, or not reached in time, keeps its
    state. Raise sqlite3.Error if an error concerns the file.
    """
    not_counted = TableCount(None, datetime.fromtimestamp(0, UTC), error=NOT_REACHED)
    untried = CountState(not_counted, 0, is_current=False, tried_at=-inf)
    by_name = {table.name: table for table in tables}
    states = {name: before.get(name, untried) for name in by_name}
    ends = time.monotonic() + budget.reading_seconds
    due = due_tables(states, budget.core_share, time.monotonic())
    due.sort(key=lambda name: states[name].tried_at)
    for start in range(0, len(due), TABLES_PER_STATEMENT):
        group = [by_name[name] for name in due[start : start + TABLES_PER_STATEMENT]]
        small = _count_small(connection, group, ends - time.monotonic())
        states |= small
        for table in group:
            left_seconds = ends - time.monotonic()
            if left_seconds <= 0:
                return states
            if table.name not in small:
                limits = replace(budget, table_seconds=min(budget.table_seconds, left_seconds))
                states[table.name] = _count(connection, table, limits, states[table.name])
    return states


def missing_extension(states: Iterable[CountState]) -> str | None:
    """Return the extension that the first table needs, if every table needs one."""
    errors = [state.count.error or "" for state in states]
    all_need_one = errors and all(error.startswith(NEEDS) for error in errors)
    return errors[0].removeprefix(NEEDS) if all_need_one else None


def due_tables(states: Mapping[bytes, CountState], core_share: float, now: float) -> list[bytes]:
    """List the tables to count now, of those whose count is not current.

    With a turn every sqrt(cost) * sum(sqrt(costs)) / share seconds, counting takes exactly that
    share of a core, and no other schedule within it keeps the counts younger.
    """
    roots = {name: sqrt(max(s.cost_seconds, MIN_COST_SECONDS)) for name, s in states.items()}
    scale_seconds = sum(roots.values()) / core_share
    return [
        name
        for name, state in states.items()
        if not state.is_current and now - state.tried_at >= roots[name] * scale_seconds
    ]


def _count_small(
    connection: sqlite3.Connection, group: Sequence[Table], limit_seconds: float
) -> dict[bytes, CountState]:
    """Count the tables that have few rows; none if the one statement for them fails."""
    tables = [table for table in group if table.rowid_name]
    if not tables or limit_seconds <= 0:
        return {}
    started = time.thread_time()
    try:
        with time_limit(connection, limit_seconds / 2):
            bounds = read_rowid_bounds(connection, tables)
    except sqlite3.OperationalError:
        return {}
    now, tried_at = datetime.now(UTC), time.monotonic()
    small = {name: table for name, table in bounds.items() if table.rows is not None}
    # The cost is shared equally: a table measured in a busy moment would wait ten times as long.
    cost_seconds = (time.thread_time() - started) / max(len(small), 1)
    return {
        name: CountState(TableCount(rows, now, rowids=rowids), cost_seconds, True, tried_at)
        for name, (rowids, rows) in small.items()
    }


def _count(
    connection: sqlite3.Connection, table: Table, limits: Budget, before: CountState
) -> CountState:
    started = time.thread_time()
    progress = None
    try:
        count, progress = _count_or_scan(connection, table, limits, before)
    except UnicodeDecodeError:
        count = TableCount(None, datetime.now(UTC), error="its name is not UTF-8")
    except sqlite3.Error as error:
        count = _failed_count(error, before.count)
    is_current = count.error != TOO_LARGE and count.estimate is None
    cost_seconds = time.thread_time() - started
    return CountState(count, cost_seconds, is_current, time.monotonic(), progress)


def _count_or_scan(
    connection: sqlite3.Connection, table: Table, limits: Budget, before: CountState
) -> tuple[TableCount, ScanProgress | None]:
    """Count a table in one statement, or continue its scan if one statement is too slow."""
    rowids, rows = RowidBounds()
    if table.rowid_name:
        rowids, rows = read_rowid_bounds(connection, [table])[table.name]
    if rows is not None:
        return TableCount(rows, datetime.now(UTC), rowids=rowids), None
    must_scan = table.rowid_name and max_rows(connection, rowids) > limits.whole_rows
    if before.scan is None and not must_scan:
        try:
            with time_limit(connection, limits.table_seconds):
                rows = count_whole(connection, table.name)
            return TableCount(rows, datetime.now(UTC), rowids=rowids), None
        except sqlite3.OperationalError as error:
            if table.rowid_name is None or error.sqlite_errorname != "SQLITE_INTERRUPT":
                raise
    progress = resume(before.scan, rowids)
    is_new = progress.position is None
    pause_factor = PAUSE_FACTOR if limits.whole_rows < inf else 0
    progress = scan(connection, table, progress, limits.table_seconds, pause_factor)
    if progress.is_at_end and progress.is_exact:
        # A table that was scanned in one turn is small enough for one statement, but for a burst.
        is_small = is_new and (before.scan is not None or limits.whole_rows == MAX_BURST_ROWS)
        count = TableCount(progress.rows, datetime.now(UTC), rowids=rowids)
        return count, None if is_small else progress
    if progress.ended_at:
        return TableCount(progress.rows, progress.ended_at, "about", rowids=rowids), progress
    if before.count.is_known:
        return replace(_estimated(before.count), rowids=rowids), progress
    limit = max_rows(connection, rowids)
    return TableCount(limit, datetime.now(UTC), "at_most", rowids=rowids), progress


def count_whole(connection: sqlite3.Connection, table: bytes) -> int:
    """Count a table in one statement. Raise sqlite3.Error.

    The key of a WITHOUT ROWID table may use a collation of the writing program. Counting compares
    no rows, but SQLite requires that the collation exists, so each missing one gets a stand-in.
    """
    sql = f"SELECT count(*) FROM {quote(table)} NOT INDEXED"  # noqa: S608
    replaced: set[str] = set()
    while True:
        try:
            rows: int = connection.execute(sql).fetchone()[0]
        except sqlite3.OperationalError as error:
            missing = MISSING_COLLATION.fullmatch(str(error))
            if missing is None or missing[1] in replaced:
                raise
            connection.create_collation(missing[1], lambda _left, _right: 0)
            replaced.add(missing[1])
        else:
            return rows


def _failed_count(error: sqlite3.Error, before: TableCount) -> TableCount:
    """Return the count of a table whose statement failed. Raise errors that concern the file."""
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_INTERRUPT":
        if before.is_known:
            return _estimated(before)
        return TableCount(None, datetime.now(UTC), error=TOO_LARGE)
    if not concerns_only_table(error):
        raise error
    if name == "SQLITE_CORRUPT_VTAB":
        reason = "its module finds its index damaged"
        return TableCount(None, datetime.now(UTC), error=reason)
    return TableCount(None, datetime.now(UTC), error=missing_part(str(error)))


def missing_part(message: str) -> str:
    """Return in a few words what SQLite lacks for a query, by its message."""
    matches = ((reason, pattern.match(message)) for pattern, reason in MISSING_EXTENSIONS)
    reasons = (reason.format(match[1]) for reason, match in matches if match)
    return next(reasons, "its query fails")


def _estimated(count: TableCount) -> TableCount:
    return replace(count, estimate="about") if count.is_known else count
