"""The incidents of now, kept in step with the history.

Where the history cannot be written, everything goes on in memory and is stored once it can be.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from dash_app.history.incidents import IncidentQuery, IncidentTable
from dash_app.history.write_behind import WriteBehind
from dash_app.incidents.correlation import IncidentState, correlate
from dash_app.model.incident import Acknowledgement, Entry, Incident
from dash_app.model.problem import Problem
from dash_app.model.snapshot import Snapshot
from dash_app.model.times import moved
from dash_app.words.incidents import incident_sentence

LATELY = timedelta(days=7)
MAX_LATELY = 50
"""So many incidents that ended lately are at hand without a look into the history."""

MAX_OPEN = 1000

log = logging.getLogger(__name__)


class IncidentTracker:
    """The incidents that a person may want to see, and the acknowledgements of them.

    For one thread, but for `entries`: open incidents with their messages, worst first, then those
    that ended lately, newest first.
    """

    def __init__(self, store: IncidentTable | None, settle: timedelta, now: datetime) -> None:
        """Take up what the history knows, if anything is to be stored. Raises sqlite3.Error."""
        self._store = store
        self._settle = settle
        earlier: list[Entry] = []
        if store:
            open_ = IncidentQuery(is_open=True, limit=MAX_OPEN)
            ended = IncidentQuery(is_open=False, ended_since=now - settle)
            earlier = [*store.find(ended), *store.find(open_)]
        self._state = IncidentState(tuple(one.incident.up_to(now) for one in earlier))
        self._writes = WriteBehind(
            "incidents", self._store_changed, {one.incident.key: one.incident for one in earlier}
        )
        self._over: list[Incident] = []
        self.entries: tuple[Entry, ...] = ()
        self._look_back(now)
        self._refresh()

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """The incidents that are open, or over for so short a time that they may go on."""
        return self._state.incidents

    def take(self, snapshot: Snapshot, own_problems: Iterable[Problem] = ()) -> None:
        """Group the problems of a snapshot, and our own, into incidents, and store these."""
        before = self._state.incidents
        self._state = correlate(self._state, snapshot, self._settle, own_problems)
        open_before = {one.key for one in before if not one.ended_at}
        for one in self._state.open:
            if one.key not in open_before:
                log.info("incident: %s", incident_sentence(one))
        if self._save():
            self._look_back(snapshot.taken_at)
        if before or self._state.incidents:
            self._refresh()

    def move(self, by: timedelta) -> None:
        """Move all times by as much as the clock was set, so that durations stay what they are."""
        self._state = moved(self._state, by)

    def store_again(self) -> None:
        """Store all incidents in a new history file."""
        self._writes.restart()
        try:
            if self._store:
                self._store.store(self._over)
        except sqlite3.Error as error:
            log.error("incidents not stored: %s", error)
        self._save()

    def acknowledge(self, incident: int, known: Acknowledgement | None) -> None:
        """Have an open incident known to somebody, or to nobody any more, from the next look on."""
        self._replace(
            tuple(
                replace(one, acknowledged=known) if one.id == incident and not one.ended_at else one
                for one in self._state.incidents
            )
        )

    def _save(self) -> bool:
        """Store what changed, and learn the ids of what is new; return whether anything was."""
        if self._store is None:
            return False
        stored = self._writes.save({one.key: one for one in self._state.incidents})
        self._replace(tuple(stored.get(one.key, one) for one in self._state.incidents))
        return bool(stored)

    def _store_changed(self, changed: Mapping[str, Incident]) -> Mapping[str, Incident]:
        stored = self._store.store(changed.values()) if self._store else []
        return dict(zip(changed, stored, strict=True))

    def _replace(self, incidents: tuple[Incident, ...]) -> None:
        self._state = replace(self._state, incidents=incidents)

    def _look_back(self, now: datetime) -> None:
        """Have at hand what ended lately."""
        wanted = IncidentQuery(is_open=False, limit=MAX_LATELY, ended_since=now - LATELY)
        try:
            found = self._store.find(wanted) if self._store else []
            self._over = [one.incident for one in found]
        except sqlite3.Error as error:
            log.error("incidents cannot be read: %s", error)

    def _refresh(self) -> None:
        """Have at hand what a person may want to see, with what was told of it by now."""
        open_ = self._state.open
        shown = [*open_, *(one for one in self._over if one.id not in {now.id for now in open_})]
        try:
            found = self._store.with_notifications(shown) if self._store else []
            self.entries = tuple(found)
        except sqlite3.Error as error:
            log.error("messages cannot be read: %s", error)
            self.entries = tuple(Entry(one) for one in shown)
