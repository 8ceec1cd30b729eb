"""Locks that other processes hold on a database's files, as the kernel knows them."""

from __future__ import annotations

import fcntl
import os
import struct
from collections import defaultdict
from collections.abc import Iterable

from dash_app.reader.files import Files, open_read_only
from dash_app.system.processes import RecordLock, process_label

LOCK = struct.Struct("hhqqi")
"""The kernel's record of a lock: kind, whence, start, length, pid (fcntl(2))."""

PENDING_BYTE = 0x40000000
SHARED_FIRST, SHARED_BYTES = PENDING_BYTE + 2, 510
"""Where SQLite locks a main file (sqlite.org/fileformat2.html#the_lock_byte_page)."""

INDEX_LOCKS_FIRST, INDEX_LOCKS_BYTES = 120, 9
INDEX_OPEN_BYTE = 128
"""Where SQLite locks a WAL's index (sqlite.org/walformat.html, "WAL Locks")."""


def find_write_lock(path: str) -> int | None:
    """Return the pid of a process that holds a write lock on any part of a file, None without one.

    The pid is 0 or -1 if the kernel does not report it. SQLite takes such a lock on a main file
    before it writes there, and in WAL mode only to keep everyone else out. Closing the file drops
    this process's locks on it, so no connection to it may be open meanwhile.
    """
    return _conflict(path, fcntl.F_RDLCK, 0, 0)


def find_lock(path: str, first: int, length: int) -> int | None:
    """Return the pid of a process that holds any lock on a range of bytes, as `find_write_lock`."""
    return _conflict(path, fcntl.F_WRLCK, first, length)


def wal_users_elsewhere(
    locks: Iterable[RecordLock], main: tuple[int, int], index: tuple[int, int] | None
) -> set[int]:
    """Return the processes that use a main file with another WAL index than the one beside it.

    A connection in WAL mode holds a read lock on both. A process with fewer indexes than main files
    proves nothing, since a connection that waits to have the file to itself has none.
    """
    mains: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)
    indexes: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)
    excluded = {os.getpid()}
    for lock in locks:
        if lock.is_write:
            excluded |= {lock.pid} if lock.file == main else set()
        elif SHARED_FIRST <= lock.first < SHARED_FIRST + SHARED_BYTES:
            mains[lock.pid].add(lock.file)
        elif INDEX_LOCKS_FIRST <= lock.first <= INDEX_OPEN_BYTE <= lock.last:
            indexes[lock.pid].add(lock.file)
    return {
        pid
        for pid, files in mains.items()
        if main in files and index not in indexes[pid] and len(indexes[pid]) >= len(files)
    } - excluded


def holder_of(files: Files) -> str | None:
    """Return "node (pid 812)", the process that holds a write lock on the main file, if any."""
    pid = find_write_lock(files.path)
    return None if pid is None else process_label(pid)


def _conflict(path: str, kind: int, first: int, length: int) -> int | None:
    try:
        descriptor = open_read_only(path)
        try:
            wanted = LOCK.pack(kind, os.SEEK_SET, first, length, 0)
            answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, wanted)
            found, _whence, start, _length, pid = LOCK.unpack(answer)
        finally:
            os.close(descriptor)
    except OSError:  # some network file systems have no locks
        return None
    # A lock that also holds what lies before the range is another kind of lock.
    return None if found == fcntl.F_UNLCK or start < min(first, PENDING_BYTE) else pid
