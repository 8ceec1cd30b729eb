"""Counting stays within its budgets, and reports the tables that it did not count."""

import sqlite3
import threading
import time
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
from dash_app.reader.connection import connect, cpu_limit, time_limit
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
    open_airlock,
    read,
    read_exact,
    read_until,
    rows,
)
from tests.harness import LiveWriter, eventually, make_database

TINY = Limits(deadline_seconds=20, table_seconds=0.002)
AMPLE = Budget(table_seconds=30, reading_seconds=60, core_share=1e9)
ADD = "INSERT INTO small (text) VALUES ('one more')"
MANY = "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 2000000)"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with one table that is too large to count in two milliseconds."""
    path = make_database(tmp_path_factory.mktemp("large") / "a.db", small=3)
    with LiveWriter(path) as writer:
        assert writer.do("CREATE TABLE huge (x)") == []
        assert writer.do(f"{MANY} INSERT INTO huge SELECT n FROM many") == []
        assert writer.do("PRAGMA wal_checkpoint(TRUNCATE)") == [[0, 0, 0]]
    return path


def has_small(expected: int, reading: Reading) -> bool:
    return rows(reading)["small"] == expected


@contextmanager
def watching_cut_short(path: Path) -> Iterator[tuple[Airlock, Reading]]:
    """An airlock whose first reading did not count the huge table, and that reading.

    A busy machine may interrupt the count too late, so try again with a new airlock.
    """
    for _ in range(20):
        with open_airlock(path, limits=TINY) as airlock:
            first = read(airlock)
            if first.tables["huge"].estimate == "at_most":
                yield airlock, first
                return
    pytest.fail("the huge table was counted within two milliseconds each time")


def test_a_table_too_large_for_one_statement_does_not_affect_other_counts(large: Path) -> None:
    with LiveWriter(large) as writer, watching_cut_short(large) as (airlock, first):
        small = first.tables["small"].rows
        assert small is not None
        assert (first.total_rows, first.total_complete) == (small, False)
        for more in range(1, 4):
            assert writer.do(ADD) == []
            reading = read_until(airlock, partial(has_small, small + more))
            huge = reading.tables["huge"]
            assert huge.estimate in {"at_most", "about"} or huge.rows == 2_000_000
            assert reading.tables["small"].estimate is None


def test_a_count_that_became_too_slow_is_kept_as_an_estimate(large: Path) -> None:
    with connect(str(large), "immutable") as connection:
        names = user_tables(connection)
        first = count_tables(connection, names, {}, AMPLE)
        assert first[b"huge"].count.rows == 2_000_000
        changed = {name: replace(state, is_current=False) for name, state in first.items()}
        hasty = replace(AMPLE, table_seconds=0.001)

        def cut_short() -> CountState | None:
            # A busy machine may interrupt the count too late.
            huge = count_tables(connection, names, changed, hasty)[b"huge"]
            return None if huge.is_current else huge

        huge = eventually(cut_short)
    assert huge is not None
    assert huge.count == replace(first[b"huge"].count, estimate="about")
    assert huge.tried_at > first[b"huge"].tried_at


def test_tables_that_were_not_reached_are_counted_first_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_database(tmp_path / "a.db", t0=0, t1=1, t2=2, t3=3, t4=4, t5=5, t6=6, t7=7, t8=8)
    with connect(str(path), "immutable") as connection:
        names = user_tables(connection)
        no_time = replace(AMPLE, reading_seconds=0)
        states = count_tables(connection, names, {}, no_time)
        assert {state.count.error for state in states.values()} == {NOT_REACHED}
        some = names[:4]
        states |= count_tables(connection, some, {}, AMPLE)
        states = {name: replace(state, is_current=False) for name, state in states.items()}
        monkeypatch.setattr(counts, "TABLES_PER_STATEMENT", 1)
        order: list[str] = []
        connection.set_trace_callback(order.append)
        done = count_tables(connection, names, states, AMPLE)
    counted = [sql.split('"')[1].encode() for sql in order if "count(*)" in sql]
    assert sorted(counted[:5]) == [table.name for table in names[4:]]
    assert sorted(counted[5:]) == [table.name for table in some]
    assert [state.count.rows for state in done.values()] == list(range(9))


def test_small_tables_are_counted_together_and_share_the_cost(tmp_path: Path) -> None:
    sizes = {f"t{n}": n for n in range(120)}
    path = make_database(tmp_path / "a.db", wal=True, **sizes)
    with connect(str(path), "immutable") as connection:
        tables = user_tables(connection)
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        done = count_tables(connection, tables, {}, AMPLE)
    assert len(statements) == 3
    assert {name: state.count.rows for name, state in done.items()} == {
        f"t{n}".encode(): n for n in range(120)
    }
    assert len({state.cost_seconds for state in done.values()}) == 3


def test_counts_that_are_not_due_are_estimates_even_if_the_file_is_unchanged(large: Path) -> None:
    limits = Limits(deadline_seconds=20, table_seconds=10)
    with LiveWriter(large) as writer, open_airlock(large, limits=limits) as airlock:

        def read_before_due() -> tuple[Reading, Reading] | None:
            """A count and the next reading; a busy machine may read when it is due again."""
            counted = read_exact(airlock)
            assert writer.do(ADD) == []
            reading = read(airlock)
            return None if is_exact(reading) else (counted, reading)

        found = eventually(read_before_due)
        assert found
        first, second = found
        huge = second.tables["huge"]
        assert huge == replace(first.tables["huge"], estimate="about")
        await_quiet(large.parent)
        before = large.stat()
        third = read_exact(airlock)
        assert large.stat() == before
        assert third.tables["huge"].counted_at > huge.counted_at
        assert third.tables["huge"].rows == 2_000_000
        assert third.tables["small"].rows == (first.tables["small"].rows or 0) + 1


def test_counting_a_large_table_ends_within_the_budget_of_the_reading(large: Path) -> None:
    budget = Budget(table_seconds=60, reading_seconds=0.001, core_share=1)

    def is_cut_short() -> bool:
        # A busy machine may interrupt the count too late.
        huge = count_tables(connection, user_tables(connection), {}, budget)[b"huge"].count
        return huge.estimate == "at_most" or huge.error == NOT_REACHED

    with connect(str(large), "immutable") as connection:
        eventually(is_cut_short)


def test_a_cpu_limit_does_not_count_the_time_for_which_the_machine_is_busy() -> None:
    many = "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n FROM many)"
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        connection.create_function("wait", 0, lambda: time.sleep(0.3))
        with cpu_limit(connection, 0.2):
            assert connection.execute("SELECT wait()").fetchone() == (None,)
        with pytest.raises(sqlite3.OperationalError) as caught, cpu_limit(connection, 0.01):
            connection.execute(f"{many} SELECT max(n) FROM many")
    assert caught.value.sqlite_errorname == "SQLITE_INTERRUPT"


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.001, 0.05])
def test_a_time_limit_interrupts_even_if_it_ends_before_the_statement_starts(
    seconds: float,
) -> None:
    many = "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n FROM many)"
    before = threading.active_count()
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        for _ in range(20):
            with pytest.raises(sqlite3.OperationalError) as caught, time_limit(connection, seconds):
                connection.execute(f"{many} SELECT max(n) FROM many")
            assert caught.value.sqlite_errorname == "SQLITE_INTERRUPT"
            assert connection.execute("SELECT 1").fetchone() == (
                1,
            )  # a late interrupt must not hit this
    assert threading.active_count() < before + 9


COSTS = st.lists(st.floats(min_value=0, max_value=0.25), min_size=1, max_size=30)
NEVER = datetime.fromtimestamp(0, UTC)


@settings(max_examples=60, deadline=None)
@given(costs=COSTS, interval=st.floats(min_value=1, max_value=60))
def test_counting_uses_at_most_its_share_of_a_core(costs: list[float], interval: float) -> None:
    """Simulate ticks with a file that changes before each of them."""
    share = 0.02
    states = {
        str(n).encode(): CountState(TableCount(1, NEVER), cost, is_current=False, tried_at=0.0)
        for n, cost in enumerate(costs)
    }
    spent = 0.0
    for tick in range(1, 2000):
        for name in due_tables(states, share, tick * interval):
            spent += states[name].cost_seconds
            states[name] = replace(states[name], tried_at=tick * interval)
        assert spent <= share * tick * interval + sum(costs)


@given(costs=COSTS)
def test_every_table_is_due_eventually(costs: list[float]) -> None:
    states = {
        str(n).encode(): CountState(TableCount(1, NEVER), cost, is_current=False, tried_at=0.0)
        for n, cost in enumerate(costs)
    }
    longest = 30 * 30 * 0.25 / 0.02
    assert due_tables(states, 0.02, longest) == list(states)
    current = {name: replace(state, is_current=True) for name, state in states.items()}
    assert due_tables(current, 0.02, longest) == []
