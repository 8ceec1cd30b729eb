"""Count a large table in slices of its rowids, each a short statement, over several readings."""

import sqlite3
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from dash_app.reader.connection import time_limit

Rowids = tuple[int, int]
"""The lowest and the highest rowid of a table."""

MIN_ROWID, MAX_ROWID = -(2**63), 2**63 - 1
ROWID_NAMES = (b"rowid", b"_rowid_", b"oid")
"""A column with such a name hides that name of the rowid
(sqlite.org/lang_createtable.html#rowid)."""

ROWID_COLUMNS = """
    SELECT made.name, lower(part.name)
    FROM main.sqlite_schema AS made JOIN pragma_table_xinfo(made.name) AS part
    WHERE made.type = 'table' AND made.rootpage > 0 AND made.sql LIKE 'CREATE TABLE%'
        AND (made.sql LIKE '%rowid%' OR made.sql LIKE '%oid%')
        AND lower(part.name) IN ('rowid', '_rowid_', 'oid')
"""

SLICE_SHARE = 0.05
"""Target time of a slice, as a share of a table's budget. During a slice, a WAL cannot start
over."""

FIRST_SLICE_ROWS, MIN_SLICE_ROWS = 10_000, 100
"""Skipping a row takes 8 ns, counting it 53 ns: only the last slice is counted, and it has no more
rows than the first one."""

MIN_CELL_BYTES = 5
"""Minimum size of a row in a page: 2 bytes of pointer, 1 each of size, rowid and record header
(sqlite.org/fileformat2.html#b_tree_pages)."""

RESCAN_SECONDS = 3600
"""A scan notices rows added behind its position, but not rows removed before it. So an estimate is
scanned again after this time."""

FEW_ROWS = 1_000
"""Tables whose rowids span fewer are counted together with their bounds, without a time limit: the
rows are at most 4 MB, and a limit would triple the cost."""

BOUNDS = """
    SELECT {number}, lowest, highest, CASE
        WHEN lowest IS NULL THEN 0
        WHEN highest - lowest < {few} THEN (SELECT count(*) FROM {table} NOT INDEXED)
    END FROM (
        SELECT (SELECT min({rowid}) FROM {table} NOT INDEXED) AS lowest,
            (SELECT max({rowid}) FROM {table} NOT INDEXED) AS highest
    )
"""
"""Two seeks, and a count if the table can only have few rows. Never by an index, which may lack
rows: libSQL keeps its vector indexes empty for SQLite, and a damaged index has lost some."""


class Table(NamedTuple):
    """A table and the name of its rowid; None if it has no rowid that can be read."""

    name: bytes
    rowid_name: str | None


class RowidBounds(NamedTuple):
    """The rowids of a table, None if it is empty, and its row count if it has few rows."""

    rowids: Rowids | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """The progress of a scan."""

    started_at: float
    """On the monotonic clock."""
    rows: int = 0
    """The number of rows up to `position`."""
    position: int | None = None
    """The last rowid that was counted."""
    slice_rows: int = FIRST_SLICE_ROWS
    is_at_end: bool = False
    is_exact: bool = True
    """Whether the file has not changed since the start."""
    is_unchanged: bool = True
    """Whether the file has not changed since the last turn."""
    ended_at: datetime | None = None
    """When the scan first reached the end."""


def rowid_names(connection: sqlite3.Connection) -> dict[bytes, str | None]:
    """Find a usable name of the rowid for each table whose columns hide one.

    None if its columns hide all names. A statement per table would take half of the time of a
    reading with 20,000 tables.
    """
    hidden: defaultdict[bytes, set[bytes]] = defaultdict(set)
    for table, column in connection.execute(ROWID_COLUMNS):
        hidden[table].add(column)
    return {
        table: next((name.decode() for name in ROWID_NAMES if name not in columns), None)
        for table, columns in hidden.items()
    }


def read_rowid_bounds(
    connection: sqlite3.Connection, tables: Sequence[Table]
) -> dict[bytes, RowidBounds]:
    """Read the rowid bounds of tables in one statement.

    For 200 small tables, a statement per table takes 19 us per table, one for 50 tables 4 us.
    Raise UnicodeDecodeError or sqlite3.Error.
    """
    sql = " UNION ALL ".join(
        BOUNDS.format(number=number, few=FEW_ROWS, table=quote(table.name), rowid=table.rowid_name)
        for number, table in enumerate(tables)
    )
    return {
        tables[number].name: RowidBounds(None if lowest is None else (lowest, highest), rows)
        for number, lowest, highest, rows in connection.execute(sql)
    }


def max_rows(connection: sqlite3.Connection, rowids: Rowids | None) -> int:
    """Return the maximum number of rows that a table can have, by its rowids and the file size."""
    if rowids is None:
        return 0
    pages: int = connection.execute("PRAGMA main.page_count").fetchone()[0]
    page_bytes: int = connection.execute("PRAGMA main.page_size").fetchone()[0]
    lowest, highest = rowids
    return min(highest - lowest + 1, pages * page_bytes // MIN_CELL_BYTES)


def resume(progress: ScanProgress | None, rowids: Rowids | None) -> ScanProgress:
    """Return the progress to continue from, or a new scan if the old one has become useless."""
    now = time.monotonic()
    if progress is None or progress.position is None:
        return progress or ScanProgress(now)
    has_shrunk = rowids is None or rowids[1] < progress.position
    is_old = now - progress.started_at > RESCAN_SECONDS
    may_be_wrong = progress.ended_at is not None and not progress.is_exact
    if has_shrunk or (may_be_wrong and (is_old or progress.is_unchanged)):
        return ScanProgress(now, slice_rows=progress.slice_rows)
    return replace(progress, is_at_end=False, is_unchanged=True)


def scan(
    connection: sqlite3.Connection,
    table: Table,
    progress: ScanProgress,
    budget_seconds: float,
    pause_factor: float = 0,
) -> ScanProgress:
    """Count slices until the end of the table, or for about `budget_seconds`.

    Pause after each slice for `pause_factor` times its duration. The pauses do not count.
    """
    spent_seconds = 0.0
    while True:
        started = time.monotonic()
        progress = _scan_slice(connection, table, progress, budget_seconds - spent_seconds)
        slice_seconds = time.monotonic() - started
        spent_seconds += slice_seconds
        if progress.is_at_end or spent_seconds >= budget_seconds:
            return progress
        time.sleep(pause_factor * slice_seconds)


def quote(table: bytes) -> str:
    """Quote a table's name for a statement. Raise UnicodeDecodeError."""
    return f'main."{table.decode().replace(chr(34), chr(34) * 2)}"'


def _scan_slice(
    connection: sqlite3.Connection, table: Table, progress: ScanProgress, limit_seconds: float
) -> ScanProgress:
    if progress.position == MAX_ROWID:
        return _at_end(progress)
    first = MIN_ROWID if progress.position is None else progress.position + 1
    started = time.monotonic()
    try:
        with time_limit(connection, limit_seconds):
            counted = _count_slice(connection, table, first, progress.slice_rows)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname != "SQLITE_INTERRUPT":
            raise
        counted = None
    if counted is None:
        return replace(progress, slice_rows=max(progress.slice_rows // 4, MIN_SLICE_ROWS))
    rows, last = counted
    slice_seconds = max(time.monotonic() - started, 1e-6)
    position = progress.position if last is None else last
    after = replace(progress, rows=progress.rows + rows, position=position)
    if rows < progress.slice_rows:  # the time of a few rows says nothing of a whole slice
        return _at_end(after)
    factor = min(max(SLICE_SHARE * limit_seconds / slice_seconds, 0.25), 4)
    return replace(after, slice_rows=max(int(progress.slice_rows * factor), MIN_SLICE_ROWS))


def _count_slice(
    connection: sqlite3.Connection, table: Table, first: int, max_rows: int
) -> tuple[int, int | None] | None:
    """Count the rows from a rowid on, up to a maximum; return their number and the last rowid.

    Return None if there are fewer, but they may be too many to count.
    """
    name = table.rowid_name
    source = f"FROM {quote(table.name)} NOT INDEXED WHERE {name} >= ?"
    skip = f"SELECT {name} {source} ORDER BY {name} LIMIT 1 OFFSET ?"
    row = connection.execute(skip, (first, max_rows - 1)).fetchone()
    if row:
        return max_rows, row[0]
    if max_rows > FIRST_SLICE_ROWS:
        return None
    rows, last = connection.execute(f"SELECT count(*), max({name}) {source}", (first,)).fetchone()
    return rows, last


def _at_end(progress: ScanProgress) -> ScanProgress:
    return replace(progress, is_at_end=True, ended_at=progress.ended_at or datetime.now(UTC))
