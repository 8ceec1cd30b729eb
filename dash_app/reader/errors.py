"""Turn an error of SQLite into an error code. "corrupt" requires that SQLite proved damage."""

import os
import re
import sqlite3

from dash_app.model.reading import Code, format_version
from dash_app.reader.files import Files, Header, UnreadableError
from dash_app.reader.locks import is_wal_index_open, write_lock_holder

CODES: dict[str, Code] = {
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_PROTOCOL": "locked",
    "SQLITE_NOTADB": "not_a_database",
    "SQLITE_CORRUPT": "corrupt",
    "SQLITE_INTERRUPT": "not_responding",
}
"""Primary result codes (sqlite.org/rescode.html) whose meaning does not depend on the files."""

DISK_ERRORS = {
    "SQLITE_IOERR",
    *(f"SQLITE_IOERR_{part}" for part in ("READ", "SHORT_READ", "FSTAT", "CORRUPTFS", "DATA")),
}
"""I/O errors in which the disk returned no data. Others concern locks, memory or `-shm`."""

REFUSALS = {"SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH"}

SCHEMA_ERROR = re.compile(r"malformed database schema \(.*?\)(?: - (?P<reason>.*))?", re.DOTALL)
SCHEMA_DAMAGE = ("invalid rootpage", "orphan index")
"""Reasons that prove damage of a schema entry. SQLite also calls a schema malformed if it cannot
parse an entry: newer syntax, or a view that names an attached database."""

MAX_TEXT_CHARACTERS = 200


def explain_error(error: Exception, files: Files, header: Header) -> UnreadableError:
    """Explain why SQLite could not read these files.

    Raise `error` again if it is not SQLite's, since it says nothing about the files.
    """
    if isinstance(error, UnicodeDecodeError):  # a message that quotes a name that is not UTF-8
        text = bytes(error.object).decode(errors="backslashreplace")
        name = "SQLITE_CORRUPT" if SCHEMA_ERROR.match(text) else "SQLITE_ERROR"
    elif isinstance(error, sqlite3.Error):
        name, text = getattr(error, "sqlite_errorname", type(error).__name__), str(error)
    else:
        raise error
    primary = "_".join(name.split("_")[:2])
    if primary == "SQLITE_CORRUPT" and (schema := SCHEMA_ERROR.match(text)):
        return _explain_schema_error(schema["reason"] or "", header)
    if primary == "SQLITE_ERROR" and "unsupported file format" in text:
        return UnreadableError("unsupported", ours=sqlite3.sqlite_version)
    code = CODES.get(primary) or ("io_error" if name in DISK_ERRORS else None)
    if primary in REFUSALS:
        code = _code_of_refusal(files)
    if code is None:
        return UnreadableError("cannot_read", error=name, text=one_line(text))
    holder = write_lock_holder(files) if code == "locked" else None
    return UnreadableError(code, **({"holder": holder} if holder else {}))


def concerns_only_table(error: sqlite3.Error) -> bool:
    """Whether an error of counting a table concerns that table only, and not the file.

    The module of a virtual table may report anything, for example SQLITE_CORRUPT_VTAB about its own
    index.
    """
    name = getattr(error, "sqlite_errorname", "")
    primary = "_".join(name.split("_")[:2])
    concerns_file = primary in {*CODES, *REFUSALS, "SQLITE_IOERR"}
    return name == "SQLITE_CORRUPT_VTAB" or not concerns_file


def _explain_schema_error(reason: str, header: Header) -> UnreadableError:
    if not reason or reason.startswith(SCHEMA_DAMAGE) or reason.endswith("already exists"):
        return UnreadableError("corrupt")
    major, minor, patch = sqlite3.sqlite_version_info
    is_newer = header.sqlite_version > major * 1_000_000 + minor * 1_000 + patch
    if is_newer and "cannot reference objects in database" not in reason:
        writer = format_version(header.sqlite_version)
        return UnreadableError("unsupported", writer=writer, ours=sqlite3.sqlite_version)
    return UnreadableError("cannot_read", schema=one_line(reason))


def _code_of_refusal(files: Files) -> Code | None:
    """Find out why SQLite may not open a file, or would have to write in order to read it."""
    index = f"{files.path}-shm"
    present = [path for path in (files.path, f"{files.path}-wal", index) if os.path.exists(path)]
    if not all(os.access(path, os.R_OK) for path in present):
        return "permission_denied"
    sides = [f"{files.path}-wal"] * bool(files.wal_bytes)
    sides += [f"{files.path}-journal"] * files.has_journal
    if not any(map(os.path.isfile, sides)):
        return None
    if is_wal_index_open(files.path):  # whoever uses the WAL has applied what a crash left
        return "locked"
    can_create_index = os.access(os.path.dirname(files.path), os.W_OK)
    if files.wal_bytes and index not in present and not can_create_index:
        return "read_only_folder"
    return "needs_recovery"


def one_line(text: str) -> str:
    """Return a text in one line without control characters, cut to `MAX_TEXT_CHARACTERS`."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= MAX_TEXT_CHARACTERS else f"{line[:MAX_TEXT_CHARACTERS]}…"
