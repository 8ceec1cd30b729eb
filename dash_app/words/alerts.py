"""What a message says: whom it concerns, what is amiss, since when, what to do, and where to look.

A message is titled by those whom its incident names first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash_app.words.numbers import age, ago, clock, number, plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dash_app.incident import Incident
    from dash_app.message import Message, MessageKind

MOST_LINES = 20
"""Of a summary: what is amiss with hundreds is read on the page."""


def alert_title(kind: MessageKind, one: Incident, now: datetime) -> str:
    """Return the title of a message about an incident."""
    whom, _, _ = one.text.partition(": ")
    if kind == "over" and one.ended_at:
        return f"{whom}: over after {age(one.ended_at - one.since)}"
    return (
        f"{whom}: needs you still, {age(now - one.since)}"
        if kind == "reminder"
        else (f"{whom}: needs you")
    )


def alert_body(kind: MessageKind, one: Incident, link: str, now: datetime) -> str:
    """Return the text of a message about an incident; `link` leads to what it concerns."""
    since = f"Since {clock(one.since, now)}"
    lines = [one.text]
    if kind == "over" and one.ended_at:
        lines.append(f"{since}, over since {clock(one.ended_at, now)}.")
    else:
        lines += [f"{since}.", one.remedy]
    return "\n".join([*lines, link] if link else lines)


def alerts_held_back(held: Sequence[Message], now: datetime) -> tuple[str, str]:
    """Return the title and text of one message in place of several."""
    lines = [f"{clock(one.made_at, now)}, {one.title}." for one in held[:MOST_LINES]]
    if len(held) > MOST_LINES:
        lines.append(f"And {number(len(held) - MOST_LINES)} more.")
    return f"{plural(len(held), 'message')} held back", "\n".join(lines)


def alerts_failing(lost: Sequence[Message]) -> tuple[str, str]:
    """Return that messages do not arrive, and what to do; `lost` are some that failed."""
    why = next((one.failure for one in reversed(lost) if one.failure), "")
    text = f"{plural(len(lost), 'message')} did not reach everybody: {why}."
    return text, "Mend that; `./ops/run alerts test` says whether messages arrive."


def alert_test(now: datetime) -> tuple[str, str]:
    """Return the title and text of a message that only tries whether it arrives."""
    return "Mission Control: a test", f"Messages arrive. Sent at {clock(now, now)}, on request."


def alert_state(one: Message, now: datetime) -> str:
    """Return how far a message has come, in a few words."""
    if one.sent_at:
        return f"sent {ago(now - one.sent_at)}"
    why = f": {one.failure}" if one.failure else ""
    if one.is_given_up:
        return f"given up{why}"
    if one.told_in:
        return f"told in {one.told_in}"
    tries = {0: "", 1: " after a try"}.get(one.attempts, f" after {number(one.attempts)} tries")
    return f"waits{tries}{why}"


def alerts_lost(lost: Sequence[Message], now: datetime) -> str:
    """Return what did not arrive before, for a line of the next message."""
    told = "; ".join(f"{clock(one.made_at, now)}, {one.title}" for one in lost[:MOST_LINES])
    return f"{plural(len(lost), 'message')} before this one did not reach everybody: {told}."
