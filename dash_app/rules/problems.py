"""What is amiss with a database now, also while it can be read: rules that need no learning.

Pure functions over the model. A finding ends by itself when its cause does; one that an event
brought, for which nothing can be read any more, also when a person acknowledges it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf

from dash_app.model.event import Event
from dash_app.model.level import SEVERITY, Level
from dash_app.model.problem import FindingKind, Problem
from dash_app.model.reading import Reading
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.rules.changes import NEWEST, WHOLE, has_newest, is_same_copy
from dash_app.rules.drop_policy import DEFAULT_POLICY, DropPolicy
from dash_app.words.problems import REMEDIES, event_sentence, log_held, remedy_for, wal_growing

LOG_HELD_BYTES = 64_000_000
LOG_HELD = timedelta(minutes=1)
"""SQLite checkpoints every 4 MB by default: a log this far behind a reader this old goes on so."""


def problem_since(status: DatabaseStatus) -> datetime:
    """Return when the first problem of a database began, or otherwise its status."""
    return status.problems[0].since if status.problems else status.since


def ranked(snapshot: Snapshot) -> list[DatabaseStatus]:
    """Return the databases, worst level first, and then what needs a person longest."""

    def rank(one: DatabaseStatus) -> tuple[int, float]:
        since = problem_since(one).timestamp() if one.needs_you else inf
        return -SEVERITY.index(one.level), since

    return sorted(snapshot.databases, key=rank)


def problem_of(event: Event) -> Problem | None:
    """Return the problem that an event leaves behind; None if it is only worth remembering."""
    lost = bool(event.before.get("rows"))
    kinds: dict[str, FindingKind] = {"rolled_back": "rolled_back", "replaced": "replaced"}
    kind = kinds.get(event.kind, "rows_dropped" if lost else None)
    if kind is None or WHOLE in event.before:
        return None
    level: Level = "notice" if kind == "replaced" and not lost else "fault"
    text, remedy = event_sentence(event), remedy_for(event, kind)
    return Problem(kind, level, event.at, text, remedy, event.database, needs_acknowledgement=True)


def settle(
    unsettled: Sequence[Event],
    new: Iterable[Event],
    reading: Reading,
    seen_until: datetime | None,
    policy: DropPolicy = DEFAULT_POLICY,
) -> tuple[Event, ...]:
    """Return all these events; those that are undone, usual or acknowledged with their end.

    `seen_until` is up to when a person acknowledged what happened.
    """
    new = tuple(new)
    is_another_copy = any(event.kind in {"back", "replaced"} for event in new)
    undone = [
        event
        for event in unsettled
        if _is_undone(event, reading, policy, is_another_copy=is_another_copy)
    ]
    over = undone + [event for event in unsettled if _is_seen(event, reading, seen_until)]
    if any(_took_its_place(event) for event in undone):
        # The former file's return is a replacement too, but one that leaves no problem.
        over += [event for event in new if "file" in event.before]
    return tuple(
        replace(event, ended_at=reading.verified_at)
        if event in over or _is_usual(event, policy)
        else event
        for event in (*unsettled, *new)
    )


def _is_seen(event: Event, reading: Reading, seen_until: datetime | None) -> bool:
    """Whether a person acknowledged an event: its time, or one before the clock was set back."""
    if seen_until is None:
        return False
    return event.at <= seen_until or event.at > reading.verified_at


def _took_its_place(event: Event) -> bool:
    """Return whether another file or copy took a database's place."""
    return NEWEST in event.before or event.kind in {"back", "replaced", "rolled_back"}


def _is_usual(event: Event, policy: DropPolicy) -> bool:
    """Return whether a file that is meant to be replaced was, by one that is no less."""
    is_less = bool(event.before.get("rows")) or "counters" in event.before
    return event.kind == "replaced" and policy.habits.is_replaced and not is_less


def _is_undone(
    event: Event, reading: Reading, policy: DropPolicy, *, is_another_copy: bool
) -> bool:
    """Return whether the state before an event is back.

    The newest state is back with its file, or with a copy of it. Counters and rows that catch up
    prove nothing while it is the same copy, since new rows move them too.
    """
    if reading.code is not None:
        return False
    if _took_its_place(event):
        is_former = "file" in event.before and event.before["file"] == reading.file
        if NEWEST not in event.before:  # stored by an earlier version
            return is_former
        is_candidate = is_former or is_another_copy  # the number of a removed file is used again
        return is_same_copy(event, reading) or (is_candidate and has_newest(event, reading))
    return all(
        (count := reading.tables.get(table)) is not None
        and count.is_exact
        and not policy.is_reportable(table, rows, count.rows or 0)
        for table, rows in event.before["rows"].items()
    )


def host_problems(database: str, reading: Reading) -> Iterator[Problem]:
    """Yield problems of a WAL that cannot be checkpointed or does not start over."""
    around = reading.surroundings
    pins = [(one.pins_since, one) for one in around.holders or () if one.pins_since]
    if pins and (around.backlog_bytes or 0) >= LOG_HELD_BYTES:
        since, holder = min(pins, key=lambda pin: pin[0])
        if reading.verified_at - since >= LOG_HELD:
            text = log_held(reading, holder, since)
            yield Problem("log_held", "notice", since, text, REMEDIES["log_held"], database)
            return
    growth = around.wal_growth
    if growth and growth.is_lasting:
        text, remedy = wal_growing(reading, growth)
        yield Problem("wal_growing", "notice", growth.since, text, remedy, database)


def with_earlier_growth(reading: Reading, last: Reading | None) -> Reading:
    """Return a reading whose WAL has been growing since an earlier reading, if it was so then.

    `last` is the last good reading, perhaps of before a restart. A WAL of the same generation has
    not started over since.
    """
    growth = reading.surroundings.wal_growth
    earlier = last.surroundings.wal_growth if last else None
    if not growth or not earlier or earlier.generation != growth.generation:
        return reading
    since, is_lasting = min(growth.since, earlier.since), growth.is_lasting or earlier.is_lasting
    growth = replace(growth, since=since, is_lasting=is_lasting)
    return replace(reading, surroundings=replace(reading.surroundings, wal_growth=growth))
