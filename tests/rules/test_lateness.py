"""Databases against their expectations, over gaps, restarts and clock changes."""

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dash_app.history.coverage import Coverage
from dash_app.model.database import Database
from dash_app.model.expectation import Expectation, ExpectationReport, Rules, State, TableRules
from dash_app.model.host_facts import Disk, Surroundings
from dash_app.model.problem import Problem
from dash_app.model.reading import Reading, TableCount
from dash_app.rules.lateness import ExpectationTracker
from dash_app.rules.problems import limit_problems
from dash_app.settings.quiet_hours import parse_quiet_hours
from dash_app.words.problems import unknown_table
from tests.harness import Served, eventually
from tests.rules.helpers import expecting, pretend_watched_for

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
START = datetime(2026, 3, 29, 0, 40, tzinfo=UTC)
"""20 minutes before the clocks go forward in Paris."""

OFTEN = Expectation(12.5 * MINUTE, 4 * MINUTE)
BREAK = parse_quiet_hours("03:10-03:40 Europe/Paris")
GAP = 3 * MINUTE
TASKS = Rules(OFTEN, BREAK, tables={"tasks": TableRules(OFTEN, BREAK)})
MB = 1_000_000

Step = tuple[int, str]
"""Minutes since the previous reading, and what it finds: "written", "nothing" or an "error"."""


def steps(*minutes: int) -> st.SearchStrategy[list[Step]]:
    finds = st.sampled_from(["nothing"] * 12 + ["written", "error"])
    pauses = st.sampled_from([1, 1, 1, 2, 2, 3, 3, 4, 50, *minutes])
    return st.lists(st.tuples(pauses, finds), min_size=20, max_size=60)


CLOCK_SET_BACK = -20


def reading(at: datetime, rows: int, written_at: datetime) -> Reading:
    return Reading(at, at, tables={"tasks": TableCount(rows, at)}, last_modified=written_at)


def readings(steps: list[Step]) -> list[Reading]:
    at, written_at, rows, found = START, START, 1, [reading(START, 1, START)]
    for minutes, finds in steps:
        at += minutes * MINUTE
        if finds == "written":
            rows += 1
            written_at = at - timedelta(microseconds=rows)  # no two writes at the same time
        one = reading(at, rows, written_at)
        found.append(Reading(at, at, code="corrupt") if finds == "error" else one)
    return found


def state_by_minutes(found: list[Reading]) -> State:
    """Return the state, counting minute by minute since the last write."""
    elapsed, rows, last = 0, 1, START
    for current in found:
        if current.code:
            continue
        minutes = round((current.verified_at - last) / MINUTE)
        if 0 < minutes <= 3:
            elapsed += sum(not BREAK.covers(last + n * MINUTE) for n in range(minutes))
        last = current.verified_at
        if current.tables["tasks"].rows != rows:
            elapsed, rows = 0, current.tables["tasks"].rows or 0
    is_new = rows == 1
    return "down" if elapsed > 16 else "late" if elapsed > 12 else "new" if is_new else "on_time"


def final(tracker: ExpectationTracker, found: list[Reading]) -> ExpectationReport:
    report = [tracker.update(one) for one in found][-1]
    assert report is not None
    return report


@given(steps(CLOCK_SET_BACK))
def test_only_watched_active_time_counts(steps: list[Step]) -> None:
    found = readings(steps)
    report = final(ExpectationTracker(TASKS, GAP, Coverage()), found)
    state = state_by_minutes(found)
    assert report.tables["tasks"].state == state
    assert report.own is not None
    assert report.own.state == ("on_time" if state == "new" else state)


@settings(max_examples=30)
@given(steps(CLOCK_SET_BACK))
def test_a_database_is_late_once_its_write_is_overdue(steps: list[Step]) -> None:
    found = readings(steps)
    tracker = ExpectationTracker(TASKS, GAP, Coverage())
    state = final(tracker, found).tables["tasks"]
    last = next(one for one in reversed(found) if not one.code)
    at, is_late = last.verified_at, state.state in {"late", "down"}
    while state.due_at and not is_late:
        at += MINUTE
        report = final(tracker, [replace(last, verified_at=at)])
        assert report.tables["tasks"].due_at == state.due_at
        is_late = report.tables["tasks"].state == "late"
        assert is_late == (at > BREAK.next_active(state.due_at))
    since = final(tracker, [replace(last, verified_at=at + HOUR)]).tables["tasks"].due_at
    assert since == state.due_at, "a gap postpones a due time, unless it has passed"


@given(steps(), st.data())
def test_a_restart_changes_no_state(steps: list[Step], data: st.DataObject) -> None:
    found = readings(steps)
    cut = data.draw(st.integers(1, len(found)))
    before = ExpectationTracker(TASKS, GAP, Coverage())
    after = ExpectationTracker(TASKS, GAP, coverage_of(found[:cut]))
    final(before, found[:cut])
    rest = found[cut:] or [Reading(START, START, code="corrupt")]
    assert final(after, rest) == final(before, rest)


def coverage_of(found: list[Reading]) -> Coverage:
    """What the history would return: a gap ends one range and starts another."""
    known = [one for one in found if not one.code]
    ranges, written = [(START, START)], {}
    for was, now in pairwise(known):
        if now.verified_at - was.verified_at > GAP:
            ranges.append((now.verified_at, now.verified_at))
        ranges[-1] = ranges[-1][0], now.verified_at
        if was.tables["tasks"].rows != now.tables["tasks"].rows:
            written["tasks"] = now.verified_at
    return Coverage(tuple(ranges), written, known[-1])


def test_an_old_estimate_does_not_prove_silence() -> None:
    """Rows may have been written since, so the time counts only once the table is counted."""
    tracker = ExpectationTracker(TASKS, GAP, Coverage())
    first = reading(START - 6 * HOUR, 5, START)
    old = replace(first.tables["tasks"], estimate="about")
    for minutes in range(0, 100, 2):
        at = first.read_at + minutes * MINUTE
        report = final(tracker, [replace(first, read_at=at, verified_at=at, tables={"tasks": old})])
    assert report.tables["tasks"].state == "new"
    at += MINUTE
    assert final(tracker, [reading(at, 5, START)]).tables["tasks"].state == "down"
    numbered = replace(old, rowids=(1, 5))
    report = final(
        ExpectationTracker(TASKS, 2 * HOUR, Coverage()),
        [replace(first, tables={"tasks": numbered}), replace(first, verified_at=at)],
    )
    assert report.tables["tasks"].state == "down"


@pytest.mark.parametrize(
    ("rows", "rowids", "sequences", "written_ago", "state"),
    [
        (0, None, {}, MINUTE, "unknown"),
        (0, None, {}, 2 * HOUR, "down"),
        (0, None, {"tasks": 9}, MINUTE, "down"),
        (5, (1, 5), {}, MINUTE, "down"),
    ],
)
def test_a_queue_that_is_empty_at_each_reading_may_be_in_use(
    rows: int,
    rowids: tuple[int, int] | None,
    sequences: dict[str, int],
    written_ago: timedelta,
    state: State,
) -> None:
    """SQLite reuses rowids: coleifer/huey issue 497."""
    tracker = ExpectationTracker(TASKS, GAP, Coverage())
    for minutes in range(0, 60, 2):
        at = START + 6 * HOUR + minutes * MINUTE
        count = TableCount(rows, at, rowids=rowids)
        report = final(
            tracker,
            [Reading(at, at, tables={"tasks": count}, last_modified=at - written_ago,
                     sequences=sequences)],
        )  # fmt: skip
    assert report.tables["tasks"].state == state


def test_a_queue_whose_newest_rows_are_deleted_may_be_in_use() -> None:
    tracker = ExpectationTracker(TASKS, GAP, Coverage())
    states = []
    for minutes in range(0, 60, 2):
        at = START + 6 * HOUR + minutes * MINUTE
        rows = 5 if minutes >= 6 else 9
        count = TableCount(rows, at, rowids=(1, rows))
        report = final(tracker, [Reading(at, at, tables={"tasks": count}, last_modified=at)])
        states.append(report.tables["tasks"].state)
    assert states.index("unknown") < states.index("down")


def test_a_paused_expectation_is_never_due() -> None:
    rules = Rules(OFTEN, paused=True, tables={"tasks": TableRules(OFTEN, paused=True)})
    report = final(ExpectationTracker(rules, 3 * HOUR, Coverage()), [reading(START, 1, START)])
    assert report.own is not None
    assert {(one.state, one.due_at) for one in (report.own, *report.tables.values())} == {
        ("paused", None)
    }
    nothing_expected = ExpectationTracker(Rules(paused=True), GAP, Coverage())
    assert nothing_expected.update(reading(START, 1, START)) is None


def limits_of(
    rules: Rules, one: Reading, report: ExpectationReport | None, before: Iterable[Problem]
) -> Iterator[Problem]:
    database = Database("email", "Email", Path("/srv/email.db"), rules)
    return limit_problems(database, one, report, before, {old.id: old.since for old in before})


def problems(rules: Rules, one: Reading, *before: Problem) -> list[tuple[str, str, str]]:
    found = limits_of(rules, one, None, before)
    return [(problem.code, problem.level, problem.text) for problem in found]


def test_ignored_tables_do_not_count_towards_the_rows_of_a_database() -> None:
    rules = Rules(min_rows=5, ignored_tables=("load_[1]",))
    counts = {"tasks": TableCount(4, START), "load_[1]": TableCount(9, START)}
    found = problems(rules, Reading(START, START, tables=counts))
    assert found == [("few_rows", "fault", "4 rows; expected at least 5.")]
    counts["load_[1]"] = TableCount(None, START, error="no such module")
    counts["tasks"] = TableCount(5, START)
    assert problems(rules, Reading(START, START, tables=counts)) == []


def test_numbers_beyond_their_limits_are_problems() -> None:
    rules = Rules(
        min_rows=5,
        max_wal_bytes=2 * MB,
        max_size_bytes=3 * MB,
        tables={
            "tasks": TableRules(min_rows=4),
            "gone": TableRules(min_rows=1),
            "idle": TableRules(min_rows=1, paused=True),
        },
    )
    one = replace(reading(START, 4, START), wal_bytes=2 * MB, size_bytes=3 * MB)
    gone = ("few_rows", "fault", "`gone`: no such table; expected at least 1 row.")
    assert problems(rules, one) == [
        ("few_rows", "fault", "4 rows; expected at least 5."),
        gone,
    ]
    more = replace(reading(START, 3, START), wal_bytes=2 * MB + 1, size_bytes=4 * MB)
    assert problems(replace(rules, min_rows=3), more) == [
        ("few_rows", "fault", "`tasks`: 3 rows; expected at least 4."),
        gone,
        ("wal_large", "notice", "WAL 2.0 MB, above your 2.0 MB."),
        ("file_large", "notice", "File 4.0 MB, above your 3.0 MB."),
    ]
    uncounted = replace(more, tables={"tasks": TableCount(None, START, error="its query fails")})
    kinds = [kind for kind, *_ in problems(rules, uncounted)]
    assert kinds == ["few_rows", "wal_large", "file_large"]


@pytest.mark.parametrize(
    ("free", "min_free", "is_low"),
    [(300, None, True), (600, None, False), (600, 700, True), (300, 200, False)],
)
def test_a_configured_limit_replaces_the_default_for_disk_space(
    free: int, min_free: int | None, *, is_low: bool
) -> None:
    disk = Surroundings(disk=Disk(1, free * MB, 4000 * MB))
    rules = Rules(min_free_bytes=min_free and min_free * MB)
    found = problems(rules, replace(reading(START, 1, START), surroundings=disk))
    assert [kind for kind, *_ in found] == ["disk_low"] * is_low


def test_a_rule_for_a_table_that_never_existed_is_reported_at_the_first_reading() -> None:
    """A misspelled name is not a silent table."""
    rules = Rules(tables={"taks": TableRules(OFTEN), "idle": TableRules(OFTEN, paused=True)})
    tracker, times = ExpectationTracker(rules, HOUR, Coverage()), [START, START + HOUR]
    report = final(tracker, [reading(START, 1, START)])
    (first,) = limits_of(rules, reading(START, 1, START), report, ())
    assert (first.code, first.level, first.table) == ("no_such_table", "notice", "taks")
    assert first.text == "`taks`: no such table. Tables: tasks."
    report = final(tracker, [reading(at, 1, at) for at in times])
    (later,) = limits_of(rules, reading(times[1], 1, times[1]), report, [first])
    assert later == first
    broken = Reading(times[1], times[1], code="locked")
    assert list(limits_of(rules, broken, report, [first])) == [first]


def test_a_table_that_was_written_and_is_gone_is_overdue() -> None:
    rules = Rules(tables={"tasks": TableRules(OFTEN)})
    tracker = ExpectationTracker(rules, HOUR, Coverage())
    gone = replace(reading(START + HOUR, 2, START + HOUR), tables={})
    readings = [reading(START, 1, START), reading(START + MINUTE, 2, START + MINUTE), gone]
    (found,) = limits_of(rules, gone, final(tracker, readings), ())
    assert found.text == "`tasks`: no such table; rows expected every 750 s."


def test_similar_names_are_listed_for_an_unknown_table() -> None:
    tables = tuple(f"table_{number}" for number in range(5000))
    text = unknown_table("tabel_7", (*tables, "x" * 1_000_000))
    assert "Tables: table_7, " in text
    assert text.endswith("and 4,995 more.")
    assert len(text) < 200


def test_a_number_beyond_its_limit_keeps_its_start_while_the_database_cannot_be_read() -> None:
    rules = Rules(tables={"tasks": TableRules(min_rows=4)})
    (first,) = limits_of(rules, reading(START, 3, START), None, ())
    (later,) = limits_of(rules, reading(START + HOUR, 2, START), None, [first])
    assert (later.since, later.table) == (START, "tasks")
    broken = Reading(START, START, code="corrupt")
    assert list(limits_of(rules, broken, None, [later])) == [later]
    assert not list(limits_of(rules, reading(START, 4, START), None, [later]))


def problems_of(served: Served) -> list[tuple[str, str]]:
    found = served.database("email")["findings"]
    return [(one["kind"], one["text"]) for one in found]


def test_silence_counts_from_the_history_and_ends_with_a_write(
    tmp_path: Path,
) -> None:
    rules = (
        'expect = {every = "1h", grace = "10m"}\n'
        '[databases.tables.tasks]\nexpect = {every = "2h", grace = "2h"}\n'
    )
    with Served(expecting(tmp_path, rules)) as served:
        assert served.json("/api/db-status")["headline"] == "Email is well"
        pretend_watched_for(served, tmp_path, 3 * HOUR)
        (down, text), late = problems_of(served)
        assert late == ("late", "tasks: nothing yet; expected every 2 h.")
        assert down == "down"
        # A time, not an age: the sentence is stored and read later.
        assert re.fullmatch(r"No write since \d\d:\d\d UTC; expected every hour\.", text)
        assert served.json("/api/db-status")["headline"].startswith("Email is down, ")
        with closing(sqlite3.connect(tmp_path / "email.db")) as connection, connection:
            connection.execute("INSERT INTO tasks (text) VALUES ('x')")
        eventually(lambda: problems_of(served) == [])
        pretend_watched_for(served, tmp_path, HOUR)
        assert problems_of(served) == []


def test_a_paused_database_that_is_gone_is_not_a_problem(tmp_path: Path) -> None:
    with Served(expecting(tmp_path, "paused = true\nmin_rows = 100")) as served:
        eventually(lambda: served.json("/api/db-status")["headline"] == "1 paused")
        (tmp_path / "email.db").unlink()
        eventually(lambda: served.database("email")["status"] == "error")
        email = served.database("email")
        assert (email["level"], email["findings"], email["watch"]["paused"]) == ("well", [], True)
        assert email["error"]["code"] == "file_missing"
        assert served.json("/api/db-status")["headline"] == "1 paused"
        assert [one["kind"] for one in served.json("/api/events")["events"]] == ["gone"]
