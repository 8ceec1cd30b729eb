"""What is remembered of databases, for who may look at the history but not write it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dash_app.history.file import reading
from dash_app.model.database import Database
from dash_app.model.event import Event
from dash_app.model.reading import LastGood, Reading
from dash_app.model.snapshot import DatabaseState, Snapshot
from dash_app.system.decoding import decode


@dataclass(frozen=True, slots=True)
class Loss:
    """When and why the history began again, and where the lost file is kept, if it is."""

    at: datetime
    problem: str
    kept: Path | None


class ReadOnlyHistory:
    """A history that is read and never written: what it is told to keep is gone with it."""

    def __init__(self, path: Path) -> None:
        """Take where the file lies; where there is none, nothing is remembered."""
        self.path = path
        self.loss: Loss | None = None
        self.incidents: None = None
        self.notifications: None = None

    def reopen_if_lost(self) -> bool:
        """Return False: this history is read-only."""
        return False

    def state_of(self, database: Database) -> DatabaseState | None:
        """Return what is remembered of a database at its path. Raises sqlite3.Error."""
        if not self.path.exists():
            return None
        with reading(self.path) as connection:
            return memory_in(connection, database)

    def store_state(
        self, database: Database, memory: DatabaseState, events: Iterable[Event] = ()
    ) -> None:
        """Keep nothing."""

    def forget(self, database: Database, now: datetime) -> None:
        """Forget nothing."""

    def record(self, snapshot: Snapshot) -> None:
        """Store nothing."""


def memory_in(connection: sqlite3.Connection, database: Database) -> DatabaseState | None:
    """Return what a history remembers of a database at its path. Raises sqlite3.Error."""
    row = connection.execute(
        "SELECT status, code, since, read_at, total_rows, tables, absence, baseline FROM memory"
        " WHERE database = ? AND path = ?",
        (database.name, str(database.path)),
    ).fetchone()
    if row is None:
        return None
    status, code, since, read_at, rows, tables, absence, baseline = row
    good = LastGood(datetime.fromisoformat(read_at), rows, tables) if read_at else None
    known = decode(Reading, baseline) if baseline else None
    return DatabaseState(status, code, datetime.fromisoformat(since), good, absence, known)
