"""The page checker starts checks in their turn, stops them, and keeps what they found."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dash_app.airlock import page_checker
from dash_app.airlock.background import BackgroundProcess
from dash_app.airlock.page_checker import CheckState, PageChecker
from dash_app.model.database import Database
from dash_app.model.encoding import encode
from dash_app.model.integrity import Damage, Integrity
from dash_app.model.reading import Code, Reading
from dash_app.settings.schema import IntegritySettings
from dash_app.system.decoding import decode
from dash_app.system.processes import is_reader
from tests.airlock_helpers import FileEvents, file_states
from tests.harness import LiveWriter, Served, eventually, make_database, write_config

NOW = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_checker, "FIRST_SECONDS", 0)


def reading_of(path: Path, **more: Any) -> Reading:
    info, now = path.stat(), datetime.now(UTC)
    reading = Reading(now, now, file=f"{info.st_dev}:{info.st_ino}", size_bytes=info.st_size)
    return replace(reading, file_modified=datetime.fromtimestamp(info.st_mtime, UTC), **more)


class Checks:
    """A page checker over databases that are named as their files, and what it knows of them."""

    def __init__(
        self, *paths: Path, share: str = "100%", states: dict[str, CheckState] | None = None
    ) -> None:
        self.paths = {path.stem: path for path in paths}
        self.codes: dict[str, Code] = {}
        databases = [Database(path.stem, path.stem, path) for path in paths]
        self.checker = PageChecker(
            databases, IntegritySettings.model_validate({"share": share}), states or {}
        )

    def update(self) -> dict[str, Integrity]:
        readings = {
            name: reading_of(path, code=self.codes.get(name)) for name, path in self.paths.items()
        }
        return dict(self.checker.update(readings, datetime.now(UTC)))

    def until(self, holds: Callable[[dict[str, Integrity]], Any]) -> dict[str, Integrity]:
        def probe() -> dict[str, Integrity] | None:
            known = self.update()
            return known if holds(known) else None

        known = eventually(probe)
        assert known is not None
        return known

    def close(self) -> None:
        self.checker.close()


def test_a_check_leaves_no_trace_and_ends_its_process(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", tasks=9)
    before = file_states(tmp_path)
    with closing(Checks(path)) as checks, FileEvents(tmp_path) as events:
        assert checks.update()["a"].state == "checking"
        (pid,) = checks.checker.pids
        eventually(lambda: is_reader(pid))  # no holder, no conflict
        known = checks.until(lambda known: known["a"].checked_at)["a"]
        assert (known.state, known.checked_share, known.damage) == ("clean", 1, ())
        assert known.tables.keys() == {"tasks"}
        assert known.table_bytes["tasks"] > 0
        checks.until(lambda _: not checks.checker.pids)
        assert not Path(f"/proc/{pid}").exists()
        assert (checks.checker.bytes_written, checks.checker.sidecars_left) == (0, 0)
        assert {what for what, _ in events.take()} <= {"opened"}
    assert file_states(tmp_path) == before


def test_a_crash_or_hang_concerns_one_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The smaller file is checked first."""
    crashing = make_database(tmp_path / "crashing.db", tasks=1)
    hanging = make_database(tmp_path / "hanging.db", tasks=5000)
    sound = make_database(tmp_path / "sound.db", tasks=10_000)
    with closing(Checks(crashing, hanging, sound)) as checks:
        checks.until(lambda known: known["crashing"].state == "checking")
        os.kill(checks.checker.pids[0], signal.SIGSEGV)
        checks.until(lambda known: known["hanging"].state == "checking")
        os.kill(checks.checker.pids[0], signal.SIGSTOP)
        monkeypatch.setattr(BackgroundProcess, "is_hung", True)
        checks.until(lambda known: known["hanging"].reason == "its check hung")
        monkeypatch.undo()
        known = checks.until(lambda known: known["sound"].checked_at)
        assert known["crashing"].reason == "its check crashed"
        assert {name: one.state for name, one in known.items()} == {
            "crashing": "unchecked",
            "hanging": "unchecked",
            "sound": "clean",
        }


def test_a_check_continues_after_a_restart(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", a=3, b=3, c=3, d=3, e=3, f=3)
    with closing(Checks(path, share="10%")) as checks:
        first = checks.until(lambda known: known["a"].tables)["a"]
        assert (first.state, first.checked_at) == ("checking", None)
        stored = encode(checks.checker.states["a"])
    with closing(Checks(path, states={"a": decode(CheckState, stored)})) as checks:
        known = checks.until(lambda known: known["a"].checked_at)["a"]
        assert known.tables.keys() == set("abcdef")
        assert known.tables.items() >= first.tables.items()
        assert known.table_bytes.items() >= {"a": 4096, "f": 4096}.items()


def test_checks_keep_to_their_share_of_a_core(tmp_path: Path) -> None:
    """Counted processor time, so that a busy machine only makes it easier."""
    path = make_database(tmp_path / "a.db", tasks=20_000)
    with closing(Checks(path, share="25%")) as checks:
        started = time.monotonic()
        checks.update()
        process = checks.checker._process
        assert process is not None
        checks.until(lambda known: known["a"].checked_at)
        assert 0.02 <= process.cpu_seconds <= 0.25 * (time.monotonic() - started) + 0.1
        checks.until(lambda _: checks.checker._process is None)
        assert checks.checker._start_at >= started + process.cpu_seconds / 0.25


def test_a_database_that_is_off_or_endangered_is_not_opened(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", tasks=9)
    off = Database("a", "A", path, is_page_checked=False)
    checker = PageChecker([off], IntegritySettings(), {"a": CheckState(damage=(DAMAGE,))})
    assert checker.update({"a": reading_of(path)}, NOW) == {
        "a": Integrity("unchecked", reason="turned off in the configuration")
    }
    assert checker.pids == []
    checker = PageChecker([replace(off, is_page_checked=True)], IntegritySettings(), {})
    for reading, reason in (
        (reading_of(path, code="locked"), "it cannot be read"),
        (None, "not checked yet"),
    ):
        known = checker.update({"a": reading} if reading else {}, NOW)["a"]
        assert (known.state, known.reason) == ("unchecked", reason)
        assert checker.pids == []


DAMAGE = Damage("tasks", 3, NOW - DAY)


def test_damage_stays_until_a_clean_check_of_its_table() -> None:
    state = CheckState("1:2", NOW - DAY, damage=(DAMAGE, Damage("gone", 1, NOW))).started("1:2")
    assert state.integrity(None).state == "damaged"
    found = state.updated({"damaged": "tasks", "pages": 4}, NOW)
    assert found.damage[0] == Damage("tasks", 4, NOW - DAY)
    found = found.updated({"checked": "tasks", "note": None}, NOW)
    assert {damage.table for damage in found.damage} == {"tasks", "gone"}
    ended = found.updated({"ended": True}, NOW)
    assert {damage.table for damage in ended.damage} == {"tasks"}
    assert ended.is_due("1:2", NOW + timedelta(hours=1), DAY)
    clean = ended.started("1:2").updated({"checked": "tasks", "note": None}, NOW)
    assert clean.integrity(None).state == "clean"


def test_another_file_is_due_at_once_and_keeps_the_damage() -> None:
    state = CheckState("1:2", NOW, damage=(DAMAGE,))
    assert not state.is_due("1:2", NOW, DAY)
    assert state.is_due("1:3", NOW, DAY)
    state = state.started("1:3")
    assert (state.checked_at, state.damage) == (None, (DAMAGE,))


def test_a_check_without_a_moment_continues_soon_and_crashes_back_off() -> None:
    state = CheckState("1:2").updated({"failed": "it is written without a pause"}, NOW)
    assert state.integrity(None).reason == "it is written without a pause"
    assert not state.is_due("1:2", NOW + timedelta(seconds=59), DAY)
    assert state.is_due("1:2", NOW + timedelta(seconds=61), DAY)
    for failure in range(4):
        state = state.failed("its check crashed", NOW)
        pause = timedelta(minutes=2 ** (failure + 1))
        assert not state.is_due("1:2", NOW + pause - timedelta(seconds=1), DAY)
        assert state.is_due("1:2", NOW + pause, DAY)


def test_a_check_that_a_lock_ended_keeps_its_turn(tmp_path: Path) -> None:
    """The smaller file is checked first."""
    names = {"locked": 1, "next": 5000, "last": 10_000}
    paths = [make_database(tmp_path / f"{name}.db", tasks=rows) for name, rows in names.items()]
    with closing(Checks(*paths)) as checks:
        checks.until(lambda known: known["locked"].state == "checking")
        checks.codes["locked"] = "locked"
        checks.until(lambda known: known["next"].state == "checking")
        del checks.codes["locked"]
        known = checks.until(lambda known: known["locked"].checked_at)
        assert (known["next"].state, known["last"].state) == ("clean", "unchecked")


def test_a_file_that_ends_within_its_last_page_is_damaged_once_it_rests(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", tasks=9)
    checker = PageChecker([Database("a", "A", path)], IntegritySettings(), {})
    reading = reading_of(path, lacks_bytes=True)
    assert checker.update({"a": reading}, NOW)["a"].damage == ()
    rested = replace(reading, verified_at=reading.verified_at + timedelta(minutes=1))
    assert checker.update({"a": rested}, NOW)["a"].damage == (Damage("", 1, NOW),)
    assert checker.update({"a": replace(rested, lacks_bytes=False)}, NOW)["a"].damage == ()
    checker.close()


def test_a_running_service_checks_and_keeps_its_promises(tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", tasks=9)
    config = write_config(tmp_path, [("email", path)], integrity='share = "100%"')
    with LiveWriter(path) as writer, Served(config, patch=AT_ONCE) as served:
        assert writer.do("INSERT INTO tasks (text) VALUES ('one more')") == []
        known = eventually(lambda: _checked(served))
        assert (known["state"], known["checkedShare"], known["damage"]) == ("clean", 1, [])
        promises = served.json("/api/service")["promises"]
        assert [promise["name"] for promise in promises if not promise["kept"]] == []


AT_ONCE = "from dash_app.airlock import page_checker; page_checker.FIRST_SECONDS = 0"


def _checked(served: Served) -> Any:
    integrity = served.json("/api/databases/email")["integrity"]
    return integrity if integrity["checkedAt"] else None
