"""What a message says: whom it concerns, what is amiss, since when, what to do, and where to look.

A message is titled by those whom its incident names first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from dash_app.model.incident import Incident
from dash_app.model.notification import Notification, NotificationKind
from dash_app.words.incidents import incident_sentence, labels_and_cause
from dash_app.words.numbers import age, ago, clock, number, plural, truncate

MAX_LINES = 20
"""Of a summary: what is amiss with hundreds is read on the page."""

MAX_LOST = 3
"""Titles of earlier messages that were lost: the rest is a number, so that none grows too long."""

MAX_CAUSE_CHARACTERS, MAX_REMEDY_CHARACTERS = 120, 80
"""Characters of a cause and of what to do in a line of a summary."""


def notification_title(kind: NotificationKind, one: Incident) -> str:
    """Return the title of a message about an incident."""
    whom, _ = labels_and_cause(one)
    if kind == "over" and one.ended_at:
        return f"{whom}: over after {age(one.ended_at - one.since)}"
    return f"{whom}: still needs you" if kind == "reminder" else f"{whom}: needs you"


def notification_body(kind: NotificationKind, one: Incident, link: str, now: datetime) -> str:
    """Return the text of a message about an incident; `link` leads to what it concerns.

    The second line has the times, the third what to do unless it is over.
    """
    since = f"Since {clock(one.since, now)}"
    lines = [incident_sentence(one)]
    if kind == "over" and one.ended_at:
        lines.append(f"{since}, over since {clock(one.ended_at, now)}.")
    else:
        lines += [f"{since}.", one.remedy]
    return "\n".join([*lines, link] if link else lines)


def signature(host: str, mark: str) -> str:
    """Return the last line of a message: the machine that sent it, and the message's id."""
    return f"{host} ({mark})".lstrip()


def summary_text(held: Sequence[Notification], now: datetime) -> tuple[str, str]:
    """Return the title and text of one message in place of several, given the worst first."""
    lines = [_held(one, now) for one in held[:MAX_LINES]]
    if len(held) > MAX_LINES:
        lines.append(f"And {number(len(held) - MAX_LINES)} more.")
    kinds = Counter(one.kind for one in held)
    need, still, over = (kinds[kind] for kind in ("fault", "reminder", "over"))
    parts = [
        f"{number(need)} need{'s' if need == 1 else ''} you" if need else "",
        f"{number(still)} still need{'s' if still == 1 else ''} you" if still else "",
        f"{number(over)} over" if over else "",
    ]
    return ", ".join(part for part in parts if part), "\n".join(lines)


def _held(one: Notification, now: datetime) -> str:
    """Return a message in a line: when it was made, its title, its cause, and what to do."""
    text, times, *rest = [*one.body.splitlines(), "", ""]
    _, _, cause = text.partition(": ")
    line = f"{clock(one.made_at, now)}, {one.title}. {truncate(cause, MAX_CAUSE_CHARACTERS)}"
    if one.kind == "over":
        return f"{line} {times}"
    return f"{line} {truncate(rest[0], MAX_REMEDY_CHARACTERS)}" if one.kind == "fault" else line


def failing_text(lost: Sequence[Notification]) -> tuple[str, str]:
    """Return that messages do not arrive, and what to do; `lost` are some that failed."""
    why = next((one.failure for one in reversed(lost) if one.failure), "")
    text = f"{plural(len(lost), 'message')} did not reach everybody: {why}."
    return text, "Mend that; `./ops/run alerts test` says whether messages arrive."


def test_message(now: datetime) -> tuple[str, str]:
    """Return the title and text of a message that only tries whether it arrives."""
    return "Mission Control: a test", f"Messages arrive. Sent at {clock(now, now)}, on request."


def notification_state(one: Notification, now: datetime, held: tuple[str, datetime] | None) -> str:
    """Return how far a message has come; `held` is why it waits, and until when."""
    if one.sent_at:
        return f"sent {ago(now - one.sent_at)}"
    why = f": {one.failure}" if one.failure else ""
    if one.is_given_up:
        return f"{'reached some, ' if one.delivered_to else ''}given up{why}"
    if one.included_in:
        return f"told in {one.included_in}"
    tries = {0: "", 1: " after a try"}.get(one.attempts, f" after {number(one.attempts)} tries")
    until = f", {held[0]} until {clock(held[1], now)}" if held else ""
    return f"waits{tries}{until}{why}"


def lost_text(lost: Sequence[Notification], now: datetime) -> str:
    """Return what did not arrive before, for a line of the next message."""
    told = "; ".join(f"{clock(one.made_at, now)}, {one.title}" for one in lost[-MAX_LOST:])
    rest = len(lost) - MAX_LOST
    more = f"; and {number(rest)} earlier" if rest > 0 else ""
    return f"{plural(len(lost), 'message')} before this one did not reach everybody: {told}{more}."
