"""Keeps messages: made, tried and sent by the one writer, read by anybody."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dash_app.history.file import reading
from dash_app.model.notification import Notification

COLUMNS = (
    "mark, kind, cause, incident, title, body, made_at, due_at, attempts, tried_at, sent_at,"
    " failure, reached, is_given_up, told_in"
)
KEEP = f"""
    INSERT INTO message ({COLUMNS}) VALUES ({", ".join("?" * (COLUMNS.count(",") + 1))})
    ON CONFLICT (mark) DO UPDATE SET incident = excluded.incident, due_at = excluded.due_at,
        attempts = excluded.attempts, tried_at = excluded.tried_at, sent_at = excluded.sent_at,
        failure = excluded.failure, reached = excluded.reached,
        is_given_up = excluded.is_given_up, told_in = excluded.told_in
"""  # noqa: S608
UNTOLD = """
    SELECT DISTINCT incident FROM message AS told WHERE kind IN ('fault', 'reminder')
    AND NOT EXISTS (
        SELECT 1 FROM message AS later
        WHERE later.incident = told.incident AND later.kind = 'over' AND later.id > told.id
        AND EXISTS (
            SELECT 1 FROM message AS heard WHERE heard.mark IN (later.mark, later.told_in)
            AND (heard.sent_at IS NOT NULL OR heard.reached <> '[]')
        )
    )
"""
"""The incidents of which was told that they began, and nobody has heard yet that they are over."""

UNSENT = "SELECT mark FROM message WHERE sent_at IS NULL AND told_in IS NULL"
OPEN = f"""
    SELECT {COLUMNS} FROM message WHERE incident IN ({UNTOLD})
    OR mark IN ({UNSENT}) OR told_in IN ({UNSENT}) OR tried_at > :since ORDER BY id
"""  # noqa: S608
NEWEST = f"SELECT {COLUMNS} FROM message ORDER BY id DESC LIMIT ?"  # noqa: S608
ABOUT = f"""
    SELECT {COLUMNS} FROM message
    WHERE incident IN (SELECT value FROM json_each(?)) ORDER BY id
"""  # noqa: S608
AN_HOUR = timedelta(hours=1)


class Messages:
    """The messages of a history."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Take a connection to the history's file."""
        self._connection = connection

    def use(self, connection: sqlite3.Connection) -> None:
        """Use another connection from now on."""
        self._connection = connection

    def keep(self, changed: Iterable[Notification]) -> None:
        """Store messages as they are now. Raises sqlite3.Error."""
        with self._connection:
            self._connection.executemany(KEEP, [_values(one) for one in changed])

    def untold(self) -> list[int]:
        """Return ids of incidents whose begin was told and whose end is still to be told.

        Raises sqlite3.Error.
        """
        return [number for (number,) in self._connection.execute(UNTOLD) if number]

    def open(self, now: datetime) -> list[Notification]:
        """Return the messages from which something follows, oldest first. Raises sqlite3.Error."""
        since = {"since": (now - AN_HOUR).isoformat()}
        return [_message(*row) for row in self._connection.execute(OPEN, since)]

    def about(self, incidents: Iterable[int | None]) -> list[Notification]:
        """Return the messages about incidents by their ids, oldest first. Raises sqlite3.Error."""
        ids = json.dumps(list(incidents))
        return [_message(*row) for row in self._connection.execute(ABOUT, (ids,))]


def newest_messages(path: Path, most: int) -> list[Notification]:
    """Return messages, newest first. Raises sqlite3.Error."""
    with reading(path) as connection:
        return [_message(*row) for row in connection.execute(NEWEST, (most,))]


def _values(one: Notification) -> tuple[Any, ...]:
    return (
        one.mark,
        one.kind,
        one.cause,
        one.incident,
        one.title,
        one.body,
        one.made_at.isoformat(),
        one.due_at.isoformat(),
        one.attempts,
        one.tried_at and one.tried_at.isoformat(),
        one.sent_at and one.sent_at.isoformat(),
        one.failure,
        json.dumps(one.reached),
        one.is_given_up,
        one.told_in,
    )


def _message(*row: Any) -> Notification:  # noqa: ANN401 - as SQLite holds it
    mark, kind, cause, incident, title, body, made_at, due_at, attempts, *more = row
    tried_at, sent_at, failure, reached, is_given_up, told_in = more
    return Notification(
        mark=mark,
        kind=kind,
        cause=cause,
        incident=incident,
        title=title,
        body=body,
        made_at=datetime.fromisoformat(made_at),
        due_at=datetime.fromisoformat(due_at),
        attempts=attempts,
        tried_at=_time(tried_at),
        sent_at=_time(sent_at),
        failure=failure,
        reached=tuple(json.loads(reached)),
        is_given_up=bool(is_given_up),
        told_in=told_in,
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
