"""Keeps incidents: begun, changed and ended by the one writer, read by anybody."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from dash_app.history.file import reading
from dash_app.history.notifications import Messages
from dash_app.model.incident import Acknowledgement, Entry, Incident
from dash_app.model.notification import Notification

COLUMNS = (
    "key, databases, troubles, kind, level, text, remedy, since, ended_at,"
    " acknowledged_by, acknowledged_at, acknowledged_until"
)
INCIDENTS = """
    SELECT {columns}, id FROM incident
    WHERE id < ifnull(:before, id + 1)
        AND (:open IS NULL OR :open = (ended_at IS NULL))
        AND ifnull(ended_at, :since) >= :since
        AND (:ids IS NULL OR id IN (SELECT value FROM json_each(:ids)))
        AND (:databases = '[]' OR EXISTS (
            SELECT value FROM json_each(databases)
            INTERSECT SELECT value FROM json_each(:databases)
        ))
    ORDER BY id DESC LIMIT :most
"""


@dataclass(frozen=True, slots=True)
class WantedIncidents:
    """Which incidents are wanted, newest first.

    Without `databases` of all, without `is_open` both open ones and such as are over. `before` is
    the id of one: only such as were stored earlier, and at most `most`. Those that ended earlier
    than `ended_since` are left out, and with `ids` all others than those.
    """

    databases: tuple[str, ...] = ()
    is_open: bool | None = None
    before: int | None = None
    most: int = 50
    ended_since: datetime | None = None
    ids: tuple[int, ...] | None = None


class Incidents:
    """The incidents of a history, and the messages about them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Take a connection to the history's file."""
        self._connection = connection

    def use(self, connection: sqlite3.Connection) -> None:
        """Use another connection from now on."""
        self._connection = connection

    def keep(self, changed: Iterable[Incident]) -> list[Incident]:
        """Store incidents as they are now; return them with their ids. Raises sqlite3.Error."""
        with self._connection:
            return [self._keep(one) for one in changed]

    def found(self, wanted: WantedIncidents) -> list[Entry]:
        """Return incidents with their messages, newest first. Raises sqlite3.Error."""
        since = wanted.ended_since
        parameters = {
            "before": wanted.before,
            "open": wanted.is_open,
            "since": since.isoformat() if since else "",
            "databases": json.dumps(wanted.databases),
            "ids": None if wanted.ids is None else json.dumps(wanted.ids),
            "most": wanted.most,
        }
        rows = self._connection.execute(INCIDENTS.format(columns=COLUMNS), parameters)
        return self.with_messages([_incident(*row) for row in rows])

    def with_messages(self, incidents: Iterable[Incident]) -> list[Entry]:
        """Return incidents with their messages, in the same order. Raises sqlite3.Error."""
        stored = list(incidents)
        messages: dict[int | None, list[Notification]] = {}
        for message in Messages(self._connection).about(one.id for one in stored):
            messages.setdefault(message.incident, []).append(message)
        return [Entry(one, tuple(messages.get(one.id, ()))) for one in stored]

    def _keep(self, incident: Incident) -> Incident:
        marks = ", ".join("?" * (COLUMNS.count(",") + 1))
        values = _values(incident)
        if incident.id is not None:
            sql = f"UPDATE incident SET ({COLUMNS}) = ({marks}) WHERE id = ?"  # noqa: S608
            if self._connection.execute(sql, (*values, incident.id)).rowcount == 0:
                # The history was begun anew.
                sql = f"INSERT INTO incident ({COLUMNS}, id) VALUES ({marks}, ?)"  # noqa: S608
                self._connection.execute(sql, (*values, incident.id))
            return incident
        sql = f"INSERT INTO incident ({COLUMNS}) VALUES ({marks})"  # noqa: S608
        return replace(incident, id=self._connection.execute(sql, values).lastrowid)


def incidents_of(path: Path, wanted: WantedIncidents) -> list[Entry]:
    """Return incidents with their messages, newest first. Raises sqlite3.Error."""
    with reading(path) as connection:
        return Incidents(connection).found(wanted)


def _values(one: Incident) -> tuple[Any, ...]:
    known = one.acknowledged
    return (
        one.key,
        json.dumps(one.databases),
        json.dumps(one.problem_ids),
        one.kind,
        one.level,
        one.text,
        one.remedy,
        one.since.isoformat(),
        one.ended_at and one.ended_at.isoformat(),
        known and known.by,
        known and known.at.isoformat(),
        known and known.until and known.until.isoformat(),
    )


def _incident(*row: Any) -> Incident:  # noqa: ANN401 - as SQLite holds it
    key, databases, troubles, kind, level, text, remedy, since, ended_at, by, at, until, number = (
        row
    )
    known = Acknowledgement(by, _required(at), _time(until)) if at else None
    return Incident(
        key=key,
        databases=tuple(json.loads(databases)),
        problem_ids=tuple(json.loads(troubles)),
        kind=kind,
        level=level,
        text=text,
        remedy=remedy,
        since=_required(since),
        ended_at=_time(ended_at),
        acknowledged=known,
        id=number,
    )


def _required(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
