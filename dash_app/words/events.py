"""Events in one line each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from dash_app.model.event import Event, EventKind
from dash_app.words.numbers import age, number, plural, size

MAX_PARTS = 3
"""Maximum number of changes listed in one event; the others are counted."""


def event_text(event: Event) -> str:
    """Return an event in one line, without a full stop."""
    describe = DESCRIPTIONS.get(event.kind)
    text = describe(event) if describe else TEXTS.get(event.kind) or spell_out(event.kind)
    lost = _lost_rows(event) if event.kind != "rows_dropped" else ""
    if lost and event.kind in {"back", "replaced"}:
        was, now = event.before["rows"], event.after["rows"]
        fewer = sum(was[table] - (now[table] or 0) for table in was)
        return f"{text} with {plural(fewer, 'fewer row')}: {lost}"
    return f"{text}; {lost}" if lost else text


def spell_out(code: str) -> str:
    """Return words for a code or kind that only a later version knows: A new kind."""
    return code.replace("_", " ").capitalize()


def _emptied(event: Event) -> str:
    return f"Emptied: it held {plural(event.before['totalRows'], 'row')}"


def _truncated(event: Event) -> str:
    was, now = event.before["sizeBytes"], event.after["sizeBytes"]
    return f"Cut short: {size(was)} → {size(now)}"


def _back(event: Event) -> str:
    return f"Back after {age(event.at - datetime.fromisoformat(event.before['since']))}"


def _replaced(event: Event) -> str:
    is_in_place = "file" not in event.before
    return "Overwritten by another copy" if is_in_place else "Replaced by another file"


def _schema_changed(event: Event) -> str:
    removed, added = event.before["objects"], event.after["objects"]
    parts = [f"+ {name}" for name in added if name not in removed]
    parts += [f"− {name}" for name in removed if name not in added]
    parts += [f"changed {name}" for name in added if name in removed]
    return f"Schema changed: {_join(parts)}"


def _rows_dropped(event: Event) -> str:
    is_empty = not any(event.after["rows"].values())
    return f"{'Emptied' if is_empty else 'Rows dropped'}: {_lost_rows(event)}"


def _version_changed(event: Event) -> str:
    names = {"userVersion": "user_version", "applicationId": "application_id"}
    parts = [f"{names[name]} {was} → {event.after[name]}" for name, was in event.before.items()]
    return f"Version changed: {', '.join(parts)}"


def _lost_rows(event: Event) -> str:
    """Return the tables that lost rows: tasks 126 → 0."""
    was, now = event.before.get("rows", {}), event.after.get("rows", {})
    return _join([f"{name} {number(was[name])} → {number(now[name] or 0)}" for name in was])


def _join(parts: Sequence[str]) -> str:
    rest = len(parts) - MAX_PARTS
    more = [f"{number(rest)} more"] if rest > 0 else []
    return ", ".join([*parts[:MAX_PARTS], *more])


TEXTS: dict[EventKind, str] = {
    "gone": "Gone",
    "rolled_back": "Went back to an older state",
}
DESCRIPTIONS: dict[EventKind, Callable[[Event], str]] = {
    "emptied": _emptied,
    "truncated": _truncated,
    "back": _back,
    "replaced": _replaced,
    "schema_changed": _schema_changed,
    "rows_dropped": _rows_dropped,
    "version_changed": _version_changed,
}
