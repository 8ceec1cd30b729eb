"""Cause and remedy of each code of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dash_app.model.database import Database
from dash_app.model.reading import Code, LastGood
from dash_app.settings import Settings
from dash_app.words.numbers import number, plural, short_path

APPEARS = (
    "It connects automatically once its program creates it. Wrong place? Change `path` in {config}."
)
SET_UP = "It connects automatically once its program sets it up."
# SQLite would apply a WAL left of the file before to the backup, and so damage it
# (sqlite.org/howtocorrupt.html).
RESTORE = (
    "Move its `-wal`, `-shm` and `-journal` aside, if any are left, then restore a backup; "
    "or start the program that writes it."
)
STOP_WRITER = (
    "Stop its writer. Move `-wal`, `-shm` and `-journal` aside together, then restore a backup."
)
COPY_FIRST = (
    "Stop its writers and copy it with its `-wal` first. Then move `-wal`, `-shm` and `-journal` "
    "aside and restore a backup, or `.recover` the copy."
)
OPEN_ONCE = "Open it once with the program that writes it."
OTHERS_MAY = (
    "Nothing shows that it is damaged. It is tried again automatically; "
    "its own program may still read it."
)
ENCRYPTED_OR_RESTORE = (
    "Stop its writers and copy it with its `-wal` first. If nobody encrypted it, move `-wal`, "
    "`-shm` and `-journal` aside and restore a backup."
)
NEWER_SCHEMA = (
    "Written by a newer SQLite ({writer}): its schema has words that Mission Control's {ours} "
    "does not know."
)
UPDATE = "Update Python; `./ops/run doctor` names both versions."

NEVER_SEEN: dict[Code, tuple[str, str]] = {
    "file_missing": ("No file yet at {path}.", APPEARS),
    "folder_missing": ("No folder yet for {path}.", APPEARS),
    "file_empty": ("The file is empty: no tables yet.", SET_UP),
    "no_tables": ("No tables yet.", SET_UP),
}
"""Cause and remedy of what is missing where no table was ever read."""

WORDS: dict[Code, tuple[str, str]] = {
    "file_missing": ("The file is gone.", RESTORE),
    "folder_missing": (
        "Its folder {folder} is gone. Is its disk mounted?",
        "Mount it, or change `path` in {config}.",
    ),
    "file_empty": ("The file was emptied: it held {rows}.", STOP_WRITER),
    "no_tables": ("All tables are gone: there {were} {tables}.", STOP_WRITER),
    "not_a_file": (
        "{path} is a {kind}, not a file.",
        "Point `path` in {config} to the database file.",
    ),
    "permission_denied": (
        "User {user} has no permission to read {path}.",
        "`./ops/run doctor` shows the command that grants it.",
    ),
    "read_only_folder": ("Its WAL has no index (`-shm`), and the folder is read-only.", OPEN_ONCE),
    "needs_recovery": ("A crash left unfinished work in its journal or WAL.", OPEN_ONCE),
    "locked": (
        "{holder} has locked it.",
        "It clears when that program is done. If it stays, restart that program.",
    ),
    "wal_elsewhere": (
        "{holder} has it open in WAL mode, but its WAL is beside another name, or gone.",
        "Watch it under the name by which its program opens it.",
    ),
    "not_a_database": ("Not an SQLite file, or encrypted.", "Check `path` in {config}."),
    "unsupported": ("Its file format is newer than Mission Control's SQLite {ours}.", UPDATE),
    "corrupt": ("The file is damaged (malformed).", COPY_FIRST),
    "cannot_read": ("SQLite can't read it: {error}, {text}.", OTHERS_MAY),
    "needs_extension": (
        "It uses {what}, which only its program has.",
        "Nothing to do. Everything else is still shown.",
    ),
    "io_error": ("The disk did not return the data.", "Check free space and `dmesg`; back up now."),
    "not_responding": (
        "No answer within {seconds} s.",
        "Its disk or network mount may be hanging. Mission Control keeps retrying.",
    ),
    "not_read_yet": ("It has not been read yet.", "It is read as soon as its turn comes."),
    "reader_crashed": (
        "SQLite crashed while reading it.",
        "Copy it with its `-wal`, then `.recover` the copy.",
    ),
}
"""Cause and remedy of each code; of an absence, where tables were read before."""

VARIANTS: dict[tuple[Code, str], tuple[str, str]] = {
    ("locked", "engine"): (
        "{holder} has locked it, by an engine that is not SQLite's own.",
        "It clears when that program is done. If it stays, restart that program.",
    ),
    ("locked", "writes"): (
        "{holder} writes to it without pause.",
        "It is read once its writers rest for a moment.",
    ),
    ("not_a_database", "was_read"): (
        "Another file is in its place, and not an SQLite file, or encrypted. It held {rows}.",
        "Check `path` in {config}, and what replaced the file.",
    ),
    ("corrupt", "head"): (
        "No longer an SQLite file: its head was overwritten or encrypted. It held {rows}.",
        ENCRYPTED_OR_RESTORE,
    ),
    ("unsupported", "writer"): (NEWER_SCHEMA, UPDATE),
    ("unsupported", "format"): (
        "It has {format}, which SQLite does not read.",
        "Only its own program reads it. In that program's plain WAL mode, it could be read here.",
    ),
    ("cannot_read", "schema"): (
        "SQLite can't read its schema: {schema}.",
        "Nothing shows that its tables are damaged; its own program may still read them.",
    ),
    ("reader_crashed", "memory"): (
        "Reading it takes more memory than the {memory} that its reader may use.",
        "Its schema or an index of it asks for that much. Nothing shows that it is damaged.",
    ),
    ("reader_crashed", "signal"): (
        "The process that reads it was killed (signal {signal}).",
        "It is tried again automatically. If nobody killed it, memory may be short: see `dmesg`.",
    ),
    ("reader_crashed", "bug"): (
        "Mission Control failed while reading it ({bug}).",
        "Nothing shows that it is damaged. The log says more; it is tried again automatically.",
    ),
}
"""Cause and remedy of a code that comes with a certain detail."""

FORMATS = {"3": "the WAL2 format of an SQLite branch", "255": "the MVCC format of Turso"}
"""File formats by their number in the header (sqlite.org/src/doc/wal2, tursodatabase/turso)."""

CODES_IN_BRIEF: dict[Code, str] = {
    "file_missing": "file gone",
    "folder_missing": "folder gone",
    "file_empty": "file emptied",
    "no_tables": "tables gone",
    "not_a_file": "not a file",
    "permission_denied": "no permission",
    "read_only_folder": "WAL without its index",
    "needs_recovery": "unfinished work in its WAL",
    "locked": "locked",
    "wal_elsewhere": "WAL is elsewhere",
    "not_a_database": "not a database",
    "unsupported": "newer format",
    "corrupt": "damaged",
    "cannot_read": "can't be read",
    "needs_extension": "needs an extension",
    "io_error": "disk error",
    "not_responding": "no answer",
    "not_read_yet": "not read yet",
    "reader_crashed": "crashes its reader",
}
"""A code in the headline, before "since 14:02"."""


@dataclass(frozen=True, slots=True)
class WordingContext:
    """What the words name besides the database itself."""

    config: str
    user: str
    deadline_seconds: float


def wording_context(settings: Settings, user: str) -> WordingContext:
    """Return what the words name, from the settings and the name of the user we run as."""
    deadline_seconds = settings.sampler.deadline.total_seconds()
    return WordingContext(short_path(settings.source), user, deadline_seconds)


def explain_error(
    code: Code,
    detail: Mapping[str, str],
    database: Database,
    last_good: LastGood | None,
    place: WordingContext,
) -> tuple[str, str]:
    """Return the cause and the remedy of a code, in the words of this database."""
    cause, remedy = (NEVER_SEEN if last_good is None else WORDS).get(code, WORDS[code])
    cause, remedy = next(
        (VARIANTS[code, name] for name in detail if (code, name) in VARIANTS), (cause, remedy)
    )
    tables = last_good.tables if last_good else 0
    facts = {
        "path": short_path(database.path),
        "folder": short_path(database.path.parent),
        "config": place.config,
        "user": place.user,
        "seconds": f"{place.deadline_seconds:g}",
        "rows": plural(last_good.total_rows if last_good else 0, "row"),
        "tables": number(tables),
        "were": "was" if tables == 1 else "were",
        "holder": "Another program",
        "kind": "special file",
        "ours": "own",
        "what": "an extension",
        "error": "an unknown error",
        "text": "without words",
        **detail,
    }
    if number_of_format := detail.get("format"):
        facts["format"] = FORMATS.get(number_of_format, f"file format {number_of_format}")
    return cause.format_map(facts), remedy.format_map(facts)
