"""Open a database read-only, and interrupt statements that take too long."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread, get_ident
from typing import Literal

Route = Literal["immutable", "lock_free", "shared"]
"""How to read a database.

immutable: there is no WAL. Takes no lock and makes no side file (sqlite.org/uri.html). The result
  is valid only if the files did not change meanwhile.
lock_free: the WAL was not written recently. Its index is rebuilt in our own memory and no lock is
  taken, so this works in a read-only folder and beside a writer with EXCLUSIVE locks. The result
  is valid only if the files did not change meanwhile. It requires that the kernel denies our
  writes: on close, SQLite would remove a WAL that holds no commit yet, and with it the running
  transaction of its writer.
shared: beside an active writer, with a read lock like any other reader.
"""

QUERIES: dict[Route, str] = {
    "immutable": "mode=ro&immutable=1",
    "lock_free": "mode=ro&vfs=unix-none",
    "shared": "mode=ro&readonly_shm=1",
}
BUSY_SECONDS = 0.25
RETRY_SECONDS = 0.01
WAIT_FACTOR = 10


@contextmanager
def connect(path: str, route: Route) -> Iterator[sqlite3.Connection]:
    """Open an absolute path read-only; close it at the end. Raise sqlite3.Error.

    Names are returned as bytes, since a schema may hold any bytes.
    """
    # In a URI, `?`, `#` and `%` have a meaning (sqlite.org/uri.html), so each byte is escaped by
    # its number: urllib's quote would cost the child 0.5 MB.
    encoded = "".join(f"%{byte:02x}" for byte in os.fsencode(path))
    uri = f"file:{encoded}?{QUERIES[route]}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.text_factory = bytes
        if route == "lock_free":
            # Without shared memory, SQLite keeps the WAL index on the heap
            # (sqlite.org/wal.html, "Use of WAL Without Shared-Memory").
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA query_only = 1")
        connection.execute("PRAGMA temp_store = MEMORY")
        yield connection
    finally:
        connection.close()


@contextmanager
def time_limit(connection: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """Interrupt the connection's statement after a time limit.

    A progress handler does not work: `COUNT(*)` is a single opcode and never calls it.
    """
    ends_at = time.monotonic() + seconds
    with _limit(connection, lambda: ends_at - time.monotonic()):
        yield


@contextmanager
def cpu_limit(connection: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """Interrupt the connection's statement once this thread has used so much time of a core.

    On a busy machine, it waits much longer for a core than it computes. `WAIT_FACTOR` limits that.
    """
    clock = time.pthread_getcpuclockid(get_ident())
    ends_at = time.monotonic() + WAIT_FACTOR * seconds
    used_at_end = time.clock_gettime(clock) + seconds

    def left() -> float:
        return min(used_at_end - time.clock_gettime(clock), ends_at - time.monotonic())

    with _limit(connection, left):
        yield


@contextmanager
def _limit(connection: sqlite3.Connection, left: Callable[[], float]) -> Iterator[None]:
    """Interrupt the connection's statement once no seconds are left."""
    done = Event()

    def interrupt() -> None:
        wait_seconds = max(left(), 0)
        while not done.wait(wait_seconds):
            if left() <= 0:  # an interrupt before the statement has no effect
                connection.interrupt()
            wait_seconds = max(left(), RETRY_SECONDS)

    watchdog = Thread(target=interrupt)
    watchdog.start()
    try:
        yield
    finally:
        done.set()
        watchdog.join()  # a late interrupt must not hit the next statement
