"""Every sentence, number and age that a person reads, for all faces alike.

Pure functions from the model to text. No markup, no I/O, nothing of one face alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dash_app.model import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from dash_app.model import Code, Database, Event, EventKind, LastGood, Reading, Snapshot
    from dash_app.settings import Settings

APPEARS = (
    "It connects by itself once its program creates it. Wrong place? Change `path` in {config}."
)
SET_UP = "It connects by itself once its program sets it up."
RESTORE = "Restore it from a backup, or start the program that writes it."
STOP_WRITER = "Stop its writer before it goes on, then restore a backup."
COPY_FIRST = (
    "Stop its writers and copy it with its `-wal` first. "
    "Then restore a backup, or `.recover` the copy."
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
    "no_tables": (
        "All tables are gone: there {were} {tables}.",
        "Stop its writer, then restore a backup.",
    ),
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
    "corrupt": ("The file is damaged (malformed).", COPY_FIRST),
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

IN_BRIEF: dict[Code, str] = {
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


MOST_PARTS = 3
"""So many changes are named in the line of an event; the rest is a number."""


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


def verdict(reading: Reading, why: Fault | None) -> str:
    """Return one sentence on one database."""
    if why is not None:
        return why.message
    rows = plural(reading.total_rows or 0, "row")
    tables = plural(len(reading.tables), "table")
    unknown = sum(count.rows is None for count in reading.tables.values())
    if unknown:
        return f"{rows} counted in {tables}, {number(unknown)} unknown."
    return f"{rows} in {tables}."


def event(event: Event) -> str:
    """Return what happened, in one line."""
    told = TELL.get(event.kind)
    text = told(event) if told else SAID[event.kind]
    fallen = _fallen(event) if event.kind != "rows_dropped" else ""
    return f"{text}; {fallen}" if fallen else text


def _emptied(event: Event) -> str:
    return f"Emptied: it held {plural(event.before['totalRows'], 'row')}"


def _truncated(event: Event) -> str:
    was, now = event.before["sizeBytes"], event.after["sizeBytes"]
    return f"Cut short: {size(was)} → {size(now)}"


def _back(event: Event) -> str:
    return f"Back after {age(event.at - datetime.fromisoformat(event.before['since']))}"


def _schema_changed(event: Event) -> str:
    gone, new = event.before["objects"], event.after["objects"]
    parts = [f"+ {one}" for one in new if one not in gone]
    parts += [f"− {one}" for one in gone if one not in new]
    parts += [f"changed {one}" for one in new if one in gone]
    rest = len(parts) - MOST_PARTS
    more = [f"{number(rest)} more"] if rest > 0 else []
    return "Schema changed: " + ", ".join(parts[:MOST_PARTS] + more)


def _rows_dropped(event: Event) -> str:
    emptied = not any(event.after["rows"].values())
    return f"{'Emptied' if emptied else 'Rows dropped'}: {_fallen(event)}"


def _version_changed(event: Event) -> str:
    names = {"userVersion": "user_version", "applicationId": "application_id"}
    parts = [f"{names[one]} {event.before[one]} → {event.after[one]}" for one in event.before]
    return f"Version changed: {', '.join(parts)}"


def _fallen(event: Event) -> str:
    """Return which tables fell: tasks 126 → 0, and at most two more."""
    was, now = event.before.get("rows", {}), event.after.get("rows", {})
    parts = [f"{name} {number(was[name])} → {number(now[name] or 0)}" for name in was]
    rest = len(parts) - MOST_PARTS
    more = [f"{number(rest)} more"] if rest > 0 else []
    return ", ".join(parts[:MOST_PARTS] + more)


SAID: dict[EventKind, str] = {
    "gone": "Gone",
    "replaced": "Replaced by another file",
    "rolled_back": "Went back to an older state",
}
TELL: dict[EventKind, Callable[[Event], str]] = {
    "emptied": _emptied,
    "truncated": _truncated,
    "back": _back,
    "schema_changed": _schema_changed,
    "rows_dropped": _rows_dropped,
    "version_changed": _version_changed,
}


def headline(snapshot: Snapshot) -> str:
    """Return the one line that says whether everything is well."""
    total = len(snapshot.databases)
    levels = [status.level for status in snapshot.databases]
    faults = levels.count("fault")
    if faults:
        return f"{faults} of {total} {'needs' if faults == 1 else 'need'} you"
    if "unknown" in levels:
        return "Can't tell"
    notices = levels.count("notice")
    if notices == total:
        return "Nothing here yet"
    if notices:
        return f"{total - notices} well, {notices} not initialized"
    return f"All {total} well"


def number(value: int) -> str:
    """Return a count with thousands separated: 10,640."""
    return f"{value:,}"


def short_number(value: int) -> str:
    """Return a count; from 10 million on to a tenth of a million: 12.4 M."""
    return f"{value / 1e6:,.1f} M" if value >= 10_000_000 else number(value)


def change(value: int) -> str:
    """Return a difference with its sign: +24, −3, no change."""
    if value == 0:
        return "no change"
    return f"{'+' if value > 0 else '−'}{abs(value):,}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: 1 row, 0 rows, 12.4 M rows."""
    return f"{short_number(count)} {noun}{'' if count == 1 else 's'}"


def size(size_bytes: int) -> str:
    """Return bytes in powers of 1000: 41 kB, 1.2 GB."""
    value, unit = float(size_bytes), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, bigger
    digits = 1 if unit not in {"B", "kB"} and value < 10 else 0
    return f"{value:.{digits}f} {unit}"


def age(elapsed: timedelta) -> str:
    """Return a duration in one unit, rounded down: now, 7 s, 3 min, 2 h, 4 d."""
    seconds = int(elapsed.total_seconds())
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s" if seconds >= 2 else "now"


def ago(elapsed: timedelta) -> str:
    """Return how long ago an event was: now, 7 s ago."""
    text = age(elapsed)
    return text if text == "now" else f"{text} ago"


def short_path(path: Path) -> str:
    """Return a path with the home folder as `~`."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
