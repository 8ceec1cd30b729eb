"""The tables of the five databases, and how their writers open them.

Nothing here is read back: who writes a table knows what is in it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random

from dash_app.demo import rows
from dash_app.demo.rows import Row


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns as SQL, without the `id`, and what makes a row for each time given."""

    name: str
    columns: tuple[str, ...]
    rows_at: Callable[[Random, Iterable[datetime]], Iterator[Row]]

    def create(self, connection: sqlite3.Connection) -> None:
        """Make the table. Raises sqlite3.Error."""
        columns = ", ".join(("id INTEGER PRIMARY KEY", *self.columns))
        connection.execute(f"CREATE TABLE {self.name} ({columns})")

    def add(
        self, connection: sqlite3.Connection, random: Random, times: Iterable[datetime]
    ) -> None:
        """Add a row for each time, without a commit. Raises sqlite3.Error."""
        marks = ", ".join("?" for _column in self.columns)
        insert = f"INSERT INTO {self.name} VALUES (NULL, {marks})"  # noqa: S608 - our own names
        connection.executemany(insert, self.rows_at(random, times))


AGENTS = Table(
    "agents",
    (
        "name TEXT NOT NULL UNIQUE",
        "role TEXT NOT NULL",
        "status TEXT NOT NULL",
        "registered_at TEXT NOT NULL",
        "last_seen_at TEXT NOT NULL",
    ),
    rows.agents,
)
TASKS = Table(
    "tasks",
    (
        "agent_id INTEGER NOT NULL REFERENCES agents (id)",
        "title TEXT NOT NULL",
        "status TEXT NOT NULL",
        "priority INTEGER NOT NULL",
        "created_at TEXT NOT NULL",
    ),
    rows.tasks,
)
EVENTS = Table(
    "events",
    (
        "at TEXT NOT NULL",
        "agent TEXT NOT NULL",
        "level TEXT NOT NULL",
        "message TEXT NOT NULL",
        "duration_ms INTEGER NOT NULL",
    ),
    rows.events,
)
TOPICS = Table("topics", ("name TEXT NOT NULL UNIQUE", "created_at TEXT NOT NULL"), rows.topics)
ARTICLES = Table(
    "articles",
    (
        "topic_id INTEGER NOT NULL REFERENCES topics (id)",
        "title TEXT NOT NULL",
        "body TEXT NOT NULL",
        "created_at TEXT NOT NULL",
    ),
    rows.articles,
)
MESSAGES = Table(
    "messages",
    (
        "sender TEXT NOT NULL",
        "recipient TEXT NOT NULL",
        "subject TEXT NOT NULL",
        "body TEXT NOT NULL",
        "received_at TEXT NOT NULL",
    ),
    rows.messages,
)
ATTACHMENTS = Table(
    "attachments",
    (
        "message_id INTEGER NOT NULL REFERENCES messages (id)",
        "file_name TEXT NOT NULL",
        "size_bytes INTEGER NOT NULL",
    ),
    rows.attachments,
)
READINGS = Table(
    "readings",
    (
        "at TEXT NOT NULL",
        "cpu_percent REAL NOT NULL",
        "memory_mb INTEGER NOT NULL",
        "celsius REAL NOT NULL",
    ),
    rows.readings,
)

TABLES: dict[str, tuple[Table, ...]] = {
    "coordination": (AGENTS, TASKS),
    "observability": (EVENTS,),
    "content": (TOPICS, ARTICLES),
    "email": (MESSAGES, ATTACHMENTS),
    "health": (READINGS,),
}
"""The tables of each database, by its name."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a database as its writer does; makes the file where there is none.

    Raises sqlite3.Error.
    """
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection
