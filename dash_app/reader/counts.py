"""Row counts of every user table, each its own short read, within budgets."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf, sqrt

from dash_app.model.reading import TableCount
from dash_app.reader.connection import time_limit
from dash_app.reader.errors import is_of_table
from dash_app.reader.rowid_scan import (
    RowidBounds,
    ScanProgress,
    Table,
    advance,
    at_most,
    glances,
    go_on,
    quoted,
    rowid_names,
)
from dash_app.reader.schema import list_tables

COUNTED_KINDS = (b"table", b"virtual")
COST_FLOOR_SECONDS = 20e-6
"""The least that a count is taken to cost: preparing the statement takes about as long."""

MAX_WHOLE_ROWS = 1_000_000
"""So many are counted in 3 to 6 ms; slices take 1 ms on average."""

PAUSE = 4.0
"""So many times as long as a slice took, its table is left alone."""

TOGETHER = 50
"""So many tables are glanced at by one statement; SQLite joins 500 at most."""

NOT_REACHED = "not counted yet"
TOO_LARGE = "too large to count in one go"
QUERY_FAILS = "its query fails"
INDEX_DAMAGED = "its module finds its index damaged"
NEEDS = "needs "
MISSING_COLLATION = re.compile(r"no such collation sequence: (.+)", re.DOTALL)
MISSING = (
    (re.compile(r"no such module: (.{1,80})"), NEEDS + "the {} module"),
    (re.compile(r"no such collation sequence: (.{1,80})"), NEEDS + "the collation {}"),
    (re.compile(r"(?:no such|unknown) tokenizer: (.{1,80})"), NEEDS + "the tokenizer {}"),
    (re.compile(r"no such function: (.{1,80})"), NEEDS + "the function {}"),
)
"""What SQLite says of things that only the program has that made them, and why they matter."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of counting: one table, one reading, and this database's share of a core.

    Beside a writer, a large table is not even tried to be counted by one statement, and slices
    leave pauses: while one runs, the log of a busy writer cannot begin anew.
    """

    table_seconds: float
    reading_seconds: float
    core_share: float
    beside_writer: bool = False


@dataclass(frozen=True, slots=True)
class CountState:
    """A table's newest count and what the last try to take one cost, in CPU seconds.

    `current` is whether the count was taken since the file last changed. `tried_at` is on the
    monotonic clock, so that a clock that is set moves no table's turn. `walk` is how far a table
    that is too large for one statement has been counted.
    """

    count: TableCount
    cost_seconds: float
    current: bool
    tried_at: float
    walk: ScanProgress | None = None


def user_tables(connection: sqlite3.Connection) -> tuple[Table, ...]:
    """Return the tables a person made, by name, with the name of their rowids if SQLite keeps them.

    Without views and shadow tables. What the rowids of a virtual table cost is known to its module
    alone. Raises sqlite3.Error.
    """
    names = rowid_names(connection)
    return tuple(
        Table(name, names.get(name, "rowid") if has_rowid and _is_utf8(name) else None)
        for name, kind, without_rowid in list_tables(connection)
        if kind in COUNTED_KINDS and not name.lower().startswith(b"sqlite_")
        for has_rowid in [kind == b"table" and not without_rowid]
    )


def _is_utf8(name: bytes) -> bool:
    """Return whether a table can be named in a statement."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def outdated(tallies: Mapping[bytes, CountState]) -> dict[bytes, CountState]:
    """Return tallies after the file changed: what was exact is now an estimate."""
    return {
        name: replace(
            tally,
            current=False,
            count=_estimated(tally.count),
            walk=tally.walk and tally.walk.moved(),
        )
        for name, tally in tallies.items()
    }


def count_tables(
    connection: sqlite3.Connection,
    tables: Iterable[Table],
    before: Mapping[bytes, CountState],
    budget: Budget,
) -> dict[bytes, CountState]:
    """Return a tally for each table; those that have waited longest are counted first.

    A table that is not due, or not reached in time, keeps the tally that it had.
    """
    nothing = TableCount(None, datetime.fromtimestamp(0, UTC), error=NOT_REACHED)
    untried = CountState(nothing, 0, current=False, tried_at=-inf)
    known = {table.name: table for table in tables}
    tallies = {name: before.get(name, untried) for name in known}
    ends = time.monotonic() + budget.reading_seconds
    turns = due(tallies, budget.core_share, time.monotonic())
    turns.sort(key=lambda name: tallies[name].tried_at)
    for begin in range(0, len(turns), TOGETHER):
        group = [known[name] for name in turns[begin : begin + TOGETHER]]
        few = _count_few(connection, group, ends - time.monotonic())
        tallies |= few
        for table in group:
            left_seconds = ends - time.monotonic()
            if left_seconds <= 0:
                return tallies
            limits = budget
            if left_seconds < budget.table_seconds:
                limits = replace(budget, table_seconds=left_seconds)
            if table.name not in few:
                tallies[table.name] = _count(connection, table, limits, tallies[table.name])
    return tallies


def needs_only_extensions(tallies: Iterable[CountState]) -> str | None:
    """Return what the first table needs, if none of them can be counted without such a thing."""
    whys = [tally.count.error or "" for tally in tallies]
    is_all = whys and all(why.startswith(NEEDS) for why in whys)
    return whys[0].removeprefix(NEEDS) if is_all else None


def due(tallies: Mapping[bytes, CountState], core_share: float, now: float) -> list[bytes]:
    """Return the tables whose turn it is, of those whose count is not current.

    With a turn every sqrt(cost) * sum(sqrt(costs)) / share seconds, counting takes exactly that
    share of a core, and no other plan within it keeps the counts younger.
    """
    roots = {name: sqrt(max(t.cost_seconds, COST_FLOOR_SECONDS)) for name, t in tallies.items()}
    scale_seconds = sum(roots.values()) / core_share
    return [
        name
        for name, tally in tallies.items()
        if not tally.current and now - tally.tried_at >= roots[name] * scale_seconds
    ]


def _count_few(
    connection: sqlite3.Connection, group: Sequence[Table], limit_seconds: float
) -> dict[bytes, CountState]:
    """Return the tallies of those tables that have few rows; none if one statement cannot tell."""
    tables = [table for table in group if table.rowid]
    if not tables or limit_seconds <= 0:
        return {}
    began = time.thread_time()
    try:
        with time_limit(connection, limit_seconds / 2):
            found = glances(connection, tables)
    except sqlite3.OperationalError:
        return {}
    now, tried_at = datetime.now(UTC), time.monotonic()
    few = [(name, one) for name, one in found.items() if one.rows is not None]
    # In equal parts: one that met a busy moment would wait ten times as long for its next turn.
    cost_seconds = (time.thread_time() - began) / max(len(few), 1)
    return {
        name: CountState(TableCount(rows, now, rowids=rowids), cost_seconds, True, tried_at)
        for name, (rowids, rows) in few
    }


def _count(
    connection: sqlite3.Connection, table: Table, limits: Budget, before: CountState
) -> CountState:
    began = time.thread_time()
    walk = None
    try:
        count, walk = _counted(connection, table, limits, before)
    except UnicodeDecodeError:
        count = TableCount(None, datetime.now(UTC), error="its name is not UTF-8")
    except sqlite3.Error as error:
        count = _uncounted(error, before.count)
    current = count.error != TOO_LARGE and count.estimate is None
    return CountState(count, time.thread_time() - began, current, time.monotonic(), walk)


def _counted(
    connection: sqlite3.Connection, table: Table, limits: Budget, before: CountState
) -> tuple[TableCount, ScanProgress | None]:
    """Return a table's count, and the walk that goes on where one statement is too slow for it."""
    rowids, rows = glances(connection, [table])[table.name] if table.rowid else RowidBounds()
    if rows is not None:
        return TableCount(rows, datetime.now(UTC), rowids=rowids), None
    spares = limits.beside_writer and table.rowid
    if before.walk is None and not (spares and at_most(connection, rowids) > MAX_WHOLE_ROWS):
        try:
            with time_limit(connection, limits.table_seconds):
                rows = _rows(connection, table.name)
            return TableCount(rows, datetime.now(UTC), rowids=rowids), None
        except sqlite3.OperationalError as error:
            if table.rowid is None or error.sqlite_errorname != "SQLITE_INTERRUPT":
                raise
    walk = go_on(before.walk, rowids)
    is_new = walk.position is None
    pause = PAUSE if limits.beside_writer else 0
    walk = advance(connection, table, walk, limits.table_seconds, pause)
    if walk.is_at_end and walk.is_whole:
        # A table that is counted in one turn has become small enough for one statement.
        done = is_new and before.walk is not None
        return TableCount(walk.rows, datetime.now(UTC), rowids=rowids), None if done else walk
    if walk.ended_at:
        return TableCount(walk.rows, walk.ended_at, "about", rowids=rowids), walk
    if before.count.is_known:
        return replace(_estimated(before.count), rowids=rowids), walk
    bound = at_most(connection, rowids)
    return TableCount(bound, datetime.now(UTC), "at_most", rowids=rowids), walk


def _rows(connection: sqlite3.Connection, table: bytes) -> int:
    """Return the rows of a table by one statement, which never compares any. Raise sqlite3.Error.

    A collation of its program's own, which the key of a WITHOUT ROWID table may have, only has to
    exist for that: one that is missing gets a stand-in, as often as the key needs another.
    """
    sql = f"SELECT count(*) FROM {quoted(table)} NOT INDEXED"  # noqa: S608
    stood_in: set[str] = set()
    while True:
        try:
            rows: int = connection.execute(sql).fetchone()[0]
        except sqlite3.OperationalError as error:
            missing = MISSING_COLLATION.fullmatch(str(error))
            if missing is None or missing[1] in stood_in:
                raise
            connection.create_collation(missing[1], lambda _one, _other: 0)
            stood_in.add(missing[1])
        else:
            return rows


def _uncounted(error: sqlite3.Error, before: TableCount) -> TableCount:
    """Return what is known of a table whose count failed; re-raise what concerns the file."""
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_INTERRUPT":
        if before.is_known:
            return _estimated(before)
        return TableCount(None, datetime.now(UTC), error=TOO_LARGE)
    if not is_of_table(error):
        raise error
    if name == "SQLITE_CORRUPT_VTAB":
        return TableCount(None, datetime.now(UTC), error=INDEX_DAMAGED)
    matches = ((what, pattern.match(str(error))) for pattern, what in MISSING)
    whys = (what.format(found[1]) for what, found in matches if found)
    return TableCount(None, datetime.now(UTC), error=next(whys, QUERY_FAILS))


def _estimated(count: TableCount) -> TableCount:
    return replace(count, estimate="about") if count.is_known else count
