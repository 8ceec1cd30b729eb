"""Follow incidents from snapshot to snapshot, and keep the history in step.

While the history cannot be written, incidents stay in memory and are stored later.
"""

import logging
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from dash_app.history.incidents import IncidentQuery
from dash_app.history.openers import OpenerKey
from dash_app.history.read_only import ReadOnlyHistory
from dash_app.history.write_behind import WriteBehind
from dash_app.history.writer import History
from dash_app.incidents.correlation import IncidentState, correlate
from dash_app.incidents.openers import KEPT, RESIDENT, Openers
from dash_app.model.incident import Acknowledgement, Incident
from dash_app.model.opener import Opener
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
    """The incidents with their acknowledgements, and who has databases open. For one thread."""

    def __init__(
        self, history: History | ReadOnlyHistory, settle: timedelta, now: datetime
    ) -> None:
        """Load the incidents that are open or may still be continued, and recent openers.

        Raise sqlite3.Error.
        """
        store, openers = self._store, self._openers = history.incidents, history.openers
        self._settle = settle
        earlier: list[Incident] = []
        if store:
            ended = IncidentQuery(is_open=False, ended_since=now - settle, limit=MAX_LOADED)
            open_ = IncidentQuery(is_open=True, limit=MAX_LOADED)
            earlier = [*store.find(ended), *store.find(open_)]
        loaded = openers.load(now - KEPT, RESIDENT.total_seconds()) if openers else {}
        self._state = IncidentState(tuple(incident.clamp_to(now) for incident in earlier), loaded)
        stored = {incident.key: incident for incident in earlier}
        self._writes = WriteBehind("incidents", self._store_changed, stored)
        self._opener_writes = WriteBehind("openers", self._store_openers, _by_key(loaded))
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

    @property
    def writers(self) -> Mapping[str, Opener]:
        """The process whose end explains the silence of a database, by its name."""
        return self._state.writers

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
        self._opener_writes.restart()
        try:
            if self._store:
                self._store.store(self._ended)
        except sqlite3.Error as error:
            log.error("incidents not stored: %s", error)
        self._save()

    def record_openers(self) -> None:
        """Store the openers that changed, which all present ones do at each tick."""
        self._opener_writes.save(_by_key(self._state.openers))

    def forget(self, database: str) -> None:
        """Forget the openers of a database, which the history has forgotten."""
        openers = {name: one for name, one in self._state.openers.items() if name != database}
        self._state = replace(self._state, openers=openers)

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

    def _store_openers(self, changed: Mapping[OpenerKey, Opener]) -> Mapping[OpenerKey, Opener]:
        return self._openers.store(changed) if self._openers else {}

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


def _by_key(openers: Openers) -> dict[OpenerKey, Opener]:
    return {
        (database, opener.pid, opener.since): opener
        for database, known in openers.items()
        for opener in known
    }
