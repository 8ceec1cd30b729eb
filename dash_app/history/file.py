"""Opens the history file for its one writer: ours, for its owner alone, no larger than allowed."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from typing import TYPE_CHECKING

from dash_app.history.schema import UnusableHistoryError, migrate
from dash_app.model import HISTORY_APPLICATION_ID

if TYPE_CHECKING:
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
        raise UnusableHistoryError("another Mission Control writes it now") from error
    return descriptor


def connect(path: Path, max_bytes: int) -> sqlite3.Connection:
    """Open the file, brought up to date. Raises sqlite3.Error, UnusableHistoryError."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    _claim(connection)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {max_bytes // page_bytes}")
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
