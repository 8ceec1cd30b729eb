"""Whose a database's files are, and what on the way to them shuts this process out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from dash_app.model.host_facts import Access

SIDES = ("-wal", "-shm", "-journal")


def access_to(path: str) -> Access:
    """Return what is to be told of an absolute path's files, also where there are none."""
    with suppress(OSError):  # a link that may not be read, such as /proc/PID/root
        path = os.path.realpath(path)
    owners = {side: owner for side in ("", *SIDES) if (owner := _owner(path + side)) is not None}
    for folder in reversed(list(_folders(path))):
        if not os.access(folder, os.X_OK) and os.path.isdir(folder):
            return Access(path, owners, folder, closed_is_folder=True)
    files = (path + side for side in owners)
    closed = next((one for one in files if not os.access(one, os.R_OK)), None)
    return Access(path, owners, closed)


def _owner(path: str) -> int | None:
    try:
        return os.stat(path).st_uid
    except OSError:
        return None


def _folders(path: str) -> Iterator[str]:
    """Yield the folders of a path, the inmost first."""
    while (folder := os.path.dirname(path)) != path:
        yield folder
        path = folder
