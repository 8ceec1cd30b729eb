"""The demo: what it contains, that it grows, and that it leaves nothing behind."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from dash_app.demo import tables, writer
from dash_app.demo.backfill import (
    BACKFILLED,
    DROPPED_ROWS,
    DROPPED_TABLE,
    GAP_LENGTH,
    MINUTES_LENGTH,
    Backfill,
    Point,
)
from dash_app.demo.environment import Demo, running_demo
from dash_app.demo.rhythm import RHYTHMS, Rhythm
from dash_app.demo.rules import RULES
from dash_app.demo.temp_folder import PREFIX, held_folder, remove_leftovers
from dash_app.history.writer import BACKFILL_GAP_SECONDS
from dash_app.words.events import event_text
from tests.harness import PATIENCE_SECONDS, ROOT, eventually

NOW = datetime(2026, 11, 23, 15, 0, 5, tzinfo=UTC)
ROWS_AT_START = {
    "coordination": {"agents": 7, "tasks": 18_004},
    "observability": {"events": 73_197},
    "email": {"messages": 12_110, "attachments": 0},
    "health": {"readings": 43_201},
}


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def row_counts(path: Path) -> dict[object, object]:
    names = [name for (name,) in query(path, "SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {name: query(path, f"SELECT COUNT(*) FROM {name}")[0][0] for name in names}


def has_more_rows(path: Path, table: str, rows: int) -> bool:
    return query(path, f"SELECT COUNT(*) > {rows} FROM {table}") == [(1,)]


def rows_at_start(demo: Demo, database: str) -> int:
    """The rows that the backfill put into the table that a writer writes."""
    table = RHYTHMS[database][0]
    return max(rows for _, name, _, _, rows in demo.backfill.points() if name == table)


def writers_in(folder: Path) -> list[str]:
    """The ids of the processes whose command line contains a path in the folder.

    A process has no command line for the first moments after its start.
    """
    pids = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(folder) in command.read_bytes():
                pids.append(command.parent.name)
        except OSError:  # it has exited
            continue
    return pids


def start_python(*arguments: str) -> subprocess.Popen[str]:
    """Start an interpreter, as a parent that can be killed or as a single writer."""
    return subprocess.Popen(
        [sys.executable, "-B", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.fixture(autouse=True)
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own temporary folder for each test, so that a user's running demo is not touched."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def demo() -> Iterator[Demo]:
    with running_demo() as demo:
        yield demo


@pytest.fixture(scope="module")
def points() -> list[Point]:
    return Backfill(NOW).points()


@pytest.mark.parametrize("database", BACKFILLED)
def test_the_backfill_has_the_expected_rows_each_time(database: str, tmp_path: Path) -> None:
    path = tmp_path / "one.db"
    for name in ("one.db", "other.db"):
        Backfill(NOW).create(database, tmp_path / name)
    assert row_counts(path) == ROWS_AT_START[database]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    for table in ROWS_AT_START[database]:
        sql = f"SELECT * FROM {table}"
        assert query(tmp_path / "one.db", sql) == query(tmp_path / "other.db", sql)


def test_the_last_points_match_the_rows(points: list[Point]) -> None:
    last: dict[str, dict[str, int]] = {}
    for database, table, _at, rows, written in points:
        assert written <= rows
        last.setdefault(database, {})[table] = rows
    assert last == ROWS_AT_START


def test_points_are_one_per_minute_or_hour_in_order_over_thirty_days(points: list[Point]) -> None:
    times = [at for _database, _table, at, *_rows in points]
    assert times == sorted(times)
    assert times[0] == NOW - timedelta(days=30)
    assert times[-1] == NOW
    recent = NOW - MINUTES_LENGTH
    slots = Counter(
        (table, at.replace(second=0) if at > recent else at.replace(minute=0, second=0))
        for _database, table, at, *_rows in points
        if at not in {times[0], NOW}
    )
    assert set(slots.values()) == {1}


def test_points_agree_with_the_times_in_the_rows(tmp_path: Path, points: list[Point]) -> None:
    Backfill(NOW).create("observability", tmp_path / "backfill.db")
    for _database, table, at, rows, _written in points[::20]:
        if table == "events" and at.day == NOW.day:
            sql = f"SELECT COUNT(*) FROM events WHERE at <= '{at:%Y-%m-%dT%H:%M:%SZ}'"
            assert query(tmp_path / "backfill.db", sql) == [(rows,)]


def test_the_last_measured_values_are_those_of_the_queries(tmp_path: Path) -> None:
    last: dict[tuple[str, str], dict[str | None, float]] = {}
    for database, name, label, _at, value in Backfill(NOW).measured():
        last.setdefault((database, name), {})[label] = value
    for database in BACKFILLED:
        Backfill(NOW).create(database, tmp_path / database)
    assert last.pop(("health", "newest_reading")).keys() == {None}  # it is asked at another second
    for (database, name), values in last.items():
        (sql,) = [one["sql"] for one in RULES[database]["measures"] if one["name"] == name]
        rows = query(tmp_path / database, sql.replace("'now'", f"'{NOW:%Y-%m-%d}'"))
        assert values == {(row[0] if row[1:] else None): row[-1] for row in rows}
    assert len(last) == 4


def test_the_backfill_has_a_gap_a_drop_and_a_schema_change(points: list[Point]) -> None:
    times = [at for *_names, at, _rows, _written in points]
    longest_gap = max(later - earlier for earlier, later in pairwise(times))
    assert longest_gap >= GAP_LENGTH
    assert longest_gap.total_seconds() > BACKFILL_GAP_SECONDS
    rows = [rows for _, table, _, rows, _ in points if table == DROPPED_TABLE]
    before, _after = max((a, b) for a, b in pairwise(rows) if b < a)
    dropped, changed = Backfill(NOW).events()
    assert event_text(dropped) == f"Rows lost: events {before:,} → {before - DROPPED_ROWS:,}"
    assert event_text(changed) == "Schema changed: + column tasks.priority"
    assert dropped.ended_at


def test_nights_and_weekends_are_quieter() -> None:
    times = list(Rhythm(20).times(Random(1), NOW - timedelta(days=28), NOW))
    hours = Counter(at.hour for at in times)
    days = Counter(at.weekday() for at in times)
    assert hours[3] < hours[9] < hours[14]
    assert max(days[5], days[6]) < min(days[day] for day in range(5))


def test_a_writer_continues_the_rhythm_of_the_backfill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, now = tmp_path / "coordination.db", NOW
    Backfill(NOW).create("coordination", path)
    monkeypatch.setattr(writer, "datetime", SimpleNamespace(now=lambda _zone: now))
    with closing(tables.connect(path)) as connection:
        pauses = writer.write("coordination", connection)
        while now < NOW + timedelta(days=7):
            now += timedelta(seconds=next(pauses))
    week = (
        "SELECT count(*) FROM tasks WHERE created_at BETWEEN '{:%Y-%m-%dT%H}' AND '{:%Y-%m-%dT%H}'"
    )
    (before,), (after,) = (
        query(path, week.format(start, start + timedelta(days=7)))[0]
        for start in (NOW - timedelta(days=7), NOW)
    )
    assert after == pytest.approx(before, rel=0.1)


def test_databases_grow_in_a_private_folder_that_is_no_leftover(demo: Demo) -> None:
    assert not demo.databases[2].path.exists()  # one is missing at the start
    paths = {database.name: database.path for database in demo.databases}
    assert list(paths) == ["coordination", "observability", "content", "email", "health"]
    for name in BACKFILLED:
        table, written = RHYTHMS[name][0], rows_at_start(demo, name)
        eventually(partial(has_more_rows, paths[name], table, written))
    assert demo.folder.stat().st_mode & 0o777 == 0o700
    with running_demo() as other:
        assert demo.folder != other.folder
        assert demo.databases[0].path.exists()
    remove_leftovers()
    assert demo.databases[0].path.exists()


def test_email_goes_away_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "email.db"
    Backfill(NOW).create("email", path)
    pauses = writer.email(path)
    while path.exists():
        next(pauses)
    next(pauses)
    assert has_more_rows(path, "messages", ROWS_AT_START["email"]["messages"])


def test_observability_loses_most_events_once(tmp_path: Path) -> None:
    path, rows = tmp_path / "observability.db", ROWS_AT_START["observability"]["events"]
    Backfill(NOW).create("observability", path)
    pauses = writer.observability(path)
    while has_more_rows(path, "events", rows // 2):
        next(pauses)
    (left,) = query(path, "SELECT COUNT(*) FROM events")[0]
    next(pauses)
    assert isinstance(left, int)
    assert has_more_rows(path, "events", left)


def test_content_appears_with_a_few_rows(tmp_path: Path) -> None:
    path = tmp_path / "content.db"
    pauses = writer.content(path)
    assert next(pauses) == writer.APPEAR_SECONDS
    assert not path.exists()
    next(pauses)
    assert row_counts(path)["topics"] == writer.TOPIC_COUNT
    assert has_more_rows(path, "articles", writer.FIRST_ARTICLES)
    assert query(path, "PRAGMA journal_mode") == [("wal",)]


def test_nothing_is_left_after_the_context_not_even_a_stopped_writer(temp: Path) -> None:
    with running_demo() as demo:
        eventually(lambda: len(writers_in(demo.folder)) == len(demo.databases))
        os.kill(int(writers_in(demo.folder)[0]), signal.SIGSTOP)
    assert writers_in(demo.folder) == []
    assert list(temp.iterdir()) == []


def test_a_killed_demo_leaves_no_process_and_the_next_one_removes_its_folder(temp: Path) -> None:
    script = (
        "from dash_app.demo.environment import running_demo\n"
        "with running_demo() as demo:\n"
        "    print(demo.folder, flush=True)\n"
        "    input()\n"
    )
    with start_python("-c", script) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        eventually(lambda: len(writers_in(folder)) == 5)
        owner.kill()
    eventually(lambda: not writers_in(folder))
    assert folder.parent == temp
    assert folder.exists()
    with running_demo():
        assert not folder.exists()


def test_only_folders_of_demos_are_removed(temp: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (temp / f"{PREFIX}link").symlink_to(kept)
    (temp / f"{PREFIX}file").touch()
    (temp / "something-else").mkdir()
    (temp / f"{PREFIX}left").mkdir()
    remove_leftovers()
    assert (kept / "file").exists()
    assert {path.name for path in temp.iterdir()} == {
        f"{PREFIX}link",
        f"{PREFIX}file",
        "something-else",
    }


def test_demos_that_start_together_do_not_remove_each_other(temp: Path) -> None:
    script = (
        "from dash_app.demo.temp_folder import held_folder, remove_leftovers\n"
        "for _round in range(200):\n"
        "    remove_leftovers()\n"
        "    with held_folder() as folder:\n"
        "        (folder / 'file').touch()\n"
        "        remove_leftovers()\n"
        "        assert (folder / 'file').exists()\n"
    )
    demos = [start_python("-c", script) for _demo in range(3)]
    for demo in demos:
        demo.communicate(timeout=PATIENCE_SECONDS)
    assert [demo.returncode for demo in demos] == [0, 0, 0]
    assert list(temp.iterdir()) == []


def test_a_held_folder_may_already_be_removed() -> None:
    with held_folder() as folder:
        folder.rmdir()


@pytest.mark.parametrize("name", ["content", "health"])
def test_a_silent_writer_runs_until_its_input_ends(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.db"
    if name in BACKFILLED:
        Backfill(NOW).create(name, path)
    with start_python("-m", "dash_app.demo.writer", name, str(path)) as process:
        assert process.stdin is not None
        if name in BACKFILLED:
            rows = ROWS_AT_START[name]["readings"]
            eventually(lambda: has_more_rows(path, "readings", rows))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.stdin.close()
        assert process.wait(PATIENCE_SECONDS) == 0
