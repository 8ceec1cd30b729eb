"""Opens the history file: for its one writer, made for its owner alone, and for readers."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from dash_app.history.room import limit
from dash_app.history.schema import HistoryInUseError, UnusableHistoryError, migrate
from dash_app.model import HISTORY_APPLICATION_ID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_SECONDS = 0.25
"""How long a record may wait for somebody else's lock: the sampler's next tick waits with it."""


def hold(path: Path) -> int:
    """Make the file where there is none, and keep other services from it while this one lives.

    Returns a descriptor; closing it would drop SQLite's locks on the file too. Raises OSError,
    UnusableHistoryError.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise HistoryInUseError("another Mission Control writes it now") from error
    return descriptor


def connect(path: Path, max_bytes: int) -> sqlite3.Connection:
    """Open the file, brought up to date. Raises sqlite3.Error, UnusableHistoryError."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    _claim(connection)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    limit(connection, max_bytes)
    migrate(connection)
    return connection


def _claim(connection: sqlite3.Connection) -> None:
    """Mark a new file as ours, before its log begins; refuse one that is somebody else's.

    Raises UnusableHistoryError.
    """
    pages, mark = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "application_id")
    )
    if pages and mark != HISTORY_APPLICATION_ID:
        raise UnusableHistoryError("it is a database, but no history of Mission Control")
    if not pages:
        connection.execute(f"PRAGMA application_id = {HISTORY_APPLICATION_ID}")


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file read-only, as long as the context lasts. Raises sqlite3.Error."""
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        yield connection
