"""Asks the airlock each tick, keeps the newest snapshot, and hands it to the history."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread

from dash_app.airlock.airlock import Airlock
from dash_app.airlock.self_check import SelfCheck
from dash_app.alerts.notifier import Notifier
from dash_app.history.file import forget_request
from dash_app.history.read_only import ReadOnlyHistory
from dash_app.history.schema import UnusableHistoryError
from dash_app.history.series import recent_activity
from dash_app.history.writer import History
from dash_app.incidents.tracker import IncidentTracker
from dash_app.model.database import Database
from dash_app.model.host_facts import Activity
from dash_app.model.incident import Acknowledgement
from dash_app.model.problem import Problem
from dash_app.model.reading import Reading
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.rules.judge import Evidence, judge, with_baseline
from dash_app.rules.lateness import load_trackers
from dash_app.rules.state import StateStore
from dash_app.settings import Settings
from dash_app.system.clock import CLOCK, AdjustmentDetector, Clock
from dash_app.system.disk import disk_of
from dash_app.system.users import own_user_name
from dash_app.words.errors import wording_context
from dash_app.words.history import history_lost, history_not_opened, history_paused

STOP_SECONDS = 5.0
"""How long the tick under way may take to end; then it is left behind, as a hung disk would be."""

MIN_PAUSE_SECONDS = 1.0
"""Minimum time from the start of one tick to the next, however often people ask for one."""

MAX_WAITING, MAX_WAIT_SECONDS = 2, 3.0
"""Maximum number of requests that wait for a tick, each occupying a thread, and for how long.

Further ones are answered at once, with the previous snapshot.
"""

SLACK = timedelta(milliseconds=500)
"""A tick may come this much early and still count as a minute after the last record."""

log = logging.getLogger(__name__)


class Requests:
    """The newest acknowledgement of each database and incident since the last tick."""

    def __init__(self) -> None:
        """Start without any."""
        self._lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._seen: dict[str, datetime] = {}
        self._acknowledged: dict[int, Acknowledgement | None] = {}
        self._published = threading.Event()

    def dismiss(self, database: str, until: datetime) -> threading.Event:
        """Add a database; return an event that is set once a snapshot shows it."""
        with self._lock:
            self._seen[database] = max(until, self._seen.get(database, until))
            return self._published

    def acknowledge(self, incident: int, known: Acknowledgement | None) -> threading.Event:
        """Add an incident; return an event that is set once a snapshot shows it."""
        with self._lock:
            self._acknowledged[incident] = known
            return self._published

    def wait(self, published: threading.Event, seconds: float) -> None:
        """Wait for a snapshot, for `seconds` at most; not at all if enough others wait."""
        if self._waiting.acquire(blocking=False):
            try:
                published.wait(seconds)
            finally:
                self._waiting.release()

    def take(
        self,
    ) -> tuple[dict[str, datetime], dict[int, Acknowledgement | None], threading.Event]:
        """Remove and return all, with the event to set once they are published."""
        with self._lock:
            taken = self._seen, self._acknowledged, self._published
            self._seen, self._acknowledged, self._published = {}, {}, threading.Event()
        return taken


class Sampler:
    """The one thread that has the databases read; everyone else asks for its newest snapshot."""

    def __init__(
        self,
        settings: Settings,
        history: History | ReadOnlyHistory,
        airlock: Airlock | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        """Load the stored state. `airlock` may have been started. Raise sqlite3.Error."""
        sampler = settings.sampler
        self._settings = settings
        self._history = history
        self._clock = clock
        self._deadline_seconds = sampler.deadline.total_seconds()
        self._interval_seconds = sampler.interval.total_seconds()
        self._began = clock.steady_seconds()
        self._airlock = airlock or Airlock.from_settings(settings)
        self._place = wording_context(settings, own_user_name())
        self._ledger = StateStore(history, settings.databases, clock.now)
        self._airlock.restore(self._ledger.states)
        self._tracker = IncidentTracker(history.incidents, settings.alerts.settle, clock.now())
        self._expectations = load_trackers(
            settings.databases, settings.stale_after, history.path, self._ledger
        )
        self._problems: dict[str, tuple[Problem, ...]] = {}
        self._activity = self._load_activity()
        self.requests = Requests()
        self._seen_until: Mapping[str, datetime] = {}
        self._adjustments = AdjustmentDetector(clock)
        self._verified: dict[str, tuple[datetime, float]] = {}
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._notifier = Notifier(settings, history, self._wake.set, clock)
        self._due = time.monotonic()
        self._thread = self._new_thread()
        self._recorded_at: datetime | None = None
        self.history_paused: str | None = None
        self._self_check = SelfCheck(self._deadline_seconds)
        self.snapshot: Snapshot | None = None
        self.first_snapshot = threading.Event()

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, *, for_good: bool = True) -> bool:
        """Finish the current tick, save all state and close the airlock.

        Return False if the tick is still running after `STOP_SECONDS`. Start no further
        notification if the service stops `for_good`.
        """
        self._stopping.set()
        if for_good:
            self._notifier.stop_starting()
        self._wake.set()
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            log.error("the reading under way does not end")
        return not self._thread.is_alive()

    def resume(self) -> None:
        """Start again after a stop, with the state in memory."""
        self._stopping.clear()
        self._notifier.resume()
        self._thread = self._new_thread()
        self._thread.start()

    def _new_thread(self) -> Thread:
        return Thread(target=self._run, name="sampler", daemon=True)

    @property
    def is_running(self) -> bool:
        """Whether the thread runs; after `stop`, until its current tick has ended."""
        return self._thread.is_alive()

    @property
    def overdue_seconds(self) -> float:
        """How long the tick under way takes, or the next one keeps us waiting; negative before."""
        return time.monotonic() - self._due

    def fresh(self) -> Snapshot | None:
        """Return the newest snapshot, or None when it is older than three intervals."""
        snapshot = self.snapshot
        limit_seconds = self._settings.fresh_for.total_seconds()
        is_fresh = snapshot is not None and self.age_seconds(snapshot) <= limit_seconds
        return snapshot if is_fresh else None

    def age_seconds(self, snapshot: Snapshot) -> float:
        """Return how long ago a snapshot was taken, however the clock was set since."""
        return self._clock.steady_seconds() - snapshot.taken_at_seconds

    def dismiss(self, database: str, until: datetime) -> None:
        """End what happened to a database until then, in the next snapshot."""
        statuses = self.snapshot.databases if self.snapshot else ()
        problems = [p for s in statuses if s.database.name == database for p in s.problems]
        if any(p.needs_acknowledgement and p.since <= until for p in problems):
            self._await(self.requests.dismiss(database, until))

    def acknowledge(self, incident: int, known: Acknowledgement | None) -> None:
        """Acknowledge an open incident, or withdraw that, in the next snapshot."""
        open_ = self.snapshot.open_incidents if self.snapshot else []
        if any(one.id == incident for one in open_):
            self._await(self.requests.acknowledge(incident, known))

    def _await(self, published: threading.Event) -> None:
        """Start the next tick soon, and wait for its snapshot."""
        self._wake.set()
        self.requests.wait(published, min(self._interval_seconds, MAX_WAIT_SECONDS))

    def _run(self) -> None:
        """Tick at a steady beat until stopped; a slow tick skips the beats that it missed."""
        try:
            while not self._stopping.is_set():
                began = self._due = time.monotonic()
                self._wake.clear()
                try:
                    done = self._forget_what_is_asked()
                    self.tick()
                    for errand in done:
                        errand.unlink(missing_ok=True)
                except Exception:  # a fault in one tick must not end the watch
                    log.exception("tick failed")
                took_seconds = time.monotonic() - began
                missed = int(took_seconds // self._interval_seconds)
                self._self_check.count_tick(took_seconds, missed)
                self._due = began + (missed + 1) * self._interval_seconds
                self._wake.wait(self._due - time.monotonic())
                self._stopping.wait(began + MIN_PAUSE_SECONDS - time.monotonic())
        finally:
            self.finish()

    def finish(self) -> None:
        """Close the airlock, store all state and wait for the notification being sent."""
        self._airlock.close()
        if self.snapshot:  # or what changed since the last record would look like silence
            self._record(self.snapshot)
        self._ledger.save()
        self._notifier.stop()

    def _forget_what_is_asked(self) -> list[Path]:
        """Forget the databases that `forget` asks for; return the files that request it."""
        done = []
        for database in self._settings.databases:
            errand = forget_request(self._history.path, database.name)
            if not errand.exists():
                continue
            try:
                self._ledger.forget(database)
            except sqlite3.Error as error:
                log.error("%s is not forgotten yet: %s", database.name, error)
                continue
            self._problems.pop(database.name, None)
            done.append(errand)
        return done

    def _keep_history(self) -> None:
        """Replace a history file that was lost, and store in it what is in memory."""
        try:
            if not self._history.reopen_if_lost():
                return
        except (OSError, sqlite3.Error, UnusableHistoryError) as error:
            paused = history_not_opened(error)
            if paused != self.history_paused:
                log.error("history not opened: %s", error)
            self.history_paused = paused
            return
        self._ledger.store_again()
        self._tracker.store_again()
        self._notifier.store_again()
        self._recorded_at = None

    def _history_notes(self) -> tuple[str, ...]:
        lost = self._history.loss
        notes = (history_lost(lost.at, lost.problem, lost.kept),) if lost else ()
        return (self.history_paused, *notes) if self.history_paused else notes

    def tick(self) -> Snapshot:
        """Read all databases once, judge them, and publish and store the snapshot.

        Called by the thread, or instead of starting it.
        """
        self._keep_history()
        self._seen_until, acknowledged, published = self.requests.take()
        for incident, known in acknowledged.items():
            self._tracker.acknowledge(incident, known)
        readings = self._airlock.read(self._wait_seconds())
        now = self._clock.now()
        if by := self._adjustments.adjustment():
            self._follow_clock(by)
        statuses = tuple(
            self._judge(database, readings, now) for database in self._settings.databases
        )
        taken = Snapshot(
            now,
            statuses,
            self._ledger.events,
            disk_of(str(self._history.path)),
            self_report=self._self_check.measure(self._airlock, readings.values()),
            taken_at_seconds=self._clock.steady_seconds(),
        )
        self._tracker.update(taken, self._notifier.problems())
        snapshot = self._publish(replace(taken, incidents=self._tracker.newest))
        self._notifier.update(self._tracker.incidents, now)
        self.first_snapshot.set()
        published.set()
        if self._is_to_be_recorded(now):
            self._record(snapshot)
            snapshot = self._publish(snapshot)
        return snapshot

    def _publish(self, snapshot: Snapshot) -> Snapshot:
        """Make a snapshot the newest one, with the present state of the history."""
        notes = self._history_notes()
        self.snapshot = replace(snapshot, history_notes=notes, recorded_at=self._recorded_at)
        return self.snapshot

    def _wait_seconds(self) -> float:
        """Return how long to wait for readings: the first snapshot has no older one to show."""
        if self.snapshot is None:
            return self._deadline_seconds
        return min(self._deadline_seconds, self._interval_seconds / 2)

    def _no_reading(self, now: datetime) -> Reading:
        """Return the reading of a database that has not answered since we started."""
        passed_seconds = self._clock.steady_seconds() - self._began
        is_early = passed_seconds < self._settings.stale_after.total_seconds()
        return Reading(now, now, code="not_read_yet" if is_early else "not_responding")

    def _judge(
        self,
        database: Database,
        readings: Mapping[str, Reading],
        now: datetime,
    ) -> DatabaseStatus:
        """Return what the newest reading of a database means."""
        name = database.name
        reading = readings.get(name) or self._no_reading(now)
        reading = with_baseline(reading, self._ledger.baseline_of(database))
        state, events = self._ledger.record(database, reading, self._seen_until.get(name))
        evidence = Evidence(
            database,
            reading,
            state,
            events=events,
            watch=self._expectations[name].update(reading),
            before=self._problems.get(name, ()),
            is_stale=self._unverified(name, reading.verified_at, now) > self._settings.stale_after,
            activity=self._activity.get(name),
        )
        status = judge(evidence, self._place)
        self._problems[name] = status.problems
        return status

    def _follow_clock(self, by: timedelta) -> None:
        """Move all times in memory by as much as the clock was set, so that durations stay."""
        log.warning("the clock was set by %+.0f s", by.total_seconds())
        self._ledger.move(by)
        self._tracker.move(by)
        self._notifier.move(by)
        # Those that need an acknowledgement have the time of their event.
        self._problems = {
            name: tuple(
                one if one.needs_acknowledgement else replace(one, since=one.since + by)
                for one in problems
            )
            for name, problems in self._problems.items()
        }

    def _unverified(self, name: str, verified_at: datetime, now: datetime) -> timedelta:
        """Return the age of a reading's last verification, whatever the clock was set to since."""
        known, steady_seconds = self._verified.get(name), self._clock.steady_seconds()
        if known is None or known[0] != verified_at:
            age_seconds = max((now - verified_at).total_seconds(), 0.0)
            known = self._verified[name] = verified_at, steady_seconds - age_seconds
        return timedelta(seconds=steady_seconds - known[1])

    def _is_to_be_recorded(self, now: datetime) -> bool:
        """Whether the last record is a minute old, or the clock was set back since."""
        since_last = None if self._recorded_at is None else now - self._recorded_at
        least = self._settings.history.every - SLACK
        return since_last is None or not timedelta(0) <= since_last < least

    def _record(self, snapshot: Snapshot) -> None:
        """Hand a snapshot to the history; live readings go on without it."""
        try:
            self._history.record(snapshot)
            self.history_paused = None
        except sqlite3.ProgrammingError:
            pass  # It is closed, for the reason that `_keep_history` found.
        except sqlite3.Error as error:
            log.error("history paused: %s", error)
            self.history_paused = history_paused(error.sqlite_errorname)
        self._recorded_at = snapshot.taken_at
        self._ledger.save()
        self._activity = self._load_activity()

    def _load_activity(self) -> dict[str, Activity]:
        """Return what was written lately, once a minute for all who look."""
        names = [database.name for database in self._settings.databases]
        try:
            return recent_activity(self._history.path, names, self._clock.now())
        except sqlite3.Error as error:
            log.error("history cannot be read: %s", error)
            return {}
