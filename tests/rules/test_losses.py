"""Lost rows are found. Rows that moved, and rows removed as usual work, are not lost."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dash_app.model.event import Event
from dash_app.model.expectation import Rules
from dash_app.model.reading import Reading, rows_inserted
from dash_app.reader.counts import Budget
from dash_app.reader.reader import Reader
from dash_app.rules.changes import apply_reading
from dash_app.rules.drop_policy import QUEUE_PENDING, RECENTLY, learn_habits
from dash_app.words.events import event_text
from tests.airlock_helpers import await_quiet, open_airlock, read_exact, rows
from tests.harness import execute
from tests.rules.helpers import event_texts, events_of, fill, sql, watched_service

LOGS = "CREATE TABLE logs (id INTEGER PRIMARY KEY, body TEXT)"
JOBS = "CREATE TABLE {name} (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT{more})"
REBUILD = [
    JOBS.format(name="new__jobs", more=", owner TEXT"),
    "INSERT INTO new__jobs (id, body) SELECT id, body FROM jobs",
    "DROP TABLE jobs",
    "ALTER TABLE new__jobs RENAME TO jobs",
]
CLEAR = ["DELETE FROM jobs", "DELETE FROM sqlite_sequence"]


def make(table: str, rows: int) -> Callable[[Path], None]:
    return sql(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, body TEXT)", fill(table, rows))


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """An AUTOINCREMENT table whose last ten rows were deleted."""
    path = tmp_path / "a.db"
    execute(path, "PRAGMA journal_mode = WAL", JOBS.format(name="jobs", more=""))
    execute(
        path, JOBS.format(name="more", more=""), fill("more", 50), "DELETE FROM more WHERE id > 40"
    )
    execute(path, fill("jobs", 300), "DELETE FROM jobs WHERE id > 290")
    return path


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([sql("BEGIN", *REBUILD, "COMMIT")], ["Schema changed: + column jobs.owner"]),
        ([sql("UPDATE sqlite_sequence SET seq = 290 WHERE name = 'jobs'")], []),
        ([sql("UPDATE sqlite_sequence SET seq = seq - 10")], []),
        ([sql("DELETE FROM sqlite_sequence", "INSERT INTO jobs (body) VALUES ('next')")], []),
        (
            [sql("BEGIN", *CLEAR, fill("jobs", 295), "COMMIT")],
            [],
        ),
        ([sql("DELETE FROM jobs WHERE id > 280", "VACUUM")], []),
        (
            [sql(*CLEAR, fill("jobs", 20))],
            ["Rows lost: jobs 290 → 20"],
        ),
    ],
)  # fmt: skip
def test_a_sequence_that_restarts_is_not_an_older_state(
    numbered: Path, changes: list[Callable[[Path], None]], expected: list[str]
) -> None:
    """As migrations and cleanups do: neilotoole/sq issue 757, fnc12/sqlite_orm issue 806."""
    assert event_texts(events_of(numbered, *changes)) == expected


@pytest.mark.parametrize("leftover", [3, 100_000])
def test_a_second_sequence_that_a_migration_left_hides_no_row(
    numbered: Path, leftover: int
) -> None:
    """SQLite uses the first: mphacker/TeslaUSB pull request 203."""
    execute(numbered, f"INSERT INTO sqlite_sequence VALUES ('jobs', {leftover})")
    with open_airlock(numbered) as airlock:
        before = read_exact(airlock)
        execute(numbered, "DELETE FROM jobs WHERE id <= 9", fill("jobs", 9))
        assert rows_inserted(before, read_exact(airlock), "jobs") == 9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A table of 5,000 rows, and an empty one."""
    path = tmp_path / "a.db"
    execute(path, "PRAGMA journal_mode = WAL", LOGS, fill("logs", 5000))
    execute(path, "CREATE TABLE other (id INTEGER PRIMARY KEY, note TEXT)")
    return path


COPY = "INSERT INTO logs_new (id, body) SELECT id, body FROM logs"
NEW = "CREATE TABLE logs_new (id INTEGER PRIMARY KEY, body TEXT, more TEXT)"
TO_OLD, TO_LOGS = "ALTER TABLE logs RENAME TO logs_old", "ALTER TABLE logs_new RENAME TO logs"


@pytest.mark.parametrize(
    "changes",
    [
        [sql("BEGIN", TO_OLD, LOGS, fill("logs", 1), "COMMIT")],
        [sql("BEGIN", TO_OLD, "INSERT INTO logs_old (body) VALUES ('one more')", "COMMIT")],
        [sql(TO_OLD), sql(LOGS, fill("logs", 3))],
        [sql(NEW, COPY, "DROP TABLE logs", TO_LOGS)],
        [sql(NEW, COPY), sql(TO_OLD), sql(TO_LOGS), sql("DROP TABLE logs_old")],
        [sql(NEW, COPY), sql("DROP TABLE logs"), sql(TO_LOGS)],
        [sql(NEW, COPY, fill("logs_new", 9)), sql("DROP TABLE logs", TO_LOGS, "VACUUM")],
        [sql(NEW), sql(COPY), sql("DELETE FROM logs"), sql("DROP TABLE logs")],
        [sql(TO_OLD, LOGS, "VACUUM")],
        [make("p1", 300), make("p2", 10), make("p3", 90), sql("DROP TABLE other", "VACUUM")],
        [make("p1", 10), make("p2", 300), make("p3", 90),
         sql("CREATE TABLE p4 AS SELECT * FROM p1", "DROP TABLE p1", "ALTER TABLE p4 RENAME TO p1",
             "VACUUM")],
        [sql("CREATE TABLE logs_w (id TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID",
             "INSERT INTO logs_w SELECT id, body FROM logs", "DROP TABLE logs",
             "ALTER TABLE logs_w RENAME TO logs")],
        [sql("BEGIN", "CREATE TABLE archive AS SELECT * FROM logs", "DELETE FROM logs", "COMMIT")],
        [sql("CREATE TABLE archive AS SELECT * FROM logs WHERE id < 1001"),
         sql("INSERT INTO archive SELECT * FROM logs WHERE id > 1000"), sql("DELETE FROM logs")],
        [sql("CREATE TABLE odd AS SELECT * FROM logs WHERE id % 2",
             "CREATE TABLE even AS SELECT * FROM logs WHERE NOT id % 2", "DROP TABLE logs")],
        [sql("CREATE TABLE lines (line INTEGER PRIMARY KEY, content TEXT)",
             "INSERT INTO lines SELECT id, body FROM logs", "DROP TABLE logs")],
    ],
)  # fmt: skip
def test_rows_that_moved_to_another_table_are_not_lost(
    path: Path, changes: list[Callable[[Path], None]]
) -> None:
    """As in home-assistant/core pull request 120779 and kizuna-ai-lab/sokuji pull request 71."""
    assert {event.kind for event in events_of(path, *changes)} <= {"schema_changed"}
    assert not [event for event in events_of(path) if event.before.get("rows")]
    events = events_of(path, sql("CREATE TABLE lonely (x INTEGER)"))
    assert not [event for event in events if event.before.get("rows")]


@pytest.mark.parametrize("source", ["logs", "mails"])
def test_rows_that_were_merged_or_split_are_not_lost(path: Path, source: str) -> None:
    """No table has similar columns or the same number of rows, but no row is missing."""
    execute(path, "CREATE TABLE mails AS SELECT * FROM logs LIMIT 900")
    for name in ("items", "notes"):
        execute(path, f"CREATE TABLE {name} (number INTEGER PRIMARY KEY, kind TEXT, content TEXT)")
        execute(path, f"INSERT INTO {name} (content) VALUES ('first')")
    parts = {
        "logs": "INSERT INTO {} (content) SELECT body FROM logs UNION ALL SELECT body FROM mails",
        "mails": "INSERT INTO {} (content) SELECT body FROM mails WHERE rowid % 2 = {}",
    }[source]
    merge = [parts.format("items", 0), "DELETE FROM logs", "DROP TABLE mails"]
    sort = [parts.format("items", 0), parts.format("notes", 1), "DELETE FROM mails"]
    events = events_of(path, sql("BEGIN", *(merge if source == "logs" else sort), "COMMIT"))
    assert losses(events) == []


def test_a_renamed_table_was_not_written(path: Path) -> None:
    """Its rows moved, and are not in the number of rows written that day."""
    with open_airlock(path) as airlock:
        before = read_exact(airlock)
        execute(path, "BEGIN", TO_OLD, fill("logs_old", 7), LOGS, "COMMIT")
        after = read_exact(airlock)
        assert {table: rows_inserted(before, after, table) for table in after.tables} == {
            "logs_old": 7,
            "logs": 0,
            "other": 0,
        }
        execute(path, "CREATE TABLE logs_copy AS SELECT * FROM logs_old")
        assert rows_inserted(after, read_exact(airlock), "logs_copy") == 5007


def test_a_rename_is_judged_once_the_schema_can_be_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is far too busy leaves no time for it, and the file stays as it is then."""
    reader = Reader(str(path), Budget(1, 2, 0.02))
    state, _ = apply_reading("a", reader.read(), None)
    execute(path, "BEGIN", TO_OLD, fill("logs_old", 7), LOGS, "COMMIT")
    await_quiet(path.parent)
    with monkeypatch.context() as patch:
        patch.setattr("dash_app.reader.reader.read_schema", lambda *_: None)
        state, events = apply_reading("a", reader.read(), state)
        late = replace(reader.read(), verified_at=datetime.now(UTC) + timedelta(minutes=2))
    assert events == ()
    _, events = apply_reading("a", late, state)  # that it never can be must not hide a loss
    assert event_texts(list(events)) == ["Emptied: logs 5,000 → 0"]
    last = reader.read()
    assert rows(last) == {"logs": 0, "logs_old": 5007, "other": 0}
    _, events = apply_reading("a", last, state)
    assert event_texts(list(events)) == ["Schema changed: + table logs_old"]


KEEP = "CREATE TABLE logs_backup AS SELECT * FROM logs"


@pytest.mark.parametrize(
    ("steps", "dropped"),
    [
        ([sql(KEEP)], "logs_backup"),
        ([sql("BEGIN", NEW, COPY, TO_OLD, TO_LOGS, "COMMIT")], "logs_old"),
        ([sql(NEW, COPY), sql(TO_OLD), sql(TO_LOGS)], "logs_old"),
        ([sql(NEW), sql(COPY)], "logs_new"),
    ],
)
def test_a_copy_that_is_dropped_days_later_is_not_a_loss(
    path: Path, steps: list[Callable[[Path], None]], dropped: str
) -> None:
    """A cautious migration keeps the old table, and a failed one its new one: Alembic's batches."""
    with watched_service(path) as after:
        for step in steps:
            assert after(step) == []
        assert after(None, timedelta(days=7)) == []
        assert after(sql(fill("logs", 30))) == []
        assert after(sql(f"DROP TABLE {dropped}")) == []


@pytest.mark.parametrize(
    ("steps", "dropped"),
    [
        ([sql(KEEP)], "logs"),
        ([sql(KEEP), sql("DELETE FROM logs WHERE id <= 2000")], "logs_backup"),
        ([sql("BEGIN", NEW, COPY, TO_OLD, TO_LOGS, "COMMIT")], "logs"),
        ([make("logs_2026_11", 300), make("logs_2026_12", 300)], "logs_2026_11"),
    ],
)
def test_a_table_whose_copy_lacks_rows_or_is_not_used_is_a_loss(
    path: Path, steps: list[Callable[[Path], None]], dropped: str
) -> None:
    with watched_service(path) as after:
        for step in steps:
            assert after(step) == []
        assert after(None, timedelta(days=7)) == []
        (lost,) = after(sql(f"DROP TABLE {dropped}"))
        assert lost.startswith(f"Schema changed: − table {dropped}; {dropped} ")


def losses(events: list[Event]) -> list[str]:
    return [event_text(event) for event in events if event.before.get("rows")]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([sql("DROP TABLE logs")], ["Schema changed: − table logs; logs 5,000 → 0"]),
        (
            [make("metrics", 300), sql("DROP TABLE logs")],
            ["Schema changed: − table logs; logs 5,000 → 0"],
        ),
        ([sql(TO_OLD, "DELETE FROM logs_old")], [
            "Schema changed: + table logs_old, − table logs; logs 5,000 → 0"]),
        ([sql(TO_OLD), sql("DELETE FROM logs_old")], ["Emptied: logs_old 5,000 → 0"]),
        ([sql(fill("other", 1).replace("body", "note")), sql("DELETE FROM logs")], [
            "Emptied: logs 5,000 → 0"]),
        ([sql(NEW, COPY), sql("DELETE FROM logs_new"), sql("DELETE FROM logs")], [
            "Emptied: logs 5,000 → 0"]),
        ([sql(NEW), sql(COPY), sql("DROP TABLE logs"), sql(TO_LOGS), sql("DELETE FROM logs")], [
            "Emptied: logs 5,000 → 0"]),
        ([sql("BEGIN", "INSERT INTO other (note) SELECT body FROM logs", "DELETE FROM logs",
              "COMMIT"), sql("DELETE FROM other")], ["Emptied: other 5,000 → 0"]),
        ([sql("DROP TABLE logs", "CREATE TABLE lags (id INTEGER PRIMARY KEY, body TEXT)",
              fill("lags", 10))],
         ["Schema changed: + table lags, − table logs; logs 5,000 → 10"]),
    ],
)  # fmt: skip
def test_rows_that_are_in_no_other_table_are_lost(
    path: Path, changes: list[Callable[[Path], None]], expected: list[str]
) -> None:
    assert losses(events_of(path, *changes)) == expected


def test_new_rows_of_a_busy_table_do_not_explain_a_loss(path: Path) -> None:
    execute(path, "CREATE TABLE ticks (number INTEGER PRIMARY KEY, value REAL, source TEXT)")
    tick = fill("ticks", 4990).replace("body", "value")
    execute(path, tick)
    assert losses(events_of(path, sql(tick, "DELETE FROM logs"))) == ["Emptied: logs 5,000 → 0"]


@pytest.mark.parametrize(("rows", "is_reported"), [(1, False), (19, False), (20, True)])
def test_a_few_rows_are_not_a_loss(tmp_path: Path, rows: int, *, is_reported: bool) -> None:
    """A queue of a few tasks empties all the time: coleifer/huey issue 517."""
    path = tmp_path / "a.db"
    make("tasks", rows)(path)
    assert (
        losses(events_of(path, sql("DELETE FROM tasks")))
        == [f"Emptied: tasks {rows} → 0"] * is_reported
    )


def test_a_working_table_that_is_dropped_is_not_a_loss(path: Path) -> None:
    """Each run uses a new name: bqbooster/dbt-bigquery-monitoring pull request 199."""
    with watched_service(path) as after:
        for run_number in range(1000, 1004):
            assert after(make(f"load_{run_number}", 300)) == []
            assert after() == []
            assert after(sql(f"DELETE FROM load_{run_number}")) == []
            assert after(sql(f"DROP TABLE load_{run_number}")) == []


def test_a_rewritten_table_is_a_loss_the_first_time_and_if_it_stays_away(path: Path) -> None:
    """`to_sql(if_exists="replace")` commits the drop: pandas-dev/pandas issue 32933."""
    with watched_service(path) as after:
        lost = ["Schema changed: − table logs; logs 5,000 → 0"]
        assert after(sql("DROP TABLE logs")) == lost
        assert after(make("logs", 5001)) == []
        for day in range(2, 6):
            assert after(sql("DROP TABLE logs"), timedelta(days=1)) == []
            assert after() == []
            assert after(make("logs", 5000 + day)) == []
        assert after(sql("DROP TABLE logs"), timedelta(days=1)) == []
        assert after(None, RECENTLY / 2) == []
        assert after(None, RECENTLY) == ["Emptied: logs 5,005 → 0"]
        assert after(make("logs", 5006)) == []


def test_setting_the_clock_does_not_end_a_pending_drop(path: Path) -> None:
    with watched_service(path) as after:
        after(sql("DROP TABLE logs"))
        after(make("logs", 5001))
        assert after(sql("DROP TABLE logs"), timedelta(days=1)) == []
        a_week = timedelta(days=7)
        after.store.shift_times(a_week)
        assert after(None, a_week) == []
        assert after(None, 2 * RECENTLY) == ["Emptied: logs 5,001 → 0"]


def test_rotated_daily_tables_are_a_loss_only_the_first_time(path: Path) -> None:
    with watched_service(path) as after:
        for day in range(1, 10):
            after(make(f"hits_2026_11_{day:02}", 300))
        assert after(None, 2 * RECENTLY) == []
        open_losses = after(sql("DROP TABLE hits_2026_11_01"))
        assert open_losses == ["Schema changed: − table hits_2026_11_01; hits_2026_11_01 300 → 0"]
        assert after(sql("DROP TABLE hits_2026_11_02"), timedelta(days=1)) == open_losses
        more = after(sql(*[f"DROP TABLE hits_2026_11_0{day}" for day in range(3, 7)]))
        assert len(more) == 2


def test_a_queue_that_stays_empty_or_drops_far_more_than_usual_is_a_loss(path: Path) -> None:
    with watched_service(path) as after:
        after(make("queue", 100))
        for _work in range(3):
            after(None, 2 * RECENTLY)
            assert after(sql("DELETE FROM queue")) == ["Emptied: queue 100 → 0"]
            assert after(sql(fill("queue", 100))) == []
        assert after(sql("DELETE FROM queue")) == []
        assert after(None, QUEUE_PENDING / 2) == []
        assert after(None, QUEUE_PENDING) == ["Emptied: queue 100 → 0"]
        assert after(sql(fill("queue", 2000))) == []
        assert after(None, 2 * RECENTLY) == []
        assert after(sql("DELETE FROM queue")) == ["Emptied: queue 2,000 → 0"]


def test_a_table_that_is_filled_and_cleared_by_each_run_is_not_a_loss(path: Path) -> None:
    """Unless it stays empty. Staging tables and batches of jobs do that: rails/solid_queue."""
    with watched_service(path) as after:
        after(sql("CREATE TABLE stage (id INTEGER PRIMARY KEY, body TEXT)"))
        assert after(None, 2 * RECENTLY) == []
        for run_number in range(4):
            assert after(sql(fill("stage", 500 + run_number))) == []
            assert after() == []
            assert after(sql("DELETE FROM stage WHERE id > 3"), RECENTLY / 2) == []
        assert after(None, RECENTLY / 2) == []
        assert after(None, RECENTLY) == ["Rows lost: stage 506 → 3"]


def test_rotated_monthly_tables_are_a_loss_only_the_first_time(path: Path) -> None:
    """The new table starts at the page of the dropped one."""
    with watched_service(path) as after:
        for month in range(1, 5):
            after(make(f"hits_2026_{month:02}", 300))
        assert after(None, 2 * RECENTLY) == []
        one = (
            "Schema changed: + table hits_2026_1{0}, − table hits_2026_0{0}; hits_2026_0{0} 300 → 0"
        )
        for month in range(1, 4):
            step = sql(
                "BEGIN",
                f"DROP TABLE hits_2026_0{month}",
                LOGS.replace("logs", f"hits_2026_1{month}"),
                "COMMIT",
            )
            assert after(step, timedelta(days=30)) == [one.format(1)]


def test_a_rotation_is_compared_once_all_tables_are_counted(path: Path) -> None:
    """Each table gets the next name, as with logrotate; a new table gets the last page."""
    execute(path, LOGS.replace("logs", "logs_1"), fill("logs_1", 2800))
    with open_airlock(path) as airlock:
        state, _ = apply_reading("a", read_exact(airlock), None)
        execute(
            path, "BEGIN", "DROP TABLE logs_1", "ALTER TABLE logs RENAME TO logs_1", LOGS, "COMMIT"
        )
        reading = read_exact(airlock)
        count = replace(reading.tables["logs"], rows=5000, estimate="about")
        early = replace(reading, tables={**reading.tables, "logs": count})
        state, _ = apply_reading("a", early, state)
        _, events = apply_reading("a", reading, state)
    assert losses(list(events)) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("DROP TABLE logs", "Schema changed: − table logs; logs 5,000 → 0"),
        ("DELETE FROM logs WHERE id > 10", "Rows lost: logs 5,000 → 10"),
    ],
)
def test_a_table_with_estimates_only_can_lose_rows(path: Path, change: str, expected: str) -> None:
    """A large table that is written all the time: neomjs/neo issue 10854."""

    def estimated(reading: Reading) -> Reading:
        count = replace(reading.tables["logs"], estimate="about")
        return replace(reading, tables={**reading.tables, "logs": count})

    with open_airlock(path) as airlock:
        first = read_exact(airlock)
        bound = replace(first.tables["logs"], rows=9000, estimate="at_most")
        state, _ = apply_reading("a", replace(first, tables={**first.tables, "logs": bound}), None)
        state, _ = apply_reading("a", estimated(first), state)
        execute(path, change)
        _, events = apply_reading("a", read_exact(airlock), state)
    assert event_texts(list(events)) == [expected]


def test_a_baseline_of_an_earlier_version_without_roots_and_trail_is_compared(path: Path) -> None:
    """A rename is recognized from the rows of the new table."""
    with open_airlock(path) as airlock:
        first = replace(read_exact(airlock), roots={})
        state, _ = apply_reading("a", first, None)
        execute(path, TO_OLD)
        _, events = apply_reading("a", read_exact(airlock), state)
    assert losses(list(events)) == []
    assert learn_habits(events).queues == {}


def test_ignored_tables_make_no_event_whatever_happens_to_them(tmp_path: Path) -> None:
    path, rules = tmp_path / "a.db", Rules(ignored_tables=("load_*", "?mp"))
    load = LOGS.replace("logs", "load_1")
    execute(path, LOGS, fill("logs", 90), load, fill("load_1", 500), LOGS.replace("logs", "tmp"))
    execute(path, 'CREATE INDEX last ON "load_1" (body)')
    with watched_service(path, rules) as after:
        assert after(sql("DELETE FROM load_1")) == []
        assert after(sql("DROP TABLE load_1", "DROP TABLE tmp")) == []
        assert after(sql(load, "CREATE TRIGGER t AFTER DELETE ON load_1 BEGIN SELECT 1; END")) == []
        assert after.store.events == ()
        assert after(sql("DELETE FROM logs")) == ["Emptied: logs 90 → 0"]
        after.database = replace(after.database, rules=Rules(ignored_tables=("logs",)))
        assert after() == []
        after(sql("CREATE INDEX one ON logs (id)", "CREATE TABLE kept (id)"))
        newest = event_texts(after.store.events)[0]
        assert newest == "Schema changed: + table kept"
