"""What a person is sent about incidents, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from dash_app.model.times import moved

AN_HOUR = timedelta(hours=1)

NotificationKind = Literal["fault", "reminder", "over", "summary"]


@dataclass(frozen=True, slots=True)
class Notification:
    """A message about an incident, or one in place of several.

    `mark` is its own and stands in its text: whoever gets one twice can tell. `cause` is the key of
    its incident, and `incident` that one's id once it has one. It is not tried before `due_at`;
    `reached` are the receivers that have it, by their marks. `told_in` is the mark of the message
    that tells of it in its place.
    """

    mark: str
    kind: NotificationKind
    cause: str
    incident: int | None
    title: str
    body: str
    made_at: datetime
    due_at: datetime
    attempts: int = 0
    tried_at: datetime | None = None
    sent_at: datetime | None = None
    failure: str | None = None
    reached: tuple[str, ...] = ()
    is_given_up: bool = False
    told_in: str | None = None
    refused: tuple[str, ...] = ()
    """Receivers that need no further attempt, as far as known since the start: not stored."""

    @property
    def waits(self) -> bool:
        """Whether it is still to be sent, or sent again."""
        return self.sent_at is None and self.told_in is None and not self.is_given_up

    def up_to(self, now: datetime) -> Notification:
        """Return the message with no attempt or creation in the future.

        Such times were stored before the clock was set back. When exactly the attempt was is
        unknown, so it does not count towards the hourly limit.
        """
        newest = max(self.made_at, self.tried_at or self.made_at)
        if newest <= now:
            return self
        earlier: Notification = moved(self, now - newest)
        return replace(earlier, tried_at=earlier.tried_at and earlier.tried_at - AN_HOUR)
