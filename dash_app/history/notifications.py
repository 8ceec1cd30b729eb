"""Store and find notifications. Their table is called `message`."""

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from dash_app.history.file import open_read_only
from dash_app.history.row_codec import select, to_row
from dash_app.model.notification import AN_HOUR, Notification

FIXED = {name: name for name in ("kind", "cause", "title", "body", "made_at")} | {"id": "mark"}
CHANGING = {
    **{name: name for name in ("incident", "due_at", "attempts", "sent_at", "failure")},
    "attempted_at": "tried_at",
    "delivered_to": "reached",
    "is_given_up": "is_given_up",
    "included_in": "told_in",
}
COLUMNS = FIXED | CHANGING
"""Columns by the attributes that they store."""

STORE = f"""
    INSERT INTO message ({", ".join(COLUMNS.values())})
    VALUES ({", ".join("?" * len(COLUMNS))}) ON CONFLICT (mark) DO UPDATE
    SET {", ".join(f"{column} = excluded.{column}" for column in CHANGING.values())}
"""  # noqa: S608
SELECT = f"""
    SELECT {", ".join(f"{column} AS {name}" for name, column in COLUMNS.items())} FROM message
"""  # noqa: S608
ABOUT = f"{SELECT} WHERE incident IN (SELECT value FROM json_each(?)) ORDER BY message.id"  # noqa: S608
UNSENT = "SELECT mark FROM message WHERE sent_at IS NULL AND told_in IS NULL"
UNFINISHED = f"""
    {SELECT} WHERE incident IN (SELECT value FROM json_each(:ids)) OR tried_at > :since
    OR mark IN (
        SELECT told_in FROM message WHERE incident IN (SELECT value FROM json_each(:ids))
    )
    OR mark IN ({UNSENT}) OR told_in IN ({UNSENT}) ORDER BY message.id
"""  # noqa: S608
NEWEST = f"{SELECT} ORDER BY message.id DESC LIMIT ?"


class NotificationTable:
    """The notifications of a history. For the one thread that writes it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def store(self, notifications: Iterable[Notification]) -> None:
        """Insert or update notifications. Raise sqlite3.Error."""
        with self.connection:
            self.connection.executemany(STORE, [to_row(note, COLUMNS) for note in notifications])

    def unfinished(self, incidents: Iterable[int | None], now: datetime) -> list[Notification]:
        """Return the notifications on which further ones depend, oldest first.

        They are about these incidents, or summarize such, or are not sent yet, or were attempted
        within the last hour. Raise sqlite3.Error.
        """
        parameters = {"ids": json.dumps(list(incidents)), "since": (now - AN_HOUR).isoformat()}
        return [Notification(**row) for row in select(self.connection, UNFINISHED, parameters)]

    def about(self, incidents: Iterable[int | None]) -> list[Notification]:
        """Return the notifications about incidents, oldest first. Raise sqlite3.Error."""
        ids = json.dumps(list(incidents))
        return [Notification(**row) for row in select(self.connection, ABOUT, (ids,))]


def newest_notifications(path: Path, limit: int) -> list[Notification]:
    """Return notifications, newest first. Raise sqlite3.Error."""
    with open_read_only(path) as connection:
        return [Notification(**row) for row in select(connection, NEWEST, (limit,))]
