"""When the problem that an event left behind is over: undone, usual work, or acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from dash_app.model.event import Event
from dash_app.model.reading import Reading
from dash_app.rules.changes import NEWEST, progress
from dash_app.rules.drop_policy import DEFAULT_POLICY, DropPolicy


def resolve_events(
    open_events: Sequence[Event],
    new: Sequence[Event],
    reading: Reading,
    acknowledged_until: datetime | None,
    policy: DropPolicy = DEFAULT_POLICY,
) -> tuple[Event, ...]:
    """Return all events, open and new; those whose problem is over have their end.

    A person acknowledged all events up to `acknowledged_until`.
    """
    is_another_copy = any(event.kind in {"back", "replaced"} for event in new)
    over = [
        event
        for event in open_events
        if _is_undone(event, reading, policy, is_another_copy=is_another_copy)
    ]
    if any(_is_replacement(event) for event in over):
        # The return of the original file is itself a replacement, but leaves no problem.
        over += [event for event in new if "file" in event.before]
    if acknowledged_until:
        # An event in the future happened before the clock was set back.
        over += [e for e in open_events if not acknowledged_until < e.at <= reading.verified_at]
    return tuple(
        replace(event, ended_at=reading.verified_at)
        if event in over or _is_usual(event, policy)
        else event
        for event in (*open_events, *new)
    )


def _is_replacement(event: Event) -> bool:
    return NEWEST in event.before or event.kind in {"back", "replaced", "rolled_back"}


def _is_usual(event: Event, policy: DropPolicy) -> bool:
    """Whether a file that is replaced regularly was replaced by one with no fewer rows."""
    is_less = bool(event.before.get("rows")) or "counters" in event.before
    return event.kind == "replaced" and policy.habits.is_replaced and not is_less


def _is_undone(
    event: Event, reading: Reading, policy: DropPolicy, *, is_another_copy: bool
) -> bool:
    """Whether the state before an event is back.

    The newest state is back with its file, or with a copy of it. If the file is still the same
    copy, counters and rows that catch up prove nothing, since new rows increase them too.
    """
    if reading.code is not None:
        return False
    if _is_replacement(event):
        is_original = "file" in event.before and event.before["file"] == reading.file
        if NEWEST not in event.before:  # stored by an earlier version
            return is_original
        newest, now = event.before[NEWEST], progress(reading)
        if newest["modified"] and now == newest != event.after[NEWEST]:
            return True
        is_candidate = is_original or is_another_copy  # the inode of a deleted file is reused
        counters = ("totalRows", "changes")
        return is_candidate and all((now[name] or 0) >= (newest[name] or 0) for name in counters)
    return all(
        (count := reading.tables.get(table)) is not None
        and count.is_exact
        and not policy.is_reportable(table, rows, count.rows or 0)
        for table, rows in event.before["rows"].items()
    )
