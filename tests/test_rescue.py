"""The steps that save a database in danger. `./ops/drill rescue` proves them for each danger."""

from contextlib import closing
from pathlib import Path

from dash_app.doctor import rescue
from dash_app.model.database import Database
from tests.drill.rescue import (
    BASE_ROWS,
    MECHANISMS,
    Scene,
    deleted_alone,
    deleted_and_busy,
    drill,
    error,
)
from tests.harness import execute


def test_the_steps_recover_rows_that_are_lost_without_them(tmp_path: Path) -> None:
    mechanism = next(mechanism for mechanism in MECHANISMS if mechanism.make is deleted_and_busy)
    outcome = drill(mechanism, tmp_path, lambda _: None)
    assert error(mechanism, outcome) == ""
    assert len(outcome.committed) > BASE_ROWS + 110
    assert outcome.lost_if_closed > 0
    assert outcome.lost_if_killed > 0


def test_doctor_prints_the_steps_for_deleted_files_and_for_nothing_else(tmp_path: Path) -> None:
    with closing(Scene(tmp_path)) as scene:
        database = Database("email", "Email", scene.path)
        assert list(rescue.examine(database, (), None)) == []
        deleted_alone(scene)
        (check,) = rescue.examine(database, (), None)
        pid = scene.programs[0].process.pid
        assert f"(pid {pid})" in check.text
        assert f"kill -STOP {pid}\n" in check.cure
        assert f"cp -p /proc/{pid}/fd/" in check.cure
        execute(scene.path, "PRAGMA user_version = 1")  # a second generation, and it has ended
        assert f"cp -p {scene.path} " in rescue.examine(database, (), None).__next__().cure
