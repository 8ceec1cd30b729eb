"""Locks of other processes on a database's files, and which of them mean that it is written."""

import fcntl
import os
import struct
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from dash_app.reader.files import Files, open_read_only
from dash_app.reader.wal_index import FIRST_LOCK_BYTE, OPEN_LOCK_BYTE
from dash_app.system.processes import RecordLock, process_label, record_locks, sees_all_processes

FLOCK = struct.Struct("hhqqi")
"""The kernel's `struct flock`: type, whence, start, length, pid (fcntl(2))."""

PENDING_BYTE = 0x40000000
SHARED_FIRST, SHARED_BYTES = PENDING_BYTE + 2, 510
SHARED_LAST = SHARED_FIRST + SHARED_BYTES - 1
"""Where SQLite locks a main file (sqlite.org/fileformat2.html#the_lock_byte_page)."""

INDEX_LOCK_BYTES = OPEN_LOCK_BYTE - FIRST_LOCK_BYTE + 1

FileId = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True, slots=True)
class LockList:
    """The record locks of all other processes at one moment."""

    by_file: Mapping[FileId, Sequence[RecordLock]]
    mains: Mapping[int, AbstractSet[FileId]]
    """The main files that each process uses: it has SQLite's range of them locked."""
    indexes: Mapping[int, AbstractSet[FileId]]
    """The WAL indexes that each process has open."""
    ownerless: AbstractSet[FileId]
    """Files with a lock that belongs to no process, which SQLite never takes."""
    unseen: str | None
    """Why locks of other processes are missing, in a few words; None if none should be."""

    def on(self, file: FileId | None) -> Sequence[RecordLock]:
        """Return the locks on a file."""
        return self.by_file.get(file, ()) if file else ()


def list_locks() -> LockList:
    """List the locks of all other processes."""
    by_file: defaultdict[FileId, list[RecordLock]] = defaultdict(list)
    mains: defaultdict[int, set[FileId]] = defaultdict(set)
    indexes: defaultdict[int, set[FileId]] = defaultdict(set)
    own, locks = os.getpid(), record_locks()
    for lock in locks:
        if lock.pid == own:
            continue
        by_file[lock.file].append(lock)
        if is_on_main(lock):
            mains[lock.pid].add(lock.file)
        elif is_on_index(lock):
            indexes[lock.pid].add(lock.file)
    unseen = None
    if not sees_all_processes():
        unseen = "programs outside this container are not seen"
    elif not locks and not os.access("/proc/locks", os.R_OK):
        unseen = "the locks of other programs cannot be listed"
    ownerless = {lock.file for lock in locks if lock.pid < 0}
    return LockList(by_file, mains, indexes, ownerless, unseen)


def is_on_main(lock: RecordLock) -> bool:
    """Whether it is the lock by which a connection uses a main file.

    A write lock may include the bytes before it: the kernel joins neighbouring locks of a process.
    A lock that belongs to no process is another engine's.
    """
    return lock.pid > 0 and PENDING_BYTE <= lock.first <= SHARED_FIRST and lock.last == SHARED_LAST


def is_on_index(lock: RecordLock) -> bool:
    """Whether it is the lock by which a process has a WAL index open, joined or not."""
    return lock.pid > 0 and lock.first >= FIRST_LOCK_BYTE and lock.last == OPEN_LOCK_BYTE


def find_write_lock(path: str) -> int | None:
    """Return the pid of a process that holds a write lock on any part of a file, if there is one.

    The pid is 0 or -1 if the kernel does not report it. SQLite takes such a lock on a main file
    before it writes there; in WAL mode, only to keep everyone else out. Closing the file drops all
    locks that this process has on it, so no connection to it may be open meanwhile.
    """
    return _find_conflict(path, fcntl.F_RDLCK, 0, 0)


def find_lock(path: str, first: int, length: int) -> int | None:
    """Return the pid of a process that holds any lock on a range of bytes, if there is one.

    The same conditions apply as for `find_write_lock`.
    """
    return _find_conflict(path, fcntl.F_WRLCK, first, length)


def write_lock_holder(files: Files) -> str | None:
    """Return for instance "node (pid 812)" if a process holds a write lock on the main file."""
    pid = find_write_lock(files.path)
    return None if pid is None else process_label(pid)


def is_wal_index_open(path: str) -> bool:
    """Whether another process has the WAL index of a database open.

    The same conditions apply as for `find_write_lock`.
    """
    return find_lock(f"{path}-shm", FIRST_LOCK_BYTE, INDEX_LOCK_BYTES) is not None


def has_unlisted_locks(path: str, main: FileId, index: FileId | None) -> bool:
    """Whether a process holds locks on a main file or its WAL index that `/proc/locks` lacks.

    It may list them under another device number than stat(2) shows. The same conditions apply as
    for `find_write_lock`.
    """
    before = list_locks()
    holders = {
        main: find_lock(path, SHARED_FIRST, SHARED_BYTES),
        index: find_lock(f"{path}-shm", FIRST_LOCK_BYTE, INDEX_LOCK_BYTES),
    }
    listed = (before, list_locks())
    return any(
        pid is not None and pid not in {lock.pid for locks in listed for lock in locks.on(file)}
        for file, pid in holders.items()
    )


def _find_conflict(path: str, lock_type: int, first: int, length: int) -> int | None:
    try:
        with open_read_only(path) as descriptor:
            request = FLOCK.pack(lock_type, os.SEEK_SET, first, length, 0)
            answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, request)
        conflict, _whence, start, _length, pid = FLOCK.unpack(answer)
    except OSError:  # some network file systems have no locks
        return None
    # SQLite never locks bytes before the range: another program holds a lock of its own kind.
    return None if conflict == fcntl.F_UNLCK or start < min(first, PENDING_BYTE) else pid
