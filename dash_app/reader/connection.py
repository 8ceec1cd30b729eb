"""Open a database so that nothing of ours can change it, and never for longer than a limit."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Literal

Route = Literal["immutable", "lock_free", "shared"]
"""How to read.

immutable: no log beside the file; no lock, no side file (sqlite.org/uri.html).
lock_free: a log that nobody wrote to lately; its index is rebuilt in our own memory and no lock is
  taken, so that it works in a read-only folder and beside a writer with EXCLUSIVE locks.
  Like immutable, what it found is valid only if the files did not change meanwhile.
  Only where the kernel refuses our writes: closing it, SQLite would remove a log that holds no
  commit yet, and with it the transaction that its writer has under way.
shared: beside an active writer, with a read lock like any other reader.
"""

QUERIES: dict[Route, str] = {
    "immutable": "mode=ro&immutable=1",
    "lock_free": "mode=ro&vfs=unix-none",
    "shared": "mode=ro&readonly_shm=1",
}
BUSY_SECONDS = 0.25
AGAIN_SECONDS = 0.01


@contextmanager
def connect(path: str, route: Route) -> Iterator[sqlite3.Connection]:
    """Open an absolute path read-only by one route; close at the end.

    Names come back as bytes, since a schema may hold any. Raises sqlite3.Error.
    """
    # Unescaped, `?`, `#` and `%` would change the URI's meaning (sqlite.org/uri.html).
    # Each byte by its number: urllib's quote would cost the child 0.5 MB.
    encoded = "".join(f"%{byte:02x}" for byte in os.fsencode(path))
    uri = f"file:{encoded}?{QUERIES[route]}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.text_factory = bytes
        if route == "lock_free":
            # Without shared memory the index of the log is kept on the heap
            # (sqlite.org/wal.html, "Use of WAL Without Shared-Memory").
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA query_only = 1")
        connection.execute("PRAGMA temp_store = MEMORY")
        yield connection
    finally:
        connection.close()


@contextmanager
def time_limit(connection: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """Interrupt whatever the connection runs after so many seconds.

    A progress handler would not do: `COUNT(*)` is one opcode and never calls it.
    """
    done = Event()

    def interrupt() -> None:
        pause_seconds = max(seconds, 0)
        while not done.wait(pause_seconds):  # one that comes before the statement has no effect
            connection.interrupt()
            pause_seconds = AGAIN_SECONDS

    watchdog = Thread(target=interrupt)
    watchdog.start()
    try:
        yield
    finally:
        done.set()
        watchdog.join()  # a late interrupt must not hit the next statement
