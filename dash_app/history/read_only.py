"""The stored state of databases, for commands that may read the history but not write it."""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from dash_app.history.file import open_read_only
from dash_app.history.row_codec import select
from dash_app.model.database import Database
from dash_app.model.event import Event
from dash_app.model.match import Match
from dash_app.model.reading import LastGood, Reading
from dash_app.model.snapshot import DatabaseState, Snapshot
from dash_app.system.decoding import decode

StateTable = Literal["integrity", "answer"]
"""The tables with a state of each database at its path, as JSON: that of its page check, and the
newest answers to its measures."""


@dataclass(frozen=True, slots=True)
class Loss:
    """When and why the history started again, and where the lost file is kept, if it is."""

    at: datetime
    problem: str
    kept: Path | None


class ReadOnlyHistory:
    """A history that is never written. Where `History` stores something, it does nothing."""

    def __init__(self, path: Path) -> None:
        """Use the file at a path, which may be missing."""
        self.path = path
        self.loss: Loss | None = None
        self.incidents: None = None
        self.notifications: None = None
        self.openers: None = None

    def reopen_if_lost(self) -> bool:
        """Return False: this history is read-only."""
        return False

    def state_of(self, database: Database) -> DatabaseState | None:
        """Return the stored state of a database at its path. Raise sqlite3.Error."""
        if not self.path.exists():
            return None
        with open_read_only(self.path) as connection:
            return state_in(connection, database)

    def store_state(
        self, database: Database, state: DatabaseState, events: Iterable[Event] = ()
    ) -> None:
        """Do nothing: this history is read-only."""

    def states(self, table: StateTable) -> dict[tuple[str, str], str]:
        """Return the stored states by database and path. Raise sqlite3.Error."""
        if not self.path.exists():
            return {}
        with open_read_only(self.path) as connection:
            return states_in(connection, table)

    def store_states(self, table: StateTable, states: Mapping[tuple[str, str], str]) -> None:
        """Do nothing: this history is read-only."""

    def matches(self) -> tuple[Match, ...]:
        """Return the files that patterns matched, in order of path. Raise sqlite3.Error."""
        if not self.path.exists():
            return ()
        with open_read_only(self.path) as connection:
            return matches_in(connection)

    def store_matches(self, matches: Iterable[Match]) -> None:
        """Do nothing: this history is read-only."""

    def forget(self, database: Database, now: datetime) -> None:
        """Do nothing: this history is read-only."""

    def record(self, snapshot: Snapshot) -> None:
        """Do nothing: this history is read-only."""


def states_in(connection: sqlite3.Connection, table: StateTable) -> dict[tuple[str, str], str]:
    """Return the stored states by database and path. Raise sqlite3.Error."""
    if not _has_table(connection, table):
        return {}
    rows = connection.execute(f"SELECT database, path, state FROM {table}")  # noqa: S608
    return {(database, path): state for database, path, state in rows}


def matches_in(connection: sqlite3.Connection) -> tuple[Match, ...]:
    """Return the files that patterns matched, in order of path. Raise sqlite3.Error."""
    if not _has_table(connection, "match"):
        return ()
    sql = "SELECT entry, path, name, is_watched FROM match ORDER BY path, entry"
    rows = connection.execute(sql)
    return tuple(
        Match(entry, Path(path), name, bool(is_watched)) for entry, path, name, is_watched in rows
    )


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Whether the file has a table. An earlier version, which has not, may still write the file."""
    found = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (name,))
    return found.fetchone() is not None


def state_in(connection: sqlite3.Connection, database: Database) -> DatabaseState | None:
    """Return the stored state of a database at its path. Raise sqlite3.Error."""
    sql = """
        SELECT status, code, since, read_at, total_rows, tables, absence, baseline FROM memory
        WHERE database = ? AND path = ?
    """
    for row in select(connection, sql, (database.name, str(database.path))):
        good = LastGood(*(row.pop(name) for name in ("read_at", "total_rows", "tables")))
        baseline = row.pop("baseline")
        return DatabaseState(
            **row,
            last_good=good if good.read_at else None,
            baseline=decode(Reading, baseline) if baseline else None,
        )
    return None
