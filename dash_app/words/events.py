"""Events in one line each."""

from collections.abc import Sequence
from datetime import datetime

from dash_app.model.event import Event
from dash_app.words.numbers import after, first_of, number, plural, size

MAX_PARTS = 3
"""Maximum number of changes listed in one event; the others are counted."""


def event_text(event: Event) -> str:
    """Return an event in one line, without a full stop."""
    text = _description(event)
    lost = _lost_rows(event) if event.kind != "rows_dropped" else ""
    if lost and event.kind in {"back", "replaced"}:
        was, now = event.before["rows"], event.after["rows"]
        fewer = sum(was[table] - (now[table] or 0) for table in was)
        text = f"{text} with {plural(fewer, 'fewer row')}: {lost}"
    elif lost:
        text = f"{text}; {lost}"
    moved = event.after.get("movedTo")
    return f"{text}; the previous file is now {moved}" if moved else text


def came_meanwhile(rows: int) -> str:
    """Return the rows written in a gap, behind its times; nothing of none.

    A large table is counted only some time after a gap, so that not all of its rows are known.
    """
    return f"; {plural(rows, 'row')} came meanwhile" if rows else ""


def spell_out(code: str) -> str:
    """Return words for a code or kind that only a later version knows: A new kind."""
    return code.replace("_", " ").capitalize()


def _description(event: Event) -> str:
    was, now, text = event.before, event.after, spell_out(event.kind)
    match event.kind:
        case "emptied":
            text = f"Emptied: it held {plural(was['totalRows'], 'row')}"
        case "truncated":
            text = f"Cut short: {size(was['sizeBytes'])} → {size(now['sizeBytes'])}"
        case "back":
            text = f"Back {after(event.at - datetime.fromisoformat(was['since']))}"
        case "replaced":
            text = "Replaced by another file" if "file" in was else "Overwritten by another copy"
        case "rolled_back":
            text = "Went back to an older state"
        case "schema_changed":
            text = f"Schema changed: {_changed_objects(was['objects'], now['objects'])}"
        case "rows_dropped":
            is_empty = not any(now["rows"].values())
            text = f"{'Emptied' if is_empty else 'Rows lost'}: {_lost_rows(event)}"
        case "version_changed":
            names = {"userVersion": "user_version", "applicationId": "application_id"}
            parts = [f"{names[name]} {old} → {now[name]}" for name, old in was.items()]
            text = f"Version changed: {', '.join(parts)}"
    return text


def _changed_objects(removed: Sequence[str], added: Sequence[str]) -> str:
    parts = [f"+ {name}" for name in added if name not in removed]
    parts += [f"− {name}" for name in removed if name not in added]
    parts += [f"changed {name}" for name in added if name in removed]
    return ", ".join(first_of(parts, MAX_PARTS))


def _lost_rows(event: Event) -> str:
    """Return the tables that lost rows: tasks 126 → 0."""
    was, now = event.before.get("rows", {}), event.after.get("rows", {})
    parts = [f"{name} {number(was[name])} → {number(now[name] or 0)}" for name in was]
    return ", ".join(first_of(parts, MAX_PARTS))
