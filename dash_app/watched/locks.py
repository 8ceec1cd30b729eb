"""Who has a database open or a transaction under way: asked of the kernel, not of SQLite."""

from __future__ import annotations

import fcntl
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dash_app.watched.files import Files

LOCK = struct.Struct("hhqqi")
"""The kernel's record of a lock: kind, whence, start, length, pid (fcntl(2))."""

PENDING_BYTE = 0x40000000
RESERVED_BYTE = PENDING_BYTE + 1
LOCK_BYTES = 512
"""Where SQLite locks a file (sqlite.org/fileformat2.html#the_lock_byte_page)."""


class Lock(NamedTuple):
    """A lock that a process holds on some bytes of a file."""

    pid: int
    is_write: bool
    first: int
    last: int


def locks_on(device: int, inode: int) -> list[Lock]:
    """Return the locks on a file, as `/proc/locks` tells (proc(5)).

    Some file systems hide their device there, such as Btrfs: then nothing is found.
    """
    wanted = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    return [lock for file, lock in _all_locks() if file == wanted]


def _all_locks() -> Iterator[tuple[str, Lock]]:
    with open("/proc/locks", encoding="utf-8") as lines:
        for line in lines:
            # 2: POSIX  ADVISORY  READ 812 08:02:1234 1073741826 1073742335
            _number, kind, _advice, mode, pid, file, first, last = line.split()[:8]
            if kind != "->":  # waits for one
                end = PENDING_BYTE + LOCK_BYTES if last == "EOF" else int(last)
                yield file, Lock(int(pid), mode == "WRITE", int(first), end)


def holder_of(files: Files) -> str | None:
    """Return "node (pid 812)", the process that writes to the main file or shuts others out.

    None without one. Unlike `/proc/locks`, this works where a file system hides its device number,
    as Btrfs does. Closing the file drops this process's locks on it, so no connection to it may be
    open meanwhile.
    """
    wanted = LOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, PENDING_BYTE, LOCK_BYTES, 0)
    try:
        descriptor = os.open(files.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            found = LOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, wanted))
        finally:
            os.close(descriptor)
    except OSError:
        return None
    kind, *_, pid = found
    if kind == fcntl.F_UNLCK:
        return None
    return f"{command_of(pid)} (pid {pid})" if pid > 0 else command_of(pid)


def command_of(pid: int) -> str:
    """Return the name of a process: of its command where that can be told."""
    if pid <= 0:  # on another machine, or in another container
        return "A program elsewhere"
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "A program"
