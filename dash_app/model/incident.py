"""An incident: problems with one cause, from its start to its end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from dash_app.model.notification import Notification
from dash_app.model.problem import DANGERS, Level
from dash_app.model.times import shift_times


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A person has seen an incident and wants no reminders of it."""

    by: str
    at: datetime
    until: datetime | None
    """The end of the acknowledgement; None if it lasts as long as the incident."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Problems with one cause."""

    key: str
    """Names the cause: `email:gone`, `process:812`."""
    databases: tuple[str, ...]
    """Names of the affected databases; empty for a problem of Mission Control itself."""
    kind: str
    """The code of its worst problem."""
    level: Level
    text: str
    """The affected databases and the cause, in one line; see `words.incidents.incident_text`."""
    remedy: str
    since: datetime
    ended_at: datetime | None = None
    """None while it is open."""
    fault_since: datetime | None = None
    """When it became a fault, if not at `since`."""
    fault_until: datetime | None = None
    """When it ceased to be a fault, if it did so before its end."""
    acknowledged: Acknowledgement | None = None
    evidence: str = ""
    """Facts that show the cause, kept after it has gone; empty if the text says all."""
    problem_ids: tuple[str, ...] = ()
    """Its present problems."""
    id: int | None = None
    """None until stored."""
    notifications: tuple[Notification, ...] = field(default=(), compare=False)
    """The notifications about it, oldest first, as far as they were loaded."""

    @property
    def fault(self) -> tuple[datetime, datetime | None] | None:
        """The start and the end of the time in which it was a fault; no end while it is one."""
        start = self.fault_since or self.since
        if self.level == "fault":
            return start, self.ended_at
        return (start, self.fault_until) if self.fault_until else None

    @property
    def is_danger(self) -> bool:
        """Whether a program is destroying a database now."""
        return self.kind in DANGERS and self.level == "fault" and self.ended_at is None

    def acknowledgement(self, now: datetime) -> Acknowledgement | None:
        """Return its acknowledgement, unless that has expired."""
        known = self.acknowledged
        return known if known and (known.until is None or now < known.until) else None

    def clamp_to(self, now: datetime) -> Incident:
        """Return the incident without times in the future, stored before the clock was set back."""
        acknowledged = self.acknowledged
        if acknowledged and acknowledged.at > now:
            acknowledged = shift_times(acknowledged, now - acknowledged.at)
        ended_at = self.ended_at and min(self.ended_at, now)
        since = min(self.since, ended_at or now)
        return replace(self, since=since, ended_at=ended_at, acknowledged=acknowledged)
