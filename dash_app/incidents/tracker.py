"""Follow incidents from snapshot to snapshot, and keep the history in step.

While the history cannot be written, incidents stay in memory and are stored later.
"""

import logging
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from dash_app.history.incidents import IncidentQuery, IncidentTable
from dash_app.history.write_behind import WriteBehind
from dash_app.incidents.correlation import IncidentState, correlate
from dash_app.model.incident import Acknowledgement, Incident
from dash_app.model.problem import Problem
from dash_app.model.snapshot import Snapshot
from dash_app.model.times import shift_times
from dash_app.words.incidents import incident_sentence

RECENT = timedelta(days=7)
MAX_RECENT = 50
"""Maximum age, and maximum number, of ended incidents in a snapshot."""

MAX_LOADED = 1000

log = logging.getLogger(__name__)


class IncidentTracker:
    """The incidents, and their acknowledgements. For one thread."""

    def __init__(self, store: IncidentTable | None, settle: timedelta, now: datetime) -> None:
        """Load the incidents that are open or may still be continued.

        `store` is None if nothing is to be stored. Raise sqlite3.Error.
        """
        self._store = store
        self._settle = settle
        earlier: list[Incident] = []
        if store:
            ended = IncidentQuery(is_open=False, ended_since=now - settle, limit=MAX_LOADED)
            open_ = IncidentQuery(is_open=True, limit=MAX_LOADED)
            earlier = [*store.find(ended), *store.find(open_)]
        self._state = IncidentState(tuple(incident.clamp_to(now) for incident in earlier))
        stored = {incident.key: incident for incident in earlier}
        self._writes = WriteBehind("incidents", self._store_changed, stored)
        self._ended: list[Incident] = []
        self._load_ended(now)
        self.newest = self._with_notifications()
        """The incidents of a snapshot, with the notifications about them.

        Open ones come first, worst first, then those that ended recently, newest first.
        """

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """The incidents that are open, or ended so recently that they may be continued."""
        return self._state.incidents

    def update(self, snapshot: Snapshot, own_problems: Iterable[Problem] = ()) -> None:
        """Group the problems of a snapshot, and our own, into incidents, and store these."""
        had_incidents = bool(self._state.incidents)
        open_before = {incident.key for incident in self._state.open}
        self._state = correlate(self._state, snapshot, self._settle, own_problems)
        for incident in self._state.open:
            if incident.key not in open_before:
                log.info("incident: %s", incident_sentence(incident))
        if self._save():
            self._load_ended(snapshot.taken_at)
        if had_incidents or self._state.incidents:
            self.newest = self._with_notifications()

    def shift_times(self, by: timedelta) -> None:
        """Move all times by as much as the clock was set, so that durations stay."""
        self._state = shift_times(self._state, by)

    def store_again(self) -> None:
        """Store all incidents in a new history file."""
        self._writes.restart()
        try:
            if self._store:
                self._store.store(self._ended)
        except sqlite3.Error as error:
            log.error("incidents not stored: %s", error)
        self._save()

    def acknowledge(self, id_: int, acknowledgement: Acknowledgement | None) -> None:
        """Acknowledge an open incident, or undo that with None."""
        self._replace(
            replace(incident, acknowledged=acknowledgement)
            if incident.id == id_ and not incident.ended_at
            else incident
            for incident in self._state.incidents
        )

    def _save(self) -> bool:
        """Store changed incidents; new ones get their ids. Return whether any was stored."""
        if self._store is None:
            return False
        stored = self._writes.save({incident.key: incident for incident in self._state.incidents})
        self._replace(stored.get(incident.key, incident) for incident in self._state.incidents)
        return bool(stored)

    def _store_changed(self, changed: Mapping[str, Incident]) -> Mapping[str, Incident]:
        stored = self._store.store(changed.values()) if self._store else []
        return dict(zip(changed, stored, strict=True))

    def _replace(self, incidents: Iterable[Incident]) -> None:
        self._state = replace(self._state, incidents=tuple(incidents))

    def _load_ended(self, now: datetime) -> None:
        query = IncidentQuery(is_open=False, limit=MAX_RECENT, ended_since=now - RECENT)
        try:
            self._ended = self._store.find(query) if self._store else []
        except sqlite3.Error as error:
            log.error("incidents cannot be read: %s", error)

    def _with_notifications(self) -> tuple[Incident, ...]:
        open_ids = {incident.id for incident in self._state.open}
        ended = (incident for incident in self._ended if incident.id not in open_ids)
        incidents = (*self._state.open, *ended)
        if self._store is None or not incidents:
            return incidents
        try:
            return tuple(self._store.with_notifications(incidents))
        except sqlite3.Error as error:
            log.error("notifications cannot be read: %s", error)
            return incidents
