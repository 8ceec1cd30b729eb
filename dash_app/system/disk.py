"""Free space and mounts of file systems. Standard library only: the reader's child uses it."""

import ctypes
import os
import sys
from collections.abc import Container
from contextlib import suppress

from dash_app.model.host_facts import Disk

CURRENT_FOLDER = -100
STATX_BYTES, ATTRIBUTES = 256, slice(8, 16)
MOUNT_ROOT = 0x2000
"""The size of the kernel's `struct statx`, its attributes, and that of a mount, since Linux 5.8."""

REMOTE = {
    *("9p", "afs", "autofs", "ceph", "cifs", "fuse", "lustre", "ncpfs", "nfs", "nfs4", "smb3"),
    "smbfs",
}
"""Kinds of file systems behind which a server or a program answers, or does not."""

MAX_LINKS = 40

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


def remote_mounts() -> set[str]:
    """Return where network and FUSE file systems are mounted (proc_pid_mountinfo(5))."""
    kinds = {}
    with suppress(OSError), open("/proc/self/mountinfo", "rb") as mounts:
        for mount in mounts:  # of several at one place, the last one counts
            before, after = mount.split(b" - ", 1)
            place = before.split()[4].decode("unicode_escape").encode("latin-1")
            kinds[os.fsdecode(place)] = after.split()[0].decode()
    return {place for place, kind in kinds.items() if kind.partition(".")[0] in REMOTE}


def is_remote(path: str, mounts: Container[str], links: int = MAX_LINKS) -> bool:
    """Whether an absolute path leads below one of the mounts, found without asking any of them."""
    parts = os.path.normpath(path).split("/")
    for end in range(1, len(parts) + 1):
        folder = "/".join(parts[:end]) or "/"
        if folder in mounts:
            return True
        with suppress(OSError):  # it is no link
            target = os.path.join(os.path.dirname(folder), os.readlink(folder), *parts[end:])
            return links > 0 and is_remote(os.path.normpath(target), mounts, links - 1)
    return False
