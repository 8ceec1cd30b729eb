"""Choose how to read a database at a moment, and find out whether what was read is valid."""

import os
import time
from datetime import datetime

from dash_app.reader.connection import Route
from dash_app.reader.files import Files, Header, journal_is_hot, read_header, stat_files
from dash_app.reader.locks import find_write_lock

LOCK_FREE_WAL_BYTES, ALONE_WAL_BYTES = 64_000_000, 256_000_000
"""Maximum sizes of a WAL whose index is rebuilt in our own memory, which takes 0.1 s for 64 MB. The
second applies if the WAL is being written and no other route can read it."""

CLOCK_STEP_SECONDS = 0.02
"""Two writes within this time may leave the same file time: before Linux 6.13, the clock of file
times advances 100 to 1,000 times per second."""


def stat_settled(path: str) -> Files:
    """Stat the files at a time when the next write must change their times.

    Raise UnreadableError as `stat_files` does.
    """
    files = stat_files(path)
    if 0 <= time.time() - files.changed_ns / 1e9 < CLOCK_STEP_SECONDS:
        time.sleep(CLOCK_STEP_SECONDS)
        files = stat_files(path)
    return files


def choose_route(files: Files, now: datetime, *, writes_denied: bool) -> Route:
    """Return the least intrusive route to read files that are not being written.

    `writes_denied` is whether the kernel denies this process all writes. No connection to the file
    may be open meanwhile: see `locks.find_write_lock`.
    """
    if not files.wal_bytes:
        return "immutable"
    is_quiet = files.shows_writes_after(now)
    is_lock_free = is_quiet and files.wal_bytes <= LOCK_FREE_WAL_BYTES
    if not is_lock_free:
        # A program that locks the main file beside a WAL keeps everyone else out. Without an
        # index, for example after a crash, no ordinary reader could read the WAL.
        must_be_alone = find_write_lock(files.path) is not None
        must_be_alone = must_be_alone or not os.path.exists(f"{files.path}-shm")
        is_lock_free = must_be_alone and (is_quiet or files.wal_bytes <= ALONE_WAL_BYTES)
    return "lock_free" if is_lock_free and writes_denied else "shared"


def is_being_written(files: Files, header: Header) -> bool:
    """Whether a transaction may be running that writes to the main file before its commit.

    The locks decide, since a transaction may keep its journal in memory, or have none. No
    connection to the file may be open meanwhile. Raise UnreadableError.
    """
    if files.has_journal and journal_is_hot(files):
        return True
    in_wal = files.wal_bytes or (header.is_wal and files.wal is not None)
    return not in_wal and find_write_lock(files.path) is not None


def is_unchanged(files: Files, header: Header) -> bool:
    """Whether no process can have written to the files since their stamps were taken.

    The same conditions apply as for `is_being_written`.
    """
    if is_being_written(files, header):
        return False
    return stat_files(files.path) == files and read_header(files) == header
