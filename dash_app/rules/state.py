"""What is remembered of each database and what happened to it, kept in step with the history file.

Where the history cannot be written, everything goes on in memory and is stored once it can be.
"""

from __future__ import annotations

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
from dash_app.model.times import moved
from dash_app.rules.changes import apply_reading
from dash_app.rules.drop_policy import HABIT_WINDOW, NO_HABITS, DropPolicy, Habits, learn_habits
from dash_app.rules.losses import move_trail
from dash_app.rules.problems import problem_of, settle

MAX_EVENTS = 20
"""How many events are at hand without a look into the history."""

MAX_UNSETTLED = 500

HABIT_KINDS: tuple[EventKind, ...] = ("rows_dropped", "schema_changed", "replaced", "rolled_back")
"""The events from which habits are learned."""

_State = tuple[DatabaseState, tuple[Event, ...]]
"""A state, and the events that are not stored yet."""

log = logging.getLogger(__name__)


class StateStore:
    """The memories of some databases, and their events. For one thread."""

    def __init__(
        self,
        history: History | ReadOnlyHistory,
        databases: Iterable[Database],
        now: Callable[[], datetime],
    ) -> None:
        """Take up what the history remembers. Raises sqlite3.Error."""
        self._history = history
        self._now = now
        self._databases = {database.name: database for database in databases}
        known = self._databases.values()
        self._memories = {
            database.name: _up_to(now(), history.state_of(database)) for database in known
        }
        self._unsettled = {one.name: self._stored_unsettled(one) for one in known}
        self._unsaved: dict[str, tuple[Event, ...]] = {one.name: () for one in known}
        self._habits = {one.name: self._stored_habits(one) for one in known}
        self.events: tuple[Event, ...] = ()
        self._writes = WriteBehind[str, _State]("state", self._store, {})
        self._load_newest()

    def enter(
        self, database: Database, reading: Reading, seen_until: datetime | None
    ) -> tuple[DatabaseState, tuple[Event, ...]]:
        """Take a reading; return what is remembered after it, and the events still to be settled.

        `seen_until` is up to when a person acknowledged what happened, if one just did.
        """
        name, before = database.name, self._memories[database.name]
        policy = DropPolicy(database.rules, self._habits[name])
        memory, new = apply_reading(name, reading, before, policy)
        for event in new:
            log.warning("%s: %s", name, event.kind)
        turned = before is None or (before.status, before.code) != (memory.status, memory.code)
        if turned:
            log.info("%s: %s", name, memory.code or memory.status)
        self._memories[name] = memory
        settled = settle(self._unsettled[name], new, reading, seen_until, policy)
        self._unsettled[name] = tuple(e for e in settled if not e.ended_at and problem_of(e))
        changed = tuple(event for event in settled if event.ended_at or event in new)
        self._unsaved[name] = (*self._unsaved[name], *changed)[-MAX_UNSETTLED:]
        if turned or changed:
            self.keep()
            self._load_newest()
        if changed:
            self._habits[name] = self._stored_habits(database)
        return memory, self._unsettled[name]

    def move(self, by: timedelta) -> None:
        """Move the start of each status by as much as the clock was set."""
        for name, memory in self._memories.items():
            if memory:
                baseline = memory.baseline and replace(
                    memory.baseline, trail=move_trail(memory.baseline.trail, by)
                )
                good = moved(memory.last_good, by)
                self._memories[name] = replace(
                    memory, since=memory.since + by, last_good=good, baseline=baseline
                )

    @property
    def memories(self) -> Mapping[str, DatabaseState | None]:
        """The memory of each database by name, None of one that is new at its path."""
        return self._memories

    def last_of(self, database: Database) -> Reading | None:
        """Return the last reading with tables, None for a database that is new at its path."""
        memory = self._memories[database.name]
        return memory.baseline if memory else None

    def forget(self, database: Database) -> None:
        """Know nothing of a database any more. Raises sqlite3.Error, and then knows all."""
        self._history.forget(database, self._now())
        self._memories[database.name] = None
        self._unsettled[database.name] = self._unsaved[database.name] = ()
        self._load_newest()
        log.info("%s: forgotten", database.name)

    def store_again(self) -> None:
        """Store all state in a new history file."""
        for name, events in self._unsettled.items():
            newest = (event for event in self.events if event.database == name)
            known = {(e.kind, e.at): e for e in (*newest, *events, *self._unsaved[name])}
            self._unsaved[name] = tuple(sorted(known.values(), key=lambda event: event.at))
        self._writes.restart()
        self.keep()
        self._load_newest()

    def keep(self) -> None:
        """Store every memory, so that a restart knows the last good readings."""
        states = {name: state for name, state in self._memories.items() if state}
        self._writes.save({name: (state, self._unsaved[name]) for name, state in states.items()})

    def _store(self, changed: Mapping[str, _State]) -> Mapping[str, _State]:
        """Store states with their events, which are saved then."""
        for name, (state, events) in changed.items():
            self._history.store_state(self._databases[name], state, events)
            self._unsaved[name] = ()
        return {name: (state, ()) for name, (state, _) in changed.items()}

    def _load_newest(self) -> None:
        """Have the newest events at hand, with those that could not be stored yet."""
        try:
            stored = list(find_events(self._history.path, EventQuery(limit=MAX_EVENTS)))
        except sqlite3.Error as error:
            log.error("events cannot be read: %s", error)
            stored = list(self.events)
        waiting = [event for events in self._unsaved.values() for event in events]
        known = {(e.database, e.kind, e.at): e for e in [*stored, *waiting]}
        newest = sorted(known.values(), key=lambda event: event.at, reverse=True)
        self.events = tuple(newest[:MAX_EVENTS])

    def _stored_unsettled(self, database: Database) -> tuple[Event, ...]:
        if self._memories[database.name] is None:  # another file under the same name
            return ()
        stored = find_events(self._history.path, EventQuery((database.name,), limit=MAX_UNSETTLED))
        return tuple(event for event in stored if not event.ended_at and problem_of(event))

    def _stored_habits(self, database: Database) -> Habits:
        """Return what a database does regularly, from the events of its history."""
        earliest = self._now() - HABIT_WINDOW
        wanted = EventQuery((database.name,), HABIT_KINDS, limit=MAX_UNSETTLED)
        try:
            found = find_events(self._history.path, wanted)
            return learn_habits(event for event in found if event.at > earliest)
        except sqlite3.Error as error:
            log.error("events of %s cannot be read: %s", database.name, error)
            return NO_HABITS


def _up_to(now: datetime, memory: DatabaseState | None) -> DatabaseState | None:
    """Return a memory whose status does not start in the future: the clock may have been set."""
    return memory and replace(memory, since=min(memory.since, now))
