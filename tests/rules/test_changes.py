"""Each change of a database is reported once, as one event with the facts before and after."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dash_app.model.event import Event
from dash_app.model.expectation import Rules, TableRules
from dash_app.model.reading import Reading, TableCount
from dash_app.model.snapshot import DatabaseState
from dash_app.rules.changes import apply_reading
from dash_app.rules.drop_policy import HABIT_MIN_EVENTS, DropPolicy, Habits, learn_habits
from dash_app.rules.problems import resolve_events
from dash_app.words.events import event_text
from tests.airlock_helpers import open_airlock, read_exact
from tests.harness import Served, eventually, execute, make_database, write_config
from tests.rules.helpers import event_texts, events_of, remove, sql, vacuum_into_new_file

LOST = "agents 7 → 0, runs 5 → 0, tasks 126 → 0"
DROP_ALL = [f"DROP TABLE {table}" for table in ("tasks", "agents", "runs")]
RUNS = "CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of three tables, one with AUTOINCREMENT."""
    path = make_database(tmp_path / "a.db", tasks=126, agents=7)
    execute(path, RUNS, *["INSERT INTO runs (text) VALUES ('x')"] * 5)
    return path


def restore(path: Path) -> None:
    path.with_suffix(".away").rename(path)


def truncate_to(share: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(path.stat().st_size * share))


def save_copy(path: Path) -> None:
    shutil.copy2(path, path.with_suffix(".copy"))


def add_runs(path: Path) -> None:
    execute(path, *["INSERT INTO runs (text) VALUES ('x')"] * 3)


def restore_over(path: Path) -> None:
    shutil.copy2(path.with_suffix(".copy"), path)


def restore_by_rename(path: Path) -> None:
    path.with_suffix(".copy").replace(path)


def replace_with_other(path: Path) -> None:
    make_database(path.with_suffix(".other"), letters=3).replace(path)


def create_empty(path: Path) -> None:
    make_database(path, tasks=0, agents=0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([remove], ["Gone"]),
        ([remove, restore], ["Gone", "Back after a moment"]),
        ([truncate_to(0)], ["Emptied: it held 138 rows"]),
        ([sql(*DROP_ALL)], ["Emptied: it held 138 rows"]),
        ([replace_with_other], [f"Replaced by another file with 138 fewer rows: {LOST}"]),
        ([vacuum_into_new_file], ["Replaced by another file"]),
        ([save_copy, add_runs, restore_over], ["Went back to an older state"]),
        ([save_copy, add_runs, restore_by_rename], ["Went back to an older state"]),
        (
            [sql("CREATE TABLE notes (id INTEGER)", "ALTER TABLE tasks DROP COLUMN text")],
            ["Schema changed: + table notes, − column tasks.text"],
        ),
        (
            [sql("ALTER TABLE tasks ADD COLUMN owner TEXT", "DELETE FROM tasks")],
            ["Schema changed: + column tasks.owner; tasks 126 → 0"],
        ),
        (
            [sql("ALTER TABLE tasks RENAME TO jobs")],
            ["Schema changed: + table jobs, − table tasks"],
        ),
        ([sql("DELETE FROM tasks")], ["Emptied: tasks 126 → 0"]),
        ([sql("DELETE FROM tasks WHERE id > 62")], ["Rows lost: tasks 126 → 62"]),
        ([sql("DELETE FROM tasks WHERE id > 63")], []),
        ([sql("PRAGMA user_version = 3")], ["Version changed: user_version 0 → 3"]),
        ([sql("VACUUM"), sql("ANALYZE"), sql("REINDEX")], []),
        ([sql("DELETE FROM runs WHERE id = 5")], []),
        ([sql("INSERT INTO tasks (text) VALUES ('one more')"), add_runs], []),
        (
            [remove, create_empty],
            [
                "Gone",
                f"Back after a moment with 138 fewer rows: {LOST}; the previous file is now a.away",
                "Schema changed: − table runs",
            ],
        ),
    ],
)  # fmt: skip
def test_each_change_is_reported_once(
    path: Path, changes: list[Callable[[Path], None]], expected: list[str]
) -> None:
    assert event_texts(events_of(path, *changes)) == expected


def test_a_truncated_file_is_reported_and_comes_back(path: Path) -> None:
    changes = save_copy, truncate_to(0.5), restore_over
    cut, back = events_of(path, *changes)
    assert (cut.kind, cut.after["code"], back.kind) == ("truncated", "corrupt", "back")
    assert cut.before["sizeBytes"] == 2 * cut.after["sizeBytes"]


def test_an_event_has_the_facts_before_and_after(path: Path) -> None:
    (event,) = events_of(path, sql("DELETE FROM tasks"))
    assert (event.before, event.after) == ({"rows": {"tasks": 126}}, {"rows": {"tasks": 0}})


def test_a_table_that_is_emptied_often_is_a_queue(path: Path) -> None:
    (drop,) = events_of(path, sql("DELETE FROM tasks"))
    assert learn_habits([drop] * (HABIT_MIN_EVENTS - 1)).queues == {}
    habits = learn_habits([drop] * HABIT_MIN_EVENTS)
    assert habits.queues == {"tasks": 126}
    with open_airlock(path) as airlock:
        now = read_exact(airlock)
    before = replace(now, tables={**now.tables, "tasks": replace(now.tables["agents"], rows=126)})
    state = DatabaseState("connected", None, now.read_at, None, None, before)
    assert [e.kind for e in apply_reading("a", now, state)[1]] == ["rows_dropped"]
    assert apply_reading("a", now, state, DropPolicy(habits=habits))[1] == ()


NOW = datetime(2026, 11, 23, tzinfo=UTC)


def holding(rows: int) -> Reading:
    return Reading(NOW, NOW, tables={"tasks": TableCount(rows, NOW), "agents": TableCount(7, NOW)})


@pytest.mark.parametrize(
    ("rules", "rows", "is_reported"),
    [
        (Rules(), 50, False),
        (Rules(), 49, True),
        (Rules(max_drop_percent=29), 71, False),
        (Rules(max_drop_percent=29), 70, True),
        (Rules(max_drop_percent=100), 0, False),
        (Rules(tables={"tasks": TableRules(max_drop_percent=90)}), 10, False),
        (Rules(tables={"tasks": TableRules(max_drop_percent=90)}), 9, True),
        (Rules(tables={"tasks": TableRules(paused=True)}), 0, False),
    ],
)
def test_a_drop_is_reported_if_it_exceeds_the_limit(
    rules: Rules, rows: int, *, is_reported: bool
) -> None:
    """It is over once the table is back within the limit."""
    state, _ = apply_reading("a", holding(100), None)
    state, events = apply_reading("a", holding(rows), state, DropPolicy(rules))
    assert [event.before["rows"] for event in events] == [{"tasks": 100}] * is_reported
    for event in events:
        still = resolve_events([event], (), holding(rows), None, DropPolicy(rules))
        back = resolve_events([event], (), holding(rows + 1), None, DropPolicy(rules))
        assert [one.ended_at is not None for one in (*still, *back)] == [False, True]


def test_a_configured_limit_applies_to_a_queue_too() -> None:
    state, _ = apply_reading("a", holding(100), None)
    habits = Habits(queues={"tasks": 100})
    assert apply_reading("a", holding(0), state, DropPolicy(habits=habits))[1] == ()
    assert apply_reading("a", holding(0), state, DropPolicy(Rules(max_drop_percent=50), habits))[1]


def test_an_estimate_is_not_compared(path: Path) -> None:
    with open_airlock(path) as airlock:
        first = read_exact(airlock)
    few = replace(first.tables["tasks"], rows=1, estimate="about")
    state, _ = apply_reading("a", first, None)
    estimated = replace(first, tables={**first.tables, "tasks": few})
    state, events = apply_reading("a", estimated, state)
    assert events == ()
    counted = replace(first, tables={**first.tables, "tasks": replace(few, estimate=None)})
    assert [event_text(e) for e in apply_reading("a", counted, state)[1]] == [
        "Rows lost: tasks 126 → 1"
    ]


def test_a_long_event_lists_three_changes_and_counts_the_rest() -> None:
    now = datetime.now(UTC)
    objects = [f"table t{number}" for number in range(5)]
    event = Event("a", "schema_changed", now, {"objects": []}, {"objects": objects})
    assert event_text(event) == "Schema changed: + table t0, + table t1, + table t2, 2 more"
    back = Event("a", "back", now, {"since": (now - timedelta(minutes=58)).isoformat()}, {})
    assert event_text(back) == "Back after 58 min"


@pytest.fixture
def served(tmp_path: Path) -> Any:
    paths = {name: make_database(tmp_path / f"{name}.db", tasks=30) for name in ("email", "health")}
    with Served(write_config(tmp_path, paths.items())) as served:
        eventually(lambda: served.database("health")["status"] == "connected")
        yield served


def test_events_are_served_newest_first_and_survive_a_restart(
    served: Served, tmp_path: Path
) -> None:
    for change, kind in ((remove, "gone"), (restore, "back"), (remove, "gone")):
        change(tmp_path / "email.db")
        eventually(lambda kind=kind: kinds(served, "?limit=1") == [kind])  # type: ignore[misc]
    execute(tmp_path / "health.db", "DELETE FROM tasks")
    eventually(lambda: kinds(served, "?limit=1") == ["rows_dropped"])
    assert kinds(served) == ["rows_dropped", "gone", "back", "gone"]
    assert kinds(served, "?database=email&kind=gone") == ["gone", "gone"]
    first = served.json("/api/events?limit=3")
    older = served.json(f"/api/events?limit=3&before={first['next']}")
    assert [event["kind"] for event in older["events"]] == ["gone"]
    assert older["next"] is None
    assert first["events"][0]["text"] == "Emptied: tasks 30 → 0"
    # An event is stored before the snapshot with it is published.
    eventually(lambda: "Emptied: tasks 30 → 0" in served.get("/")[1])
    served.stop()
    restore(tmp_path / "email.db")
    served.restart()
    assert kinds(served) == ["back", "rows_dropped", "gone", "back", "gone"]


def kinds(served: Served, query: str = "") -> list[str]:
    return [event["kind"] for event in served.json(f"/api/events{query}")["events"]]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("kind=lost", "kind must be one of gone,"),
        ("limit=501", "limit must be a whole number from 1 to 500."),
        ("before=x", "before must be a whole number"),
        ("table=tasks", "There is no parameter table."),
    ],
)
def test_an_invalid_parameter_is_explained(served: Served, query: str, message: str) -> None:
    status, body = served.get(f"/api/events?{query}")
    assert status == 400
    assert message in body
