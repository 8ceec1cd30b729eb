"""What a person is told about: one cause, from its begin to its end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from dash_app.model.level import Level
from dash_app.model.notification import Notification
from dash_app.model.times import moved


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody knows: who, since when, and until when that keeps reminders away.

    `until` is None for as long as the incident lasts.
    """

    by: str
    at: datetime
    until: datetime | None

    def holds(self, now: datetime) -> bool:
        """Whether it still keeps reminders away."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True)
class Incident:
    """Findings of one cause.

    `key` names the cause, so that it is one incident for as long as it lasts: "email:gone",
    "process:812". `databases` are names, in the order in which they came to it, `kind` is that of
    its worst problem, and `problem_ids` are those of its problems now.
    `text` is one sentence and names what it concerns. `id` is None until stored, `ended_at` until
    it is over.
    """

    key: str
    databases: tuple[str, ...]
    kind: str
    level: Level
    text: str
    remedy: str
    since: datetime
    ended_at: datetime | None = None
    acknowledged: Acknowledgement | None = None
    problem_ids: tuple[str, ...] = ()
    id: int | None = None

    def up_to(self, now: datetime) -> Incident:
        """Return the incident with `now` in place of times of the past that are in the future.

        Such times were stored before the clock was set back.
        """
        known = self.acknowledged
        if known and known.at > now:
            known = moved(known, now - known.at)
        ended_at = self.ended_at and min(self.ended_at, now)
        since = min(self.since, ended_at or now)
        return replace(self, since=since, ended_at=ended_at, acknowledged=known)


@dataclass(frozen=True, slots=True)
class Entry:
    """An incident with the messages about it, oldest first."""

    incident: Incident
    messages: tuple[Notification, ...] = ()
