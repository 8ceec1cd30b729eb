"""What happened to a database, in one line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from dash_app.model.event import Event, EventKind
from dash_app.words.numbers import age, number, plural, size

MAX_PARTS = 3
"""So many changes are named in the line of an event; the rest is a number."""


def event_text(event: Event) -> str:
    """Return what happened, in one line."""
    told = TELL.get(event.kind)
    text = told(event) if told else SAID.get(event.kind) or plainly(event.kind)
    lost = fallen(event) if event.kind != "rows_dropped" else ""
    if lost and event.kind in {"back", "replaced"}:
        was, now = event.before["rows"], event.after["rows"]
        fewer = sum(was[table] - (now[table] or 0) for table in was)
        return f"{text} with {plural(fewer, 'row')} fewer: {lost}"
    return f"{text}; {lost}" if lost else text


def plainly(code: str) -> str:
    """Return a code or kind that only a later version knows as words: a_new_kind, A new kind."""
    return code.replace("_", " ").capitalize()


def _emptied(event: Event) -> str:
    return f"Emptied: it held {plural(event.before['totalRows'], 'row')}"


def _truncated(event: Event) -> str:
    was, now = event.before["sizeBytes"], event.after["sizeBytes"]
    return f"Cut short: {size(was)} → {size(now)}"


def _back(event: Event) -> str:
    return f"Back after {age(event.at - datetime.fromisoformat(event.before['since']))}"


def _replaced(event: Event) -> str:
    in_place = "file" not in event.before
    return "Overwritten by another copy" if in_place else "Replaced by another file"


def _schema_changed(event: Event) -> str:
    gone, new = event.before["objects"], event.after["objects"]
    parts = [f"+ {one}" for one in new if one not in gone]
    parts += [f"− {one}" for one in gone if one not in new]
    parts += [f"changed {one}" for one in new if one in gone]
    rest = len(parts) - MAX_PARTS
    more = [f"{number(rest)} more"] if rest > 0 else []
    return "Schema changed: " + ", ".join(parts[:MAX_PARTS] + more)


def _rows_dropped(event: Event) -> str:
    emptied = not any(event.after["rows"].values())
    return f"{'Emptied' if emptied else 'Rows dropped'}: {fallen(event)}"


def _version_changed(event: Event) -> str:
    names = {"userVersion": "user_version", "applicationId": "application_id"}
    parts = [f"{names[one]} {event.before[one]} → {event.after[one]}" for one in event.before]
    return f"Version changed: {', '.join(parts)}"


def fallen(event: Event) -> str:
    """Return which tables fell: tasks 126 → 0, and at most two more."""
    was, now = event.before.get("rows", {}), event.after.get("rows", {})
    parts = [f"{name} {number(was[name])} → {number(now[name] or 0)}" for name in was]
    rest = len(parts) - MAX_PARTS
    more = [f"{number(rest)} more"] if rest > 0 else []
    return ", ".join(parts[:MAX_PARTS] + more)


SAID: dict[EventKind, str] = {
    "gone": "Gone",
    "rolled_back": "Went back to an older state",
}
TELL: dict[EventKind, Callable[[Event], str]] = {
    "emptied": _emptied,
    "truncated": _truncated,
    "back": _back,
    "replaced": _replaced,
    "schema_changed": _schema_changed,
    "rows_dropped": _rows_dropped,
    "version_changed": _version_changed,
}
