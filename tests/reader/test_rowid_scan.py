"""A table too large for one statement is counted by slices, and says how sure its count is."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.model.reading import TableCount
from dash_app.reader import counts, rowid_scan
from dash_app.reader.connection import connect
from dash_app.reader.counts import TOO_LARGE, Budget, CountState, count_tables, mark_outdated
from dash_app.reader.rowid_scan import (
    FEW_ROWS,
    MAX_ROWID,
    MIN_ROWID,
    Rowids,
    ScanProgress,
    Table,
    rowid_names,
    scan,
)

ROWS = 300_000
AT_ONCE = Budget(table_seconds=30, reading_seconds=60, core_share=1e9)
HASTY = replace(AT_ONCE, table_seconds=0.001)
"""No machine counts so many rows by slices within a millisecond."""

UNKNOWN = TableCount(None, datetime.now(UTC), error="not counted yet")

MANY = "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < {})"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("huge") / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE huge (id INTEGER PRIMARY KEY, text TEXT)")
        connection.execute(MANY.format(ROWS) + " INSERT INTO huge SELECT n, 'x' FROM many")
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path))


@pytest.fixture
def writer(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def reader(path: Path, writer: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    writer.execute("INSERT INTO huge (text) VALUES ('keeps the log')")
    writer.execute("DELETE FROM huge WHERE id > ?", (ROWS,))
    with connect(str(path), "shared") as connection:
        yield connection


def started(count: TableCount = UNKNOWN) -> dict[bytes, CountState]:
    """As it is after a count by one statement was interrupted."""
    walk = ScanProgress(time.monotonic(), slice_rows=1000)
    return {b"huge": CountState(count, 0, is_current=False, tried_at=-inf, scan=walk)}


def turn(
    connection: sqlite3.Connection, before: dict[bytes, CountState]
) -> dict[bytes, CountState]:
    return count_tables(connection, [Table(b"huge", "rowid")], before, HASTY)


def walked(
    connection: sqlite3.Connection, before: dict[bytes, CountState], *, moving: bool = False
) -> tuple[CountState, dict[bytes, CountState]]:
    """Turn by turn until the walk is at its end; `moving` is whether the file changes meanwhile."""
    for _turn in range(10_000):
        before = turn(connection, mark_outdated(before) if moving else before)
        huge = before[b"huge"]
        if huge.is_current or (huge.scan and huge.scan.is_at_end):
            return huge, before
    raise AssertionError("it never ended")


def test_a_count_is_at_most_so_much_until_a_walk_over_a_resting_file_makes_it_exact(
    reader: sqlite3.Connection,
) -> None:
    first = turn(reader, started())
    huge = first[b"huge"]
    assert (huge.count.estimate, huge.count.rows, huge.is_current) == ("at_most", ROWS, False)
    assert huge.count.rowids == (1, ROWS)
    last, _ = walked(reader, first)
    assert (last.count.estimate, last.count.rows, last.is_current) == (None, ROWS, True)


def test_once_a_file_rests_an_estimate_becomes_exact(reader: sqlite3.Connection) -> None:
    last, tallies = walked(reader, mark_outdated(turn(reader, started())))
    assert (last.count.estimate, last.is_current) == ("about", False)
    again, _ = walked(reader, tallies)
    assert (again.count.estimate, again.count.rows, again.is_current) == (None, ROWS, True)


def test_a_walk_over_a_moving_file_is_an_estimate_that_follows_what_is_added(
    reader: sqlite3.Connection, writer: sqlite3.Connection
) -> None:
    first = mark_outdated(turn(reader, started()))
    last, tallies = walked(reader, first)
    assert (last.count.estimate, last.count.rows) == ("about", ROWS)
    writer.execute(MANY.format(500) + " INSERT INTO huge (text) SELECT 'more' FROM many")
    after, _ = walked(reader, tallies, moving=True)
    assert (after.count.estimate, after.count.rows) == ("about", ROWS + 500)
    assert after.count.counted_at == last.count.counted_at
    assert after.count.rowids == (1, ROWS + 500)


def test_what_is_removed_is_seen_by_the_next_walk_and_an_emptied_table_at_once(
    reader: sqlite3.Connection, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, tallies = walked(reader, mark_outdated(turn(reader, started())))
    writer.execute("DELETE FROM huge WHERE id <= ?", (ROWS // 2,))
    unseen, tallies = walked(reader, mark_outdated(tallies))
    assert (unseen.count.estimate, unseen.count.rows) == ("about", ROWS)
    monkeypatch.setattr(rowid_scan, "RESCAN_SECONDS", 0)
    seen, tallies = walked(reader, mark_outdated(tallies))
    assert seen.count.rows == ROWS // 2
    monkeypatch.undo()
    writer.execute("DELETE FROM huge")
    emptied, tallies = walked(reader, mark_outdated(tallies))
    assert (emptied.count.estimate, emptied.count.rows, emptied.scan) == (None, 0, None)
    writer.execute("INSERT INTO huge (text) VALUES ('anew')")
    anew, _ = walked(reader, mark_outdated(tallies))
    assert (anew.count.estimate, anew.count.rows, anew.scan) == (None, 1, None)


def test_an_earlier_exact_count_is_told_as_about_while_a_walk_is_under_way(
    reader: sqlite3.Connection,
) -> None:
    exact = count_tables(reader, [Table(b"huge", "rowid")], {}, AT_ONCE)
    after = turn(reader, mark_outdated(started(exact[b"huge"].count)))[b"huge"].count
    assert (after.estimate, after.rows) == ("about", ROWS)
    assert after.counted_at == exact[b"huge"].count.counted_at


def test_a_table_without_rowids_cannot_be_walked_and_says_so(
    reader: sqlite3.Connection, writer: sqlite3.Connection
) -> None:
    writer.execute("CREATE TABLE plain (id INTEGER PRIMARY KEY, text TEXT) WITHOUT ROWID")
    writer.execute("INSERT INTO plain SELECT * FROM huge")
    interrupted = replace(AT_ONCE, table_seconds=0.001)  # one of many tries is
    tries = (
        count_tables(reader, [Table(b"plain", None)], {}, interrupted)[b"plain"]
        for _try in range(500)
    )
    tally = next(tally for tally in tries if tally.count.rows is None)
    assert (tally.count.error, tally.scan, tally.is_current) == (TOO_LARGE, None, False)


def test_the_rowid_is_asked_for_by_a_name_that_no_column_hides() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.text_factory = bytes
        for number, columns in enumerate(("a", "RowID", "rowid, _ROWID_", "rowid, _rowid_, oid")):
            connection.execute(f'CREATE TABLE "t""{number}" ({columns})')
        connection.execute("CREATE TABLE avoided (avoid, void)")
        assert rowid_names(connection) == {b't"1': "_rowid_", b't"2': "oid", b't"3': None}


@given(
    rowids=st.sets(
        st.one_of(
            st.integers(-50, 50),
            st.integers(MAX_ROWID - 3, MAX_ROWID),
            st.integers(MIN_ROWID, MIN_ROWID + 3),
        ),
        max_size=60,
    ),
    slice_rows=st.integers(1, 20),
)
def test_slices_count_each_row_once_wherever_rowids_lie(rowids: set[int], slice_rows: int) -> None:
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO t VALUES (?)", [(one,) for one in rowids])
        walk = scan(connection, Table(b"t", "rowid"), ScanProgress(0, slice_rows=slice_rows), 10)
        assert (walk.rows, walk.is_at_end) == (len(rowids), True)
        found, rows = rowid_scan.read_rowid_bounds(connection, [Table(b"t", "rowid")])[b"t"]
        assert found == (Rowids(min(rowids), max(rowids)) if rowids else None)
        is_few = not rowids or max(rowids) - min(rowids) < FEW_ROWS
        assert rows == (len(rowids) if is_few else None)
        assert rowid_scan.max_rows(connection, found) >= len(rowids)


def test_beside_a_writer_a_large_table_is_not_tried_in_one_statement(
    reader: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "MAX_WHOLE_ROWS", ROWS - 1)
    ran: list[str] = []
    reader.set_trace_callback(ran.append)
    beside = replace(AT_ONCE, beside_writer=True)
    tally = count_tables(reader, [Table(b"huge", "rowid")], {}, beside)[b"huge"]
    assert (tally.count.rows, tally.count.estimate) == (ROWS, None)
    assert not any(sql.startswith("SELECT count(*) FROM") for sql in ran)
    count_tables(reader, [Table(b"huge", "rowid")], {}, AT_ONCE)
    assert any(sql.startswith("SELECT count(*) FROM") for sql in ran)
