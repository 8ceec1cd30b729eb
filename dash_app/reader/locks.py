"""Locks that other processes hold on a database's files, as the kernel knows them."""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dash_app.reader.files import Files

LOCK = struct.Struct("hhqqi")
"""The kernel's record of a lock: kind, whence, start, length, pid (fcntl(2))."""

PENDING_BYTE = 0x40000000
SHARED_FIRST, SHARED_BYTES = PENDING_BYTE + 2, 510
"""Where SQLite locks a main file (sqlite.org/fileformat2.html#the_lock_byte_page)."""

INDEX_LOCKS_FIRST, INDEX_LOCKS_BYTES = 120, 9
INDEX_OPEN_BYTE = 128
"""Where SQLite locks a WAL's index (sqlite.org/walformat.html, "WAL Locks")."""

END_OF_FILE = (1 << 63) - 1
LINE = re.compile(
    r"\d+: (?:POSIX|OFDLCK) +\S+ +(READ|WRITE) (-?\d+)"
    r" ([0-9a-f]+):([0-9a-f]+):(\d+) (\d+) (\d+|EOF)"
)
"""A record lock in `/proc/locks`, as in "2: POSIX  ADVISORY  READ 812 08:02:1234 120 123". Leases,
flock(2) locks and processes that wait for a lock have lines of other shapes. OFDLCK locks belong
to no process: their pid is -1 (proc_locks(5))."""


class Lock(NamedTuple):
    """A lock on a range of bytes of a file, which is known by its device and inode."""

    pid: int
    is_write: bool
    file: tuple[int, int]
    first: int
    last: int


def record_locks() -> list[Lock]:
    """Return every record lock of every process that this one may see.

    A file system may show another device number there than stat(2) does, as Btrfs and overlayfs
    do, and locks of processes in other pid namespaces are missing, or all of them in a sandbox
    without such a list: `find_lock` sees them nevertheless.
    """
    try:
        with open("/proc/locks", encoding="utf-8") as lines:
            return [_lock(match) for line in lines if (match := LINE.match(line))]
    except OSError:
        return []


def _lock(line: re.Match[str]) -> Lock:
    mode, pid, major, minor, inode, first, last = line.groups()
    device = os.makedev(int(major, 16), int(minor, 16))
    end = END_OF_FILE if last == "EOF" else int(last)
    return Lock(int(pid), mode == "WRITE", (device, int(inode)), int(first), end)


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
    locks: Iterable[Lock], main: tuple[int, int], index: tuple[int, int] | None
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
    return None if pid is None else holder_name(pid)


def holder_name(pid: int) -> str:
    """Return "node (pid 812)", or "A program" if its pid is not known."""
    return f"{command_of(pid)} (pid {pid})" if pid > 0 else command_of(pid)


def command_of(pid: int) -> str:
    """Return the name of a process's command, or "A program" if it cannot be read."""
    if pid > 0:
        with (
            suppress(OSError),
            open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file,
        ):
            return file.read().strip()
    return "A program"


def open_quietly(path: str) -> int:
    """Open a regular file read-only; return its descriptor. Raise OSError if that is not allowed.

    Reading by it leaves the file's access time alone where the kernel allows that: to its owner.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(path, flags)


def first_bytes(path: str, size: int) -> bytes:
    """Return the first bytes of a file. Raise OSError.

    Closing the file drops this process's locks on it, so no connection to it may be open meanwhile.
    """
    descriptor = open_quietly(path)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def _conflict(path: str, kind: int, first: int, length: int) -> int | None:
    try:
        descriptor = open_quietly(path)
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
