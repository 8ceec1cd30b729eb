"""Store and find the processes that had databases open."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dash_app.history.file import open_read_only
from dash_app.model.opener import Opener

MAX_UNIT_CHARACTERS = 100
"""The name of a container may have any length, that of a command has 15 at most."""

COLUMNS = "pid, command, unit, since, until, missed_at"
NEWEST = f"""
    SELECT {COLUMNS} FROM opener WHERE database = ? ORDER BY until DESC, since DESC LIMIT ?
"""  # noqa: S608
RECENT = f"""
    SELECT database, {COLUMNS} FROM opener
    WHERE until >= ? AND (missed_at IS NULL OR until - since >= ?) ORDER BY until DESC LIMIT 10000
"""  # noqa: S608

OpenerKey = tuple[str, int, datetime]
"""The database, the pid and the start of an opener."""


class OpenerTable:
    """The openers of a history. For the one thread that writes it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def store(self, openers: Mapping[OpenerKey, Opener]) -> Mapping[OpenerKey, Opener]:
        """Insert or update openers; return them. Raise sqlite3.Error."""
        rows = (_to_row(database, opener) for (database, *_), opener in openers.items())
        with self.connection:
            self.connection.executemany(
                f"INSERT OR REPLACE INTO opener (database, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                rows,
            )
        return openers

    def load(self, since: datetime, min_seconds: float) -> dict[str, tuple[Opener, ...]]:
        """Return the openers of each database since a time, newest first.

        Those that closed it had it open for at least `min_seconds`. Raise sqlite3.Error.
        """
        found: defaultdict[str, list[Opener]] = defaultdict(list)
        parameters = int(since.timestamp()), min_seconds
        for database, *row in self.connection.execute(RECENT, parameters):
            found[database].append(_from_row(row))
        return {database: tuple(openers) for database, openers in found.items()}


def find_openers(path: Path, database: str, limit: int = 200) -> Iterator[Opener]:
    """Yield the newest openers of a database, newest first. Raise sqlite3.Error."""
    with open_read_only(path) as connection:
        for row in connection.execute(NEWEST, (database, limit)):
            yield _from_row(row)


def _to_row(database: str, opener: Opener) -> tuple[object, ...]:
    unit = opener.unit and opener.unit[:MAX_UNIT_CHARACTERS]
    times = (opener.since, opener.until, opener.missed_at)
    seconds = (int(time.timestamp()) if time else None for time in times)
    return database, opener.pid, opener.command, unit, *seconds


def _from_row(row: Iterable[Any]) -> Opener:
    pid, command, unit, *times = row
    since, until, missed_at = (at and datetime.fromtimestamp(at, UTC) for at in times)
    return Opener(pid, command, unit, since, until, missed_at)
