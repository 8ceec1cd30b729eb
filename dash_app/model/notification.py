"""A notification about an incident, and the state of its delivery."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from dash_app.model.times import shift_times

AN_HOUR = timedelta(hours=1)

NotificationKind = Literal["fault", "reminder", "over", "summary"]


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification about one incident, or a summary of several notifications."""

    id: str
    """Also in the text, so that a person recognizes a second copy."""

    kind: NotificationKind
    cause: str
    """The key of its incident; empty for a summary."""

    incident: int | None
    """The id of its incident; None for a summary, and until the incident is stored."""

    title: str
    body: str
    made_at: datetime
    due_at: datetime
    """The next attempt is not made before. Once given up: when it is replaced by a new one."""

    attempts: int = 0
    attempted_at: datetime | None = None
    sent_at: datetime | None = None
    failure: str | None = None
    delivered_to: tuple[str, ...] = ()
    """Ids of the receivers that have it, at least in part."""

    is_given_up: bool = False
    included_in: str | None = None
    """The id of the notification that is sent in its place, or reports its failure."""

    refused: tuple[str, ...] = ()
    """Ids of receivers that get no further attempt. Not stored: a restart tries them once more."""

    @property
    def is_pending(self) -> bool:
        """Whether it is still to be sent, or sent again."""
        return self.sent_at is None and self.included_in is None and not self.is_given_up

    def clamp_to(self, now: datetime) -> Notification:
        """Return the notification without times in the future.

        Such times were stored before the clock was set back. The real time of the last attempt is
        unknown then, so that attempt does not count towards the hourly limit.
        """
        newest = max(self.made_at, self.attempted_at or self.made_at)
        if newest <= now:
            return self
        earlier: Notification = shift_times(self, now - newest)
        return replace(
            earlier, attempted_at=earlier.attempted_at and earlier.attempted_at - AN_HOUR
        )
