"""The demo world: what it holds, that it grows, and that it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from dash_app.demo import writer
from dash_app.demo.backfill import GAP_LASTED, LOST_ROWS, LOST_TABLE, TIMES, Past
from dash_app.demo.environment import World
from dash_app.demo.rhythm import spread
from dash_app.demo.rows import TOPICS
from dash_app.demo.temp_folder import PREFIX, held_folder, sweep
from dash_app.history.writer import PAST_GAP_SECONDS
from dash_app.words.events import event_text
from tests.harness import PATIENCE_SECONDS, ROOT, eventually

NOW = datetime(2026, 11, 23, 15, 0, 5, tzinfo=UTC)
ROWS_AT_FIRST = {
    "coordination": {"agents": 7, "tasks": 126},
    "observability": {"events": 10_640},
    "email": {"messages": 384, "attachments": 0},
    "health": {"readings": 720},
}


def ask(path: Path, question: str) -> list[tuple[object, ...]]:
    """Return the rows that a reader sees."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(question).fetchall()


def row_counts(path: Path) -> dict[object, object]:
    """Return the tables of a database and how many rows each has."""
    names = [name for (name,) in ask(path, "SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {name: ask(path, f"SELECT COUNT(*) FROM {name}")[0][0] for name in names}


def grew(path: Path, table: str, rows: int) -> bool:
    """Tell whether a table has more rows than it had."""
    return ask(path, f"SELECT COUNT(*) > {rows} FROM {table}") == [(1,)]


def writers_in(folder: Path) -> list[str]:
    """Return the ids of the processes that were started for a file in a folder.

    A process has no command line for the first moments after its start.
    """
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(folder) in command.read_bytes():
                found.append(command.parent.name)
        except OSError:  # it ended meanwhile
            continue
    return found


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start an interpreter of our own, as a parent that can be killed or a writer by itself."""
    return subprocess.Popen(
        [sys.executable, "-B", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.fixture(autouse=True)
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a temporary folder of its own, so that no real demo is swept."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def world() -> Iterator[World]:
    """Give a living world."""
    with World.create(appear_after=0.2) as world:
        yield world


@pytest.mark.parametrize("database", TIMES)
def test_the_past_has_the_stated_rows(database: str, tmp_path: Path) -> None:
    path = tmp_path / "past.db"
    Past(NOW).fill(database, path)
    assert row_counts(path) == ROWS_AT_FIRST[database]
    assert ask(path, "PRAGMA journal_mode") == [("wal",)]
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert ask(path, "PRAGMA foreign_key_check") == []


@pytest.mark.parametrize("database", TIMES)
def test_the_past_is_the_same_each_time(database: str, tmp_path: Path) -> None:
    for name in ("one.db", "other.db"):
        Past(NOW).fill(database, tmp_path / name)
    for table in TIMES[database]:
        question = f"SELECT * FROM {table}"
        assert ask(tmp_path / "one.db", question) == ask(tmp_path / "other.db", question)


def test_points_end_with_the_rows_there_are() -> None:
    last: dict[str, dict[str, int]] = {}
    for database, table, _at, rows, written in Past(NOW).points():
        assert written <= rows
        last.setdefault(database, {})[table] = rows
    assert last == ROWS_AT_FIRST


def test_points_are_one_a_minute_in_order_over_thirty_days() -> None:
    points = Past(NOW).points()
    minutes = [(database, table, at.replace(second=0)) for database, table, at, *_rows in points]
    times = [at for _database, _table, at, *_rows in points]
    assert len(set(minutes)) == len(minutes)
    assert times == sorted(times)
    assert times[0] == NOW - timedelta(days=30)
    assert times[-1] == NOW


def test_points_agree_with_the_times_in_the_rows(tmp_path: Path) -> None:
    past = Past(NOW)
    past.fill("observability", tmp_path / "past.db")
    for _database, table, at, rows, _written in past.points():
        if table == "events" and at.day == NOW.day:
            known = f"SELECT COUNT(*) FROM events WHERE at <= '{at:%Y-%m-%dT%H:%M:%SZ}'"
            assert ask(tmp_path / "past.db", known) == [(rows,)]


def test_the_past_has_a_gap_a_drop_and_a_change_of_schema() -> None:
    past = Past(NOW)
    times = [at for *_names, at, _rows, _written in past.points()]
    longest = max(later - earlier for earlier, later in pairwise(times))
    assert longest >= GAP_LASTED
    assert longest.total_seconds() > PAST_GAP_SECONDS
    rows = [rows for _database, table, _at, rows, _written in past.points() if table == LOST_TABLE]
    drop = max((a, b) for a, b in pairwise(rows) if b < a)
    lost, changed = past.events()
    assert event_text(lost) == f"Rows dropped: events {drop[0]:,} → {drop[0] - LOST_ROWS:,}"
    assert event_text(changed) == "Schema changed: + column tasks.priority"
    assert lost.ended_at


def test_nights_and_weekends_are_quieter() -> None:
    times = spread(Random(1), NOW, 10_000)
    hours = Counter(at.hour for at in times)
    days = Counter(at.weekday() for at in times)
    assert hours[3] < hours[9] < hours[14]
    assert max(days[5], days[6]) < min(days[day] for day in range(5))


def test_databases_grow_and_the_late_one_comes(world: World) -> None:
    paths = {database.name: database.path for database in world.databases}
    assert list(paths) == ["coordination", "observability", "content", "email", "health"]
    eventually(lambda: grew(paths["coordination"], "tasks", 126))
    eventually(lambda: grew(paths["observability"], "events", 10_640))
    eventually(lambda: grew(paths["email"], "messages", 384))
    eventually(lambda: grew(paths["health"], "readings", 720))
    eventually(lambda: paths["content"].exists() and row_counts(paths["content"]).get("articles"))
    assert row_counts(paths["content"])["topics"] == len(TOPICS)
    assert ask(paths["content"], "PRAGMA journal_mode") == [("wal",)]


def test_a_steady_writer_goes_on(world: World) -> None:
    eventually(lambda: grew(world.databases[0].path, "tasks", 127))


def test_the_late_one_is_not_there_at_first() -> None:
    with World.create() as world:
        assert not world.databases[2].path.exists()


def test_a_living_world_is_private_and_not_swept(world: World) -> None:
    assert world.folder.stat().st_mode & 0o777 == 0o700
    with World.create() as other:
        assert world.folder != other.folder
        assert world.databases[0].path.exists()
    sweep()
    assert world.databases[0].path.exists()


def test_nothing_is_left_after_the_context(temp: Path) -> None:
    with World.create() as world:
        eventually(lambda: len(writers_in(world.folder)) == len(world.databases))
    assert writers_in(world.folder) == []
    assert list(temp.iterdir()) == []
    world.close()


def test_a_writer_that_does_not_end_is_killed(temp: Path) -> None:
    with World.create() as world:
        eventually(lambda: len(writers_in(world.folder)) == len(world.databases))
        os.kill(int(writers_in(world.folder)[0]), signal.SIGSTOP)
    assert writers_in(world.folder) == []
    assert list(temp.iterdir()) == []


def test_a_killed_world_leaves_no_process_and_is_swept(temp: Path) -> None:
    script = (
        "from dash_app.demo.environment import World\n"
        "with World.create() as world:\n"
        "    print(world.folder, flush=True)\n"
        "    input()\n"
    )
    with start("-c", script) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        eventually(lambda: len(writers_in(folder)) == 5)
        owner.kill()
    eventually(lambda: not writers_in(folder))
    assert folder.parent == temp
    assert folder.exists()
    with World.create():
        assert not folder.exists()


def test_the_sweep_leaves_what_is_not_a_demo_folder(temp: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (temp / f"{PREFIX}link").symlink_to(kept)
    (temp / f"{PREFIX}file").touch()
    (temp / "something-else").mkdir()
    (temp / f"{PREFIX}left").mkdir()
    sweep()
    assert (kept / "file").exists()
    assert {path.name for path in temp.iterdir()} == {
        f"{PREFIX}link",
        f"{PREFIX}file",
        "something-else",
    }


def test_demos_that_start_together_do_not_sweep_each_other(temp: Path) -> None:
    script = (
        "from dash_app.demo.temp_folder import held_folder, sweep\n"
        "for _round in range(200):\n"
        "    sweep()\n"
        "    with held_folder() as folder:\n"
        "        (folder / 'file').touch()\n"
        "        sweep()\n"
        "        assert (folder / 'file').exists()\n"
    )
    demos = [start("-c", script) for _demo in range(3)]
    for demo in demos:
        demo.communicate(timeout=PATIENCE_SECONDS)
    assert [demo.returncode for demo in demos] == [0, 0, 0]
    assert list(temp.iterdir()) == []


def test_a_held_folder_that_was_removed_by_hand_is_no_fault() -> None:
    with held_folder() as folder:
        folder.rmdir()


@pytest.mark.parametrize("lasting", ["content --appear-after=600", "email"])
def test_a_silent_writer_lives_until_its_input_ends(lasting: str, tmp_path: Path) -> None:
    name, *options = lasting.split()
    path = tmp_path / f"{name}.db"
    if name in TIMES:
        Past(NOW).fill(name, path)
    stalled = "from dash_app.demo import writer; writer.EMAIL_SECONDS = 0; writer.main()"
    with start("-c", stalled, name, str(path), *options) as process:
        assert process.stdin is not None
        if name in TIMES:
            eventually(path.with_name("email.db-wal").exists)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.stdin.close()
        assert process.wait(PATIENCE_SECONDS) == 0


def test_health_writes_at_once_and_then_at_the_full_hour(tmp_path: Path) -> None:
    path = tmp_path / "health.db"
    Past(NOW).fill("health", path)
    pause = next(writer.health(writer.Pen(path, Random(1))))
    assert row_counts(path) == {"readings": 721}
    assert 0 < pause <= 3600
    assert round(time.time() + pause) % 3600 == 0


def test_old_tasks_are_cleared_away_so_that_present_and_past_agree(tmp_path: Path) -> None:
    path = tmp_path / "coordination.db"
    Past(NOW).fill("coordination", path)
    rounds = writer.coordination(writer.Pen(path, Random(1)))
    counts = set()
    for _task in range(80):
        next(rounds)
        counts.add(row_counts(path)["tasks"])
    assert counts == set(range(writer.KEPT_TASKS, writer.MAX_TASKS + 1))
    assert ask(path, "SELECT max(id) FROM tasks") == [(126 + 80,)]
