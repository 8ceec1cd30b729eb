"""What is amiss with a database that can be read, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from difflib import get_close_matches
from functools import lru_cache

from dash_app.model.event import Event
from dash_app.model.expectation import OVERDUE, ExpectationState
from dash_app.model.host_facts import Disk, Holder, WalGrowth
from dash_app.model.problem import FindingKind
from dash_app.model.reading import Reading
from dash_app.words.events import event_text, plainly
from dash_app.words.numbers import exact_duration, join_names, moment, number, plural, size

FINDINGS_IN_BRIEF: dict[FindingKind, str] = {
    "gone": "file gone",
    "emptied": "file emptied",
    "truncated": "file cut short",
    "rows_dropped": "rows lost",
    "rolled_back": "rolled back",
    "replaced": "replaced",
    "log_held": "log held",
    "wal_growing": "WAL keeps growing",
    "disk_low": "disk nearly full",
    "late": "late",
    "down": "down",
    "few_rows": "too few rows",
    "no_such_table": "no such table",
    "wal_large": "log too large",
    "file_large": "file too large",
}
"""A finding in the headline, before "since 14:02"; with a capital, on a card's badge."""

MARKS = {
    "connected": "ok",
    "not_initialized": "new",
    "error": "ERROR",
    "undecided": "can't tell",
    "paused": "paused",
    **{str(kind): text.upper() for kind, text in FINDINGS_IN_BRIEF.items()},
}
"""What begins a line of plain text, by what a badge says."""

MAX_NOTES = 5
"""So many findings are told in words besides the worst; the rest is a number."""

MAX_LISTED, MAX_COMPARED, MAX_NAME_LETTERS = 6, 200, 60
"""Maximum number of tables listed, and of those compared with a name, which takes 30 µs each."""

MAX_DAYS = 365
MEANT = "If it was meant, mark it as seen. If not, stop its writer"
COMPARE = MEANT + " and compare it with a backup."
REMEDIES: dict[FindingKind, str] = {
    "rows_dropped": MEANT + ", move its `-wal` aside and restore a backup.",
    "rolled_back": MEANT + " and look for the newer file.",
    "replaced": MEANT + " and look for the former file.",
    "log_held": "A read in it never ended. Restart that program when it suits.",
    "wal_growing": "See who has it open, and what keeps them from a checkpoint.",
    "disk_low": "Free some space before its writers fail.",
    "late": "It may still come. If it does not, see whether its writer runs.",
    "down": "See whether its writer still runs, and what it said last.",
    "few_rows": "See what removed them, or lower `min_rows`.",
    "no_such_table": "Correct its name in the configuration, or remove its rule there.",
    "wal_large": "See who has it open: a long read or write keeps it from beginning anew.",
    "file_large": "Remove what is old and let its program `VACUUM` it, or raise `max_size`.",
}


def badge_text(badge: str) -> str:
    """Return what begins a line of plain text; what only a later version knows, as its words."""
    return MARKS.get(badge) or plainly(badge).upper()


def other_problems(verdict: str, found: Iterable[tuple[str, str | None, str]]) -> list[str]:
    """Return what is amiss besides the verdict, of findings by kind, table and text.

    Tables that are overdue too are named in one line.
    """
    rest = [one for one in found if one[2] != verdict]
    silent = [table for kind, table, _ in rest if table and kind in OVERDUE]
    lines = [text for kind, table, text in rest if not table or kind not in OVERDUE]
    if silent:
        lines.insert(0, f"Also overdue: {join_names(silent)}.")
    more = len(lines) - MAX_NOTES
    return [*lines[:MAX_NOTES], f"And {number(more)} more."] if more > 0 else lines


def remedy_for(event: Event, kind: FindingKind) -> str:
    """Return what to do about a problem that an event left behind.

    Only rows that are certainly gone are restored: with another copy, or after a migration, they
    may be elsewhere.
    """
    if event.kind == "back":
        return REMEDIES["rolled_back"]
    return COMPARE if event.kind == "schema_changed" else REMEDIES[kind]


def event_sentence(one: Event) -> str:
    """Return what happened, as a sentence."""
    return f"{event_text(one)}."


def log_held(reading: Reading, holder: Holder, pinned_since: datetime) -> str:
    """Return who keeps the log from being checkpointed."""
    held_by = f"{holder.command} (pid {holder.pid})"
    since = moment(pinned_since)
    return f"WAL {size(reading.wal_bytes or 0)}, held back by {held_by} since {since}."


def wal_growing(reading: Reading, growth: WalGrowth) -> tuple[str, str]:
    """Return why a WAL does not start over, and what to do."""
    what = f"WAL {size(reading.wal_bytes or 0)} beside a file of {size(reading.size_bytes or 0)}"
    if growth.is_checkpointed is False:
        return (
            f"{what}: nobody checkpoints it.",
            "Let its program run `PRAGMA wal_checkpoint`, or leave `wal_autocheckpoint` on.",
        )
    if growth.readers:
        readers = join_names(growth.readers)
        return (
            f"{what}: it can't start over, since there is always a reader: {readers}.",
            "Leave a pause between reads, or end those that run for long.",
        )
    return f"{what}: it does not start over, and why was not seen.", REMEDIES["wal_growing"]


def full_in(disk: Disk, bytes_per_day: int) -> str:
    """Return when a disk will be full, if that is near: , full in about 3 days at this rate."""
    days = disk.free_bytes // bytes_per_day if bytes_per_day > 0 else MAX_DAYS
    if days >= MAX_DAYS:
        return ""
    return f", full in about {days} {'day' if days == 1 else 'days'} at this rate"


def disk_line(disk: Disk) -> str:
    """Return how full a disk is: Disk 94% full, 1.4 GB left."""
    return f"Disk {int(disk.used_share * 100)}% full, {size(disk.free_bytes)} left"


def rhythm(standing: ExpectationState) -> str:
    """Return what is expected and what came: expected every 1 h, last at 14:02 UTC on 12 Nov."""
    last = f"last at {moment(standing.last_at)}" if standing.last_at else "nothing seen yet"
    return f"expected every {exact_duration(standing.expect.every)}, {last}"


def overdue(standing: ExpectationState, table: str | None) -> str:
    """Return which table, or that a file, was not written as expected."""
    told = rhythm(standing)
    return f"{table}: {told}." if table else f"A write is {told}."


def no_such_table(standing: ExpectationState, table: str) -> str:
    """Return that rows are expected of what is not there."""
    every = exact_duration(standing.expect.every)
    return f"{table}: there is no such table, rows expected every {every}."


@lru_cache(maxsize=256)
def unknown_table(table: str, tables: tuple[str, ...]) -> str:
    """Return that a rule names no table, and which there are: those with a like name first."""
    like = get_close_matches(table, tables[:MAX_COMPARED], MAX_LISTED)
    others = [name for name in tables[: MAX_COMPARED + MAX_LISTED] if name not in like]
    listed = [_short(name) for name in (*like, *others)[:MAX_LISTED]]
    rest = len(tables) - len(listed)
    more = f" and {number(rest)} more" if rest > 0 else ""
    return f"{_short(table)}: there is no such table. Tables: {', '.join(listed) or 'none'}{more}."


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME_LETTERS else f"{name[:MAX_NAME_LETTERS]}…"


def few_rows(table: str | None, rows: int | None, least: int) -> str:
    """Return how many rows there are; None where there is no such table."""
    held = "there is no such table" if rows is None else plural(rows, "row")
    return f"{table or 'All tables'}: {held}, at least {number(least)} expected."


def too_large(what: str, size_bytes: int, most_bytes: int) -> str:
    """Return how large a file is: WAL 1.2 GB, at most 1.0 GB expected."""
    return f"{what} {size(size_bytes)}, at most {size(most_bytes)} expected."
