"""Counts a large table in slices of its rowids: each a short read of its own, spread over turns."""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from dash_app.reader.connection import time_limit

MIN_ROWID, GREATEST_ROWID = -(2**63), 2**63 - 1
ROWID_NAMES = (b"rowid", b"_rowid_", b"oid")
"""A column of such a name hides the rowid behind it (sqlite.org/lang_createtable.html#rowid)."""

ROWID_COLUMNS = """
    SELECT made.name, lower(part.name)
    FROM main.sqlite_schema AS made JOIN pragma_table_xinfo(made.name) AS part
    WHERE made.type = 'table' AND made.rootpage > 0 AND made.sql LIKE 'CREATE TABLE%'
        AND (made.sql LIKE '%rowid%' OR made.sql LIKE '%oid%')
        AND lower(part.name) IN ('rowid', '_rowid_', 'oid')
"""

SLICE_SHARE = 0.05
"""A slice aims at this share of a table's budget. While it is read, the log cannot begin anew."""

FIRST_SLICE_ROWS, MIN_SLICE_ROWS = 10_000, 100
MIN_CELL_BYTES = 5
"""No row takes less of a page: 2 bytes of pointer, 1 each of size, rowid and record header
(sqlite.org/fileformat2.html#b_tree_pages)."""

AGAIN_SECONDS = 3600
"""A walk sees what is added behind its end, not what is removed before it: it is made again."""


FEW_ROWS = 1_000
"""So many are counted at once, of 4 MB at most: a limit to their time would cost thrice as much."""

GLANCE = """
    SELECT {number}, least, greatest, CASE
        WHEN least IS NULL THEN 0
        WHEN greatest - least < {few} THEN (SELECT count(*) FROM {table} NOT INDEXED)
    END FROM (
        SELECT (SELECT min({rowid}) FROM {table} NOT INDEXED) AS least,
            (SELECT max({rowid}) FROM {table} NOT INDEXED) AS greatest
    )
"""
"""Two seeks, and the count where that is small. An index may not hold all rows: libSQL keeps its
vector indexes empty for SQLite, and a damaged one lost some."""


class Table(NamedTuple):
    """A table, and by which name its rowid can be asked for, if it has any."""

    name: bytes
    rowid: str | None


class Rowids(NamedTuple):
    """The least and the greatest rowid of a table."""

    least: int
    greatest: int


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far counting by slices has come: so many rows up to a position, which is the last rowid.

    `is_whole` is whether the file stood still since the begin: then the end result is exact;
    `has_rested` is whether it did since the last turn. `ended_at` is when the end was first seen.
    """

    began_at: float
    rows: int = 0
    position: int | None = None
    slice_rows: int = FIRST_SLICE_ROWS
    is_at_end: bool = False
    is_whole: bool = True
    has_rested: bool = True
    ended_at: datetime | None = None

    def moved(self) -> ScanProgress:
        """Return the same walk once the file has changed."""
        return replace(self, is_whole=False, has_rested=False)


def rowid_names(connection: sqlite3.Connection) -> dict[bytes, str | None]:
    """Return by which name a rowid can be read, for each table whose columns hide a name of it.

    None if they hide them all. A statement per table would take half of a reading of 20,000.
    """
    hidden: defaultdict[bytes, set[bytes]] = defaultdict(set)
    for table, column in connection.execute(ROWID_COLUMNS):
        hidden[table].add(column)
    return {
        table: next((name.decode() for name in ROWID_NAMES if name not in columns), None)
        for table, columns in hidden.items()
    }


class RowidBounds(NamedTuple):
    """A table's rowids, None where it is empty, and its rows where these can be few."""

    rowids: Rowids | None = None
    rows: int | None = None


def glances(connection: sqlite3.Connection, tables: Sequence[Table]) -> dict[bytes, RowidBounds]:
    """Return a glance at each of some tables that have rowids, by one statement.

    For 200 small tables, a statement each takes 19 us a table, one for 50 of them 4 us.
    Raises UnicodeDecodeError, sqlite3.Error.
    """
    sql = " UNION ALL ".join(
        GLANCE.format(number=number, few=FEW_ROWS, table=quoted(table.name), rowid=table.rowid)
        for number, table in enumerate(tables)
    )
    return {
        tables[number].name: RowidBounds(None if least is None else Rowids(least, greatest), rows)
        for number, least, greatest, rows in connection.execute(sql)
    }


def at_most(connection: sqlite3.Connection, rowids: Rowids | None) -> int:
    """Return how many rows a table can have at most, by its rowids and by the file's size."""
    if rowids is None:
        return 0
    pages: int = connection.execute("PRAGMA main.page_count").fetchone()[0]
    page_bytes: int = connection.execute("PRAGMA main.page_size").fetchone()[0]
    return min(rowids.greatest - rowids.least + 1, pages * page_bytes // MIN_CELL_BYTES)


def go_on(walk: ScanProgress | None, rowids: Rowids | None) -> ScanProgress:
    """Return a walk to go on with: a new one where this one's result says nothing any more."""
    now = time.monotonic()
    if walk is None or walk.position is None:
        return walk or ScanProgress(now)
    has_shrunk = rowids is None or rowids.greatest < walk.position
    is_old = now - walk.began_at > AGAIN_SECONDS
    may_be_wrong = walk.ended_at is not None and not walk.is_whole
    if has_shrunk or (may_be_wrong and (is_old or walk.has_rested)):
        return ScanProgress(now, slice_rows=walk.slice_rows)
    return replace(walk, is_at_end=False, has_rested=True)


def advance(
    connection: sqlite3.Connection,
    table: Table,
    walk: ScanProgress,
    budget_seconds: float,
    pause: float = 0,
) -> ScanProgress:
    """Return a walk after counting on until its end, or for about so many seconds.

    After each slice, a pause of so many times its length is left, which does not count.
    """
    spent_seconds = 0.0
    while True:
        began = time.monotonic()
        walk = _slice(connection, table, walk, budget_seconds - spent_seconds)
        took_seconds = time.monotonic() - began
        spent_seconds += took_seconds
        if walk.is_at_end or spent_seconds >= budget_seconds:
            return walk
        time.sleep(pause * took_seconds)


def quoted(table: bytes) -> str:
    """Return a table's name for a statement. Raises UnicodeDecodeError."""
    return f'main."{table.decode().replace(chr(34), chr(34) * 2)}"'


def _slice(
    connection: sqlite3.Connection, table: Table, walk: ScanProgress, limit_seconds: float
) -> ScanProgress:
    if walk.position == GREATEST_ROWID:
        return _at_end(walk)
    first = MIN_ROWID if walk.position is None else walk.position + 1
    began = time.monotonic()
    try:
        with time_limit(connection, limit_seconds):
            rows, last = _count_on(connection, table, first, walk.slice_rows)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname != "SQLITE_INTERRUPT":
            raise
        return replace(walk, slice_rows=max(walk.slice_rows // 4, MIN_SLICE_ROWS))
    took_seconds = max(time.monotonic() - began, 1e-6)
    factor = min(max(SLICE_SHARE * limit_seconds / took_seconds, 0.25), 4)
    after = replace(
        walk,
        rows=walk.rows + rows,
        position=walk.position if last is None else last,
        slice_rows=max(int(walk.slice_rows * factor), MIN_SLICE_ROWS),
    )
    return _at_end(after) if rows < walk.slice_rows else after


def _count_on(
    connection: sqlite3.Connection, table: Table, first: int, most: int
) -> tuple[int, int | None]:
    """Return how many rows there are from a rowid on, but for the most, and the last rowid of them.

    To skip rows takes 8 ns each, to count them 53 ns: only the last slice is counted.
    """
    name = table.rowid
    source = f"FROM {quoted(table.name)} NOT INDEXED WHERE {name} >= ?"
    step = f"SELECT {name} {source} ORDER BY {name} LIMIT 1 OFFSET ?"
    found = connection.execute(step, (first, most - 1)).fetchone()
    if found:
        return most, found[0]
    rows, last = connection.execute(f"SELECT count(*), max({name}) {source}", (first,)).fetchone()
    return rows, last


def _at_end(walk: ScanProgress) -> ScanProgress:
    return replace(walk, is_at_end=True, ended_at=walk.ended_at or datetime.now(UTC))
