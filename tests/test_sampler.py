"""The sampler with real databases: the meaning of a reading, given earlier ones."""

import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from dash_app import settings
from dash_app.airlock.airlock import Airlock
from dash_app.airlock.page_checker import CheckState
from dash_app.history.writer import History
from dash_app.model.incident import Acknowledgement
from dash_app.model.integrity import Damage, TableCheck
from dash_app.model.reading import Reading
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.sampler import Sampler
from dash_app.web.app import create_server
from tests.harness import PATIENCE_SECONDS, LiveWriter, eventually, make_database, write_config


@pytest.fixture
def config(tmp_path: Path) -> Path:
    databases = [("email", tmp_path / "email.db"), ("other", tmp_path / "other.db")]
    return write_config(tmp_path, databases, history='every = "1s"')


@contextmanager
def sampling(config: Path) -> Iterator[Sampler]:
    loaded = settings.load(config)
    with closing(History(loaded.history)) as history:
        sampler = Sampler(loaded, history)
        sampler.start()
        assert sampler.first_snapshot.wait(PATIENCE_SECONDS)
        yield sampler
        sampler.stop()


def snapshot_of(sampler: Sampler) -> Snapshot:
    assert sampler.snapshot is not None
    return sampler.snapshot


def ticks_of(sampler: Sampler) -> int:
    """The number of ticks before the one that made the newest snapshot."""
    return snapshot_of(sampler).self_report.ticks


def email(sampler: Sampler) -> DatabaseStatus:
    return snapshot_of(sampler).databases[0]


def code(sampler: Sampler) -> str | None:
    return email(sampler).reading.code


def test_a_missing_file_is_a_fault_only_after_it_was_read(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "email.db"
    with sampling(config) as sampler:
        first = email(sampler)
        assert (first.status, first.level, code(sampler)) == (
            "not_initialized",
            "notice",
            "file_missing",
        )
        make_database(path, messages=3)
        eventually(lambda: total_rows_are(sampler, 3))
        assert email(sampler).status == "connected"
        assert email(sampler).since > first.since
        path.unlink()
        eventually(lambda: email(sampler).status == "error")
        gone = email(sampler)
        assert (gone.level, code(sampler)) == ("fault", "file_missing")
        assert gone.last_good is not None
        assert gone.last_good.total_rows == 3


def test_state_survives_a_restart(config: Path, tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    make_database(tmp_path / "other.db", messages=3)
    with sampling(config) as sampler:
        since = email(sampler).since
        well_since = eventually(lambda: snapshot_of(sampler).well_since)
    with sampling(config) as sampler:
        assert email(sampler).since == since
        assert snapshot_of(sampler).well_since == well_since
    path.unlink()
    with sampling(config) as sampler:
        gone = email(sampler)
        assert (gone.status, code(sampler)) == ("error", "file_missing")
        assert gone.last_good is not None
        assert gone.last_good.total_rows == 3


def test_a_limit_keeps_its_start_over_a_restart_and_a_lock(tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    config = write_config(tmp_path, [("email", path)])
    config.write_text(f"{config.read_text()}\nmin_rows = 9\nmax_size = '1 kB'\n")
    with sampling(config) as sampler:
        first = email(sampler).problems
        assert [problem.code for problem in first] == ["few_rows", "file_large"]
    with LiveWriter(path) as writer:
        assert writer.do("BEGIN EXCLUSIVE") == []
        with sampling(config) as sampler:
            assert email(sampler).problems == first
    with sampling(config) as sampler:
        assert email(sampler).problems == first


def test_a_problem_of_a_measure_goes_on_in_the_first_snapshot_after_a_restart(
    tmp_path: Path,
) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    config = write_config(tmp_path, [("email", path)])
    measure = "[[databases.measures]]\nname = 'n'\nsql = 'SELECT count(*) FROM messages'\nmax = 2\n"
    config.write_text(f"{config.read_text()}\n{measure}")
    with sampling(config) as sampler:
        (first,) = eventually(lambda: email(sampler).problems)
        assert first.code == "measure_out_of_range"
        (incident,) = snapshot_of(sampler).open_incidents
    loaded = settings.load(config)
    with closing(History(loaded.history)) as history:
        sampler = Sampler(loaded, history)
        restarted = sampler.tick()
        sampler.finish()
    assert restarted.databases[0].problems == (first,)
    assert [one.id for one in restarted.incidents] == [incident.id]


def test_a_replaced_file_is_read_at_once(config: Path, tmp_path: Path) -> None:
    make_database(tmp_path / "email.db", messages=3)
    with sampling(config) as sampler:
        make_database(tmp_path / "new.db", letters=8).replace(tmp_path / "email.db")
        eventually(lambda: set(email(sampler).reading.tables) == {"letters"})
        assert email(sampler).reading.total_rows == 8


def test_readings_continue_if_the_history_cannot_be_written(config: Path, tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    locker = closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None))
    with LiveWriter(path) as writer, sampling(config) as sampler, locker as other:
        other.execute("BEGIN IMMEDIATE")
        for rows in (4, 5, 6):
            writer.do("INSERT INTO messages (text) VALUES ('x')")
            eventually(partial(total_rows_are, sampler, rows))


def test_long_names_of_a_database_and_of_the_history_are_read(tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    config = write_config(tmp_path, [("e" * 200, path)])
    config.write_text(config.read_text().replace("history.db", f"{'h' * 100}.db"))
    with sampling(config) as sampler:
        assert total_rows_are(sampler, 3)


def total_rows_are(sampler: Sampler, rows: int) -> bool:
    return email(sampler).reading.total_rows == rows


def test_recording_continues_when_the_clock_is_set_back(config: Path, tmp_path: Path) -> None:
    make_database(tmp_path / "email.db", messages=3)
    with sampling(config) as sampler:
        now = datetime.now(UTC)
        sampler._recorded_at = tomorrow = now + timedelta(days=1)
        eventually(lambda: now < (snapshot_of(sampler).recorded_at or now) < tomorrow)


def test_health_fails_when_readings_stop(config: Path) -> None:
    with sampling(config) as sampler:
        client = create_server(settings.load(config), sampler, datetime.now(UTC)).test_client()
        eventually(lambda: client.get("/health").status_code == 200)
    eventually(lambda: sampler.fresh() is None)
    assert client.get("/health").status_code == 503


def test_a_history_that_cannot_be_written_is_reported_until_it_can(
    config: Path, tmp_path: Path
) -> None:
    make_database(tmp_path / "email.db", tasks=3)
    with sampling(config) as sampler:
        assert snapshot_of(sampler).history_notes == ()
        with closing(sqlite3.connect(tmp_path / "history.db", timeout=5)) as other:
            other.execute("BEGIN EXCLUSIVE")
            (note,) = eventually(lambda: snapshot_of(sampler).history_notes)
            assert note == "History paused: its file can't be written. Live counts continue."
            assert email(sampler).status == "connected"
        eventually(lambda: snapshot_of(sampler).history_notes == ())


@contextmanager
def slow_with_an_incident(tmp_path: Path) -> Iterator[tuple[Sampler, int]]:
    """A sampler with an interval of 30 s, and the id of an open incident."""
    path = make_database(tmp_path / "email.db", messages=3)
    with sampling(write_config(tmp_path, [("email", path)])):
        pass
    path.unlink()
    with sampling(write_config(tmp_path, [("email", path)], interval="30s")) as sampler:
        (incident,) = snapshot_of(sampler).open_incidents
        assert incident.id
        eventually(lambda: snapshot_of(sampler).recorded_at)  # the end of the first tick
        yield sampler, incident.id


def test_many_acknowledgements_share_ticks(tmp_path: Path) -> None:
    """However many there are, they cause at most one tick per second."""
    with slow_with_an_incident(tmp_path) as (sampler, incident):
        before, start = ticks_of(sampler), time.monotonic()
        acknowledgement = Acknowledgement("ann", datetime.now(UTC), None)
        with ThreadPoolExecutor(8) as crowd:
            for _ in range(200):
                crowd.submit(sampler.acknowledge, {incident}, acknowledgement)
        eventually(lambda: sampler.snapshot and sampler.snapshot.open_incidents[0].acknowledged)
        ticks = ticks_of(sampler) - before
        assert ticks <= time.monotonic() - start + 1


def test_invalid_acknowledgements_cause_no_tick(tmp_path: Path) -> None:
    with slow_with_an_incident(tmp_path) as (sampler, incident):
        before = ticks_of(sampler)
        for _ in range(20):
            sampler.dismiss("nosuch", datetime.now(UTC))
            sampler.dismiss("email", datetime(2020, 1, 1, tzinfo=UTC))
            sampler.acknowledge({incident + 1}, None)
        sampler.acknowledge({incident}, None)
        assert ticks_of(sampler) <= before + 1


def test_only_two_requests_wait_for_a_tick(tmp_path: Path) -> None:
    """The others return at once, so that they do not occupy all server threads."""
    with slow_with_an_incident(tmp_path) as (sampler, incident), ThreadPoolExecutor(8) as crowd:
        requests = [crowd.submit(sampler.acknowledge, {incident}, None) for _ in range(8)]
        wait(requests, return_when=FIRST_COMPLETED)
        ticks = ticks_of(sampler)
        eventually(lambda: sum(request.done() for request in requests) >= 6)
        assert ticks_of(sampler) <= ticks + 1


def test_an_acknowledgement_during_a_reload_reaches_the_next_sampler(tmp_path: Path) -> None:
    with slow_with_an_incident(tmp_path) as (sampler, incident), ThreadPoolExecutor(1) as person:
        sampler.stop()
        acknowledgement = Acknowledgement("ann", datetime.now(UTC), None)
        request = person.submit(sampler.acknowledge, {incident}, acknowledgement)
        successor = Sampler(sampler._settings, sampler._history, inbox=sampler.inbox)
        eventually(lambda: successor.tick().open_incidents[0].acknowledged == acknowledgement)
        assert request.result(PATIENCE_SECONDS) is None
        successor.finish()


def test_only_the_first_snapshot_waits_for_readings_until_the_deadline(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later snapshots can show older readings, so the ticks keep their interval."""
    waited: list[float] = []
    read = Airlock.read

    def measured(airlock: Airlock, wait_seconds: float) -> Mapping[str, Reading]:
        waited.append(wait_seconds)
        return read(airlock, wait_seconds)

    monkeypatch.setattr(Airlock, "read", measured)
    with sampling(config):
        eventually(lambda: len(waited) > 1)
    assert waited[:2] == [30.0, 0.5]


def test_a_database_that_was_not_read_yet_is_not_reported_as_unresponsive(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_database(tmp_path / "email.db", messages=3)
    monkeypatch.setattr(sys, "executable", "/bin/false")  # no reader ever answers
    with sampling(config) as sampler:
        first = email(sampler)
        assert (code(sampler), first.level) == ("not_read_yet", "unknown")
        assert not first.needs_you
        assert not snapshot_of(sampler).incidents
        monkeypatch.undo()
        eventually(lambda: email(sampler).status == "connected")


def test_the_history_keeps_what_a_page_check_found(config: Path, tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    info = path.stat()
    now = datetime.now(UTC)
    state = CheckState(
        f"{info.st_dev}:{info.st_ino}",
        now,
        progress={"first": 4},
        damage=(Damage("messages", 2, now),),
        tables={"messages": TableCheck(now, "expression index")},
    )
    loaded = settings.load(config)
    with closing(History(loaded.history)) as history:
        sampler = Sampler(loaded, history)
        sampler.tick()
        sampler._checker.states["email"] = state
        sampler.finish()
        sampler = Sampler(loaded, history)
        integrity = sampler.tick().databases[0].integrity
        sampler.finish()
        assert integrity is not None
        assert (integrity.state, integrity.damage) == ("damaged", state.damage)
        assert sampler._checker.states["email"] == state
