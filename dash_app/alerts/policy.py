"""When who is told what: from incidents, and what was told of them, to messages.

Pure functions. What needs a person is told once, when it has lasted; that it is over once, when
that has lasted too; in between there are reminders. What may not be sent yet waits, and what waited
together goes as one. What is merely late is told once it is down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from dash_app.model.incident import Incident
from dash_app.model.notification import AN_HOUR, Notification, NotificationKind
from dash_app.model.quiet_hours import QuietHours
from dash_app.words.notifications import (
    lost_text,
    notification_body,
    notification_title,
    signature,
    summary_text,
)

PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 4, 10, 15, 30))
"""Between tries, which come to an end after an hour."""

FAILING: Final = "alerts_failing"
UNTOLD = frozenset({"late", FAILING})
"""Kinds of which no message tells: what is late is soon down, and lost messages are in the next."""

HAVING = frozenset({"delivered", "partial"})
FINAL = frozenset({"refused", "partial"})
"""Outcomes of attempts after which a receiver has a notification, at least in part; and after which
another attempt soon after would end the same, or reach somebody twice."""

TRIES_UNTIL_TOLD = 3
"""So many tries without success are no mere hiccup: five minutes have passed."""

RESTS = tuple(timedelta(hours=hours) for hours in (1, 4, 18, 24))
"""Pauses after a notification was given up, each before one more attempt to send it. Then only
reminders are left: a receiver that got it without confirming gets at most ten in three days."""

AWAY_REST = timedelta(hours=1)
"""The pause after a receiver could not be connected to, and so has got nothing."""

MAX_LOST = timedelta(days=7)
"""A notification that was lost for longer is no longer mentioned."""

TYPES: dict[NotificationKind, str] = {"fault": "failure", "reminder": "warning", "over": "success"}
"""apprise's types, which choose colours, icons and priorities; worst first."""


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """When a person wants to be told, as in the settings.

    `link` is the page's address or empty, `host` the name of this machine.
    """

    after: timedelta
    settle: timedelta
    remind: timedelta
    quiet: QuietHours
    most_an_hour: int
    link: str
    host: str = ""


@dataclass(frozen=True, slots=True)
class Outbox:
    """What was told and is to be told, oldest first, and the incidents that this is about.

    Those are kept until they are told to be over, whatever becomes of them elsewhere.
    """

    messages: tuple[Notification, ...] = ()
    incidents: tuple[Incident, ...] = ()


def follow(
    outbox: Outbox, incidents: Iterable[Incident], manners: AlertPolicy, now: datetime
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


def release(
    outbox: Outbox, manners: AlertPolicy, now: datetime
) -> tuple[Outbox, list[Notification]]:
    """Return the outbox after the messages of now were taken from it, and those messages.

    New faults come first. Of each hour only half is for anything else, so that a fault never has to
    wait for that; what has no room, or waited for the end of quiet hours, is combined.
    """
    if manners.quiet.covers(now):
        return outbox, []
    waiting = [one for one in outbox.messages if one.waits and not _is_outdated(one, outbox)]
    again = [one for one in waiting if one.attempts and _is_due(one, now)]
    # The hour has room already for what was tried in it, but not for what quiet hours kept since.
    room = _Room.of(outbox, manners, now)
    rested = [one for one in again if not _was_tried_of_late(one, now)]
    for is_fault in (True, False):
        due = [one for one in rested if (_worst_kind(one, outbox) == "fault") == is_fault]
        places = room.has(is_fault=is_fault)
        again = [one for one in again if one not in due[places:]]
        room.use(len(due[:places]), is_fault=is_fault)
    fresh = [one for one in waiting if not one.attempts]
    alone, together = _shared_out(fresh, room, manners)
    if together:
        summary = _summary(together, manners, now)
        outbox = _replaced(outbox, [replace(one, told_in=summary.mark) for one in together])
        outbox = replace(outbox, messages=(*outbox.messages, summary))
        alone = [*alone, summary]
    tried = [
        replace(one, attempts=one.attempts + 1, tried_at=now, due_at=now + _pause(one.attempts))
        for one in (*again, *alone)
    ]
    return _replaced(outbox, tried), tried


def types_of(outbox: Outbox, sent: Iterable[Notification]) -> dict[str, str]:
    """Return apprise's types of messages by their marks: of a summary, that of its worst part."""
    return {one.mark: TYPES.get(_worst_kind(one, outbox), "info") for one in sent}


def held_back(
    one: Notification,
    messages: Sequence[Notification],
    quiet: QuietHours,
    most_an_hour: int,
    now: datetime,
) -> tuple[str, datetime] | None:
    """Return why a message that waits was not sent yet, and until when; None if it is due."""
    if quiet.covers(now):
        return "quiet hours", quiet.next_active(now)
    if one.attempts:
        return ("next attempt", one.due_at) if one.due_at > now else None
    tried = sorted(m.tried_at for m in messages if m.tried_at and _was_tried_of_late(m, now))
    if len(tried) >= most_an_hour - (0 if one.kind == "fault" else most_an_hour // 2):
        return "the hourly limit", tried[0] + AN_HOUR
    return None


def attempted(outbox: Outbox, mark: str, receiver: str, outcome: str) -> Outbox:
    """Return the outbox after an attempt to send a message to one receiver.

    It is not sent again to a receiver that has it, may have it in part, or refused it.
    """

    def noted(receivers: tuple[str, ...], outcomes: Container[str]) -> tuple[str, ...]:
        is_new = outcome in outcomes and receiver not in receivers
        return (*receivers, receiver) if is_new else receivers

    return _replaced(
        outbox,
        [
            replace(one, reached=noted(one.reached, HAVING), refused=noted(one.refused, FINAL))
            for one in outbox.messages
            if one.mark == mark
        ],
    )


def settled(
    outbox: Outbox, mark: str, failure: str | None, now: datetime, outcome: str = "unclear"
) -> Outbox:
    """Return the outbox after an attempt to send one message to all receivers that lack it.

    `failure` is None if all have it. `outcome` is what the failure means: "refused" by all that
    lack it, "away" if none of them was connected to; with any other some may have it.
    """
    one = next((one for one in outbox.messages if one.mark == mark), None)
    if one is None:
        return outbox
    if failure is None:
        return _replaced(outbox, [replace(one, failure=None, sent_at=now)])
    one = replace(one, failure=failure)
    within = [message for message in outbox.messages if message.told_in == mark]
    former = max((_times_given_up(part, outbox) for part in (one, *within)), default=0)
    is_last = outcome in FINAL or former or one.attempts > len(PAUSES)
    if not is_last:
        return _replaced(outbox, [one])
    # What it told of in place of others is as lost as itself, and the next one tells of all.
    lost = [
        replace(
            part,
            told_in=None if part.told_in == mark else part.told_in,
            is_given_up=True,
            reached=part.reached or one.reached,
            due_at=_resent_at(part, outbox, outcome, now),
        )
        for part in (*within, one)
    ]
    return _replaced(outbox, lost)


def _times_given_up(one: Notification, outbox: Outbox) -> int:
    """Return how often messages about the same incident were given up before this one."""
    return sum(
        other.is_given_up
        and not other.reached
        and (other.cause, other.incident) == (one.cause, one.incident)
        for other in outbox.messages
        if one.cause and other.mark != one.mark
    )


def _resent_at(one: Notification, outbox: Outbox, outcome: str, now: datetime) -> datetime:
    """Return when a message that was given up is sent again; its creation for never."""
    if outcome == "away":
        return now + AWAY_REST
    rests = RESTS[_times_given_up(one, outbox) :]
    return now + rests[0] if rests else one.made_at


def failing(outbox: Outbox) -> list[Notification]:
    """Return the messages that were given up and not told of since, or fail for minutes."""
    return [
        one
        for one in outbox.messages
        if _is_lost(one) or (one.waits and one.failure and one.attempts >= TRIES_UNTIL_TOLD)
    ]


def _begun(one: Incident, outbox: Outbox, manners: AlertPolicy, now: datetime) -> Incident:
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


def _about(one: Incident, messages: Sequence[Notification]) -> list[Notification]:
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
    one: Incident, about: Sequence[Notification], manners: AlertPolicy, now: datetime
) -> NotificationKind | None:
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


def _is_to_be_told_anew(one: Notification, now: datetime) -> bool:
    """Whether a message reached nobody, and is to be sent once more."""
    return one.is_given_up and not one.reached and one.made_at < one.due_at <= now


def _tell(
    outbox: Outbox, kind: NotificationKind, one: Incident, manners: AlertPolicy, now: datetime
) -> Outbox:
    """Return the outbox with a message about an incident, in place of any that still waits."""
    mark = _mark(kind, one.key, now)
    link = manners.link and f"{manners.link}/{_page(one)}"
    lost = [message for message in outbox.messages if _is_lost(message)]
    parts = [notification_body(kind, one, link, now)]
    if lost:
        parts.append(lost_text(lost, now))
    message = Notification(
        mark=mark,
        kind=kind,
        cause=one.key,
        incident=one.id,
        title=notification_title(kind, one),
        body="\n".join([*parts, signature(manners.host, mark)]),
        made_at=now,
        due_at=now,
    )
    waiting = [message for message in _about(one, outbox.messages) if message.waits]
    replaced = [replace(former, told_in=mark) for former in (*lost, *waiting)]
    outbox = _replaced(outbox, replaced)
    return replace(outbox, messages=(*outbox.messages, message))


def _page(one: Incident) -> str:
    return f"databases/{one.databases[0]}" if len(one.databases) == 1 else ""


@dataclass(slots=True)
class _Room:
    """How many messages the hour has room for: in all, and of those that are not of new faults."""

    left: int
    calm: int
    has_fault: bool

    @classmethod
    def of(cls, outbox: Outbox, manners: AlertPolicy, now: datetime) -> _Room:
        """Return the room of an hour that ends now."""
        tried = [one for one in outbox.messages if _was_tried_of_late(one, now)]
        left = manners.most_an_hour - len(tried)
        has_fault = any(_worst_kind(one, outbox) == "fault" for one in tried)
        return cls(max(left, 0), max(left - manners.most_an_hour // 2, 0), has_fault)

    def has(self, *, is_fault: bool) -> int:
        """How many messages there is room for; the first fault of an hour has room in any case."""
        if is_fault:
            return self.left or int(not self.has_fault)
        return min(self.left, self.calm)

    def use(self, count: int, *, is_fault: bool) -> None:
        """Take the room of that many messages."""
        self.left = max(self.left - count, 0)
        self.calm = max(self.calm - (0 if is_fault else count), 0)
        self.has_fault |= is_fault and count > 0


def _shared_out(
    fresh: Sequence[Notification], room: _Room, manners: AlertPolicy
) -> tuple[list[Notification], list[Notification]]:
    """Return the new messages to send alone now, and those to combine; the others wait.

    Combined are those of quiet hours, and those for which the hour has no room.
    """
    quiet = [one for one in fresh if manners.quiet.covers(one.made_at)]
    held = quiet if len(quiet) > 1 else []
    faults, calm = (
        [one for one in fresh if one not in held and (one.kind == "fault") == is_fault]
        for is_fault in (True, False)
    )
    urgent, rest = (held, []) if any(one.kind == "fault" for one in held) else ([], held)
    faults, together = _folded(faults, urgent, room.has(is_fault=True))
    room.use(len(faults) + bool(together), is_fault=True)
    places = room.has(is_fault=False)
    if together:  # which takes the rest along
        calm, together = calm[:places], [*together, *calm[places:], *rest]
    else:
        calm, together = _folded(calm, held, places)
    return [*faults, *calm], together


def _folded(
    due: list[Notification], together: list[Notification], places: int
) -> tuple[list[Notification], list[Notification]]:
    """Return the messages that have a place alone, and those that share the last place, if any."""
    if len(due) + bool(together) <= places:
        return due, together
    return (due[: places - 1], [*together, *due[places - 1 :]]) if places else ([], [])


def _worst_kind(one: Notification, outbox: Outbox) -> NotificationKind:
    """Return the kind of a message; of a summary, the worst of its parts."""
    kinds = {part.kind for part in outbox.messages if part.told_in == one.mark} | {one.kind}
    return next((kind for kind in TYPES if kind in kinds), one.kind)


def _is_outdated(one: Notification, outbox: Outbox) -> bool:
    """Whether a message reports an incident as open that is over: its end is reported soon."""
    return one.kind in {"fault", "reminder"} and any(
        incident.ended_at and (incident.key, incident.id) == (one.cause, one.incident)
        for incident in outbox.incidents
    )


def _summary(held: Sequence[Notification], manners: AlertPolicy, now: datetime) -> Notification:
    """Return one message in place of several, the worst of them first."""
    mark = _mark("summary", held[0].mark, now)
    kinds = list(TYPES)
    title, body = summary_text(sorted(held, key=lambda one: kinds.index(one.kind)), now)
    body = f"{body}\n{signature(manners.host, mark)}"
    return Notification(mark, "summary", "", None, title, body, now, now)


def _mark(kind: NotificationKind, cause: str, now: datetime) -> str:
    text = f"{kind} {cause} {now.isoformat()}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _pause(attempts: int) -> timedelta:
    return PAUSES[min(attempts, len(PAUSES) - 1)]


def _is_due(one: Notification, now: datetime) -> bool:
    """Whether a message may be tried again; a clock that was set back lets none wait longer."""
    return not now < one.due_at <= now + max(PAUSES)


def _was_tried_of_late(one: Notification, now: datetime) -> bool:
    return one.tried_at is not None and now - AN_HOUR < one.tried_at <= now


def _is_lost(one: Notification) -> bool:
    return one.is_given_up and one.told_in is None


def _replaced(outbox: Outbox, changed: Iterable[Notification]) -> Outbox:
    """Return the outbox with these messages in place of those of the same marks."""
    new = {one.mark: one for one in changed}
    return replace(outbox, messages=tuple(new.get(one.mark, one) for one in outbox.messages))


def _without_what_is_done(outbox: Outbox, told: Sequence[Incident], now: datetime) -> Outbox:
    """Return the outbox without what nothing follows from any more."""
    needed = {message.mark for one in told for message in _about(one, outbox.messages)}
    lost = {one.mark for one in outbox.messages if _is_lost(one) and now - one.made_at < MAX_LOST}
    needed |= lost | {one.mark for one in outbox.messages if one.waits}
    kept = tuple(
        one
        for one in outbox.messages
        if one.mark in needed or one.told_in in needed or _was_tried_of_late(one, now)
    )
    return replace(outbox, messages=kept)
