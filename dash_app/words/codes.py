"""Cause and remedy of each code of the contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dash_app.model import Fault
from dash_app.words.numbers import number, plural, short_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dash_app.model import Code, Database, LastGood
    from dash_app.settings import Settings

APPEARS = (
    "It connects by itself once its program creates it. Wrong place? Change `path` in {config}."
)
SET_UP = "It connects by itself once its program sets it up."
# SQLite would apply a log left of the file before to the backup, and so damage it
# (sqlite.org/howtocorrupt.html).
RESTORE = (
    "Move its `-wal` and `-journal` aside, if any are left. "
    "Then restore a backup, or start its program."
)
STOP_WRITER = (
    "Stop its writer and move its `-wal` and `-journal` aside, if any are left. "
    "Then restore a backup."
)
MOVE_FIRST = (
    "Stop its writers and move it to another folder with its `-wal` and `-journal`. "
    "Then restore a backup, or `.recover` it there."
)
OPEN_ONCE = "Let its own program open it once."

NEVER_SEEN: dict[Code, tuple[str, str]] = {
    "file_missing": ("No file yet at {path}.", APPEARS),
    "folder_missing": ("No folder yet for {path}.", APPEARS),
    "file_empty": ("The file is empty: no tables yet.", SET_UP),
    "no_tables": ("A database without tables yet.", SET_UP),
}
"""Cause and remedy of what is missing where no table was ever read."""

WORDS: dict[Code, tuple[str, str]] = {
    "file_missing": ("The file is gone.", RESTORE),
    "folder_missing": ("Its folder is gone.", "Mount its disk again, or restore it from a backup."),
    "file_empty": ("The file was emptied: it held {rows}.", STOP_WRITER),
    "no_tables": ("All tables are gone: there {were} {tables}.", STOP_WRITER),
    "not_a_file": (
        "{path} is a {kind}, not a file.",
        "Point `path` in {config} to the database file.",
    ),
    "permission_denied": (
        "User {user} may not read {path}.",
        "`./ops/run doctor` shows the command that grants it.",
    ),
    "read_only_folder": ("Its log has no index (`-shm`), and the folder is read-only.", OPEN_ONCE),
    "needs_recovery": ("A crash left unfinished work in its journal or log.", OPEN_ONCE),
    "locked": (
        "{holder} holds it locked.",
        "It clears when that program is done. If it stays, restart that program.",
    ),
    "not_a_database": ("Not an SQLite file, or encrypted.", "Check `path` in {config}."),
    "unsupported": (
        "This SQLite can't read it: newer format.",
        "Update Python; `./ops/run doctor` names the versions.",
    ),
    "corrupt": ("The file is damaged (malformed).", MOVE_FIRST),
    "io_error": ("The disk did not return the data.", "Check free space and `dmesg`; back up now."),
    "not_responding": (
        "No answer within {seconds} s.",
        "Disk or network mount may hang. It is tried again by itself.",
    ),
    "reader_crashed": (
        "Reading it crashed SQLite.",
        "Copy it with its `-wal`, then `.recover` the copy.",
    ),
}
"""Cause and remedy of each code; of an absence, where tables were read before."""

CODES_IN_BRIEF: dict[Code, str] = {
    "file_missing": "file gone",
    "folder_missing": "folder gone",
    "file_empty": "file emptied",
    "no_tables": "tables gone",
    "not_a_file": "not a file",
    "permission_denied": "may not be read",
    "read_only_folder": "log without its index",
    "needs_recovery": "unfinished work in its log",
    "locked": "locked",
    "not_a_database": "not a database",
    "unsupported": "newer format",
    "corrupt": "damaged",
    "io_error": "disk error",
    "not_responding": "no answer",
    "reader_crashed": "crashes its reader",
}
"""A code in the headline, before "since 14:02"."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the words name besides the database itself."""

    config: str
    user: str
    deadline_seconds: float


def place_of(settings: Settings, user: str) -> Place:
    """Return what the words name, from the settings and the name of the user we run as."""
    deadline_seconds = settings.sampler.deadline.total_seconds()
    return Place(short_path(settings.source), user, deadline_seconds)


def fault(
    code: Code,
    detail: Mapping[str, str],
    database: Database,
    last_good: LastGood | None,
    place: Place,
) -> Fault:
    """Return the cause and the remedy of a code, in the words of this database."""
    cause, remedy = (NEVER_SEEN if last_good is None else WORDS).get(code, WORDS[code])
    tables = last_good.tables if last_good else 0
    facts = {
        "path": short_path(database.path),
        "config": place.config,
        "user": place.user,
        "seconds": f"{place.deadline_seconds:g}",
        "rows": plural(last_good.total_rows if last_good else 0, "row"),
        "tables": number(tables),
        "were": "was" if tables == 1 else "were",
        "holder": "Another program",
        "kind": "special file",
        **detail,
    }
    return Fault(code, cause.format_map(facts), remedy.format_map(facts))
