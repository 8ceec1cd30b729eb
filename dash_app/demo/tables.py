"""The tables of the five databases, and how their writers open them.

The page never shows the content of a row, so every row is filler of a realistic size.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name, its columns besides `id`, and the length of its texts in bytes."""

    name: str
    columns: str
    text_bytes: int = 12

    def create(self, connection: sqlite3.Connection) -> None:
        """Create the table. Raise sqlite3.Error."""
        connection.execute(f"CREATE TABLE {self.name} (id INTEGER PRIMARY KEY, {self.columns})")

    def insert(self, connection: sqlite3.Connection, times: Iterable[datetime]) -> None:
        """Insert one row for each time (aware, UTC), without a commit. Raise sqlite3.Error."""
        columns = [column.split() for column in self.columns.split(", ")]
        values = ", ".join(":at" if name.endswith("at") else f":{kind}" for name, kind in columns)
        insert = f"INSERT INTO {self.name} VALUES (NULL, {values})"  # noqa: S608 - our own names
        filler = {"INTEGER": 1, "REAL": 1.5, "TEXT": "x" * self.text_bytes}
        rows = ({**filler, "at": f"{time:%Y-%m-%dT%H:%M:%SZ}"} for time in times)
        connection.executemany(insert, rows)


AGENTS = Table("agents", "name TEXT, role TEXT, status TEXT, registered_at TEXT, last_seen_at TEXT")
TASKS = Table(
    "tasks", "agent_id INTEGER, title TEXT, status TEXT, priority INTEGER, created_at TEXT", 18
)
EVENTS = Table("events", "at TEXT, agent TEXT, level TEXT, message TEXT, duration_ms INTEGER", 10)
TOPICS = Table("topics", "name TEXT, created_at TEXT")
ARTICLES = Table("articles", "topic_id INTEGER, title TEXT, body TEXT, created_at TEXT", 600)
MESSAGES = Table(
    "messages", "sender TEXT, recipient TEXT, subject TEXT, body TEXT, received_at TEXT", 80
)
ATTACHMENTS = Table("attachments", "message_id INTEGER, file_name TEXT, size_bytes INTEGER")
READINGS = Table("readings", "at TEXT, cpu_percent REAL, memory_mb INTEGER, celsius REAL")

TABLES = {
    "coordination": (AGENTS, TASKS),
    "observability": (EVENTS,),
    "content": (TOPICS, ARTICLES),
    "email": (MESSAGES, ATTACHMENTS),
    "health": (READINGS,),
}
"""The tables of each database."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a database as its writer does, and create it if it is missing. Raise sqlite3.Error."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection
