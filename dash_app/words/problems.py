"""Problems in words: short forms of all codes, and the texts and remedies of findings."""

from collections.abc import Iterable
from datetime import datetime
from difflib import get_close_matches
from functools import lru_cache
from typing import get_args

from dash_app.model.conflict import Conflict, ConflictKind
from dash_app.model.event import Event
from dash_app.model.expectation import ExpectationState
from dash_app.model.host_facts import Disk, Holder, WalGrowth
from dash_app.model.integrity import Integrity
from dash_app.model.problem import FindingKind, Problem
from dash_app.model.reading import Reading
from dash_app.words.commands import RUN
from dash_app.words.errors import MOUNT_FOLDER
from dash_app.words.events import spell_out
from dash_app.words.numbers import (
    age,
    clock,
    day,
    every,
    join_names,
    number,
    one_line,
    plural,
    size,
)

UNREADABLE = "can't be read"
BRIEFLY: dict[str, tuple[str, str]] = {
    "file_missing": ("file gone", "is gone"),
    "folder_missing": ("folder gone", "is gone"),
    "file_empty": ("file emptied", UNREADABLE),
    "no_tables": ("tables gone", UNREADABLE),
    "not_a_file": ("not a file", UNREADABLE),
    "permission_denied": ("no permission", UNREADABLE),
    "read_only_folder": ("WAL without its index", UNREADABLE),
    "needs_recovery": ("unfinished work in its WAL", UNREADABLE),
    "locked": ("locked", "is locked"),
    "wal_elsewhere": ("WAL is elsewhere", UNREADABLE),
    "not_a_database": ("not a database", UNREADABLE),
    "unsupported": ("newer format", UNREADABLE),
    "corrupt": ("damaged", "is damaged"),
    "cannot_read": ("can't be read", UNREADABLE),
    "needs_extension": ("needs an extension", UNREADABLE),
    "io_error": ("disk error", UNREADABLE),
    "not_responding": ("no answer", UNREADABLE),
    "not_read_yet": ("not read yet", UNREADABLE),
    "reader_crashed": ("crashes its reader", UNREADABLE),
    "gone": ("file gone", "is gone"),
    "emptied": ("file emptied", "was emptied"),
    "truncated": ("cut short", "was cut short"),
    "rows_dropped": ("rows lost", "lost rows"),
    "rolled_back": ("older state", "is an older copy"),
    "replaced": ("replaced", "was replaced"),
    **dict.fromkeys(get_args(ConflictKind), ("in danger", "is in danger")),
    "engine_foreign": ("open in another engine", "is open in another engine"),
    "pages_damaged": ("damaged", "is damaged"),
    "log_held": ("WAL held", "has a large WAL"),
    "wal_growing": ("WAL keeps growing", "has a large WAL"),
    "disk_low": ("disk nearly full", "is low on disk"),
    "late": ("late", "is late"),
    "down": ("down", "is down"),
    "few_rows": ("too few rows", "has too few rows"),
    "no_such_table": ("no such table", "lacks a table"),
    "wal_large": ("WAL too large", "has a large WAL"),
    "file_large": ("file too large", "is too large"),
    "mounted_alone": ("mounted alone", "is mounted without its folder"),
    "measure_out_of_range": ("out of range", "has a measure out of range"),
    "measure_failed": ("not measured", "lacks a measure"),
    "alerts_failing": ("notifications not sent", UNREADABLE),
}
"""Problems on the badge of a card, with a capital, and in titles of incidents; and as the headline
reports them, after the name of the database."""

Sentence = tuple[str | datetime, ...]
"""A sentence in parts. Each face shows a time in it as the duration since then."""

BADGE_TEXTS = {
    "connected": "ok",
    "not_initialized": "new",
    "error": "ERROR",
    "undecided": "can't tell",
    "paused": "paused",
    **{code: text.upper() for code, (text, _) in BRIEFLY.items()},
}
"""Badges in plain text, as the first words of a line."""

MAX_NOTES = 5
"""Maximum number of further problems listed in words; the others are counted."""

MAX_LISTED, MAX_NAME_LETTERS = 6, 60
MAX_COMPARED = 200
"""Maximum number of tables listed, letters shown of a name, and tables compared with an unknown
name (30 µs each)."""

MAX_DAYS = 365
INTENDED = "Intended? Acknowledge it. If not, stop its writer"
COMPARE = INTENDED + " and compare it with a backup."
# `./ops/drill rescue` proves the steps that doctor prints. Each program that opens or closes the
# database can overwrite the rows of another.
RESCUE = f"Don't start or stop its programs. `{RUN} doctor` shows how to save its rows."
REMEDIES: dict[FindingKind, str] = {
    **dict.fromkeys(get_args(ConflictKind), RESCUE),
    "wal_stale": (
        f"Do not open it yet: SQLite would apply that WAL to it. `{RUN} doctor` prints the steps."
    ),
    "pages_damaged": (
        "Copy the file with its `-wal` first, then `.recover` the copy. No `VACUUM` and no "
        "`REINDEX` before that: they may drop more rows."
    ),
    "rows_dropped": INTENDED + ", move file and `-wal` aside together, then restore a backup.",
    "rolled_back": INTENDED + " and look for the newer file.",
    "replaced": (
        'Intended? Acknowledge it; if it is regular, set `replaced = "expected"`. If not, stop its '
        "writer and look for the previous file."
    ),
    "log_held": "One read never finished. Restart that program when you can.",
    "wal_growing": "Check what has it open and prevents a checkpoint.",
    "disk_low": "Make room before its writers fail.",
    "late": "It may still come. If not, check its writer.",
    "down": "Check that its writer runs, and read its log.",
    "few_rows": "Find out what removed them, or lower `min_rows`.",
    "no_such_table": "Correct the name in the configuration, or remove the rule.",
    "wal_large": "A long read or write keeps it from shrinking. Check what has it open.",
    "file_large": "Remove old rows and let its program `VACUUM` it, or raise `max_size`.",
    "mounted_alone": MOUNT_FOLDER,
    "measure_out_of_range": "Look at the rows behind it, or correct its limits.",
    "measure_failed": "Correct its `sql` in the configuration.",
}
MOUNTED_ALONE = "Only its file is mounted here: a WAL or journal beside it is not seen."

CONFLICTS: dict[ConflictKind, str] = {
    "wal_split": "{who} uses a WAL that other programs do not see. Rows can be lost.",
    "wal_orphaned": (
        "{who} writes to a WAL that was deleted. Other programs do not see these rows."
    ),
    "wal_removed": "The WAL of {who} was deleted while in use. New rows can be lost.",
    "writer_unlocked": "{who} uses it without all of SQLite's locks. Rows can be lost.",
    "wal_disagrees": "A program overwrote or emptied the WAL of another. Rows can be lost.",
    "wal_stale": "Its WAL belongs to another file, which this one replaced.",
    "engine_foreign": "{who} has it open while SQLite has it open too. Rows can be lost.",
}

ENGINE_ALONE = (
    "{who} has it open, and its locks cannot be checked.",
    "Open it with that engine only.",
)
"""Cause and remedy while SQLite itself does not use the file."""


def kind_in_brief(kind: str) -> str:
    """Return a problem's code in two or three words."""
    return BRIEFLY[kind][0] if kind in BRIEFLY else spell_out(kind).lower()


def predicate(code: str) -> str:
    """Return what is wrong with a database, after its name: is down."""
    return BRIEFLY[code][1] if code in BRIEFLY else UNREADABLE


def badge_text(badge: str) -> str:
    """Return a badge in plain text; an unknown code of a later version is spelled out."""
    return BADGE_TEXTS.get(badge) or spell_out(badge).upper()


def current_parts(problem: Problem) -> Sentence:
    """Return a problem in a sentence that stays true: No write for 3 h; expected every hour."""
    since = problem.text_since or problem.since
    for word, current in (("since", "for "), ("from", "")):
        before, phrase, after = problem.text.partition(f"{word} {clock(since, problem.since)}")
        if phrase:
            return f"{before}{current}", since, after
    return (problem.text,)  # such as that of another version of the service


def moment_word(problem: Problem) -> str:
    """Return the word before the time of a problem that has a moment, not a length; or nothing."""
    if problem.code == "pages_damaged":
        return "Found at"
    return "At" if problem.needs_acknowledgement else ""


def spoken(sentence: Sentence, now: datetime) -> str:
    """Return a sentence as plain text."""
    texts = (age(now - part) if isinstance(part, datetime) else part for part in sentence)
    return plain("".join(texts))


def plain(text: str) -> str:
    """Return a text without the marks of `code`, which the page draws."""
    return text.replace("`", "")


def other_problems(verdict: str, problems: Iterable[Problem]) -> list[Sentence]:
    """Return all problems except the verdict in sentences, overdue tables in a single one."""
    rest = [problem for problem in problems if problem.text != verdict]
    tables = [problem.table for problem in rest if problem.table and problem.is_silence]
    others = [problem for problem in rest if not (problem.table and problem.is_silence)]
    lines = [current_parts(problem) for problem in others]
    if tables:
        lines.insert(0, (f"Also overdue: {join_names(tables)}.",))
    more = len(lines) - MAX_NOTES
    return [*lines[:MAX_NOTES], *([(f"And {number(more)} more.",)] if more > 0 else [])]


def remedy_for(event: Event, kind: FindingKind) -> str:
    """Return the remedy for the problem that an event leaves behind.

    A backup is restored only if rows are certainly gone: after a migration, or in another copy,
    they may be elsewhere.
    """
    if event.kind == "back":
        return REMEDIES["rolled_back"]
    return COMPARE if event.kind == "schema_changed" else REMEDIES[kind]


def process_name(command: str, pid: int, unit: str | None) -> str:
    """Return a process with its systemd unit or container: python3 (pid 812, agent.service)."""
    return f"{command or 'unknown'} (pid {pid}{f', {unit}' if unit else ''})"


def conflict_text(conflict: Conflict) -> tuple[str, str]:
    """Return the cause and the remedy of a conflict."""
    text, remedy = CONFLICTS[conflict.kind], REMEDIES[conflict.kind]
    if not conflict.is_certain:
        text, remedy = ENGINE_ALONE
    return text.format(who=_process_of(conflict) or conflict.command or "A program"), remedy


def _process_of(conflict: Conflict) -> str:
    if conflict.pid is None:
        return ""
    return process_name(conflict.command, conflict.pid, conflict.unit)


def evidence_line(conflict: Conflict) -> str:
    """Return what shows a conflict, in one line that begins with its kind and the process."""
    head = ", ".join(filter(None, [conflict.kind, _process_of(conflict)]))
    seen = f"seen at {conflict.since:%H:%M:%S} UTC on {day(conflict.since)}"
    facts = "; ".join([seen, *(f"{name} {value}" for name, value in conflict.evidence.items())])
    return f"{head}: {one_line(facts)}"


def pages_damaged(integrity: Integrity) -> list[str]:
    """Describe each damage: Damaged: 12 pages of `messages`. The first adds the other tables."""
    texts = []
    for damage in integrity.damage:
        place = f"of `{_short(damage.table)}`" if damage.table else "outside all tables"
        least = "at least " if damage.pages == 1 else ""  # if SQLite names no pages, one is known
        texts.append(f"Damaged: {least}{plural(damage.pages, 'page')} {place}.")
    damaged = {damage.table for damage in integrity.damage}
    readable = [
        f"`{_short(table)}`"
        for table, check in integrity.tables.items()
        if check.checked_at and table not in damaged
    ]
    if texts and readable:
        texts[0] += f" No damage found in {join_names(readable)}."
    return texts


def log_held(reading: Reading, holder: Holder, pinned_since: datetime) -> str:
    """Describe a WAL that a program keeps from being checkpointed."""
    held_by = f"{holder.command} (pid {holder.pid})"
    since = clock(pinned_since, pinned_since)
    return f"WAL {size(reading.wal_bytes or 0)}, held back by {held_by} since {since}."


def wal_growing(reading: Reading, growth: WalGrowth) -> tuple[str, str]:
    """Return why a WAL keeps growing, and the remedy.

    Without a checkpoint, a reader that cannot be seen from here, as in a container, may prevent it.
    """
    sizes = f"WAL {size(reading.wal_bytes or 0)} for a file of {size(reading.size_bytes or 0)}"
    since = f"since {clock(growth.since, growth.since)}"
    if growth.is_checkpointed is False and reading.surroundings.holders is None:
        return f"{sizes}: not checkpointed {since}.", REMEDIES["wal_growing"]
    if growth.is_checkpointed is False:
        return (
            f"{sizes}: no program has checkpointed it {since}.",
            "Let its program run `PRAGMA wal_checkpoint`, or leave `wal_autocheckpoint` on.",
        )
    if growth.readers:
        readers = join_names(growth.readers)
        return (
            f"{sizes}: it can't start over, because it always has a reader: {readers}.",
            "Pause between reads, or end long ones.",
        )
    return f"{sizes}: it does not start over, for an unknown reason.", REMEDIES["wal_growing"]


def full_in(disk: Disk, bytes_per_day: int, table: str | None) -> str:
    """Return the time until a disk is full, and the table that grows fastest, if known.

    ", full in about 3 days at this rate; `events` grows most"; "" if it takes long.
    """
    days = disk.free_bytes // bytes_per_day if bytes_per_day > 0 else MAX_DAYS
    grows = f"; `{table}` grows most" if table else ""
    return "" if days >= MAX_DAYS else f", full in about {plural(days, 'day')} at this rate{grows}"


def disk_line(disk: Disk) -> str:
    """Describe a disk: Disk 94% full, 1.4 GB free."""
    return f"Disk {int(disk.used_share * 100)}% full, {size(disk.free_bytes)} free"


def overdue(state: ExpectationState, table: str | None) -> str:
    """Describe an overdue write, to a table or to the whole database."""
    last, due = state.last_at, state.due_at
    since = f"since {clock(last, due)}" if last and due else "yet"
    what = f"`{table}`: nothing" if table else "No write"
    return f"{what} {since}; expected {every(state.expect.every)}."


def no_such_table(state: ExpectationState, table: str) -> str:
    """Describe a missing table in which rows are expected."""
    return f"`{table}`: no such table; rows expected {every(state.expect.every)}."


@lru_cache(maxsize=256)
def unknown_table(table: str, tables: tuple[str, ...]) -> str:
    """Describe a rule for a missing table; list the existing ones, similar names first."""
    similar = get_close_matches(table, tables[:MAX_COMPARED], MAX_LISTED)
    others = [name for name in tables[: MAX_COMPARED + MAX_LISTED] if name not in similar]
    listed = [_short(name) for name in (*similar, *others)[:MAX_LISTED]]
    rest = len(tables) - len(listed)
    more = f" and {number(rest)} more" if rest > 0 else ""
    return f"`{_short(table)}`: no such table. Tables: {', '.join(listed) or 'none'}{more}."


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME_LETTERS else f"{name[:MAX_NAME_LETTERS]}…"


def few_rows(table: str | None, rows: int | None, min_rows: int) -> str:
    """Describe a table, or all tables together, with too few rows; None if it is missing."""
    prefix = f"`{table}`: " if table else ""
    if rows is None:
        return f"{prefix}no such table; expected at least {plural(min_rows, 'row')}."
    return f"{prefix}{plural(rows, 'row')}; expected at least {number(min_rows)}."


def too_large(what: str, size_bytes: int, max_bytes: int) -> str:
    """Describe a file that is too large: WAL 1.2 GB, above your 1.0 GB."""
    return f"{what} {size(size_bytes)}, above your {size(max_bytes)}."


def disk_low(disk: Disk, min_free_bytes: int | None) -> str:
    """Describe a disk that is low: below the configured limit, or by itself if None."""
    if min_free_bytes is None:
        return f"{disk_line(disk)}."
    return f"{size(disk.free_bytes)} free, below your {size(min_free_bytes)}."
