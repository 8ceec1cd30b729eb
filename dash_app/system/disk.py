"""Free space and mounts of file systems. Standard library only: the reader's child uses it."""

import ctypes
import os
import sys

from dash_app.model.host_facts import Disk

CURRENT_FOLDER = -100
STATX_BYTES, ATTRIBUTES = 256, slice(8, 16)
MOUNT_ROOT = 0x2000
"""The size of the kernel's `struct statx`, its attributes, and that of a mount, since Linux 5.8."""

libc = ctypes.CDLL(None)


def disk_of(path: str) -> Disk | None:
    """Measure the file system of a file, or of its folder if the file is missing.

    Return None if neither exists, or if the file system is read-only or reports no size.
    """
    for place in (path, os.path.dirname(path)):
        try:
            found = os.statvfs(place)
            device = os.stat(place).st_dev
        except OSError:
            continue
        if found.f_flag & os.ST_RDONLY or not found.f_blocks:
            return None
        # Like df: blocks reserved for root count neither as free nor as used.
        usable = found.f_blocks - found.f_bfree + found.f_bavail
        return Disk(device, found.f_bavail * found.f_frsize, usable * found.f_frsize)
    return None


def is_mount_point(path: str) -> bool:
    """Whether something is mounted at a path itself; False if the kernel does not report it."""
    found = ctypes.create_string_buffer(STATX_BYTES)
    if libc.statx(CURRENT_FOLDER, os.fsencode(path), 0, 0, found):
        return False
    return bool(int.from_bytes(found.raw[ATTRIBUTES], sys.byteorder) & MOUNT_ROOT)
