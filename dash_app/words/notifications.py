"""Titles, texts and states of notifications."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from dash_app.model.incident import Incident
from dash_app.model.notification import Notification, NotificationKind
from dash_app.words.commands import RUN
from dash_app.words.incidents import SEPARATOR, incident_sentence, labels_and_cause
from dash_app.words.numbers import after, ago, clock, first_of, number, plural, truncate

MAX_LINES = 20
"""Maximum number of notifications listed in a summary; the page shows all incidents."""

MAX_LOST = 3
"""Maximum number of undelivered notifications listed in the next one."""

MAX_CAUSE_CHARACTERS, MAX_REMEDY_CHARACTERS = 120, 80
"""Maximum lengths of a cause and a remedy in one line of a summary."""


def notification_title(kind: NotificationKind, incident: Incident) -> str:
    """Return the title of a notification about an incident, with the databases concerned."""
    labels, _ = labels_and_cause(incident)
    if kind == "over" and incident.ended_at:
        return f"{labels}: over {after(incident.ended_at - incident.since)}"
    need = "need" if len(incident.databases) > 1 else "needs"
    return f"{labels}: still {need} you" if kind == "reminder" else f"{labels}: {need} you"


def notification_body(kind: NotificationKind, incident: Incident, link: str, now: datetime) -> str:
    """Return the text of a notification about an incident.

    Its lines are the cause, the times, the remedy unless the incident is over, and `link`, the URL
    of its databases, unless that is empty.
    """
    since = f"Since {clock(incident.since, now)}"
    lines = [incident_sentence(incident)]
    if kind == "over" and incident.ended_at:
        lines.append(f"{since}, over since {clock(incident.ended_at, now)}.")
    else:
        lines += [f"{since}.", incident.remedy]
    return "\n".join([*lines, link] if link else lines)


def signature(host: str, notification_id: str) -> str:
    """Return the last line of a notification: the sending machine and the id."""
    return f"{host} ({notification_id})".lstrip()


def summary_text(held: Sequence[Notification], now: datetime) -> tuple[str, str]:
    """Return the title and text of a summary of several notifications, given worst first."""
    all_lines = [_summary_line(notification, now) for notification in held]
    lines = first_of(all_lines, MAX_LINES, "And {} more.")
    kinds = Counter(notification.kind for notification in held)
    need, still, over = (kinds[kind] for kind in ("fault", "reminder", "over"))
    parts = [
        f"{number(need)} need{'s' if need == 1 else ''} you" if need else "",
        f"{number(still)} still need{'s' if still == 1 else ''} you" if still else "",
        f"{number(over)} over" if over else "",
    ]
    return ", ".join(part for part in parts if part), "\n".join(lines)


def _summary_line(notification: Notification, now: datetime) -> str:
    """Return the time, title, cause and remedy of a notification in one line."""
    text, times, *rest = [*notification.body.splitlines(), "", ""]
    _, _, cause = text.partition(SEPARATOR)
    cause = truncate(cause, MAX_CAUSE_CHARACTERS)
    line = f"{clock(notification.made_at, now)}, {notification.title}. {cause}"
    if notification.kind == "over":
        return f"{line} {times}"
    if notification.kind == "fault":
        return f"{line} {truncate(rest[0], MAX_REMEDY_CHARACTERS)}"
    return line


def failing_text(lost: Sequence[Notification]) -> tuple[str, str]:
    """Return the text and remedy of the problem that notifications are not delivered."""
    why = next((one.failure for one in reversed(lost) if one.failure), "")
    text = f"{plural(len(lost), 'notification')} did not reach every receiver: {why}."
    return text, f"Fix that, then check with `{RUN} alerts test`."


def trial_text(now: datetime) -> tuple[str, str]:
    """Return the title and text of a notification that only checks the delivery."""
    return "Mission Control: test", f"Notifications arrive. Sent on request at {clock(now, now)}."


def notification_state(
    notification: Notification, now: datetime, held: tuple[str, datetime] | None, stopped: str = ""
) -> str:
    """Return the state of a notification; `held` is why, and until when, it is held back.

    `stopped` is why it is not sent at all now.
    """
    if notification.sent_at:
        return f"sent {ago(now - notification.sent_at)}"
    why = f": {notification.failure}" if notification.failure else ""
    if notification.is_given_up:
        return f"{'reached some receivers, ' if notification.delivered_to else ''}given up{why}"
    if notification.included_in:
        return f"included in {notification.included_in}"
    attempts = f" after {plural(notification.attempts, 'attempt')}" if notification.attempts else ""
    until = f", {held[0]} until {clock(held[1], now)}" if held else ""
    until = f", {stopped}" if stopped else until
    return f"pending{attempts}{until}{why}"


def lost_text(lost: Sequence[Notification], now: datetime) -> str:
    """Return a line for the next notification about earlier ones that were not delivered."""
    titles = "; ".join(f"{clock(one.made_at, now)}, {one.title}" for one in lost[-MAX_LOST:])
    rest = len(lost) - MAX_LOST
    more = f"; and {number(rest)} more" if rest > 0 else ""
    count = plural(len(lost), "earlier notification")
    return f"{count} did not reach every receiver: {titles}{more}."
