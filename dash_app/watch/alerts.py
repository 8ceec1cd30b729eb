"""When who is told what: from incidents, and what was told of them, to messages.

Pure functions. What needs a person is told once, when it has lasted; that it is over once, when
that has lasted too; in between there are reminders. What may not be sent yet waits, and what waited
together goes as one. What is merely late is told once it is down.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from dash_app import words
from dash_app.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from dash_app.hours import Quiet
    from dash_app.incident import Incident
    from dash_app.message import MessageKind

PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 4, 10, 15, 30))
"""Between tries, which come to an end after an hour."""

FAILING = "alerts_failing"
UNTOLD = frozenset({"late", FAILING})
"""Kinds of which no message tells: what is late is soon down, and lost messages are in the next."""

TRIES_UNTIL_TOLD = 3
"""So many tries without success are no mere hiccup: five minutes have passed."""

AN_HOUR = timedelta(hours=1)
"""Also how long tries rest before what is amiss still is told anew: a receiver may be back."""


@dataclass(frozen=True, slots=True)
class Manners:
    """When a person wants to be told, as in the settings; `link` is the page's address or empty."""

    after: timedelta
    settle: timedelta
    remind: timedelta
    quiet: Quiet
    most_an_hour: int
    link: str


@dataclass(frozen=True, slots=True)
class Outbox:
    """What was told and is to be told, oldest first, and the incidents that this is about.

    Those are kept until they are told to be over, whatever becomes of them elsewhere.
    """

    messages: tuple[Message, ...] = ()
    incidents: tuple[Incident, ...] = ()

    def moved(self, by: timedelta) -> Outbox:
        """Return the outbox with all times moved by as much as the clock was set."""
        return Outbox(
            tuple(one.moved(by) for one in self.messages),
            tuple(one.moved(by) for one in self.incidents),
        )


def follow(
    outbox: Outbox, incidents: Iterable[Incident], manners: Manners, now: datetime
) -> Outbox:
    """Return the outbox with what is to be told of incidents that are open or over of late."""
    outbox = replace(outbox, messages=tuple(one.up_to(now) for one in outbox.messages))
    new = [_begun(one, outbox, manners, now) for one in incidents]
    seen = {(one.key, number) for one in new for number in (one.id, None)}
    known = [one for one in outbox.incidents if (one.key, one.id) not in seen]
    told: list[Incident] = []
    for one in (*known, *new):
        about = _about(one, outbox.messages)
        outbox = _replaced(
            outbox, [replace(m, incident=one.id) for m in about if m.incident != one.id]
        )
        kind = _kind(one, about, manners, now)
        if kind:
            outbox = _tell(outbox, kind, one, manners, now)
        if _about(one, outbox.messages):
            told.append(one)
    return replace(_without_what_is_done(outbox, told, now), incidents=tuple(told))


def release(outbox: Outbox, manners: Manners, now: datetime) -> tuple[Outbox, list[Message]]:
    """Return the outbox after what may be sent now is taken to be tried, and what that is."""
    if manners.quiet.covers(now):
        return outbox, []
    waiting = [one for one in outbox.messages if one.waits]
    left = manners.most_an_hour - sum(_was_tried_of_late(one, now) for one in outbox.messages)
    again = [one for one in waiting if one.attempts and _is_due(one, now)]
    # The hour has room already for what was tried in it, but not for what quiet hours kept since.
    rested = [one for one in again if not _was_tried_of_late(one, now)]
    again = [one for one in again if one not in rested[max(left, 0) :]]
    left -= min(len(rested), max(left, 0))
    fresh = [one for one in waiting if not one.attempts]
    alone, together = _shared_out(fresh, left, manners)
    if together:
        summary = _summary(together, now)
        outbox = _replaced(outbox, [replace(one, told_in=summary.mark) for one in together])
        outbox = replace(outbox, messages=(*outbox.messages, summary))
        alone = [*alone, summary]
    tried = [
        replace(one, attempts=one.attempts + 1, tried_at=now, due_at=now + _pause(one.attempts))
        for one in (*again, *alone)
    ]
    return _replaced(outbox, tried), tried


def reached(outbox: Outbox, mark: str, receiver: str) -> Outbox:
    """Return the outbox after one receiver has a message, which is not sent to that one again."""
    return _replaced(
        outbox,
        [
            replace(one, reached=(*one.reached, receiver))
            for one in outbox.messages
            if one.mark == mark and receiver not in one.reached
        ],
    )


def settled(outbox: Outbox, mark: str, failure: str | None, now: datetime) -> Outbox:
    """Return the outbox after a try of one message; `failure` is None where all have it."""
    one = next((one for one in outbox.messages if one.mark == mark), None)
    if one is None:
        return outbox
    if failure is None:
        return _replaced(outbox, [replace(one, failure=None, sent_at=now)])
    one = replace(one, failure=failure)
    if one.attempts <= len(PAUSES):
        return _replaced(outbox, [one])
    # What it told of in place of others is as lost as itself, and the next one tells of all.
    within = [replace(m, told_in=None) for m in outbox.messages if m.told_in == mark]
    lost = [replace(m, is_given_up=True) for m in (*within, one)]
    return _replaced(outbox, lost)


def failing(outbox: Outbox) -> list[Message]:
    """Return the messages that were given up and not told of since, or fail for minutes."""
    return [
        one
        for one in outbox.messages
        if _is_lost(one) or (one.waits and one.failure and one.attempts >= TRIES_UNTIL_TOLD)
    ]


def _begun(one: Incident, outbox: Outbox, manners: Manners, now: datetime) -> Incident:
    """Return an incident without times in the future, which nobody corrected.

    How long it has lasted, or been over, is unknown then: it counts as long enough.
    """
    ended_at = one.ended_at
    if ended_at and ended_at > now:
        ended_at = now - manners.settle
    if one.since <= now:
        return replace(one, ended_at=ended_at)
    known = next((other.since for other in outbox.incidents if other.key == one.key), now)
    return replace(one, since=min(known, now - manners.after), ended_at=ended_at)


def _about(one: Incident, messages: Sequence[Message]) -> list[Message]:
    """Return what was told of an incident, since somebody heard that it was over if it ever was."""
    about = [
        message
        for message in messages
        if message.cause == one.key
        and (
            message.incident == one.id
            if message.incident and one.id
            else message.made_at >= one.since
        )
    ]
    heard = {m.mark for m in messages if m.sent_at or m.reached}
    ends = [
        n
        for n, message in enumerate(about, 1)
        if message.kind == "over" and heard & {message.mark, message.told_in}
    ]
    return about[max(ends, default=0) :]


def _kind(
    one: Incident, about: Sequence[Message], manners: Manners, now: datetime
) -> MessageKind | None:
    """Return what is to be told of an incident now."""
    if one.ended_at:
        is_told = about and about[-1].kind == "over" and not _is_to_be_told_anew(about[-1], now)
        is_over = now - one.ended_at >= manners.settle
        return "over" if about and is_over and not is_told else None
    if one.kind in UNTOLD or (one.acknowledged and one.acknowledged.holds(now)):
        return None
    if not about:
        return "fault" if now - one.since >= manners.after else None
    last = about[-1]
    if _is_to_be_told_anew(last, now):
        return "fault" if last.kind == "over" else last.kind
    if not manners.remind or any(message.waits for message in about):
        return None
    return "reminder" if now - last.made_at >= manners.remind else None


def _is_to_be_told_anew(one: Message, now: datetime) -> bool:
    """Whether a message reached nobody, and its tries have rested for an hour."""
    rested = now - (one.tried_at or one.made_at) >= AN_HOUR
    return one.is_given_up and not one.reached and rested


def _tell(
    outbox: Outbox, kind: MessageKind, one: Incident, manners: Manners, now: datetime
) -> Outbox:
    """Return the outbox with a message about an incident, in place of any that still waits."""
    mark = _mark(kind, one.key, now)
    link = manners.link and f"{manners.link}/{_page(one)}"
    lost = [message for message in outbox.messages if _is_lost(message)]
    parts = [words.alert_body(kind, one, link, now)]
    if lost:
        parts.append(words.alerts_lost(lost, now))
    message = Message(
        mark=mark,
        kind=kind,
        cause=one.key,
        incident=one.id,
        title=words.alert_title(kind, one, now),
        body="\n".join([*parts, f"({mark})"]),
        made_at=now,
        due_at=now,
    )
    waiting = [message for message in _about(one, outbox.messages) if message.waits]
    replaced = [replace(former, told_in=mark) for former in (*lost, *waiting)]
    outbox = _replaced(outbox, replaced)
    return replace(outbox, messages=(*outbox.messages, message))


def _page(one: Incident) -> str:
    return f"databases/{one.databases[0]}" if len(one.databases) == 1 else ""


def _shared_out(
    fresh: Sequence[Message], left: int, manners: Manners
) -> tuple[list[Message], list[Message]]:
    """Return which new messages go alone now and which together as one; the others wait.

    Together go those of quiet hours, and those for which the hour has no room: what it has `left`
    is for one that tells of them.
    """
    if left <= 0:
        return [], []
    together = [one for one in fresh if manners.quiet.covers(one.made_at)]
    if len(together) == 1:
        together = []
    alone = [one for one in fresh if one not in together]
    if len(alone) + bool(together) > left:
        together, alone = [*together, *alone[left - 1 :]], alone[: left - 1]
    return alone, together


def _summary(held: Sequence[Message], now: datetime) -> Message:
    mark = _mark("summary", held[0].mark, now)
    title, body = words.alerts_held_back(held, now)
    return Message(mark, "summary", "", None, title, f"{body}\n({mark})", now, now)


def _mark(kind: MessageKind, cause: str, now: datetime) -> str:
    text = f"{kind} {cause} {now.isoformat()}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _pause(attempts: int) -> timedelta:
    return PAUSES[min(attempts, len(PAUSES) - 1)]


def _is_due(one: Message, now: datetime) -> bool:
    """Whether a message may be tried again; a clock that was set back lets none wait longer."""
    return not now < one.due_at <= now + max(PAUSES)


def _was_tried_of_late(one: Message, now: datetime) -> bool:
    return one.tried_at is not None and now - AN_HOUR < one.tried_at <= now


def _is_lost(one: Message) -> bool:
    return one.is_given_up and one.told_in is None


def _replaced(outbox: Outbox, changed: Iterable[Message]) -> Outbox:
    """Return the outbox with these messages in place of those of the same marks."""
    new = {one.mark: one for one in changed}
    return replace(outbox, messages=tuple(new.get(one.mark, one) for one in outbox.messages))


def _without_what_is_done(outbox: Outbox, told: Sequence[Incident], now: datetime) -> Outbox:
    """Return the outbox without what nothing follows from any more."""
    needed = {message.mark for one in told for message in _about(one, outbox.messages)}
    needed |= {one.mark for one in outbox.messages if one.waits or _is_lost(one)}
    kept = tuple(
        one
        for one in outbox.messages
        if one.mark in needed or one.told_in in needed or _was_tried_of_late(one, now)
    )
    return replace(outbox, messages=kept)
