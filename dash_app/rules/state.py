"""The state of each database and its newest events, kept in step with the history."""

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from dash_app.history.event_queries import EventQuery, find_events
from dash_app.history.read_only import ReadOnlyHistory
from dash_app.history.write_behind import WriteBehind
from dash_app.history.writer import History
from dash_app.model.database import Database
from dash_app.model.event import Event, EventKind
from dash_app.model.reading import Reading
from dash_app.model.snapshot import DatabaseState
from dash_app.model.times import shift_times
from dash_app.rules.changes import apply_reading
from dash_app.rules.drop_policy import HABIT_WINDOW, DropPolicy, Habits, learn_habits
from dash_app.rules.losses import move_trail
from dash_app.rules.problems import problem_of, resolve_events

MAX_EVENTS = 20
"""Maximum number of events kept in memory."""

MAX_OPEN_EVENTS = 500
"""Maximum number of open events per database, and of events to be stored."""

HABIT_KINDS: tuple[EventKind, ...] = ("rows_dropped", "schema_changed", "replaced", "rolled_back")
"""The events from which habits are learned."""

_State = tuple[DatabaseState, tuple[Event, ...]]
"""A state, and the events that are not stored yet."""

log = logging.getLogger(__name__)


class StateStore:
    """The states of the databases, and their events. For use by one thread.

    If the history cannot be written, everything continues in memory and is stored later.
    """

    def __init__(
        self,
        history: History | ReadOnlyHistory,
        databases: Iterable[Database],
        now: Callable[[], datetime],
    ) -> None:
        """Load the states from the history. Raise sqlite3.Error if it cannot be read."""
        self._history = history
        self._now = now
        self._databases = {database.name: database for database in databases}
        known = self._databases.values()
        self._states = {database.name: history.state_of(database) for database in known}
        for name, state in self._states.items():  # the clock may have been set back since
            self._states[name] = state and replace(state, since=min(state.since, now()))
        self._open = {database.name: self._stored_open_events(database) for database in known}
        self._unsaved: dict[str, tuple[Event, ...]] = dict.fromkeys(self._databases, ())
        self._habits = {database.name: self._stored_habits(database) for database in known}
        self.events: tuple[Event, ...] = ()
        """The newest events of all databases, newest first."""
        self._writes = WriteBehind[str, _State]("state", self._store, {})
        self._load_events()

    def record(
        self, database: Database, reading: Reading, acknowledged_until: datetime | None
    ) -> tuple[DatabaseState, tuple[Event, ...]]:
        """Record a reading; return the new state, and the events whose problems are not over.

        A person acknowledged all events up to `acknowledged_until`.
        """
        name, before = database.name, self._states[database.name]
        policy = DropPolicy(database.rules, self._habits[name])
        state, new = apply_reading(name, reading, before, policy)
        for event in new:
            log.warning("%s: %s", name, event.kind)
        has_turned = before is None or (before.status, before.code) != (state.status, state.code)
        if has_turned:
            log.info("%s: %s", name, state.code or state.status)
        self._states[name] = state
        events = resolve_events(self._open[name], new, reading, acknowledged_until, policy)
        self._open[name] = tuple(e for e in events if not e.ended_at and problem_of(e))
        changed = tuple(event for event in events if event.ended_at or event in new)
        self._unsaved[name] = (*self._unsaved[name], *changed)[-MAX_OPEN_EVENTS:]
        if has_turned or changed:
            self.save()
            self._load_events()
        if changed:
            self._habits[name] = self._stored_habits(database)
        return state, self._open[name]

    def shift_times(self, by: timedelta) -> None:
        """Move the times of all states after the clock was set."""
        for name, state in self._states.items():
            if state:
                baseline = state.baseline and replace(
                    state.baseline, trail=move_trail(state.baseline.trail, by)
                )
                since, good = state.since + by, shift_times(state.last_good, by)
                self._states[name] = replace(state, since=since, last_good=good, baseline=baseline)

    @property
    def states(self) -> Mapping[str, DatabaseState | None]:
        """The state of each database by name; None if it was never read at its path."""
        return self._states

    def baseline_of(self, database: Database) -> Reading | None:
        """Return the last reading with tables; None if there was none at this path."""
        state = self._states[database.name]
        return state.baseline if state else None

    def forget(self, database: Database) -> None:
        """Forget the state of a database.

        Raise sqlite3.Error and keep the state if the history cannot be written.
        """
        self._history.forget(database, self._now())
        self._states[database.name] = None
        self._open[database.name] = self._unsaved[database.name] = ()
        self._load_events()
        log.info("%s: forgotten", database.name)

    def store_again(self) -> None:
        """Store all states and events in a new history file."""
        for name, events in self._open.items():
            newest = (event for event in self.events if event.database == name)
            known = {(e.kind, e.at): e for e in (*newest, *events, *self._unsaved[name])}
            self._unsaved[name] = tuple(sorted(known.values(), key=lambda event: event.at))
        self._writes.restart()
        self.save()
        self._load_events()

    def save(self) -> None:
        """Store the states that changed, with the last good readings, for the next start."""
        states = self._states.items()
        self._writes.save({name: (state, self._unsaved[name]) for name, state in states if state})

    def _store(self, changed: Mapping[str, _State]) -> Mapping[str, _State]:
        for name, (state, events) in changed.items():
            self._history.store_state(self._databases[name], state, events)
            self._unsaved[name] = ()
        return {name: (state, ()) for name, (state, _) in changed.items()}

    def _load_events(self) -> None:
        """Load the newest events, and add those that are not stored yet."""
        try:
            stored = list(find_events(self._history.path, EventQuery(limit=MAX_EVENTS)))
        except sqlite3.Error as error:
            log.error("events cannot be read: %s", error)
            stored = list(self.events)
        unsaved = [event for events in self._unsaved.values() for event in events]
        known = {(e.database, e.kind, e.at): e for e in [*stored, *unsaved]}
        newest = sorted(known.values(), key=lambda event: event.at, reverse=True)
        self.events = tuple(newest[:MAX_EVENTS])

    def _stored_open_events(self, database: Database) -> tuple[Event, ...]:
        if self._states[database.name] is None:  # the events are of another file with this name
            return ()
        query = EventQuery((database.name,), limit=MAX_OPEN_EVENTS)
        stored = find_events(self._history.path, query)
        return tuple(event for event in stored if not event.ended_at and problem_of(event))

    def _stored_habits(self, database: Database) -> Habits:
        earliest = self._now() - HABIT_WINDOW
        query = EventQuery((database.name,), HABIT_KINDS, limit=MAX_OPEN_EVENTS)
        try:
            found = find_events(self._history.path, query)
            return learn_habits(event for event in found if event.at > earliest)
        except sqlite3.Error as error:
            log.error("events of %s cannot be read: %s", database.name, error)
            return Habits()
