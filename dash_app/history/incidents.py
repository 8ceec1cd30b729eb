"""Store and find incidents."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from dash_app.history.file import open_read_only
from dash_app.history.notifications import NotificationTable
from dash_app.history.row_codec import select, to_row
from dash_app.model.incident import Acknowledgement, Incident
from dash_app.model.notification import Notification

ACKNOWLEDGEMENT = ("by", "at", "until")
SAME = ("key", "databases", "kind", "level", "text", "remedy", "since", "ended_at")
SINCE_6 = ("evidence", "fault_since", "fault_until")
FIELDS = {name: name for name in (*SAME, *SINCE_6)} | {"problem_ids": "troubles"}
"""Columns by the attributes that they store."""

COLUMNS = (*FIELDS.values(), *(f"acknowledged_{name}" for name in ACKNOWLEDGEMENT))
SELECT = ", ".join(f"{column} AS {name}" for name, column in FIELDS.items())
INCIDENTS = f"""
    SELECT id, {SELECT}, {", ".join(COLUMNS[-3:])} FROM incident
    WHERE id < ifnull(:before, id + 1)
        AND (:open IS NULL OR :open = (ended_at IS NULL))
        AND ifnull(ended_at, :since) >= :since
        AND (:databases = '[]' OR EXISTS (
            SELECT value FROM json_each(databases)
            INTERSECT SELECT value FROM json_each(:databases)
        ))
    ORDER BY id DESC LIMIT :limit
"""  # noqa: S608
STORE = f"""
    INSERT INTO incident (id, {", ".join(COLUMNS)}) VALUES (?{", ?" * len(COLUMNS)})
    ON CONFLICT (id) DO UPDATE SET ({", ".join(COLUMNS)})
        = ({", ".join(f"excluded.{name}" for name in COLUMNS)})
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class IncidentQuery:
    """A selection of incidents, newest first; by default the newest of all databases.

    `is_open` is None for both open and ended ones. `before` is an id: only incidents stored earlier
    are selected. `ended_since` excludes those that ended earlier. `limit` is the maximum number.
    """

    databases: tuple[str, ...] = ()
    is_open: bool | None = None
    before: int | None = None
    limit: int = 50
    ended_since: datetime | None = None


class IncidentTable:
    """The incidents of a history. For the one thread that writes it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def store(self, incidents: Iterable[Incident]) -> list[Incident]:
        """Insert or update incidents; return them with their ids. Raise sqlite3.Error."""
        with self.connection:
            return [self._store(incident) for incident in incidents]

    def find(self, query: IncidentQuery) -> list[Incident]:
        """Return incidents with their notifications, newest first. Raise sqlite3.Error."""
        parameters = {
            "before": query.before,
            "open": query.is_open,
            "since": query.ended_since.isoformat() if query.ended_since else "",
            "databases": json.dumps(query.databases),
            "limit": query.limit,
        }
        return self.with_notifications(
            _from_row(row) for row in select(self.connection, INCIDENTS, parameters)
        )

    def with_notifications(self, incidents: Iterable[Incident]) -> list[Incident]:
        """Return incidents with their notifications, in the same order. Raise sqlite3.Error."""
        stored = list(incidents)
        sent: dict[int | None, list[Notification]] = {}
        ids = (incident.id for incident in stored)
        for notification in NotificationTable(self.connection).about(ids):
            sent.setdefault(notification.incident, []).append(notification)
        return [
            replace(incident, notifications=tuple(sent.get(incident.id, ()))) for incident in stored
        ]

    def _store(self, incident: Incident) -> Incident:
        acknowledged = incident.acknowledged
        values = [incident.id, *to_row(incident, FIELDS)]
        values += to_row(acknowledged, ACKNOWLEDGEMENT) if acknowledged else (None, None, None)
        row_id = self.connection.execute(STORE, values).lastrowid
        return incident if incident.id is not None else replace(incident, id=row_id)


def find_incidents(path: Path, query: IncidentQuery) -> list[Incident]:
    """Return incidents with their notifications, newest first. Raise sqlite3.Error."""
    with open_read_only(path) as connection:
        return IncidentTable(connection).find(query)


def _from_row(row: dict[str, Any]) -> Incident:
    by, at, until = (row.pop(f"acknowledged_{name}") for name in ACKNOWLEDGEMENT)
    return Incident(**row, acknowledged=Acknowledgement(by, at, until) if at else None)
