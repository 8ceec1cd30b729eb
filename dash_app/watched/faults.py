"""What SQLite says, as codes of the contract."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dash_app.watched.files import UnreadableError
from dash_app.watched.locks import holder_of

if TYPE_CHECKING:
    from dash_app.model import Code
    from dash_app.watched.files import Files

CODES: dict[str, Code] = {
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_PROTOCOL": "locked",
    "SQLITE_NOTADB": "not_a_database",
    "SQLITE_CORRUPT": "corrupt",
    "SQLITE_IOERR": "io_error",
    "SQLITE_INTERRUPT": "not_responding",
    "SQLITE_TOOBIG": "corrupt",
}
"""Primary result codes (sqlite.org/rescode.html) that mean one thing whatever the files."""


def fault_of(error: Exception, files: Files) -> UnreadableError:
    """Return why SQLite could not read these files.

    Anything that is not an error of SQLite's came from content that it should have refused.
    """
    name = getattr(error, "sqlite_errorname", "SQLITE_CORRUPT")
    primary = "_".join(name.split("_")[:2])
    if primary in {"SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH"}:
        return UnreadableError(_code_of_refusal(files))
    if primary == "SQLITE_ERROR" and "unsupported file format" in str(error):
        return UnreadableError("unsupported")
    code = CODES.get(primary, "corrupt")
    holder = holder_of(files) if code == "locked" else None
    return UnreadableError(code, **({"holder": holder} if holder else {}))


def _code_of_refusal(files: Files) -> Code:
    """Return why SQLite may not open a file, or would have to write in order to read."""
    index = f"{files.path}-shm"
    present = [path for path in (files.path, f"{files.path}-wal", index) if os.path.exists(path)]
    if not all(os.access(path, os.R_OK) for path in present):
        return "permission_denied"
    if (
        files.wal_bytes
        and index not in present
        and not os.access(os.path.dirname(files.path), os.W_OK)
    ):
        return "read_only_folder"
    return "needs_recovery"
