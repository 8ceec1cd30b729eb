"""Turn an error of SQLite into a code of the contract: damage only where SQLite proved damage."""

from __future__ import annotations

import os
import re
import sqlite3

from dash_app.model.reading import Code
from dash_app.reader.files import Files, Header, UnreadableError, version_text
from dash_app.reader.locks import holder_of

CODES: dict[str, Code] = {
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_PROTOCOL": "locked",
    "SQLITE_NOTADB": "not_a_database",
    "SQLITE_CORRUPT": "corrupt",
    "SQLITE_INTERRUPT": "not_responding",
}
"""Primary result codes (sqlite.org/rescode.html) that mean one thing, whatever the files are."""

DISK_ERRORS = {
    "SQLITE_IOERR",
    *(f"SQLITE_IOERR_{what}" for what in ("READ", "SHORT_READ", "FSTAT", "CORRUPTFS", "DATA")),
}
"""I/O errors in which the disk did not return data. Others are about locks, memory or `-shm`."""

REFUSALS = {"SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH"}

SCHEMA_ERROR = re.compile(r"malformed database schema \(.*?\)(?: - (?P<why>.*))?", re.DOTALL)
SCHEMA_DAMAGE = ("invalid rootpage", "orphan index")
"""What SQLite finds wrong with a schema entry itself. Anything else is text it could not parse,
which it also calls malformed: newer syntax, or a view that names an attached database."""

MAX_TEXT_CHARACTERS = 200


def fault_of(error: Exception, files: Files, header: Header) -> UnreadableError:
    """Return why SQLite could not read these files.

    Raise an error again that is not SQLite's: it says nothing about the file.
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
        return _schema_fault(schema["why"] or "", header)
    if primary == "SQLITE_ERROR" and "unsupported file format" in text:
        return UnreadableError("unsupported", ours=sqlite3.sqlite_version)
    code = CODES.get(primary) or ("io_error" if name in DISK_ERRORS else None)
    if primary in REFUSALS:
        code = _code_of_refusal(files)
    if code is None:
        return UnreadableError("cannot_read", error=name, text=_bounded(text))
    holder = holder_of(files) if code == "locked" else None
    return UnreadableError(code, **({"holder": holder} if holder else {}))


def is_of_table(error: sqlite3.Error) -> bool:
    """Return whether an error that counting a table met concerns this table only, not the file.

    A virtual table's module reports whatever it likes, SQLITE_CORRUPT_VTAB about its own index.
    """
    name = getattr(error, "sqlite_errorname", "")
    primary = "_".join(name.split("_")[:2])
    is_of_file = primary in {*CODES, *REFUSALS, "SQLITE_IOERR"}
    return name == "SQLITE_CORRUPT_VTAB" or not is_of_file


def _schema_fault(why: str, header: Header) -> UnreadableError:
    """Return what it means that an entry of the schema could not be loaded."""
    if not why or why.startswith(SCHEMA_DAMAGE) or why.endswith("already exists"):
        return UnreadableError("corrupt")
    is_newer = header.sqlite_version > _number(sqlite3.sqlite_version_info)
    if is_newer and "cannot reference objects in database" not in why:
        writer = version_text(header.sqlite_version)
        return UnreadableError("unsupported", writer=writer, ours=sqlite3.sqlite_version)
    return UnreadableError("cannot_read", schema=_bounded(why))


def _code_of_refusal(files: Files) -> Code | None:
    """Return why SQLite may not open a file, or would have to write in order to read it."""
    index = f"{files.path}-shm"
    present = [path for path in (files.path, f"{files.path}-wal", index) if os.path.exists(path)]
    if not all(os.access(path, os.R_OK) for path in present):
        return "permission_denied"
    sides = [f"{files.path}-wal"] * bool(files.wal_bytes)
    sides += [f"{files.path}-journal"] * files.has_journal
    if not any(map(os.path.isfile, sides)):
        return None
    if (
        files.wal_bytes
        and index not in present
        and not os.access(os.path.dirname(files.path), os.W_OK)
    ):
        return "read_only_folder"
    return "needs_recovery"


def _number(version: tuple[int, int, int]) -> int:
    major, minor, patch = version
    return major * 1_000_000 + minor * 1_000 + patch


def _bounded(text: str) -> str:
    """Return an error text as one line of limited length."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= MAX_TEXT_CHARACTERS else f"{line[:MAX_TEXT_CHARACTERS]}…"
