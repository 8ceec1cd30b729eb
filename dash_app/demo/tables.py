"""The tables of the five databases, and how their writers open them.

The page never shows the content of a row, so most of it is filler of a realistic size. Measures ask
for the rest: states, costs, answers.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name, its columns besides `id`, and the length of its texts in bytes.

    `values` are those of columns that are not filler, for one row after the other. `settle` is a
    statement that changes older rows after each insert.
    """

    name: str
    columns: str
    text_bytes: int = 12
    values: Mapping[str, Sequence[object]] = field(default_factory=dict)
    settle: str = ""

    def create(self, connection: sqlite3.Connection) -> None:
        """Create the table. Raise sqlite3.Error."""
        connection.execute(f"CREATE TABLE {self.name} (id INTEGER PRIMARY KEY, {self.columns})")

    def insert(self, connection: sqlite3.Connection, times: Iterable[datetime]) -> None:
        """Insert one row for each time (aware, UTC), without a commit. Raise sqlite3.Error."""
        columns = [column.split() for column in self.columns.split(", ")]
        filler = {"INTEGER": 1, "REAL": 1.5, "TEXT": "x" * self.text_bytes}
        names = {name: name if name in self.values else kind for name, kind in columns}
        names |= {name: "at" for name in names if name.endswith("at")}
        values = ", ".join(f":{name}" for name in names.values())
        insert = f"INSERT INTO {self.name} VALUES (NULL, {values})"  # noqa: S608 - our own names
        (first,) = connection.execute(f"SELECT ifnull(max(id), 0) FROM {self.name}").fetchone()  # noqa: S608
        rows = (
            {
                **filler,
                **{name: own[number % len(own)] for name, own in self.values.items()},
                "at": f"{time:%Y-%m-%dT%H:%M:%SZ}",
            }
            for number, time in enumerate(times, first)
        )
        connection.executemany(insert, rows)
        if self.settle:
            connection.execute(self.settle)


COSTS_USD = (0.0004, 0.0021, 0.0009, 0.006)
"""The costs of one event after the other."""

AGENTS = Table("agents", "name TEXT, role TEXT, status TEXT, registered_at TEXT, last_seen_at TEXT")
TASKS = Table(
    "tasks",
    "agent_id INTEGER, title TEXT, status TEXT, priority INTEGER, created_at TEXT",
    18,
    {"status": ("open",)},
    "UPDATE tasks SET status = iif(id % 60, 'done', 'failed') WHERE status = 'open'"
    " AND id <= (SELECT max(id) - 8 - abs(max(id) % 80 - 40) / 2 FROM tasks)",
)
EVENTS = Table(
    "events",
    "at TEXT, agent TEXT, level TEXT, message TEXT, duration_ms INTEGER, cost_usd REAL",
    10,
    {"cost_usd": COSTS_USD},
)
TOPICS = Table("topics", "name TEXT, created_at TEXT")
ARTICLES = Table(
    "articles",
    "topic_id INTEGER, title TEXT, body TEXT, state TEXT, created_at TEXT",
    600,
    {"state": ("published", "published", "draft", "published", "review")},
)
MESSAGES = Table(
    "messages",
    "sender TEXT, recipient TEXT, subject TEXT, body TEXT, is_answered INTEGER, received_at TEXT",
    80,
    {"is_answered": (0,)},
    "UPDATE messages SET is_answered = 1 WHERE NOT is_answered"
    " AND id <= (SELECT max(id) - 3 - abs(max(id) % 30 - 15) / 2 FROM messages)",
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
