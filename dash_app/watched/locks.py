"""Who has a transaction under way on a database: asked of the kernel, not of SQLite."""

from __future__ import annotations

import fcntl
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dash_app.watched.files import Files

LOCK = struct.Struct("hhqqi")
"""The kernel's record of a lock: kind, whence, start, length, pid (fcntl(2))."""

PENDING_BYTE = 0x40000000
LOCK_BYTES = 512
"""Where SQLite locks a file (sqlite.org/fileformat2.html#the_lock_byte_page)."""


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
    return None if kind == fcntl.F_UNLCK else _name_of(pid)


def _name_of(pid: int) -> str:
    if pid <= 0:  # on another machine, or in another container
        return "A program elsewhere"
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return f"{file.read().strip()} (pid {pid})"
    except OSError:
        return f"A program (pid {pid})"
