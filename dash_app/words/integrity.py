"""The page check in words: what was checked and when, and no more."""

from datetime import datetime

from dash_app.model.integrity import NOT_YET, Integrity
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.words.numbers import ago

Line = tuple[str, datetime | None]
"""A sentence without its full stop, and the time whose age is its end, if any."""


def check_line(status: DatabaseStatus) -> Line | None:
    """Return what the page check says of a readable database; None if a problem says it."""
    integrity, problems = status.integrity, {problem.code for problem in status.problems}
    if integrity is None or status.status != "connected" or "pages_damaged" in problems:
        return None
    return integrity_line(integrity)


def integrity_line(integrity: Integrity) -> Line:
    """Return the state of a page check: No damage found, checked 6 h ago; 31% checked."""
    if integrity.damage:
        return "Damage found", max(damage.found_at for damage in integrity.damage)
    if integrity.state == "clean":
        return "No damage found, checked", integrity.checked_at
    if integrity.state == "checking":
        return f"{percent(integrity)} checked", None
    reason = integrity.reason or NOT_YET
    return reason.capitalize() if reason == NOT_YET else f"Not checked: {reason}", None


def percent(integrity: Integrity) -> str:
    """Return the checked share, rounded down, so that 100% means all."""
    return f"{int(integrity.checked_share * 100)}%"


def spoken_line(line: Line, now: datetime) -> str:
    """Return a line as a plain sentence."""
    text, at = line
    return f"{text} {ago(now - at)}." if at else f"{text}."


def databases_checked(snapshot: Snapshot) -> str:
    """Return how many databases were checked to their end: 5 of 5 checked; "" if unknown."""
    seen = (status for status in snapshot.databases if status.status != "not_initialized")
    known = [status.integrity for status in seen if status.integrity]
    checked = sum(one.state != "unchecked" and one.checked_at is not None for one in known)
    return f"{checked} of {len(snapshot.databases)} checked" if known else ""
