"""Who holds a lock on a database, from `/proc/locks`: no database is opened for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dash_app.watched.files import Files

FIELDS = 6
"""1: POSIX  ADVISORY  WRITE 812 fd:00:5242 1073741824 1073742335 (proc_locks(5))."""


def holder_of(files: Files) -> str | None:
    """Return "node (pid 812)", some process with a lock on the main file; None without one."""
    device, inode = files.identity
    place = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    for line in _text("/proc/locks").splitlines():
        fields = line.split()
        if len(fields) >= FIELDS and fields[1] == "POSIX" and fields[5] == place:
            pid = fields[4]
            name = _text(f"/proc/{pid}/comm").strip() or "A program"
            return f"{name} (pid {pid})"
    return None


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
