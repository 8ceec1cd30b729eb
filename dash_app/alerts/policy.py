"""Turn incidents into notifications: decide when each one is sent, repeated or ended.

Pure functions. An incident sends a notification once it has lasted `after`, and another once it has
been over for `settle`. In between, reminders repeat every `remind` until a person acknowledges it.
Notifications due in quiet hours, or beyond the hourly limit, are held back and combined into a
summary. An incident that is merely late sends nothing until it is down, and one of measures only if
it is a fault. A program that destroys a database is notified at once, also in quiet hours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from dash_app.model.incident import Incident
from dash_app.model.notification import AN_HOUR, Notification, NotificationKind
from dash_app.settings.schema import AlertsSettings
from dash_app.words.notifications import (
    lost_text,
    notification_body,
    notification_title,
    signature,
    summary_text,
)

RETRY_PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 4, 10, 15, 30))
"""Pauses between the attempts to send a notification. After an hour it is given up."""

RESEND_PAUSES = tuple(timedelta(hours=hours) for hours in (1, 4, 18, 24))
"""Pauses after a notification was given up. After each one, a new notification replaces it and is
attempted once; then only reminders follow. So a receiver that accepts notifications without
confirming them gets at most ten copies in three days."""

AWAY_PAUSE = timedelta(hours=1)
"""The same pause for receivers that could not be connected to, and so have received nothing."""

FAILING: Final = "alerts_failing"
NEVER_NOTIFIED_KINDS = frozenset({"late", "measure_failed", FAILING})
"""A late table is soon down, the next notification reports failed ones, and a query that fails says
nothing about the database."""

DELIVERED = frozenset({"delivered", "partial"})
"""Outcomes of attempts after which a receiver has a notification, at least in part."""

FINAL = frozenset({"refused", "partial"})
"""Outcomes after which another attempt would fail again, or deliver a second copy."""

MIN_FAILED_ATTEMPTS = 3
"""Failed attempts after which delivery counts as failing: five minutes have passed."""

MAX_LOST_AGE = timedelta(days=7)
"""The age up to which a lost notification is mentioned in the next one."""

APPRISE_TYPES: dict[NotificationKind, str] = {
    "fault": "failure",
    "reminder": "warning",
    "over": "success",
}
"""apprise's types, which choose colours, icons and priorities. Worst first."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """Notifications, oldest first, and the incidents that they are about.

    Each incident stays until its end was reported, even if it is gone from everywhere else.
    """

    notifications: tuple[Notification, ...] = ()
    incidents: tuple[Incident, ...] = ()

    def clamp_to(self, now: datetime) -> Outbox:
        """Return the outbox without times in the future, stored before the clock was set back."""
        return Outbox(
            tuple(notification.clamp_to(now) for notification in self.notifications),
            tuple(incident.clamp_to(now) for incident in self.incidents),
        )


def plan(
    outbox: Outbox,
    incidents: Collection[Incident],
    policy: AlertsSettings,
    now: datetime,
    host: str = "",
) -> Outbox:
    """Return the outbox with the notifications that are due, and without finished ones.

    `incidents` are those that are open, and those that ended recently. Notifications name the
    `host`, this machine, and the link of the policy, unless these are empty.
    """
    current = {(incident.key, id_) for incident in incidents for id_ in (incident.id, None)}
    earlier = [old for old in outbox.incidents if (old.key, old.id) not in current]
    kept: list[Incident] = []
    needed: set[str] = set()
    for incident in (*earlier, *incidents):
        found = _unreported(incident, outbox)
        about = [replace(note, incident=incident.id) for note in found]
        if about != found:
            outbox = _updated(outbox, about)
        if kind := _next_kind(incident, about, policy, now):
            lost = [note for note in outbox.notifications if _is_lost(note)]
            text = notification_body(kind, incident, _url(policy.link, incident), now)
            lines = [text, lost_text(lost, now)] if lost else [text]
            new = _notification(kind, incident, lines, now, host)
            outbox = _added(outbox, new, [*lost, *(note for note in about if note.is_pending)])
            about.append(new)
        if about:
            kept.append(incident)
            needed |= {notification.id for notification in about}
    return Outbox(_without_finished(outbox, needed, now), tuple(kept))


def dequeue(
    outbox: Outbox, policy: AlertsSettings, now: datetime, host: str = ""
) -> tuple[Outbox, list[Notification]]:
    """Return the outbox, and the notifications to attempt now.

    New faults come first: other notifications get at most half of the hourly limit, so that a fault
    never waits for them. Those beyond the limit, or held back in quiet hours, are combined.
    """
    urgent, is_quiet = urgent_ids(outbox.notifications, outbox.incidents), policy.quiet.covers(now)
    in_time = [note for note in outbox.notifications if note.id in urgent or not is_quiet]
    pending = [note for note in in_time if note.is_pending and not _is_outdated(note, outbox)]
    retried = [note for note in pending if note.attempts and _retry_is_due(note, now)]
    # A notification attempted within the hour is counted already. One that quiet hours have held
    # back since then needs a new place.
    room = _Room.within_hour(outbox, policy, now)
    interrupted = [note for note in retried if not _was_attempted_in_last_hour(note, now)]
    for is_fault in (True, False):
        due = [note for note in interrupted if (_worst_kind(note, outbox) == "fault") == is_fault]
        places = room.take(len(due), is_fault=is_fault)
        retried = [note for note in retried if note not in due[places:]]
    new = [note for note in pending if not note.attempts]
    alone, combined = _distribute(new, room, policy, urgent)
    if combined:
        summary = _summary(combined, now, host)
        outbox = _added(outbox, summary, combined)
        alone = [*alone, summary]
    attempts = [
        replace(
            note,
            attempts=note.attempts + 1,
            attempted_at=now,
            due_at=now + RETRY_PAUSES[min(note.attempts, len(RETRY_PAUSES) - 1)],
        )
        for note in (*retried, *alone)
    ]
    return _updated(outbox, attempts), attempts


def urgent_ids(
    notifications: Iterable[Notification], incidents: Iterable[Incident]
) -> frozenset[str]:
    """Return the ids of the notifications, or of their summaries, that report a present danger."""
    dangers = {(incident.key, incident.id) for incident in incidents if incident.is_danger}
    notes = [note for note in notifications if (note.cause, note.incident) in dangers]
    return frozenset(id_ for note in notes for id_ in (note.id, note.included_in) if id_)


def apprise_types(outbox: Outbox, notifications: Iterable[Notification]) -> dict[str, str]:
    """Return apprise's type for each notification id; for a summary, that of its worst part."""
    return {note.id: APPRISE_TYPES.get(_worst_kind(note, outbox), "info") for note in notifications}


def pending_reason(
    notification: Notification,
    notifications: Sequence[Notification],
    policy: AlertsSettings,
    now: datetime,
    *,
    is_urgent: bool = False,
) -> tuple[str, datetime] | None:
    """Return why a pending notification was not sent yet, and until when; None if it is due."""
    if policy.quiet.covers(now) and not is_urgent:
        return "quiet hours", policy.quiet.next_active(now)
    if notification.attempts:
        return ("next attempt", notification.due_at) if notification.due_at > now else None
    recent = sorted(
        other.attempted_at
        for other in notifications
        if other.attempted_at and _was_attempted_in_last_hour(other, now)
    )
    reserved = 0 if notification.kind == "fault" else policy.most_an_hour // 2
    if len(recent) >= policy.most_an_hour - reserved:
        return "the hourly limit", recent[0] + AN_HOUR
    return None


def record_delivery(outbox: Outbox, notification_id: str, receiver: str, outcome: str) -> Outbox:
    """Record the outcome of an attempt to send a notification to one receiver.

    A receiver that has it, may have it in part, or refused it gets no further attempt.
    """
    note = _find(outbox, notification_id)
    if note is None:
        return outbox
    if outcome in DELIVERED and receiver not in note.delivered_to:
        note = replace(note, delivered_to=(*note.delivered_to, receiver))
    if outcome in FINAL and receiver not in note.refused:
        note = replace(note, refused=(*note.refused, receiver))
    return _updated(outbox, [note])


def record_attempt(
    outbox: Outbox,
    notification_id: str,
    failure: str | None,
    now: datetime,
    outcome: str = "unclear",
) -> Outbox:
    """Record the end of an attempt to send a notification to all receivers that lack it.

    `failure` is None if all have it. `outcome` is the reason of the failure: "refused" by all that
    lack it, "away" if none of them could be connected to; after any other, some may have it.
    """
    sent = _find(outbox, notification_id)
    if sent is None:
        return outbox
    if failure is None:
        return _updated(outbox, [replace(sent, failure=None, sent_at=now)])
    sent = replace(sent, failure=failure)
    parts = [note for note in outbox.notifications if note.included_in == notification_id]
    is_resent = any(_times_given_up(note, outbox) for note in (sent, *parts))
    if not (outcome in FINAL or is_resent or sent.attempts > len(RETRY_PAUSES)):
        return _updated(outbox, [sent])
    # The parts of a summary are lost with it; the next notification mentions each of them.
    lost = [
        replace(
            note,
            included_in=None if note.included_in == notification_id else note.included_in,
            is_given_up=True,
            delivered_to=note.delivered_to or sent.delivered_to,
            due_at=_resent_at(note, outbox, outcome, now),
        )
        for note in (*parts, sent)
    ]
    return _updated(outbox, lost)


def failing(outbox: Outbox) -> list[Notification]:
    """Return the notifications that are lost, or have failed for minutes."""
    return [
        note
        for note in outbox.notifications
        if _is_lost(note)
        or (note.is_pending and note.failure and note.attempts >= MIN_FAILED_ATTEMPTS)
    ]


def _unreported(incident: Incident, outbox: Outbox) -> list[Notification]:
    """Return the notifications about an incident since its end was last reported, oldest first.

    While either is not stored and has no id, the time distinguishes an incident from an earlier one
    with the same cause.
    """
    about = [
        note
        for note in outbox.notifications
        if note.cause == incident.key
        and (
            note.incident == incident.id
            if note.incident and incident.id
            else note.made_at >= incident.since
        )
    ]
    if not any(note.kind == "over" for note in about):
        return about
    received = {note.id for note in outbox.notifications if note.sent_at or note.delivered_to}
    reported = [
        number
        for number, note in enumerate(about, 1)
        if note.kind == "over" and received & {note.id, note.included_in}
    ]
    return about[max(reported, default=0) :]


def _next_kind(
    incident: Incident, about: Sequence[Notification], policy: AlertsSettings, now: datetime
) -> NotificationKind | None:
    """Return the kind of notification to send now, given those since the incident began."""
    last = about[-1] if about else None
    should_resend = last is not None and _should_resend(last, now)
    if incident.ended_at:
        is_reported = last and last.kind == "over" and not should_resend
        has_settled = now - incident.ended_at >= policy.settle
        return "over" if last and has_settled and not is_reported else None
    is_minor = incident.kind == "measure_out_of_range" and incident.level != "fault"
    if is_minor or incident.kind in NEVER_NOTIFIED_KINDS or incident.acknowledgement(now):
        return None
    if last is None:
        is_due = incident.is_danger or now - incident.since >= policy.after
        return "fault" if is_due else None
    if should_resend:
        return "fault" if last.kind == "over" else last.kind
    if not policy.remind or any(note.is_pending for note in about):
        return None
    return "reminder" if now - last.made_at >= policy.remind else None


def _url(link: str, incident: Incident) -> str:
    page = f"databases/{incident.databases[0]}" if len(incident.databases) == 1 else ""
    return link and f"{link}/{page}"


def _notification(
    kind: NotificationKind, incident: Incident, lines: Sequence[str], now: datetime, host: str
) -> Notification:
    id_ = _new_id(kind, f"{incident.key} {incident.id}", now)
    return Notification(
        id=id_,
        kind=kind,
        cause=incident.key,
        incident=incident.id,
        title=notification_title(kind, incident),
        body="\n".join([*lines, signature(host, id_)]),
        made_at=now,
        due_at=now,
    )


def _should_resend(notification: Notification, now: datetime) -> bool:
    """Whether a notification was given up, no receiver has it, and its pause is over."""
    is_undelivered = notification.is_given_up and not notification.delivered_to
    return is_undelivered and notification.made_at < notification.due_at <= now


def _resent_at(notification: Notification, outbox: Outbox, outcome: str, now: datetime) -> datetime:
    """Return the time at which a new notification replaces a lost one; `made_at` for never."""
    if outcome == "away":
        return now + AWAY_PAUSE
    pauses = RESEND_PAUSES[_times_given_up(notification, outbox) :]
    return now + pauses[0] if pauses else notification.made_at


def _times_given_up(notification: Notification, outbox: Outbox) -> int:
    """Return the number of other notifications about the same incident that were given up."""
    subject = (notification.cause, notification.incident)
    return sum(
        other.is_given_up and not other.delivered_to and (other.cause, other.incident) == subject
        for other in outbox.notifications
        if notification.cause and other.id != notification.id
    )


@dataclass(slots=True)
class _Room:
    """The number of further notifications that the hourly limit allows."""

    total: int
    other: int
    """For notifications that are not about new faults; included in the total."""

    has_fault: bool
    """Whether a new fault was notified within the hour."""

    @classmethod
    def within_hour(cls, outbox: Outbox, policy: AlertsSettings, now: datetime) -> _Room:
        """Return the room left in the hour that ends now."""
        recent = [note for note in outbox.notifications if _was_attempted_in_last_hour(note, now)]
        total = policy.most_an_hour - len(recent)
        has_fault = any(_worst_kind(note, outbox) == "fault" for note in recent)
        return cls(max(total, 0), max(total - policy.most_an_hour // 2, 0), has_fault)

    def take(self, wanted: int, *, is_fault: bool) -> int:
        """Take places, as far as there are; the first new fault within an hour always gets one."""
        if is_fault:
            taken = min(wanted, self.total or int(not self.has_fault))
            self.has_fault |= taken > 0
        else:
            taken = min(wanted, self.total, self.other)
            self.other -= taken
        self.total = max(self.total - taken, 0)
        return taken


def _distribute(
    new: Sequence[Notification], room: _Room, policy: AlertsSettings, urgent: Collection[str]
) -> tuple[list[Notification], list[Notification]]:
    """Return the new notifications to send alone, and those to combine. The rest stays pending.

    If quiet hours held back several, these are combined, and so are those beyond the hourly limit.
    They hold back none with an `urgent` id.
    """
    quiet = [note for note in new if policy.quiet.covers(note.made_at) and note.id not in urgent]
    held_back = quiet if len(quiet) > 1 else []
    faults, others = (
        [note for note in new if note not in held_back and (note.kind == "fault") == is_fault]
        for is_fault in (True, False)
    )
    has_held_fault = any(note.kind == "fault" for note in held_back)
    faults, combined = _split(faults, held_back if has_held_fault else [], room, is_fault=True)
    if combined:  # the summary can include the rest
        places = room.take(len(others), is_fault=False)
        rest = [] if has_held_fault else held_back
        return [*faults, *others[:places]], [*combined, *others[places:], *rest]
    others, combined = _split(others, held_back, room, is_fault=False)
    return [*faults, *others], combined


def _split(
    due: list[Notification], combined: list[Notification], room: _Room, *, is_fault: bool
) -> tuple[list[Notification], list[Notification]]:
    """Return the notifications with an own place, and those that share the last place."""
    wanted = len(due) + bool(combined)
    places = room.take(wanted, is_fault=is_fault)
    if places == wanted:
        return due, combined
    return (due[: places - 1], [*combined, *due[places - 1 :]]) if places else ([], [])


def _worst_kind(notification: Notification, outbox: Outbox) -> NotificationKind:
    """Return the kind of a notification; for a summary, the worst kind of its parts."""
    kinds = {part.kind for part in outbox.notifications if part.included_in == notification.id}
    kinds.add(notification.kind)
    return next((kind for kind in APPRISE_TYPES if kind in kinds), notification.kind)


def _is_outdated(notification: Notification, outbox: Outbox) -> bool:
    """Whether a notification says that an incident is open that has ended: skip it."""
    return notification.kind in {"fault", "reminder"} and any(
        incident.ended_at
        and (incident.key, incident.id) == (notification.cause, notification.incident)
        for incident in outbox.incidents
    )


def _summary(parts: Sequence[Notification], now: datetime, host: str) -> Notification:
    id_ = _new_id("summary", parts[0].id, now)
    kinds = list(APPRISE_TYPES)
    title, body = summary_text(sorted(parts, key=lambda part: kinds.index(part.kind)), now)
    body = f"{body}\n{signature(host, id_)}"
    return Notification(id_, "summary", "", None, title, body, now, now)


def _new_id(kind: NotificationKind, subject: str, now: datetime) -> str:
    text = f"{kind} {subject} {now.isoformat()}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _retry_is_due(notification: Notification, now: datetime) -> bool:
    """Whether to try again; also if the clock was set back, which must not prolong the pause."""
    return not now < notification.due_at <= now + max(RETRY_PAUSES)


def _was_attempted_in_last_hour(notification: Notification, now: datetime) -> bool:
    at = notification.attempted_at
    return at is not None and now - AN_HOUR < at <= now


def _is_lost(notification: Notification) -> bool:
    """Whether a notification was given up and no later one mentioned it."""
    return notification.is_given_up and notification.included_in is None


def _find(outbox: Outbox, notification_id: str) -> Notification | None:
    return next((note for note in outbox.notifications if note.id == notification_id), None)


def _added(outbox: Outbox, new: Notification, included: Iterable[Notification]) -> Outbox:
    """Return the outbox with a new notification that takes the place of the included ones."""
    outbox = _updated(outbox, [replace(note, included_in=new.id) for note in included])
    return replace(outbox, notifications=(*outbox.notifications, new))


def _updated(outbox: Outbox, changed: Iterable[Notification]) -> Outbox:
    """Return the outbox with these notifications in place of those with the same ids."""
    new = {note.id: note for note in changed}
    return replace(
        outbox, notifications=tuple(new.get(note.id, note) for note in outbox.notifications)
    )


def _without_finished(outbox: Outbox, needed: set[str], now: datetime) -> tuple[Notification, ...]:
    """Return the notifications on which further ones may depend."""
    lost = {
        note.id
        for note in outbox.notifications
        if _is_lost(note) and now - note.made_at < MAX_LOST_AGE
    }
    needed = needed | lost | {note.id for note in outbox.notifications if note.is_pending}
    return tuple(
        note
        for note in outbox.notifications
        if {note.id, note.included_in} & needed or _was_attempted_in_last_hour(note, now)
    )
