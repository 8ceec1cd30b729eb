"""Which instants a chart shows, and at which grain the record answers for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from dash_app.history.retention import POINTS_KEPT
from dash_app.history.rollups import DAY, HOUR

VIEWS = {1: "minute", HOUR: "hour", DAY: "day"}
Step = tuple[int, int, int]
"""An instant, and from when until before when rows of the record count at it."""

POINTS_REACH, HOURS_REACH = timedelta(days=2), timedelta(days=60)
"""Longer ranges are answered from hours or days: a year of 60 series is half a million hours."""


@dataclass(frozen=True, slots=True)
class Window:
    """A range of time on a regular grid of instants, in seconds since 1970.

    `span` is what one row of the record that answers sums up: 1 for the points themselves. `recent`
    are further instants after the last one, where a series shall reach its range's very end.
    """

    first: int
    last: int
    step: int
    span: int = 1
    recent: tuple[int, ...] = ()

    @classmethod
    def between(cls, since: datetime, until: datetime, points: int, every_seconds: float) -> Window:
        """Return the finest grid with at most so many instants, none finer than the record.

        Instants are multiples of the step, so that a chart does not shimmer as time goes on.
        """
        begin, end = since.timestamp(), until.timestamp()
        step = max(1, round(every_seconds), -int(-(end - begin) // points))
        span = _span_of(since, until)
        step = -(-step // span) * span
        return cls(-int(-begin // step) * step, int(end // step) * step, step, span)

    @property
    def instants(self) -> list[int]:
        """The instants, oldest first."""
        return [*range(self.first, self.last + 1, self.step), *self.recent]

    @property
    def steps(self) -> list[Step]:
        """Each instant with its step, which begins where the one before it ends.

        A point counts from its own second on; an hour and a day from their end on, but for the
        running one, which ends now.
        """
        own = 1 if self.span == 1 else 0
        ends = [instant + own for instant in (self.first - self.step, *self.instants)]
        return list(zip(self.instants, ends, ends[1:], strict=False))

    def to_its_end(self, until: datetime, parts: int = 1) -> Window:
        """Return the same window with so many more instants, up to its end where the grid ends."""
        end = int(until.timestamp())
        pause = max(1, -(-(end - self.last) // parts))
        return replace(self, recent=tuple(range(end, self.last, -pause))[::-1])


def _span_of(since: datetime, until: datetime) -> int:
    reach = until - since
    if reach > HOURS_REACH:
        return DAY
    is_kept = datetime.now(UTC) - since < POINTS_KEPT
    return 1 if reach <= POINTS_REACH and is_kept else HOUR
