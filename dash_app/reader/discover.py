"""Find SQLite files below a folder.

Opens files, so it must run in a process that holds no connection to a database.
"""

import os
import stat
from collections.abc import Iterator

from dash_app.model.database import HISTORY_APPLICATION_ID
from dash_app.reader.files import HEADER_BYTES, MAGIC

SKIPPED_FOLDERS = {"node_modules", "__pycache__", "venv"}
MAX_DEPTH = 4
APPLICATION_ID_BYTES = slice(68, 72)
"""The position in the header (sqlite.org/fileformat2.html#application_id)."""


def sqlite_files(folder: str) -> Iterator[str]:
    """Yield the paths of SQLite files below a folder, sorted within each folder.

    Skip hidden folders, unreadable files and our own history.
    """
    for parent, folders, files in os.walk(folder):
        below = os.path.relpath(parent, folder).split(os.sep) if parent != folder else []
        keep = [] if len(below) >= MAX_DEPTH else folders
        folders[:] = sorted(f for f in keep if not f.startswith(".") and f not in SKIPPED_FOLDERS)
        paths = (os.path.join(parent, name) for name in sorted(files))
        yield from (path for path in paths if _is_foreign_database(path))


def _is_foreign_database(path: str) -> bool:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            header = os.read(descriptor, HEADER_BYTES)
        finally:
            os.close(descriptor)
    except OSError:
        return False
    application_id = int.from_bytes(header[APPLICATION_ID_BYTES], "big")
    return header.startswith(MAGIC) and application_id != HISTORY_APPLICATION_ID
