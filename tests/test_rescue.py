"""The steps that save a database in danger. `./ops/drill rescue` proves them for each danger."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dash_app import settings
from dash_app.doctor import Check, databases, rescue
from dash_app.history.writer import History
from dash_app.model.incident import Incident
from dash_app.words.errors import WordingContext
from dash_app.words.rescue import OTHER_USER
from tests.drill.rescue import (
    BASE_ROWS,
    MECHANISMS,
    Scene,
    deleted_alone,
    deleted_and_busy,
    drill,
    error,
    index_deleted,
    stale,
    unlocked,
)
from tests.harness import execute, write_config


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with closing(Scene(tmp_path)) as scene:
        yield scene


def dangers(scene: Scene) -> list[Check]:
    """What `doctor` prints of databases in danger."""
    folder = scene.path.parent
    configured = settings.load(write_config(folder, [("email", scene.path)]))
    place = WordingContext(folder, "ann", timedelta(seconds=2))
    checks = databases.examine(configured, place)
    return [check for check in checks if check.code == "in_danger"]


@pytest.mark.parametrize("make", [deleted_and_busy, index_deleted])
def test_the_steps_recover_rows_that_are_lost_without_them(
    tmp_path: Path, make: Callable[[Scene], None]
) -> None:
    mechanism = next(mechanism for mechanism in MECHANISMS if mechanism.make is make)
    outcome = drill(mechanism, tmp_path, lambda _: None)
    assert error(mechanism, outcome) == ""
    assert len(outcome.committed) > BASE_ROWS + 50
    assert outcome.lost_if_closed > 0
    assert outcome.lost_if_killed > 0


def test_doctor_prints_the_steps_for_deleted_files(scene: Scene) -> None:
    deleted_alone(scene)
    execute(scene.path, "PRAGMA user_version = 1")  # a second generation, which has ended
    (check,) = dangers(scene)
    pid = scene.programs[0].process.pid
    assert f"(pid {pid})" in check.text
    assert f"kill -STOP {pid}\n" in check.cure
    assert f"cp -p /proc/{pid}/fd/" in check.cure
    assert f"cp -p {scene.path} " in check.cure


def test_doctor_prints_the_steps_for_lost_locks(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlocked(scene)
    pids = [program.process.pid for program in scene.programs]
    (check,) = dangers(scene)
    assert f"(pid {pids[0]})" in check.text
    assert f"kill -STOP {min(pids)} {max(pids)}\n" in check.cure
    # The files of another user's processes cannot be seen.
    monkeypatch.setattr(rescue, "find_holders", lambda *_: {})
    assert dangers(scene)[0].cure == OTHER_USER


def test_doctor_names_a_program_whose_lost_locks_only_its_files_show(scene: Scene) -> None:
    first, second = scene.start("first"), scene.start("second")
    first.write(10)
    second.write(10)
    assert dangers(scene) == []
    first.read_file(Path(f"{scene.path}-shm"))
    (check,) = dangers(scene)
    assert "is open without SQLite's locks in python" in check.text
    assert f"(pid {first.process.pid})" in check.text
    assert f"(pid {second.process.pid})" not in check.text
    assert f"kill -STOP {first.process.pid} {second.process.pid}\n" in check.cure


def test_doctor_prints_the_steps_for_what_only_the_service_has_seen(scene: Scene) -> None:
    stale(scene)
    assert dangers(scene) == []
    now = datetime.now(UTC)
    incident = Incident("email:danger", ("email",), "wal_stale", "fault", "Email: mixed.", "", now)
    configured = settings.load(write_config(scene.path.parent, [("email", scene.path)]))
    with closing(History(configured.history)) as history:
        history.incidents.store([incident])
    (check,) = dangers(scene)
    assert check.text == "Email: mixed."
    assert f"   mv {scene.path}-wal {scene.path}-shm ~/rescue-email-" in check.cure
    assert "kill" not in check.cure
