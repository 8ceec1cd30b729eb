"""Open the history file: read-only, or for its one writer. Only its owner may read it.

A file that was lost or damaged while we run is renamed, never deleted.
"""

import errno
import fcntl
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from dash_app.history.retention import limit_size
from dash_app.history.schema import (
    HistoryInUseError,
    NotAFileError,
    UnusableHistoryError,
    is_outdated,
    migrate,
)
from dash_app.model.database import HISTORY_APPLICATION_ID
from dash_app.words import numbers

BUSY_SECONDS = 0.25
"""Maximum wait for another program's lock. The sampler's next tick waits too."""

CHECK_SECONDS = 3.0
"""Maximum time for a check of all pages. Readings wait meanwhile."""

MAGIC, HEAD_BYTES = b"SQLite format 3\0", 100
"""See "The Database Header" at sqlite.org/fileformat2.html."""

DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
SIDES = ("-wal", "-shm", "-journal")
DAMAGED = "its file is damaged"
DELETED, REPLACED = "its file was deleted", "its file was replaced"
MAX_SET_ASIDE = 20
"""Maximum number of lost files kept beside the history: a dying disk would add one per tick."""

COPY_SUFFIX = ".before-upgrade"
"""`ops/install` knows it too."""

SPARE_BYTES = 50_000_000
"""Free space that a copy of the history leaves on its disk, for the writers of databases."""

log = logging.getLogger(__name__)

suspects: dict[Path, bool] = {}
"""Histories in which a reader or the writer found damage. False if a check is to confirm it."""


def hold(path: Path) -> int:
    """Create the file if it is missing, and lock out other services. Return its descriptor.

    Closing it drops SQLite's own locks on the file too. Raise OSError or UnusableHistoryError.
    """
    if path.exists() and not path.is_file():
        raise NotAFileError("it is not a file. Set another `path` under [history]")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotAFileError("it is a link to itself") from None
        if error.errno in {errno.EEXIST, errno.ENOTDIR}:
            raise UnusableHistoryError("a file is in the place of its folder") from None
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise HistoryInUseError(
            "another Mission Control is writing it. Stop that one, or set another `path` under"
            " [history]"
        ) from error
    return descriptor


def connect(path: Path, max_bytes: int) -> sqlite3.Connection:
    """Open the file and migrate it. Raise sqlite3.Error or UnusableHistoryError."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    _claim(connection)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    limit_size(connection, max_bytes)
    if is_outdated(connection):
        _copy_before_migration(path, connection)
    migrate(connection)
    return connection


def _copy_before_migration(path: Path, connection: sqlite3.Connection) -> None:
    """Copy a file of an earlier version beside it, in place of an earlier copy.

    If a new version does not answer, `ops/install` puts the copy back and starts the previous one,
    which cannot read a later schema. Without a copy the new version must not start, then. Raise
    OSError, sqlite3.Error, or UnusableHistoryError if the disk has no room for the copy.
    """
    real = _real(path)
    copy = real.with_name(f"{real.name}{COPY_SUFFIX}")
    unfinished = copy.with_name(f"{copy.name}.new")
    for earlier in (copy, unfinished):
        earlier.unlink(missing_ok=True)
    pages, page_bytes = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
    )
    free_bytes = shutil.disk_usage(real.parent).free
    if free_bytes < pages * page_bytes + SPARE_BYTES:
        needed, free = (numbers.size(n) for n in (pages * page_bytes + SPARE_BYTES, free_bytes))
        raise UnusableHistoryError(
            f"it is copied before its upgrade, which takes {needed} of free disk space, and {free}"
            " are free. Nothing was changed"
        )
    os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with closing(sqlite3.connect(unfinished)) as target:
            connection.backup(target)
        unfinished.rename(copy)
    finally:
        unfinished.unlink(missing_ok=True)


def _claim(connection: sqlite3.Connection) -> None:
    """Mark a new file as ours, before its WAL exists; reject another program's database."""
    pages, application_id = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "application_id")
    )
    if pages and application_id != HISTORY_APPLICATION_ID:
        raise UnusableHistoryError(
            "it is another program's database. Set another `path` under [history]"
        )
    if not pages:
        connection.execute(f"PRAGMA application_id = {HISTORY_APPLICATION_ID}")


@contextmanager
def open_read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Connect to the file within a context. Raise sqlite3.Error, also for damaged values."""
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    if not os.path.isfile(path):  # noqa: PTH113 - also False in a folder without access
        raise sqlite3.OperationalError("there is no file")  # opening a pipe would wait forever
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            suspects.setdefault(path, False)
        raise
    except (ValueError, TypeError) as error:  # a time or JSON cannot be parsed
        suspects[path] = True
        raise sqlite3.DatabaseError(f"damaged values: {error}") from error


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is damaged, according to SQLite."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE


def is_sound(connection: sqlite3.Connection) -> bool | None:
    """Check all pages; return None if that takes longer than `CHECK_SECONDS`."""
    deadline = time.monotonic() + CHECK_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        result: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        return False if is_damage(error) else None
    finally:
        connection.set_progress_handler(None, 0)
    return result == "ok"


def loss(path: Path, descriptor: int) -> str | None:
    """Return the way in which the open file was lost; None if it is still there, and ours."""
    try:
        current = path.stat()
    except OSError as error:
        gone = {errno.ENOENT: DELETED, errno.ENOTDIR: DELETED, errno.ELOOP: REPLACED}
        return gone.get(error.errno or 0)
    held = os.fstat(descriptor)
    if (current.st_dev, current.st_ino) != (held.st_dev, held.st_ino):
        return REPLACED
    head = os.pread(descriptor, HEAD_BYTES, 0)
    page_bytes = int.from_bytes(head[16:18], "big")  # 1 means 65536
    pages = int.from_bytes(head[28:32], "big")
    if len(head) == HEAD_BYTES and not is_ours(head):
        return "its file was overwritten"
    is_short = held.st_size < max(pages * (65536 if page_bytes == 1 else page_bytes), HEAD_BYTES)
    return "its file was cut short" if is_short else None


def sides(path: Path) -> tuple[tuple[int, int] | None, ...]:
    """Return device and inode of WAL and WAL index, which do not change while the file is open."""
    real = _real(path)
    return tuple(_identity(real.with_name(f"{real.name}{side}")) for side in SIDES[:2])


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_ours(head: bytes) -> bool:
    """Whether a file with this header is a history of Mission Control."""
    return head.startswith(MAGIC) and head[68:72] == HISTORY_APPLICATION_ID.to_bytes(4, "big")


def set_aside(path: Path, suffixes: Iterable[str] = ("", *SIDES)) -> Path:
    """Rename the file at a path, and its side files; return the new path.

    Raise OSError, or UnusableHistoryError if `MAX_SET_ASIDE` files were set aside already.
    """
    real = _real(path)
    prefix = f"{real.name}.lost-"
    count = sum(file.name.startswith(prefix) for file in real.parent.iterdir())
    if count >= MAX_SET_ASIDE:
        raise UnusableHistoryError(f"{count} lost files are beside it already: check the disk")
    lost = real.with_name(f"{prefix}{datetime.now(UTC):%Y-%m-%dT%H-%M-%S-%f}")
    for suffix in suffixes:
        file = real.with_name(f"{real.name}{suffix}")
        if os.path.lexists(file):
            file.rename(f"{lost}{suffix}")
    return lost


def set_sides_aside(path: Path, known: tuple[tuple[int, int] | None, ...]) -> None:
    """Rename the side files of a lost history, which SQLite would apply to the next file.

    `known` are those that `sides` returned for that history.
    """
    pairs = zip(SIDES, known, sides(path), strict=False)
    set_aside(path, [suffix for suffix, was, now in pairs if was and was == now])


def forget_request(path: Path, database: str) -> Path:
    """Return the path of the empty file that asks the service to forget a database.

    Only the owner can create files beside the history. The service looks for them at each tick.
    """
    return path.with_name(f"{path.name}-forget-{database}")


def remove_request(path: Path) -> bool:
    """Remove the file of a processed request; return whether it is gone."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.error("%s cannot be removed: %s", path, error.strerror)
        return False
    return True


def _real(path: Path) -> Path:
    """Return the target of a link; the link itself if it leads to itself."""
    return Path(os.path.realpath(path))
