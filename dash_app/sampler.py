"""The one thread that has the databases read, judges them and publishes a snapshot each tick."""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread

from dash_app.airlock.airlock import Airlock
from dash_app.airlock.measurer import Measurer
from dash_app.airlock.page_checker import CheckState, PageChecker
from dash_app.airlock.self_check import SelfCheck
from dash_app.alerts.notifier import Notifier
from dash_app.history.answers import AnswerStore
from dash_app.history.coverage import undisturbed_since
from dash_app.history.file import forget_request, remove_request
from dash_app.history.read_only import ReadOnlyHistory
from dash_app.history.schema import UnusableHistoryError
from dash_app.history.series import recent_activity, recent_gaps
from dash_app.history.stored_states import StoredStates
from dash_app.history.writer import History
from dash_app.incidents.tracker import IncidentTracker
from dash_app.model.database import Database
from dash_app.model.incident import Acknowledgement
from dash_app.model.integrity import Integrity
from dash_app.model.problem import Problem
from dash_app.model.reading import Reading
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.model.times import shift_times
from dash_app.rules.judge import Evidence, judge, with_baseline
from dash_app.rules.lateness import load_trackers
from dash_app.rules.state import StateStore
from dash_app.settings import Settings
from dash_app.system.clock import CLOCK, AdjustmentDetector, Clock
from dash_app.system.disk import disk_of
from dash_app.system.users import own_user_name
from dash_app.words.errors import WordingContext
from dash_app.words.history import history_lost, history_not_opened, history_paused

STOP_SECONDS = 5.0
"""Maximum time that a stop waits for the current tick, which a hung disk may hold up forever."""

MIN_PAUSE_SECONDS = 1.0
"""Minimum time from the start of one tick to the next, however many people request one."""

MAX_WAITING, MAX_WAIT_SECONDS = 2, 3.0
"""Maximum number of requests that wait for a tick, each occupying a thread, and for how long.

Further requests are answered at once, with the previous snapshot.
"""

SLACK = timedelta(milliseconds=500)
"""A record is due this much before its time, so that a tick that is slightly early stores it."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Requests:
    """What people dismissed and acknowledged since the last tick."""

    dismissed: dict[str, datetime] = field(default_factory=dict)
    acknowledged: dict[int, Acknowledgement | None] = field(default_factory=dict)
    published: threading.Event = field(default_factory=threading.Event)
    """Set with the snapshot that shows them."""


class Inbox:
    """The requests for the next tick. A sampler leaves it to the one that takes its place."""

    def __init__(self) -> None:
        self._requests, self._lock = _Requests(), threading.Lock()

    def dismiss(self, database: str, until: datetime) -> threading.Event:
        """Request that problems up to a time are dismissed; return what the tick will set."""
        with self._lock:
            earlier = self._requests.dismissed.get(database, until)
            self._requests.dismissed[database] = max(until, earlier)
            return self._requests.published

    def acknowledge(self, incidents: Mapping[int, Acknowledgement | None]) -> threading.Event:
        """Request acknowledgements; return what the tick will set."""
        with self._lock:
            self._requests.acknowledged |= incidents
            return self._requests.published

    def take(self) -> _Requests:
        """Return the requests, each once."""
        with self._lock:
            requests, self._requests = self._requests, _Requests()
        return requests


class Sampler:
    """Publishes the newest snapshot. All methods but `tick` and `finish` are for any thread."""

    history_paused: str | None = None
    """Why nothing is stored in the history now, in a sentence."""
    snapshot: Snapshot | None = None
    """The newest published snapshot."""
    found: tuple[Database, ...] = ()
    """The found databases for the next snapshot."""
    _recorded_at: datetime | None = None
    _processed: frozenset[Path] = frozenset()
    """Requests that were followed, but whose file cannot be removed."""
    _integrity: Mapping[str, Integrity]
    """What the page checks found, by database."""

    def __init__(
        self,
        settings: Settings,
        history: History | ReadOnlyHistory,
        airlock: Airlock | None = None,
        clock: Clock = CLOCK,
        inbox: Inbox | None = None,
    ) -> None:
        """Load the stored state. `airlock` may have been started. Raise sqlite3.Error."""
        self._settings, self._history, self._clock = settings, history, clock
        self._deadline_seconds = settings.sampler.deadline.total_seconds()
        self._interval_seconds = settings.sampler.interval.total_seconds()
        self._started_seconds = clock.steady_seconds()
        self._airlock = airlock or Airlock.from_settings(settings)
        self._store_matches()
        self._checks = StoredStates(history, "integrity", CheckState, settings.databases)
        self._checker = PageChecker(settings.databases, settings.integrity, self._checks.loaded)
        self._answers = AnswerStore(history, settings.databases, settings.history.every)
        known, share = self._answers.known, settings.measures.share / 100
        self._measurer = Measurer(settings.databases, share, known)
        self._context = WordingContext(settings.source, own_user_name(), settings.sampler.deadline)
        self._states = StateStore(history, settings.databases, clock.now)
        self._airlock.restore(self._states.states)
        self._expectations = load_trackers(
            settings.databases, settings.stale_after, history.path, self._states, clock.now()
        )
        self._tracker = IncidentTracker(history, settings.alerts.settle, clock.now())
        self._problems: dict[str, tuple[Problem, ...]] = {}
        self._verified: dict[str, tuple[datetime, float]] = {}
        self._load_past()
        self._adjustments = AdjustmentDetector(clock)
        self._self_check = SelfCheck(self._deadline_seconds)
        self._stopping, self._wake = threading.Event(), threading.Event()
        self._notifier = Notifier(settings, history, self._wake.set, clock)
        self._due = time.monotonic()
        self._thread = self._new_thread()
        self.inbox, self._waiting = inbox or Inbox(), threading.BoundedSemaphore(MAX_WAITING)
        self.patterns = settings.patterns
        """The patterns with the present numbers of files, for the next snapshot."""
        self.first_snapshot = threading.Event()  # set once there is a snapshot

    def start(self) -> None:
        """Start the sampler thread."""
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
            log.error("the current readings do not finish")
        return not self._thread.is_alive()

    def resume(self) -> None:
        """Start again after a stop, with the state in memory."""
        self._stopping.clear()
        self._notifier.resume()
        self._thread = self._new_thread()
        self.start()

    def _new_thread(self) -> Thread:
        return Thread(target=self._run, name="sampler", daemon=True)

    @property
    def is_running(self) -> bool:
        """Whether the thread runs; after `stop`, until its current tick is finished."""
        return self._thread.is_alive()

    @property
    def overdue_seconds(self) -> float:
        """The time since the current tick started, or the next one was due; negative before."""
        return time.monotonic() - self._due

    def fresh(self) -> Snapshot | None:
        """Return the newest snapshot, or None if it is older than three intervals."""
        snapshot = self.snapshot
        limit_seconds = self._settings.fresh_for.total_seconds()
        is_fresh = snapshot is not None and self.age_seconds(snapshot) <= limit_seconds
        return snapshot if is_fresh else None

    def age_seconds(self, snapshot: Snapshot) -> float:
        """Return the age of a snapshot. Setting the wall clock does not affect it."""
        return self._clock.steady_seconds() - snapshot.taken_at_seconds

    def dismiss(self, database: str, until: datetime) -> None:
        """Dismiss a database's problems up to a time, and wait for the snapshot without them."""
        statuses = self.snapshot.databases if self.snapshot else ()
        problems = [p for s in statuses if s.database.name == database for p in s.problems]
        taken_at = self.snapshot.taken_at if self.snapshot else until
        # One in the future began before the clock was set back.
        if any(p.needs_acknowledgement and not until < p.since <= taken_at for p in problems):
            self._wait_for_tick(self.inbox.dismiss(database, until))

    def acknowledge(
        self, incidents: Container[int | None], acknowledgement: Acknowledgement | None
    ) -> None:
        """Acknowledge open incidents, or undo that, and wait for the next snapshot."""
        open_incidents = self.snapshot.open_incidents if self.snapshot else []
        if found := [open_.id for open_ in open_incidents if open_.id and open_.id in incidents]:
            requests = dict.fromkeys(found, acknowledgement)
            self._wait_for_tick(self.inbox.acknowledge(requests))

    def _wait_for_tick(self, published: threading.Event) -> None:
        """Start the next tick soon, and wait for its snapshot unless enough others wait."""
        self._wake.set()
        if self._waiting.acquire(blocking=False):
            try:
                published.wait(min(self._interval_seconds, MAX_WAIT_SECONDS))
            finally:
                self._waiting.release()

    def _run(self) -> None:
        """Tick at a fixed interval until stopped. A slow tick skips those that it delays."""
        try:
            while not self._stopping.is_set():
                started = self._due = time.monotonic()
                self._wake.clear()
                try:
                    requests = self._process_forget_requests()
                    self.tick()
                    self._processed |= {file for file in requests if not remove_request(file)}
                except Exception:  # an error in one tick must not end the thread
                    log.exception("tick failed")
                took_seconds = time.monotonic() - started
                missed = int(took_seconds // self._interval_seconds)
                self._self_check.count_tick(took_seconds, missed)
                self._due = started + (missed + 1) * self._interval_seconds
                self._wake.wait(self._due - time.monotonic())
                self._stopping.wait(started + MIN_PAUSE_SECONDS - time.monotonic())
        finally:
            self.finish()

    def tick(self) -> Snapshot:
        """Read all databases once, judge them, and publish and store the snapshot.

        Called by the thread, or instead of starting it.
        """
        self._restore_history()
        requests = self._take_requests()
        wait_seconds = self._deadline_seconds
        if self.snapshot:  # only the first one has no earlier readings
            wait_seconds = min(wait_seconds, self._interval_seconds / 2)
        readings = self._airlock.read(wait_seconds)
        now = self._clock.now()
        if by := self._adjustments.adjustment():
            self._shift_times(by)
        self._integrity = self._checker.update(readings, now)
        self._measurer.update(readings, now)
        background = self._checker, self._measurer
        taken = Snapshot(
            now,
            tuple(
                self._judge(database, readings, requests.dismissed, now)
                for database in self._settings.databases
            ),
            self._states.events,
            disk_of(str(self._history.path)),
            patterns=self.patterns,
            found=self.found,
            self_report=self._self_check.measure(self._airlock, background, readings.values()),
            taken_at_seconds=self._clock.steady_seconds(),
        )
        self._tracker.update(taken, self._notifier.problems())
        snapshot = self._publish(taken.with_incidents(self._tracker.newest, self._tracker.writers))
        self._notifier.update(self._tracker.incidents, now)
        self.first_snapshot.set()
        requests.published.set()
        if self._record_is_due(now):
            self._record(snapshot)
            snapshot = self._publish(snapshot)
        return snapshot

    def measure(self, seconds: float) -> None:
        """Ask for all measures, for the next tick, and wait for them at most `seconds`."""
        statuses = self.snapshot.databases if self.snapshot else ()
        self._measurer.finish({s.database.name: s.reading for s in statuses}, seconds)

    def finish(self) -> None:
        """Close the airlock, store all state and wait for the notification being sent."""
        self._airlock.close()
        self._checker.close()
        self._measurer.close()
        if self.snapshot:  # or what changed since the last record would look like silence
            self._record(self.snapshot)
        self._notifier.stop()

    def _take_requests(self) -> _Requests:
        requests = self.inbox.take()
        for incident, acknowledgement in requests.acknowledged.items():
            self._tracker.acknowledge(incident, acknowledgement)
        return requests

    def _judge(
        self,
        database: Database,
        readings: Mapping[str, Reading],
        dismissed: Mapping[str, datetime],
        now: datetime,
    ) -> DatabaseStatus:
        name = database.name
        newest = readings.get(name) or self._no_reading(now)
        reading = with_baseline(newest, self._states.baseline_of(database))
        state, events = self._states.record(database, reading, dismissed.get(name))
        evidence = Evidence(
            database,
            reading,
            state,
            events=events,
            expectations=self._expectations[name].update(reading),
            before=self._problems.get(name, ()),
            starts={id_: i.since for i in self._tracker.incidents for id_ in i.problem_ids},
            is_stale=self._reading_age(name, reading, now) > self._settings.stale_after,
            activity=self._activity.get(name),
            integrity=self._integrity.get(name),
            measures=self._measurer.answers(name) | self._answers.windows.get(name, {}),
            now=now,
        )
        status = judge(evidence, self._context)
        self._problems[name] = status.problems
        return status

    def _no_reading(self, now: datetime) -> Reading:
        """Return the reading of a database that has not answered since the start."""
        elapsed_seconds = self._clock.steady_seconds() - self._started_seconds
        is_early = elapsed_seconds < self._settings.stale_after.total_seconds()
        return Reading(now, now, code="not_read_yet" if is_early else "not_responding")

    def _reading_age(self, name: str, reading: Reading, now: datetime) -> timedelta:
        """Return the time since a reading was verified, however the clock was set since."""
        known, steady_seconds = self._verified.get(name), self._clock.steady_seconds()
        if known is None or known[0] != reading.verified_at:
            age_seconds = max((now - reading.verified_at).total_seconds(), 0.0)
            known = self._verified[name] = reading.verified_at, steady_seconds - age_seconds
        return timedelta(seconds=steady_seconds - known[1])

    def _publish(self, snapshot: Snapshot) -> Snapshot:
        """Make a snapshot the newest one, with the present state of the history."""
        lost = self._history.loss
        lost_note = history_lost(lost.at, lost.problem, lost.kept) if lost else None
        notes = tuple(note for note in (self.history_paused, lost_note) if note)
        self.snapshot = replace(
            snapshot,
            history_notes=notes,
            recorded_at=self._recorded_at,
            gaps=self._gaps,
            undisturbed_since=self._undisturbed_since,
        )
        return self.snapshot

    def _shift_times(self, by: timedelta) -> None:
        """Shift all times in memory by as much as the clock was set, so that durations stay."""
        log.warning("the clock was set by %+.0f s", by.total_seconds())
        self._states.shift_times(by)
        self._tracker.shift_times(by)
        self._notifier.shift_times(by)
        self._measurer.shift_times(by)
        self._problems = shift_times(self._problems, by)

    def _process_forget_requests(self) -> list[Path]:
        """Forget the databases that `forget` requests; return the request files to remove."""
        processed = []
        for database in self._settings.databases:
            request_file = forget_request(self._history.path, database.name)
            # `access` is false too if the name is too long.
            if request_file in self._processed or not os.access(request_file, os.F_OK):
                continue
            try:
                self._states.forget(database)
            except sqlite3.Error as error:
                log.error("%s is not forgotten yet: %s", database.name, error)
                continue
            self._problems.pop(database.name, None)
            self._checker.forget(database.name)
            self._measurer.forget(database.name)
            self._tracker.forget(database.name)
            processed.append(request_file)
        return processed

    def _restore_history(self) -> None:
        """Replace a history file that was lost, and store the state in the new one."""
        try:
            if not self._history.reopen_if_lost():
                return
        except (OSError, sqlite3.Error, UnusableHistoryError) as error:
            paused = history_not_opened(error)
            if paused != self.history_paused:
                log.error("history not opened: %s", error)
            self.history_paused = paused
            return
        self._states.store_again()
        self._tracker.store_again()
        self._notifier.store_again()
        self._checks.store_again()
        self._answers.store_again()
        self._store_matches()
        self._recorded_at = None

    def _record_is_due(self, now: datetime) -> bool:
        """Whether the last record is old enough, or the clock was set back since."""
        interval = self._settings.history.every - SLACK
        return not self._recorded_at or not timedelta(0) <= now - self._recorded_at < interval

    def _record(self, snapshot: Snapshot) -> None:
        """Store a snapshot in the history. If that fails, only the history pauses."""
        try:
            self._history.record(snapshot)
            self.history_paused = None
        except sqlite3.ProgrammingError:
            pass  # It is closed, for the reason that `_restore_history` found.
        except sqlite3.Error as error:
            log.error("history paused: %s", error)
            self.history_paused = history_paused(error.sqlite_errorname)
        self._recorded_at = snapshot.taken_at
        self._states.save()
        self._checks.save(self._checker.states)
        self._answers.save(self._measurer.answers)
        self._tracker.record_openers()
        self._load_past()

    def _store_matches(self) -> None:
        """Store the files of patterns, so that their databases keep their names."""
        if not self._settings.matches:
            return
        try:
            self._history.store_matches(self._settings.matches)
        except sqlite3.Error as error:
            log.error("the files of patterns are not stored: %s", error)

    def _load_past(self) -> None:
        """Load the last day of each database, and when any was not watched, from the history."""
        names = [database.name for database in self._settings.databases]
        try:
            path, now = self._history.path, self._clock.now()
            self._activity, self._gaps = recent_activity(path, names, now), recent_gaps(path, now)
            self._undisturbed_since = undisturbed_since(path, names, now)
            self._answers.load_windows(now)
        except sqlite3.Error as error:
            log.error("history cannot be read: %s", error)
            self._activity, self._gaps, self._undisturbed_since = {}, (), None
