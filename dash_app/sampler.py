"""Asks the airlock each tick, keeps the newest snapshot, and hands it to the history."""

from __future__ import annotations

import getpass
import logging
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import TYPE_CHECKING

from dash_app import words
from dash_app.events import HABIT, follow, queues_among
from dash_app.history import query
from dash_app.history.query import Wanted
from dash_app.model import DatabaseStatus, Event, Memory, Reading, Snapshot, level_of
from dash_app.watched.airlock import Airlock
from dash_app.watched.process import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dash_app.history.store import History
    from dash_app.model import Database
    from dash_app.settings import Settings

FRESH_INTERVALS = 3
"""A snapshot older than so many intervals says nothing any more."""

MOST_EVENTS = 20
"""How many events a snapshot carries."""

SLACK = timedelta(milliseconds=500)
"""A tick may come this much early and still count as a minute after the last record."""

log = logging.getLogger(__name__)


class Sampler:
    """The one thread that has the databases read; everyone else asks for its newest snapshot."""

    def __init__(self, settings: Settings, history: History) -> None:
        """Take the settings and our record; nothing is read before `start`."""
        sampler = settings.sampler
        self._settings = settings
        self._history = history
        self._deadline_seconds = sampler.deadline.total_seconds()
        self._interval_seconds = sampler.interval.total_seconds()
        limits = Limits(self._deadline_seconds, sampler.table_budget.total_seconds())
        self._airlock = Airlock(settings.databases, limits)
        self._place = words.place_of(settings, getpass.getuser())
        self._memories: dict[str, Memory | None] = {
            database.name: history.memory_of(database) for database in settings.databases
        }
        self._unsaved: dict[str, tuple[Event, ...]] = {}
        self.recorded_at: datetime | None = None
        self._stopping = threading.Event()
        self._thread = Thread(target=self._run, name="sampler", daemon=True)
        self.snapshot: Snapshot | None = None
        self._events = self._newest_events()
        self.first_snapshot = threading.Event()

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the tick under way, keep what is known, and end the airlock."""
        self._stopping.set()
        self._thread.join()

    def fresh(self) -> Snapshot | None:
        """Return the newest snapshot, or None when it is older than three intervals."""
        snapshot = self.snapshot
        limit = FRESH_INTERVALS * self._settings.sampler.interval
        if snapshot is None or datetime.now(UTC) - snapshot.taken_at > limit:
            return None
        return snapshot

    def _run(self) -> None:
        """Tick at a steady beat until stopped; a slow tick skips the beats that it missed."""
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                try:
                    self._tick()
                except Exception:  # a fault in one tick must not end the watch
                    log.exception("tick failed")
                missed = (time.monotonic() - began) // self._interval_seconds
                wake = began + (missed + 1) * self._interval_seconds
                self._stopping.wait(wake - time.monotonic())
        finally:
            self._airlock.close()
            self._keep()

    def _tick(self) -> None:
        readings = self._airlock.read(min(self._deadline_seconds, self._interval_seconds / 2))
        now = datetime.now(UTC)
        statuses = tuple(
            self._judge(database, readings, now) for database in self._settings.databases
        )
        self.snapshot = Snapshot(now, statuses, self._events)
        self.first_snapshot.set()
        self._record(self.snapshot)

    def _judge(
        self, database: Database, readings: Mapping[str, Reading], now: datetime
    ) -> DatabaseStatus:
        """Return what a reading means, given what is remembered of this database."""
        unanswered = Reading(read_at=now, verified_at=now, code="not_responding")
        reading = readings.get(database.name, unanswered)
        before = self._memories[database.name]
        memory, events = follow(database.name, reading, before)
        if any(event.kind == "rows_dropped" for event in events):
            memory, events = follow(database.name, reading, before, self._queues(database))
        self._memories[database.name] = memory
        turned = before is None or (before.status, before.code) != (memory.status, memory.code)
        if turned:
            log.info("%s: %s", database.name, memory.code or memory.status)
        for event in events:
            log.warning("%s: %s", database.name, event.kind)
        self._unsaved[database.name] = self._unsaved.get(database.name, ()) + events
        if turned or events:
            self._remember(database, memory)
            self._events = self._newest_events()
        fault = reading.code and words.fault(
            reading.code, reading.detail, database, memory.last_good, self._place
        )
        return DatabaseStatus(
            database=database,
            reading=reading,
            status=memory.status,
            since=memory.since,
            level=level_of(memory.status, now - reading.verified_at, self._settings.stale_after),
            verdict=words.verdict(reading, fault),
            fault=fault,
            last_good=memory.last_good,
        )

    def _record(self, snapshot: Snapshot) -> None:
        """Hand a snapshot to the history once a minute; live readings go on without it."""
        if self.recorded_at is not None:
            since_last = snapshot.taken_at - self.recorded_at
            if timedelta(0) <= since_last < self._settings.history.every - SLACK:
                return  # a negative one is a clock that was set back
        try:
            self._history.record(snapshot)
        except sqlite3.Error as error:
            log.error("history paused: %s", error)
        self.recorded_at = snapshot.taken_at
        self._keep()

    def _keep(self) -> None:
        """Store every memory, so that a restart knows the last good readings."""
        for database in self._settings.databases:
            if memory := self._memories[database.name]:
                self._remember(database, memory)

    def _remember(self, database: Database, memory: Memory) -> None:
        try:
            self._history.remember(database, memory, self._unsaved.get(database.name, ()))
            self._unsaved[database.name] = ()
        except sqlite3.Error as error:
            log.error("memory of %s not stored: %s", database.name, error)

    def _newest_events(self) -> tuple[Event, ...]:
        """Return the newest events, those first that could not be stored yet."""
        waiting = [event for events in self._unsaved.values() for event in reversed(events)]
        try:
            stored = query.events(self._history.path, Wanted(most=MOST_EVENTS))
        except sqlite3.Error as error:
            log.error("events cannot be read: %s", error)
            stored = list(self.snapshot.events) if self.snapshot else []
        return tuple([*waiting, *stored][:MOST_EVENTS])

    def _queues(self, database: Database) -> frozenset[str]:
        """Return the tables of a database that empty by habit."""
        try:
            found = query.events(self._history.path, Wanted((database.name,), ("rows_dropped",)))
        except sqlite3.Error:
            return frozenset()
        earliest = datetime.now(UTC) - HABIT
        return queues_among(event for event in found if event.at > earliest)
