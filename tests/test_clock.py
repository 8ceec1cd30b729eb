"""The wall clock is set, while the service runs or not: nothing is sent twice or missed."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from dash_app import settings as configuration
from dash_app.alerts.policy import Outbox, dequeue, plan, record_attempt
from dash_app.history.coverage import find_coverage, undisturbed_since
from dash_app.history.series import recent_gaps
from dash_app.history.writer import History
from dash_app.incidents.correlation import IncidentState, correlate
from dash_app.model.database import Database
from dash_app.model.event import Event
from dash_app.model.reading import Reading
from dash_app.model.snapshot import DatabaseState, Snapshot
from dash_app.model.times import shift_times
from dash_app.rules.problems import resolve_events
from dash_app.rules.state import StateStore
from dash_app.sampler import Sampler
from dash_app.settings.schema import AlertsSettings, HistorySettings
from dash_app.system.clock import AdjustmentDetector
from tests.alerts.simulation import HOUR, MINUTE, NOON, Simulation
from tests.factories import FakeClock, snapshot
from tests.harness import execute, make_database
from tests.history.helpers import START, chart_values
from tests.incidents.helpers import finding, status

DAY = 24 * HOUR
POLICY = AlertsSettings.model_validate({"remind": "6h"})
STEP = st.sampled_from([-400 * DAY, -DAY, -HOUR, -3 * MINUTE, 7 * MINUTE, HOUR, DAY, 400 * DAY])
STEPS = st.lists(st.tuples(st.integers(1, 300), STEP), max_size=12)


class SteppedSimulation(Simulation):
    """A simulation whose wall clock is set; `passed` is the real time since its start."""

    def __init__(self, policy: AlertsSettings = POLICY) -> None:
        super().__init__(policy)
        self.passed = timedelta(0)
        self.received: list[tuple[timedelta, str]] = []

    def tick(self) -> None:
        before = len(self.delivered)
        super().tick()
        self.received += [(self.passed, title) for _, title in self.delivered[before:]]
        self.passed += MINUTE

    def set_clock(self, by: timedelta) -> None:
        """Set the clock while the service runs, which moves the times in its state."""
        self.now += by
        self.outbox = shift_times(self.outbox, by)
        self.incidents = shift_times(self.incidents, by)

    def restart(self, by: timedelta) -> None:
        """Restart the service after the clock was set; it knows only the stored state."""
        self.now += by
        self.incidents = {
            name: incident.clamp_to(self.now) for name, incident in self.incidents.items()
        }
        self.outbox = self.outbox.clamp_to(self.now)


def simulate(steps: Sequence[tuple[int, timedelta]], *, by_steps: bool) -> SteppedSimulation:
    sim = SteppedSimulation()
    sim.start("email")
    for minutes, by in steps:
        sim.advance(minutes * MINUTE)
        if by_steps:
            sim.set_clock(by)
    sim.end("email")
    sim.advance(HOUR)
    return sim


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_setting_the_clock_changes_no_notification(
    steps: list[tuple[int, timedelta]],
) -> None:
    stepped, steady = (simulate(steps, by_steps=by_steps) for by_steps in (True, False))
    assert stepped.received == steady.received


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_after_a_restart_with_another_clock_a_new_fault_is_notified_once(
    steps: list[tuple[int, timedelta]],
) -> None:
    sim = SteppedSimulation(POLICY.model_copy(update={"remind": timedelta(0)}))
    for number, (minutes, by) in enumerate(steps):
        sim.start(f"db{number}")
        began = sim.passed
        sim.restart(by)
        sim.advance(max(minutes, 3) * MINUTE)
        sent = [at for at, title in sim.received if title == f"Db{number}: needs you"]
        assert len(sent) == 1
        assert sent[0] - began <= POLICY.after + MINUTE
    titles = [title for _, title in sim.received]
    assert len(set(titles)) == len(titles)


def test_correcting_the_clock_resets_the_hourly_limit() -> None:
    sim = SteppedSimulation(POLICY.model_copy(update={"most_an_hour": 2}))
    for name in ("email", "content"):
        sim.start(name)
    sim.advance(5 * MINUTE)
    assert len(sim.received) == 2
    sim.restart(-DAY)
    sim.start("health")
    sim.advance(5 * MINUTE)
    assert [title for _, title in sim.received][2:] == ["Health: needs you"]


def test_an_acknowledgement_expires_after_its_duration_whatever_the_clock_shows() -> None:
    sim = SteppedSimulation()
    sim.start("email")
    sim.advance(5 * MINUTE)
    sim.acknowledge("email", until=sim.now + 8 * HOUR)
    sim.set_clock(-DAY)
    sim.advance(7 * HOUR)
    assert len(sim.received) == 1
    sim.advance(90 * MINUTE)
    assert len(sim.received) == 2


def test_an_incident_that_starts_in_the_future_is_notified_in_time() -> None:
    """A start in the future, as in openclaw/openclaw pull 127731."""
    state, outbox, sent = IncidentState(), Outbox(), []
    for minute in range(10):
        now = NOON - DAY + minute * MINUTE
        gone = status("email", now, finding("gone", since=0))
        state = correlate(state, Snapshot(now, (gone,)), POLICY.settle)
        outbox = plan(outbox, state.incidents, POLICY, now)
        outbox, due = dequeue(outbox, POLICY, now)
        sent += [(minute, message.kind) for message in due]
        for message in due:
            outbox = record_attempt(outbox, message.id, None, now)
    assert sent == [(1, "fault")]


def test_setting_the_clock_is_distinguished_from_time_that_passes() -> None:
    clock = FakeClock(NOON)
    detector = AdjustmentDetector(clock)
    clock.advance(9 * HOUR)  # asleep or not
    assert detector.adjustment() == timedelta(0)
    clock.wall -= DAY
    clock.advance(timedelta(seconds=5))
    assert detector.adjustment() == -DAY
    assert detector.adjustment() == timedelta(0)
    for _ in range(3):
        clock.wall += timedelta(seconds=0.9)
    assert detector.adjustment() == timedelta(seconds=2.7)


def test_the_age_of_a_snapshot_does_not_depend_on_the_wall_clock(tmp_path: Path) -> None:
    database = make_database(tmp_path / "email.db", messages=3)
    configured = configuration.parse(
        {
            "history": {"path": str(tmp_path / "history.db")},
            "databases": [{"name": "email", "path": str(database)}],
        },
        tmp_path / "config.toml",
    )
    history = History(configured.history)
    clock = FakeClock(datetime.now(UTC))
    sampler = Sampler(configured, history, clock=clock)
    taken = sampler.tick()
    for passed, is_fresh in ((timedelta(seconds=5), True), (HOUR, False)):
        clock.advance(passed)
        sampler.snapshot = replace(taken, taken_at=clock.now() + DAY)
        assert (sampler.fresh() is not None) == is_fresh
    sampler.finish()
    history.close()


def test_an_event_from_the_future_can_be_dismissed() -> None:
    reading = Reading(NOON, NOON)
    of_tomorrow = Event("email", "replaced", NOON + DAY, {"file": "1:1"}, {"file": "1:2"})
    of_now = replace(of_tomorrow, at=NOON)
    drawn_at = NOON - MINUTE
    left = resolve_events((of_tomorrow, of_now), (), reading, drawn_at)
    assert [event.ended_at for event in left] == [NOON, None]


def test_a_loss_from_the_future_can_be_acknowledged(tmp_path: Path) -> None:
    """The clock was a day ahead when rows were lost, and was corrected afterwards."""
    path = make_database(tmp_path / "email.db", tasks=100)
    configured = configuration.parse(
        {
            "sampler": {"interval": "30s", "deadline": "30s"},
            "history": {"path": str(tmp_path / "history.db")},
            "databases": [{"name": "email", "path": str(path)}],
        },
        tmp_path / "config.toml",
    )
    stored = "UPDATE event SET at = strftime('%Y-%m-%dT%H:%M:%f000+00:00', at, '+1 day')"
    for is_corrected in (False, True):
        with closing(History(configured.history)) as history:
            sampler = Sampler(configured, history)
            sampler.tick()
            execute(path, "DELETE FROM tasks WHERE id > 5")
            (lost,) = sampler.tick().databases[0].problems
            if is_corrected:
                sampler.dismiss("email", lost.since - DAY)
                assert sampler.tick().databases[0].problems == ()
            sampler.finish()
        execute(configured.history.path, stored)


def test_times_from_the_future_are_neither_silence_nor_a_gap(tmp_path: Path) -> None:
    """The clock was ten days ahead for an hour; since it was corrected, a table grows again."""
    path, ahead = tmp_path / "history.db", 10 * 24 * 60
    with closing(History(HistorySettings(path=path))) as history:
        for minute in (0, 1, *range(ahead, ahead + 60), 2, 3, 4):
            history.record(snapshot(START + minute * MINUTE, email={"tasks": 9 + minute % ahead}))
    now = START + 4 * MINUTE
    coverage = find_coverage(path, "email", None, now)
    assert coverage.watched == ((START, now),)
    assert coverage.written["tasks"] <= now
    assert recent_gaps(path, now) == ()
    assert undisturbed_since(path, ["email"], now) == START


def test_a_stored_status_from_the_future_starts_now(tmp_path: Path) -> None:
    database = Database("email", "Email", tmp_path / "email.db")
    now = NOON
    with closing(History(HistorySettings(path=tmp_path / "history.db"))) as history:
        history.store_state(database, DatabaseState("error", "locked", now + DAY, None))
        states = StateStore(history, [database], FakeClock(now).now)
        reading = Reading(now, now, code="locked")
        state, _ = states.record(database, reading, None)
        assert abs(state.since - now) < HOUR
        states.shift_times(-DAY)
        state, _ = states.record(database, reading, None)
        assert abs(state.since + DAY - now) < HOUR


def test_records_after_the_clock_was_set_back_have_their_own_time(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    ahead = 24 * 60
    recorded = [(0, 5), (1, 5), (ahead, 9), (ahead + 1, 9), (2, 9), (3, 7), (4, 9)]
    with closing(History(HistorySettings(path=path))) as history:
        for minute, rows in recorded[:5]:
            history.record(snapshot(START + minute * MINUTE, email={"tasks": rows}))
    with closing(History(HistorySettings(path=path))) as history:  # and a restart
        for minute, rows in recorded[5:]:
            history.record(snapshot(START + minute * MINUTE, email={"tasks": rows}))
    assert chart_values(path, range(6)) == [5, 5, 9, 7, 9, None]
    assert chart_values(path, range(ahead, ahead + 2)) == [9, 9]


def test_a_clock_that_was_years_ahead_loses_no_history(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(History(HistorySettings(path=path))) as history:
        for minute in range(5):
            history.record(snapshot(START + minute * MINUTE, email={"tasks": minute}))
    with closing(History(HistorySettings(path=path))) as history:
        history.record(snapshot(START + 4000 * DAY, email={"tasks": 9}))
        history.record(snapshot(START + 6 * MINUTE, email={"tasks": 6}))
    assert chart_values(path, range(7)) == [0, 1, 2, 3, 4, 4, 6]
