"""Counting keeps to its budgets, and what it left out says so."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dash_app.airlock.airlock import Airlock
from dash_app.airlock.child_process import Limits
from dash_app.model.reading import Reading, TableCount
from dash_app.reader import counts
from dash_app.reader.connection import connect, time_limit
from dash_app.reader.counts import (
    NOT_REACHED,
    Budget,
    CountState,
    count_tables,
    due_tables,
    user_tables,
)
from tests.airlock_helpers import (
    await_quiet,
    is_exact,
    read,
    read_exact,
    read_until,
    rows,
    watching,
)
from tests.harness import LiveWriter, eventually, make_database

TINY = Limits(deadline_seconds=20, table_seconds=0.002)
AMPLE = Budget(table_seconds=30, reading_seconds=60, core_share=1e9)
ADD = "INSERT INTO small (text) VALUES ('one more')"
MANY = "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 2000000)"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with one table that no reader counts in two milliseconds."""
    path = make_database(tmp_path_factory.mktemp("large") / "a.db", small=3)
    with LiveWriter(path) as writer:
        assert writer.do("CREATE TABLE huge (x)") == []
        assert writer.do(f"{MANY} INSERT INTO huge SELECT n FROM many") == []
        assert writer.do("PRAGMA wal_checkpoint(TRUNCATE)") == [[0, 0, 0]]
    return path


def has_small(wanted: int, reading: Reading) -> bool:
    return rows(reading)["small"] == wanted


@contextmanager
def watching_cut_short(path: Path) -> Iterator[tuple[Airlock, Reading]]:
    """An airlock whose first reading had no time for the huge table, and that reading.

    On a busy machine, time may be looked at too late to cut a count short: then another begins.
    """
    for _ in range(20):
        with watching(path, limits=TINY) as airlock:
            first = read(airlock)
            if first.tables["huge"].estimate == "at_most":
                yield airlock, first
                return
    pytest.fail("the huge table was counted within two milliseconds each time")


def test_a_table_too_large_for_one_statement_leaves_the_others_exact(large: Path) -> None:
    with LiveWriter(large) as writer, watching_cut_short(large) as (airlock, first):
        small = first.tables["small"].rows
        assert small is not None
        assert (first.total_rows, first.total_complete) == (small, False)
        for more in range(1, 4):
            assert writer.do(ADD) == []
            wanted = small + more
            found = read_until(airlock, partial(has_small, wanted))
            huge = found.tables["huge"]
            assert huge.estimate in {"at_most", "about"} or huge.rows == 2_000_000
            assert found.tables["small"].estimate is None


def test_a_count_that_became_too_slow_stays_as_an_estimate_with_its_age(large: Path) -> None:
    with connect(str(large), "immutable") as connection:
        names = user_tables(connection)
        first = count_tables(connection, names, {}, AMPLE)
        assert first[b"huge"].count.rows == 2_000_000
        changed = {name: replace(tally, is_current=False) for name, tally in first.items()}
        hasty = replace(AMPLE, table_seconds=0.001)

        def cut_short() -> (
            CountState | None
        ):  # on a busy machine it may be counted before it is cut
            huge = count_tables(connection, names, changed, hasty)[b"huge"]
            return None if huge.is_current else huge

        huge = eventually(cut_short)
    assert huge is not None
    assert huge.count == replace(first[b"huge"].count, estimate="about")
    assert huge.tried_at > first[b"huge"].tried_at


def test_tables_that_were_not_reached_come_first_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_database(tmp_path / "a.db", t0=0, t1=1, t2=2, t3=3, t4=4, t5=5, t6=6, t7=7, t8=8)
    with connect(str(path), "immutable") as connection:
        names = user_tables(connection)
        nothing_left = replace(AMPLE, reading_seconds=0)
        tallies = count_tables(connection, names, {}, nothing_left)
        assert {tally.count.error for tally in tallies.values()} == {NOT_REACHED}
        some = names[:4]
        tallies |= count_tables(connection, some, {}, AMPLE)
        tallies = {name: replace(tally, is_current=False) for name, tally in tallies.items()}
        monkeypatch.setattr(counts, "TABLES_PER_STATEMENT", 1)
        order: list[str] = []
        connection.set_trace_callback(order.append)
        done = count_tables(connection, names, tallies, AMPLE)
    counted = [sql.split('"')[1].encode() for sql in order if "count(*)" in sql]
    assert sorted(counted[:5]) == [table.name for table in names[4:]]
    assert sorted(counted[5:]) == [table.name for table in some]
    assert [tally.count.rows for tally in done.values()] == list(range(9))


def test_small_tables_are_counted_together_and_one_of_them_costs_as_another(
    tmp_path: Path,
) -> None:
    sizes = {f"t{n}": n for n in range(120)}
    path = make_database(tmp_path / "a.db", wal=True, **sizes)
    with connect(str(path), "immutable") as connection:
        tables = user_tables(connection)
        ran: list[str] = []
        connection.set_trace_callback(ran.append)
        done = count_tables(connection, tables, {}, AMPLE)
    assert len(ran) == 3
    assert {name: tally.count.rows for name, tally in done.items()} == {
        f"t{n}".encode(): n for n in range(120)
    }
    assert len({tally.cost_seconds for tally in done.values()}) == 3


def test_counts_not_due_are_estimates_until_counted_though_the_file_rests(large: Path) -> None:
    limits = Limits(deadline_seconds=20, table_seconds=10)
    with LiveWriter(large) as writer, watching(large, limits=limits) as airlock:
        first = read(airlock)
        assert is_exact(first)
        assert writer.do(ADD) == []
        second = read(airlock)
        huge = second.tables["huge"]
        assert huge == replace(first.tables["huge"], estimate="about")
        await_quiet(large.parent)
        resting = large.stat()
        third = read_exact(airlock)
        assert large.stat() == resting
        assert third.tables["huge"].counted_at > huge.counted_at
        assert third.tables["huge"].rows == 2_000_000
        assert third.tables["small"].rows == (first.tables["small"].rows or 0) + 1


def test_a_reading_of_many_large_tables_ends_within_its_budget(large: Path) -> None:
    with connect(str(large), "immutable") as connection:
        budget = Budget(table_seconds=60, reading_seconds=0.001, core_share=1)
        tallies = count_tables(connection, user_tables(connection), {}, budget)
    huge = tallies[b"huge"].count
    assert huge.estimate == "at_most" or huge.error == NOT_REACHED


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.001, 0.05])
def test_a_limit_interrupts_even_when_it_ends_before_the_statement_begins(seconds: float) -> None:
    many = "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n FROM many)"
    before = threading.active_count()
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        for _again in range(20):
            with pytest.raises(sqlite3.OperationalError) as caught, time_limit(connection, seconds):
                connection.execute(f"{many} SELECT max(n) FROM many")
            assert caught.value.sqlite_errorname == "SQLITE_INTERRUPT"
            assert connection.execute("SELECT 1").fetchone() == (1,)  # a late one must not hit this
    assert threading.active_count() < before + 9


COSTS = st.lists(st.floats(min_value=0, max_value=0.25), min_size=1, max_size=30)
NEVER = datetime.fromtimestamp(0, UTC)


@settings(max_examples=60, deadline=None)
@given(costs=COSTS, interval=st.floats(min_value=1, max_value=60))
def test_counting_keeps_to_its_share_of_a_core(costs: list[float], interval: float) -> None:
    """Over a simulated time in which the file changes before every reading."""
    share = 0.02
    tallies = {
        str(n).encode(): CountState(TableCount(1, NEVER), cost, is_current=False, tried_at=0.0)
        for n, cost in enumerate(costs)
    }
    spent = 0.0
    for tick in range(1, 2000):
        for name in due_tables(tallies, share, tick * interval):
            spent += tallies[name].cost_seconds
            tallies[name] = replace(tallies[name], tried_at=tick * interval)
        assert spent <= share * tick * interval + sum(costs)


@given(costs=COSTS)
def test_no_table_waits_for_ever(costs: list[float]) -> None:
    tallies = {
        str(n).encode(): CountState(TableCount(1, NEVER), cost, is_current=False, tried_at=0.0)
        for n, cost in enumerate(costs)
    }
    longest = 30 * 30 * 0.25 / 0.02
    assert due_tables(tallies, 0.02, longest) == list(tallies)
    current = {name: replace(tally, is_current=True) for name, tally in tallies.items()}
    assert due_tables(current, 0.02, longest) == []
