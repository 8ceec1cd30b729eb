"""The stored state of databases, for commands that may read the history but not write it."""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dash_app.history.file import open_read_only
from dash_app.history.row_codec import select
from dash_app.model.database import Database
from dash_app.model.event import Event
from dash_app.model.match import Match
from dash_app.model.reading import LastGood, Reading
from dash_app.model.snapshot import DatabaseState, Snapshot
from dash_app.system.decoding import decode

AnswerKey = tuple[str, str, str]
"""The name of a database, its path, and the name of a measure."""

StoredAnswer = tuple[str, str]
"""What was asked, and the newest answer, as JSON."""


@dataclass(frozen=True, slots=True)
class Loss:
    """When and why the history started again, and where the lost file is kept, if it is."""

    at: datetime
    problem: str
    kept: Path | None


class ReadOnlyHistory:
    """A history that is never written. Where `History` stores something, it does nothing."""

    def __init__(self, path: Path) -> None:
        """Take the path of the file, which may be missing."""
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

    def page_checks(self) -> dict[tuple[str, str], str]:
        """Return the stored state of each page check by database and path. Raise sqlite3.Error."""
        if not self.path.exists():
            return {}
        with open_read_only(self.path) as connection:
            return page_checks_in(connection)

    def store_page_checks(self, states: Mapping[tuple[str, str], str]) -> None:
        """Do nothing: this history is read-only."""

    def answers(self) -> dict[AnswerKey, StoredAnswer]:
        """Return the stored answers to measures. Raise sqlite3.Error."""
        if not self.path.exists():
            return {}
        with open_read_only(self.path) as connection:
            return answers_in(connection)

    def store_answers(self, answers: Mapping[AnswerKey, StoredAnswer]) -> None:
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


def page_checks_in(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """Return the stored state of each page check by database and path. Raise sqlite3.Error."""
    if not _has_table(connection, "integrity"):
        return {}
    rows = connection.execute("SELECT database, path, state FROM integrity")
    return {(database, path): state for database, path, state in rows}


def answers_in(connection: sqlite3.Connection) -> dict[AnswerKey, StoredAnswer]:
    """Return the stored answers to measures. Raise sqlite3.Error."""
    if not _has_table(connection, "measure"):
        return {}
    rows = connection.execute("SELECT database, path, name, question, answer FROM measure")
    return {
        (database, path, name): (question, answer)
        for database, path, name, question, answer in rows
    }


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
