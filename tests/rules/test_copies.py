"""A replaced or restored database is recognized, and what only looks like one is not."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dash_app.model.expectation import Rules
from dash_app.model.reading import Reading
from dash_app.reader.files import find_renamed, stat_files
from dash_app.rules.changes import apply_reading
from dash_app.rules.judge import with_baseline
from dash_app.rules.problems import resolve_events
from tests.airlock_helpers import open_airlock, read_exact
from tests.harness import WITHOUT_SYNC, execute
from tests.rules.helpers import (
    event_texts,
    events_of,
    fill,
    remove,
    sql,
    vacuum_into_new_file,
    watched_service,
)

Change = Callable[[Path], None]

AN_HOUR_AGO = -3600
FEWER = "1,500 fewer rows: queue 5,209 → 3,709"
OLDER = ["Went back to an older state; queue 5,209 → 3,709"]


@pytest.fixture(params=["WAL", "DELETE"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A database that has grown since its backup, and a copy of its newest state."""
    path = tmp_path / "queue.db"
    execute(path, f"PRAGMA journal_mode = {request.param}")
    execute(path, "CREATE TABLE queue (id INTEGER PRIMARY KEY, body TEXT)", fill("queue", 3709))
    execute(path, "CREATE TABLE settings (id INTEGER PRIMARY KEY, body TEXT)", fill("settings", 9))
    keep(path, "backup")
    execute(path, fill("queue", 1500))
    execute(path, "UPDATE settings SET body = 'new'")
    keep(path, "newest")
    return path


def keep(path: Path, name: str) -> None:
    """Copy as `cp -p` does; the backup gets a time an hour earlier."""
    copy = shutil.copy2(path, path.with_name(name))
    if name == "backup":
        os.utime(copy, times=(path.stat().st_mtime + AN_HOUR_AGO,) * 2)


def cp(name: str) -> Change:
    """Copy over the file in place, with the current time."""

    def change(path: Path) -> None:
        shutil.copyfile(path.with_name(name), path)

    return change


def cp_p(name: str) -> Change:
    """Copy over the file in place, with the time of the copy."""

    def change(path: Path) -> None:
        shutil.copy2(path.with_name(name), path)

    return change


def mv(name: str) -> Change:
    """Replace the file by a new one with the current time, as `cp` and `mv` do."""

    def change(path: Path) -> None:
        shutil.copyfile(path.with_name(name), path.with_name("new"))
        path.with_name("new").replace(path)

    return change


def rsync(name: str) -> Change:
    """Replace the file by a new one with the time of the copy, as `rsync -t` does."""

    def change(path: Path) -> None:
        shutil.copy2(path.with_name(name), path.with_name("new"))
        path.with_name("new").replace(path)

    return change


def backup_api(path: Path) -> None:
    """Restore with SQLite's own backup, as `sqlite3 backup ".backup queue.db"` does."""
    source, target = sqlite3.connect(path.with_name("backup")), sqlite3.connect(path)
    with closing(source), closing(target):
        target.execute(WITHOUT_SYNC)
        source.backup(target)


def touch_older(path: Path) -> None:
    os.utime(path, times=(path.stat().st_mtime + AN_HOUR_AGO,) * 2)


MOVED = "; the previous file is now queue.away"
OLDER_BESIDE = OLDER[0] + MOVED
BACK_LESS = f"Back after a moment with {FEWER}{MOVED}"
BACK = ["Gone", BACK_LESS]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([touch_older], []),
        ([touch_older, sql("INSERT INTO queue (body) VALUES ('x')")], []),
        ([touch_older, sql("DELETE FROM queue WHERE id < 100")], []),
        ([cp("newest")], []),
        ([cp_p("newest"), touch_older], []),
        ([mv("newest")], ["Replaced by another file"]),
        ([rsync("newest")], ["Replaced by another file"]),
        ([vacuum_into_new_file], ["Replaced by another file"]),
        ([remove, cp("newest")], ["Gone", "Back after a moment"]),
        ([remove, cp_p("newest")], ["Gone", "Back after a moment"]),
        ([cp("backup")], [f"Overwritten by another copy with {FEWER}"]),
        ([mv("backup")], [f"Replaced by another file with {FEWER}"]),
        ([cp_p("backup")], OLDER),
        ([rsync("backup")], OLDER),
        ([remove, cp("backup")], BACK),
        ([remove, backup_api], BACK),
        ([backup_api], ["Rows lost: queue 5,209 → 3,709"]),
        ([remove, cp_p("backup")], ["Gone", "Back after a moment", OLDER_BESIDE]),
        ([sql("VACUUM"), sql("DELETE FROM queue WHERE id > 5000")], []),
    ],
)
def test_an_older_copy_is_distinguished_from_an_older_file_time(
    path: Path, changes: list[Change], expected: list[str]
) -> None:
    assert event_texts(events_of(path, *changes)) == expected


@pytest.mark.parametrize("newest", [mv("newest"), rsync("newest")])
@pytest.mark.parametrize("older", [cp("backup"), mv("backup"), cp_p("backup"), rsync("backup")])
def test_an_older_copy_is_a_problem_until_the_newest_state_is_back(
    path: Path, older: Change, newest: Change
) -> None:
    with watched_service(path) as after:
        assert len(after(older)) == 1
        assert len(after(sql(fill("queue", 2)))) == 1
        assert after(newest) == []


def test_a_smaller_copy_is_a_problem_until_the_newest_state_is_back(
    path: Path,
) -> None:
    with watched_service(path) as after:
        after(remove)
        assert after(mv("backup")) == [BACK_LESS]
        assert after(sql(fill("queue", 5))) == [BACK_LESS]
        after(remove)
        assert after(cp_p("newest")) == []


def build(path: Path) -> None:
    """Create the file with its tables, without rows, as programs do that build it anew."""
    new = path.with_name("new")
    execute(new, "CREATE TABLE queue (id INTEGER PRIMARY KEY, body TEXT)")
    execute(new, "CREATE TABLE settings (id INTEGER PRIMARY KEY, body TEXT)")
    new.replace(path)


@pytest.mark.parametrize("is_away", [False, True])
def test_a_file_that_is_built_anew_is_a_problem_until_it_has_its_rows_again(
    path: Path, *, is_away: bool
) -> None:
    """A search index, or a database that a job exports: simonw/datasette issue 271."""
    with watched_service(path) as after:
        if is_away:
            after(remove)
        (lost,) = after(build)
        assert "with 5,218 fewer rows: queue 5,209 → 0, settings 9 → 0" in lost
        assert after(sql(fill("queue", 5208), fill("settings", 9))) == [lost]
        assert after(sql(fill("queue", 1))) == []


def test_a_file_that_has_as_many_rows_again_after_a_day_had_lost_them(path: Path) -> None:
    with watched_service(path) as after:
        (lost,) = after(build)
        assert after(sql(fill("queue", 5209), fill("settings", 9)), timedelta(days=1)) == [lost]


def rotate(name: str) -> Change:
    """Rename the file, and begin a new one."""

    def change(path: Path) -> None:
        path.rename(path.with_name(name))
        execute(path, "CREATE TABLE queue (id INTEGER PRIMARY KEY, body TEXT)", fill("queue", 3))

    return change


def test_a_file_that_is_rotated_is_reported_with_its_new_name_until_it_is_a_habit(
    path: Path,
) -> None:
    """As in cvmfs/cvmfs issue 2845: the rows are all there, beside the new file."""
    execute(path, "DROP TABLE settings")
    with watched_service(path) as after:
        lost = "Replaced by another file with 5,206 fewer rows: queue 5,209 → 3"
        assert after(rotate("queue.db.1")) == [f"{lost}; the previous file is now queue.db.1"]
        half_a_day = timedelta(hours=12)
        for number in (2, 3):
            assert after(sql(fill("queue", 5206)), half_a_day) != []
            after(rotate(f"queue.db.{number}"), half_a_day)
        assert after(sql(fill("queue", 5206)), half_a_day) == []
        assert after(rotate("queue.db.4"), half_a_day) == []
        assert after(sql(fill("queue", 5206)), half_a_day) == []
        assert after(rotate("queue.db.corrupt")) == [
            f"{lost}; the previous file is now queue.db.corrupt"
        ]


def test_a_new_file_with_the_inode_of_a_deleted_one_is_not_the_previous_file(path: Path) -> None:
    was = stat_files(str(path)).main
    moved = path.rename(path.with_name("moved"))
    assert find_renamed(str(path), was) == "moved"
    os.utime(moved)  # as by a program that wrote another database there
    assert find_renamed(str(path), was) is None
    moved.unlink()
    assert find_renamed(str(path), was) is None


def test_a_file_time_from_a_fast_clock_does_not_make_an_older_state(path: Path) -> None:
    """The file was written while the clock was fast; rows are deleted after it was corrected."""
    with open_airlock(path) as airlock:
        ahead = path.stat().st_mtime - 10 * AN_HOUR_AGO
        os.utime(path, times=(ahead, ahead))
        state, _ = apply_reading("a", read_exact(airlock), None)
        execute(path, "DELETE FROM queue WHERE id < 500")
        _, events = apply_reading("a", read_exact(airlock), state)
    assert events == ()


def test_regular_replacement_of_a_file_is_not_a_problem_after_three_times(path: Path) -> None:
    """A nightly backup, or an index that is rebuilt: openclaw/openclaw pull request 92121."""
    with watched_service(path) as after:
        day = timedelta(days=1)
        assert after(vacuum_into_new_file, day) == ["Replaced by another file"]
        after(vacuum_into_new_file, day)
        after(vacuum_into_new_file, day)
        assert after() == []
        execute(path, "DELETE FROM queue WHERE id % 300 = 0")
        for _night in range(3):
            assert after(vacuum_into_new_file, day) == []
            assert after() == []
        (older,) = after(rsync("backup"), day)
        assert older.startswith("Went back to an older state")


def test_a_regularly_replaced_file_can_still_lose_rows(path: Path) -> None:
    with watched_service(path) as after:
        for _night in range(4):
            after(mv("newest"))
        assert after() == []
        assert after(mv("backup")) == [f"Replaced by another file with {FEWER}"]
        assert after(mv("newest")) == []
        assert after(mv("newest")) == ["Replaced by another file"]


def test_an_expected_replacement_is_no_event(path: Path) -> None:
    """Only what a configured limit forbids, a missing file, or a lost row of one file is."""
    with watched_service(path, Rules(expects_replacement=True)) as after:
        changes = [rsync("backup"), mv("newest"), cp("backup"), mv("backup"), cp_p("newest")]
        assert [after(change) for change in changes] == [[]] * 5
        assert after(sql("DELETE FROM queue WHERE id > 9")) == ["Rows lost: queue 5,209 → 9"]
        assert after(rsync("newest")) == []
        after(remove)
        assert after(mv("backup")) == []
        assert [event.kind for event in after.store.events] == ["back", "gone", "rows_dropped"]


def test_a_configured_limit_applies_to_an_expected_replacement(path: Path) -> None:
    rules = Rules(expects_replacement=True, max_drop_percent=20)
    with watched_service(path, rules) as after:
        assert after(mv("backup")) == ["Rows lost: queue 5,209 → 3,709"]
        assert after() == ["Rows lost: queue 5,209 → 3,709"]
        assert after(mv("newest")) == []


def test_a_replacement_that_is_declared_as_expected_later_is_over(path: Path) -> None:
    with watched_service(path) as after:
        (found,) = after(rsync("backup"))
        assert found == OLDER[0]
        rules = Rules(expects_replacement=True)
        after.database = replace(after.database, rules=rules)
        assert after() == []


def test_a_restore_by_sqlite_itself_is_an_event_but_not_a_problem(path: Path) -> None:
    """It looks the same as deleted rows before VACUUM."""
    with watched_service(path) as after:
        assert after(backup_api) == []
        assert after(sql("DELETE FROM queue WHERE id > 3600", "VACUUM")) == []


def test_a_table_of_a_copy_is_compared_once_it_is_counted(path: Path) -> None:
    with open_airlock(path) as airlock:
        state, _ = apply_reading("a", read_exact(airlock), None)
        mv("backup")(path)
        counted = read_exact(airlock)
    queue = replace(counted.tables["queue"], rows=9000, estimate="at_most")
    estimated = replace(counted, tables={**counted.tables, "queue": queue})
    state, (first,) = apply_reading("a", estimated, state)
    assert event_texts([first]) == ["Replaced by another file"]
    state, events = apply_reading("a", estimated, state)
    assert events == ()
    state, (second,) = apply_reading("a", counted, state)
    assert event_texts([second]) == ["Rows lost: queue 5,209 → 3,709"]
    resolved = resolve_events((first, second), (), counted, None)
    assert [event.ended_at for event in resolved] == [None, None]
    assert apply_reading("a", counted, state)[1] == ()


def test_a_baseline_of_an_earlier_version_is_compared_with_a_copy(path: Path) -> None:
    with open_airlock(path) as airlock:
        first = replace(read_exact(airlock), roots={})
        state, _ = apply_reading("a", first, None)
        cp_p("backup")(path)
        _, events = apply_reading("a", read_exact(airlock), state)
    assert event_texts(list(events)) == OLDER


@pytest.mark.parametrize("same", [mv("newest"), rsync("newest")])
def test_an_identical_copy_is_a_problem_until_it_is_acknowledged(path: Path, same: Change) -> None:
    """No row is lost, but programs that have the previous file open still write to that."""
    with watched_service(path) as after:
        assert after(same) == ["Replaced by another file"]
        assert after() == ["Replaced by another file"]


def test_a_file_that_was_away_and_written_is_not_another_copy(tmp_path: Path) -> None:
    """Its program deleted old rows meanwhile, as usual."""
    path = tmp_path / "queue.db"
    execute(path, "CREATE TABLE queue (id INTEGER PRIMARY KEY, body TEXT)", fill("queue", 5209))
    away = path.with_suffix(".away")

    def come_back(path: Path) -> None:
        execute(away, "DELETE FROM queue WHERE id <= 1500")
        away.rename(path)

    assert event_texts(events_of(path, remove, come_back)) == ["Gone", "Back after a moment"]


def on_another_device(reading: Reading) -> Reading:
    """As after a start of the machine, which gives numbers to mounts in another order."""
    device, _, inode = (reading.file or "").partition(":")
    return replace(reading, file=f"{int(device) + 1}:{inode}")


def test_a_file_under_another_device_number_is_the_same_file(path: Path) -> None:
    """Nobody wrote to it, and it is neither replaced nor written."""
    with open_airlock(path) as airlock:
        first = with_baseline(read_exact(airlock), None)
        state, _ = apply_reading("a", first, None)
        again = with_baseline(on_another_device(read_exact(airlock)), state.baseline)
        assert again.last_modified == first.last_modified
        state, events = apply_reading("a", again, state)
        assert events == ()
        cp("backup")(path)
        older = with_baseline(on_another_device(read_exact(airlock)), state.baseline)
        _, events = apply_reading("a", older, state)
    assert event_texts(list(events)) == [f"Overwritten by another copy with {FEWER}"]


def test_an_older_copy_with_the_same_inode_on_another_device_is_another_file(path: Path) -> None:
    with open_airlock(path) as airlock:
        state, _ = apply_reading("a", read_exact(airlock), None)
        cp("backup")(path)
        _, events = apply_reading("a", on_another_device(read_exact(airlock)), state)
    assert event_texts(list(events)) == [f"Replaced by another file with {FEWER}"]
