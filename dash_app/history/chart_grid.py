"""The instants that a chart shows, and the resolution at which the history answers for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from dash_app.history.retention import MAX_POINT_AGE
from dash_app.history.rollups import DAY, HOUR

VIEWS = {1: "minute", HOUR: "hour", DAY: "day"}
Step = tuple[int, int, int]
"""An instant, and the start and the end (exclusive) of the rows that count towards it."""

MAX_POINTS_RANGE, MAX_HOURS_RANGE = timedelta(days=2), timedelta(days=60)
"""Longer ranges are answered from hours or days. A year of 60 series has half a million hours."""


@dataclass(frozen=True, slots=True)
class Window:
    """A regular grid of instants, in seconds since 1970."""

    first: int
    last: int
    step: int
    span: int = 1
    """The seconds that one row of the history covers; 1 for the points themselves."""

    recent: tuple[int, ...] = ()
    """Further instants after the last one, up to the end of the range."""

    start: tuple[int, ...] = ()
    """The start of the range, if it is an instant before the first one."""

    @classmethod
    def between(cls, since: datetime, until: datetime, points: int, every_seconds: float) -> Window:
        """Return the finest grid with at most `points` instants that the history can answer.

        Instants are multiples of the step, so that a chart does not flicker as time goes on.
        """
        begin, end = since.timestamp(), until.timestamp()
        step = max(1, round(every_seconds), -int(-(end - begin) // points))
        span = _span_of(since, until)
        step = -(-step // span) * span
        return cls(-int(-begin // step) * step, int(end // step) * step, step, span)

    @classmethod
    def up_to(cls, since: datetime, until: datetime, points: int, every_seconds: float) -> Window:
        """Return a window with at most `points` instants, the last of which is `until`."""
        # The end is one of the points, and a grid that starts at an instant has another.
        return cls.between(since, until, max(1, points - 2), every_seconds).extended_to(until)

    @property
    def instants(self) -> list[int]:
        """The instants, oldest first."""
        return [*self.start, *range(self.first, self.last + 1, self.step), *self.recent]

    @property
    def steps(self) -> list[Step]:
        """The step of each instant, which starts at the end of the previous step.

        A point counts from its own second on. An hour or a day counts from its end on, except the
        current one, which ends now.
        """
        own, instants = 1 if self.span == 1 else 0, self.instants
        ends = [instant + own for instant in (instants[0] - self.step, *instants)]
        return list(zip(instants, ends, ends[1:], strict=False))

    def extended_to(self, until: datetime, parts: int = 1) -> Window:
        """Return the window with instants added between the end of its grid and `until`.

        `parts` is the number of pieces into which these divide that time.
        """
        end = int(until.timestamp())
        pause = max(1, -(-(end - self.last) // parts))
        return replace(self, recent=tuple(range(end, self.last, -pause))[::-1])


def _span_of(since: datetime, until: datetime) -> int:
    length = until - since
    if length > MAX_HOURS_RANGE:
        return DAY
    is_kept = datetime.now(UTC) - since < MAX_POINT_AGE
    return 1 if length <= MAX_POINTS_RANGE and is_kept else HOUR
