"""Free space of a file system. Standard library only, since the reader's child uses it."""

import os

from dash_app.model.host_facts import Disk


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
