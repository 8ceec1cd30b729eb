"""The cause and remedy of each error code, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from dash_app.model.database import Database
from dash_app.model.reading import GONE, Code, LastGood
from dash_app.words.commands import RUN
from dash_app.words.numbers import number, plural, short_path

APPEARS = (
    "It connects automatically once its program creates it. Wrong place? Change `path` in {config}."
)
SET_UP = "It connects automatically once its program sets it up."
# SQLite would apply a WAL left from the previous file to the backup and damage it
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
MOUNT_FOLDER = "Mount the folder that has it instead of the file."
OPEN_ONCE = "Open it once with the program that writes it."
STILL_READABLE = "No sign of damage. Its own program may still read it."
RESTORE_UNLESS_ENCRYPTED = (
    "Stop its writers and copy it with its `-wal` first. Unless it was encrypted on purpose, "
    "move `-wal`, `-shm` and `-journal` aside and restore a backup."
)
NEWER_SCHEMA = (
    "Its schema needs a newer SQLite than Mission Control's {ours}; it was written by {writer}."
)
UPDATE = f"Update Python; `{RUN} doctor` names both versions."

LEFT_OUT = "Removed on purpose? Acknowledge it, and it is no longer watched. By accident?"

NEVER_SEEN: dict[Code, tuple[str, str]] = {
    "file_missing": ("No file yet at {path}.", APPEARS),
    "folder_missing": ("No folder yet for {path}.", APPEARS),
    "file_empty": ("The file is empty: no tables yet.", SET_UP),
    "no_tables": ("No tables yet.", SET_UP),
}
"""Cause and remedy of an absence if tables were never read."""

TEXTS: dict[Code, tuple[str, str]] = {
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
        f"`{RUN} doctor` shows the command that grants it.",
    ),
    "read_only_folder": ("Its WAL has no index (`-shm`), and the folder is read-only.", OPEN_ONCE),
    "needs_recovery": ("A crash left unfinished work in its journal or WAL.", OPEN_ONCE),
    "locked": (
        "{holder} has locked it.",
        "It clears when that program is done. If it stays, restart that program.",
    ),
    "wal_elsewhere": (
        "{holder} has it open in WAL mode, but its WAL is under another name or gone.",
        f"Is `path` in {{config}} the name that its program opens? If so, run `{RUN} doctor`.",
    ),
    "not_a_database": ("Not an SQLite file, or encrypted.", "Check `path` in {config}."),
    "unsupported": ("Its file format is newer than Mission Control's SQLite {ours}.", UPDATE),
    "corrupt": ("The file is damaged (malformed).", COPY_FIRST),
    "cannot_read": ("SQLite can't read it: {error}, {text}.", STILL_READABLE),
    "needs_extension": (
        "It uses {what}, which only its program has.",
        "Nothing to do. Everything else is still shown.",
    ),
    "io_error": ("The disk did not return the data.", "Check free space and `dmesg`; back up now."),
    "not_responding": (
        "No answer within {seconds} s.",
        "Its disk or network mount may be hanging. Mission Control keeps retrying.",
    ),
    "not_read_yet": ("Nothing read yet.", "Its first reading comes shortly."),
    "reader_crashed": (
        "SQLite crashed while reading it.",
        "Copy it with its `-wal`, then `.recover` the copy.",
    ),
}
"""Cause and remedy of each code; of an absence if tables were read before."""

VARIANTS: dict[tuple[Code, str], tuple[str, str]] = {
    ("locked", "engine"): (
        "{holder} has locked it with an engine other than SQLite.",
        "It clears when that program is done. If it stays, restart that program.",
    ),
    ("locked", "writes"): (
        "{holder} writes to it without pause.",
        "It is read as soon as its writers pause.",
    ),
    ("wal_elsewhere", "mounted"): (
        "{holder} has it open, but its WAL is not seen: only its file is mounted here.",
        MOUNT_FOLDER,
    ),
    ("not_a_database", "was_read"): (
        "Another file replaced it: not an SQLite file, or encrypted. It held {rows}.",
        "Check `path` in {config}, and find out what replaced the file.",
    ),
    ("corrupt", "head"): (
        "No longer an SQLite file: its header was overwritten or encrypted. It held {rows}.",
        RESTORE_UNLESS_ENCRYPTED,
    ),
    ("unsupported", "writer"): (NEWER_SCHEMA, UPDATE),
    ("unsupported", "format"): (
        "It uses {format}, which SQLite cannot read.",
        "Only its own program can read it. Switch that program to plain WAL mode, if it has one.",
    ),
    ("cannot_read", "schema"): (
        "SQLite can't read its schema: {schema}.",
        "No sign that its tables are damaged. Its own program may still read them.",
    ),
    ("reader_crashed", "memory"): (
        "Reading it needs more than {memory} of memory, its reader's limit.",
        "Its schema or an index is that large. No sign of damage.",
    ),
    ("reader_crashed", "signal"): (
        "Its reader was killed (signal {signal}).",
        "Mission Control keeps retrying. If nobody killed it, memory may be low: see `dmesg`.",
    ),
    ("reader_crashed", "bug"): (
        "Mission Control failed while reading it ({bug}).",
        "No sign of damage. Mission Control keeps retrying; its log has details.",
    ),
}
"""Cause and remedy of a code with a certain detail."""

FORMATS = {"3": "the WAL2 format of an SQLite branch", "255": "the MVCC format of Turso"}
"""File formats by their number in the header (sqlite.org/src/doc/wal2, tursodatabase/turso)."""


@dataclass(frozen=True, slots=True)
class WordingContext:
    """Facts in the texts that are the same for all databases."""

    config: Path
    user: str
    """Name of our own user."""
    deadline: timedelta
    """Maximum time of a reading."""


def explain_error(
    code: Code,
    detail: Mapping[str, str],
    database: Database,
    last_good: LastGood | None,
    context: WordingContext,
) -> tuple[str, str]:
    """Return the cause and the remedy of a code for a database.

    `detail` are the facts of the reading with this code. `last_good` is None if its tables were
    never read.
    """
    usual = (NEVER_SEEN if last_good is None else TEXTS).get(code, TEXTS[code])
    variants = (VARIANTS[code, name] for name in detail if (code, name) in VARIANTS)
    cause, remedy = next(variants, usual)
    tables = last_good.tables if last_good else 0
    facts = {
        "path": f"`{short_path(database.path)}`",
        "folder": f"`{short_path(Path(detail.get('missing', database.path.parent)))}`",
        "config": f"`{short_path(context.config)}`",
        "user": context.user,
        "seconds": f"{context.deadline.total_seconds():g}",
        "rows": plural(last_good.total_rows if last_good else 0, "row"),
        "tables": number(tables),
        "were": "was" if tables == 1 else "were",
        "holder": "Another program",
        "kind": "special file",
        "ours": "own",
        "what": "an extension",
        "error": "an unknown error",
        "text": "no message",
        **detail,
    }
    if number_of_format := detail.get("format"):
        facts["format"] = FORMATS.get(number_of_format, f"file format {number_of_format}")
    if database.is_match and last_good and code in GONE:
        remedy = f"{LEFT_OUT} {remedy}"
    return cause.format_map(facts), remedy.format_map(facts)
