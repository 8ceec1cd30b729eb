"""One line of plain text per database, for `/glance` and `status`.

Clock times are UTC, because the zone of the reader is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.words.numbers import age, ago, change, clock, is_one_day, plural
from dash_app.words.problems import badge_text, other_problems
from dash_app.words.summaries import (
    PAUSED,
    badge,
    headline,
    reading_notes,
    rows_in_tables,
    rows_of,
)


def glance_text(snapshot: Snapshot | None, now: datetime) -> str:
    """Return the headline and one line per database, for terminals and shortcuts."""
    if snapshot is None:
        return "Can't tell · nothing has been read yet\n"
    lines = (
        f"{word}  {label}  {glance_line(status, now)}" for status, word, label in aligned(snapshot)
    )
    return "\n".join([headline_with_age(snapshot, now), *lines, ""])


def headline_with_age(snapshot: Snapshot, now: datetime) -> str:
    """Return the headline with the time and age of the snapshot."""
    return f"{headline(snapshot)} · {snapshot_age(snapshot, now)}"


def snapshot_age(snapshot: Snapshot, now: datetime) -> str:
    """Return the time and age of a snapshot: 15:00:05 UTC, 2 s ago."""
    taken_at = snapshot.taken_at.astimezone(UTC)
    return f"{taken_at:%H:%M:%S} UTC, {ago(now - taken_at)}"


def aligned(snapshot: Snapshot) -> list[tuple[DatabaseStatus, str, str]]:
    """Return each database, worst first, with its badge as a word and its label, in columns."""
    statuses = snapshot.worst_first
    words = ["stale" if s.is_stale else badge_text(badge(s)) for s in statuses]
    labels = [status.database.label for status in statuses]
    word_width, label_width = max(map(len, words)), max(map(len, labels))
    return [
        (status, word.ljust(word_width), label.ljust(label_width))
        for status, word, label in zip(statuses, words, labels, strict=True)
    ]


def glance_line(status: DatabaseStatus, now: datetime) -> str:
    """Return the line of a database with its notes."""
    notes = [] if status.is_paused else reading_notes(status)
    return " ".join([status_line(status, now), *notes])


def status_line(status: DatabaseStatus, now: datetime) -> str:
    """Return the problems and numbers of a database in sentences."""
    return " ".join([*_problems(status, now), *_numbers(status, now)])


def _problems(status: DatabaseStatus, now: datetime) -> Iterator[str]:
    if status.problems or status.verdict != rows_in_tables(status.reading):
        yield status.verdict
    if status.problems and status.status != "not_initialized":
        since = status.problems[0].since
        yield f"Since {clock(since, now)} ({age(now - since)})."
    if status.is_paused:
        yield PAUSED
    else:
        yield from other_problems(status.verdict, status.problems)


def _numbers(status: DatabaseStatus, now: datetime) -> Iterator[str]:
    reading = status.reading
    if status.status == "error" and status.last_good:
        yield f"Last seen {plural(status.last_good.total_rows, 'row')}."
    if status.status == "connected":
        if reading.last_modified:
            yield f"Last write {ago(now - reading.last_modified)}."
        yield f"{rows_of(reading)}{_change(status, now)}."
    if status.is_stale:
        yield f"As of {clock(reading.verified_at, now)}, {ago(now - reading.verified_at)}."


def _change(status: DatabaseStatus, now: datetime) -> str:
    if status.change is None or status.activity is None:
        return ""
    since = status.activity.since
    period = "in 24 h" if is_one_day(since, now) else f"since {clock(since, now)}"
    return f", {change(status.change)} {period}"
