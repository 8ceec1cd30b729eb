"""Opens the history file: for its one writer, made for its owner alone, and for readers.

A file that is lost or damaged while we run is set aside under another name, and never deleted.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from dash_app.history.retention import limit
from dash_app.history.schema import (
    HistoryInUseError,
    NotAFileError,
    UnusableHistoryError,
    migrate,
)
from dash_app.model.database import HISTORY_APPLICATION_ID

BUSY_SECONDS = 0.25
"""How long a record may wait for somebody else's lock: the sampler's next tick waits with it."""

CHECK_SECONDS = 3.0
"""Maximum time for a check of all pages: readings wait meanwhile."""

MAGIC, HEAD_BYTES = b"SQLite format 3\0", 100
"""See "The Database Header" at sqlite.org/fileformat2.html."""

DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
SIDES = ("-wal", "-shm", "-journal")
DAMAGED = "its file is damaged"
DELETED, REPLACED = "its file was deleted", "its file was replaced"
MAX_SET_ASIDE = 20
"""Maximum number of lost files kept beside the history: a dying disk would add one per tick."""

suspects: dict[Path, bool] = {}
"""Histories in which a reader found damage, and whether it is certain without a check."""


def hold(path: Path) -> int:
    """Make the file where there is none, and keep other services from it while this one lives.

    Returns a descriptor; closing it would drop SQLite's locks on the file too. Raises OSError,
    UnusableHistoryError.
    """
    if path.exists() and not path.is_file():
        raise NotAFileError("it is not a file. Name another `path` under [history]")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotAFileError("it is a link to itself") from None
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise HistoryInUseError(
            "another Mission Control writes it now. Stop that one, or give this one a `path` of its"
            " own under [history]"
        ) from error
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
        raise UnusableHistoryError(
            "it is another program's database. Name another `path` under [history]"
        )
    if not pages:
        connection.execute(f"PRAGMA application_id = {HISTORY_APPLICATION_ID}")


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file read-only, as long as the context lasts.

    Raise sqlite3.Error, also for values that cannot be ours.
    """
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    if not os.path.isfile(path):  # noqa: PTH113 - which is False, too, behind a closed folder
        raise sqlite3.OperationalError("there is no file")  # opening a pipe would never end
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            suspects.setdefault(path, False)
        raise
    except (ValueError, TypeError) as error:  # of what should be a time or JSON
        suspects[path] = True
        raise sqlite3.DatabaseError(f"damaged values: {error}") from error


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file itself is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE


def is_sound(connection: sqlite3.Connection) -> bool | None:
    """Check all pages; return None if that takes too long."""
    ends = time.monotonic() + CHECK_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > ends, 10_000)
    try:
        found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        return False if is_damage(error) else None
    finally:
        connection.set_progress_handler(None, 0)
    return found == "ok"


def loss(path: Path, descriptor: int) -> str | None:
    """Return how a file that we hold open was lost; None if it is still at its path, and ours."""
    try:
        there = path.stat()
    except OSError as error:
        gone = {errno.ENOENT: DELETED, errno.ENOTDIR: DELETED, errno.ELOOP: REPLACED}
        return gone.get(error.errno or 0)
    held = os.fstat(descriptor)
    if (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino):
        return REPLACED
    head = os.pread(descriptor, HEAD_BYTES, 0)
    page_bytes = int.from_bytes(head[16:18], "big")  # 1 stands for 65536
    pages = int.from_bytes(head[28:32], "big")
    if len(head) == HEAD_BYTES and not is_ours(head):
        return "its file was overwritten"
    is_short = held.st_size < max(pages * (65536 if page_bytes == 1 else page_bytes), HEAD_BYTES)
    return "its file was cut short" if is_short else None


def sides(path: Path) -> tuple[tuple[int, int] | None, ...]:
    """Return device and inode of WAL and index, which stay while the file is open."""
    real = _real(path)
    return tuple(_identity(real.with_name(f"{real.name}{side}")) for side in SIDES[:2])


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_ours(head: bytes) -> bool:
    """Whether a file with this header is a history of Mission Control."""
    return head.startswith(MAGIC) and head[68:72] == HISTORY_APPLICATION_ID.to_bytes(4, "big")


def set_aside(path: Path, suffixes: Iterable[str] = ("", *SIDES)) -> Path:
    """Rename whatever is at a path, or at the path with some suffixes; return the new path.

    Raise OSError, and UnusableHistoryError if `MAX_SET_ASIDE` files were set aside already.
    """
    real = _real(path)
    kept = _lost_name(real)
    for suffix in suffixes:
        file = real.with_name(f"{real.name}{suffix}")
        if os.path.lexists(file):
            file.rename(f"{kept}{suffix}")
    return kept


def set_sides_aside(path: Path, known: tuple[tuple[int, int] | None, ...]) -> None:
    """Rename side files that a lost history left: SQLite would apply them to the next file.

    `known` are the side files of that history, as returned by `sides`.
    """
    found = zip(SIDES, known, sides(path), strict=False)
    set_aside(path, [suffix for suffix, was, now in found if was and was == now])


def _real(path: Path) -> Path:
    """Return the target of a link; the link itself if it leads to itself."""
    return Path(os.path.realpath(path))


def _lost_name(real: Path) -> Path:
    lost = [one for one in real.parent.iterdir() if one.name.startswith(f"{real.name}.lost-")]
    if len(lost) >= MAX_SET_ASIDE:
        raise UnusableHistoryError(f"{len(lost)} lost ones were set aside already: see its disk")
    return real.with_name(f"{real.name}.lost-{datetime.now(UTC):%Y-%m-%dT%H-%M-%S-%f}")
