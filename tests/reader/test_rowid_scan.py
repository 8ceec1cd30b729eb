"""A table too large for one statement is counted in slices, and its count is an estimate."""

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
from dash_app.reader.reader import Reader
from dash_app.reader.rowid_scan import (
    FEW_ROWS,
    MAX_ROWID,
    MIN_ROWID,
    ScanProgress,
    Table,
    rowid_names,
    scan,
)

ROWS = 300_000
AMPLE = Budget(table_seconds=30, reading_seconds=60, core_share=1e9)
HASTY = replace(AMPLE, table_seconds=0.001)
"""Too short on any machine to scan all rows in one turn."""

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
    writer.execute("INSERT INTO huge (text) VALUES ('keeps the WAL')")
    writer.execute("DELETE FROM huge WHERE id > ?", (ROWS,))
    with connect(str(path), "shared") as connection:
        yield connection


def started(count: TableCount = UNKNOWN) -> dict[bytes, CountState]:
    """The state after a count in one statement was interrupted."""
    progress = ScanProgress(time.monotonic(), slice_rows=1000)
    return {b"huge": CountState(count, 0, is_current=False, tried_at=-inf, scan=progress)}


def turn(
    connection: sqlite3.Connection, before: dict[bytes, CountState]
) -> dict[bytes, CountState]:
    return count_tables(connection, [Table(b"huge", "rowid")], before, HASTY)


def scan_to_end(
    connection: sqlite3.Connection, before: dict[bytes, CountState], *, changing: bool = False
) -> tuple[CountState, dict[bytes, CountState]]:
    """Take turns until the scan is at its end. If `changing`, the file changes before each turn."""
    for _turn in range(10_000):
        before = turn(connection, mark_outdated(before) if changing else before)
        huge = before[b"huge"]
        if huge.is_current or (huge.scan and huge.scan.is_at_end):
            return huge, before
    raise AssertionError("the scan never ended")


def test_a_count_is_an_upper_limit_until_the_scan_of_an_unchanged_file_ends(
    reader: sqlite3.Connection,
) -> None:
    first = turn(reader, started())
    huge = first[b"huge"]
    assert (huge.count.estimate, huge.count.rows, huge.is_current) == ("at_most", ROWS, False)
    assert huge.count.rowids == (1, ROWS)
    last, _ = scan_to_end(reader, first)
    assert (last.count.estimate, last.count.rows, last.is_current) == (None, ROWS, True)


def test_an_estimate_becomes_exact_once_the_file_is_unchanged(
    reader: sqlite3.Connection,
) -> None:
    last, states = scan_to_end(reader, mark_outdated(turn(reader, started())))
    assert (last.count.estimate, last.is_current) == ("about", False)
    again, _ = scan_to_end(reader, states)
    assert (again.count.estimate, again.count.rows, again.is_current) == (None, ROWS, True)


def test_the_scan_of_a_changing_file_is_an_estimate_that_includes_added_rows(
    reader: sqlite3.Connection, writer: sqlite3.Connection
) -> None:
    first = mark_outdated(turn(reader, started()))
    last, states = scan_to_end(reader, first)
    assert (last.count.estimate, last.count.rows) == ("about", ROWS)
    writer.execute(MANY.format(500) + " INSERT INTO huge (text) SELECT 'more' FROM many")
    after, _ = scan_to_end(reader, states, changing=True)
    assert (after.count.estimate, after.count.rows) == ("about", ROWS + 500)
    assert after.count.counted_at == last.count.counted_at
    assert after.count.rowids == (1, ROWS + 500)


def test_removed_rows_show_in_the_next_scan_and_an_emptied_table_at_once(
    reader: sqlite3.Connection, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, states = scan_to_end(reader, mark_outdated(turn(reader, started())))
    writer.execute("DELETE FROM huge WHERE id <= ?", (ROWS // 2,))
    states = count_tables(reader, [Table(b"huge", "rowid")], mark_outdated(states), AMPLE)
    stale = states[b"huge"].count
    assert (stale.estimate, stale.rows) == ("about", ROWS)
    monkeypatch.setattr(rowid_scan, "RESCAN_SECONDS", 0)
    fresh, states = scan_to_end(reader, mark_outdated(states))
    assert fresh.count.rows == ROWS // 2
    monkeypatch.undo()
    writer.execute("DELETE FROM huge")
    emptied, states = scan_to_end(reader, mark_outdated(states))
    assert (emptied.count.estimate, emptied.count.rows, emptied.scan) == (None, 0, None)
    writer.execute("INSERT INTO huge (text) VALUES ('again')")
    refilled, _ = scan_to_end(reader, mark_outdated(states))
    assert (refilled.count.estimate, refilled.count.rows, refilled.scan) == (None, 1, None)


def test_an_earlier_exact_count_becomes_an_estimate_during_a_scan(
    reader: sqlite3.Connection,
) -> None:
    exact = count_tables(reader, [Table(b"huge", "rowid")], {}, AMPLE)
    after = turn(reader, mark_outdated(started(exact[b"huge"].count)))[b"huge"].count
    assert (after.estimate, after.rows) == ("about", ROWS)
    assert after.counted_at == exact[b"huge"].count.counted_at


def test_a_table_that_takes_the_name_of_a_large_one_has_its_own_count(
    path: Path, writer: sqlite3.Connection
) -> None:
    """As with rotated logs. The large table is not due again for a long time."""
    reader = Reader(str(path), replace(AMPLE, core_share=1e-9))
    assert reader.read().tables["huge"].is_exact
    writer.execute("INSERT INTO huge (text) VALUES ('x')")
    assert reader.read().tables["huge"].estimate == "about"
    writer.executescript("""
        BEGIN;
        ALTER TABLE huge RENAME TO huge_old;
        CREATE TABLE huge (id INTEGER PRIMARY KEY, text TEXT);
        INSERT INTO huge (text) VALUES ('a'), ('b'), ('c');
        COMMIT;
    """)
    counts = {name: (count.rows, count.estimate) for name, count in reader.read().tables.items()}
    assert counts == {"huge": (3, None), "huge_old": (ROWS, "about")}


def test_a_large_table_without_rowids_has_an_error(
    reader: sqlite3.Connection, writer: sqlite3.Connection
) -> None:
    writer.execute("CREATE TABLE plain (id INTEGER PRIMARY KEY, text TEXT) WITHOUT ROWID")
    writer.execute("INSERT INTO plain SELECT * FROM huge")
    hasty = replace(AMPLE, table_seconds=0.001)  # interrupts at least one of many attempts
    attempts = (
        count_tables(reader, [Table(b"plain", None)], {}, hasty)[b"plain"] for _ in range(500)
    )
    state = next(state for state in attempts if state.count.rows is None)
    assert (state.count.error, state.scan, state.is_current) == (TOO_LARGE, None, False)


def test_the_rowid_is_read_by_a_name_that_no_column_hides() -> None:
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
def test_slices_count_each_row_once_for_any_rowids(rowids: set[int], slice_rows: int) -> None:
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO t VALUES (?)", [(rowid,) for rowid in rowids])
        table = Table(b"t", "rowid")
        progress = scan(connection, table, ScanProgress(0, slice_rows=slice_rows), 10)
        assert (progress.rows, progress.is_at_end) == (len(rowids), True)
        bounds, rows = rowid_scan.read_rowid_bounds(connection, [table])[b"t"]
        assert bounds == ((min(rowids), max(rowids)) if rowids else None)
        is_few = not rowids or max(rowids) - min(rowids) < FEW_ROWS
        assert rows == (len(rowids) if is_few else None)
        assert rowid_scan.max_rows(connection, bounds) >= len(rowids)


def test_slices_do_not_grow_while_rows_are_added_at_the_end() -> None:
    """Each reading of a live table ends with a slice of few rows. They once grew beyond 2^63."""
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        progress = ScanProgress(0)
        for rows in range(1, 50):
            connection.execute("INSERT INTO t VALUES (NULL)")
            progress = scan(connection, Table(b"t", "rowid"), progress, 10)
            assert progress.rows == rows
        assert progress.slice_rows == ScanProgress(0).slice_rows


@pytest.mark.parametrize("is_burst", [False, True])
def test_beside_a_writer_a_large_table_is_counted_only_in_slices(
    reader: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, *, is_burst: bool
) -> None:
    monkeypatch.setattr(counts, "MAX_WHOLE_ROWS", ROWS - 1)
    statements: list[str] = []
    reader.set_trace_callback(statements.append)
    beside = AMPLE.beside_writer(is_burst=is_burst)
    state = count_tables(reader, [Table(b"huge", "rowid")], {}, beside)[b"huge"]
    assert (state.count.rows, state.count.estimate) == (ROWS, None)
    assert not any(sql.startswith("SELECT count(*) FROM") for sql in statements)
    count_tables(reader, [Table(b"huge", "rowid")], {}, AMPLE)
    assert any(sql.startswith("SELECT count(*) FROM") for sql in statements)
