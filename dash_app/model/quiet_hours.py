"""Quiet hours: spans of a day or a week in a zone, and how much time lies outside them.

A span runs from one time on the clock of its zone to another, over midnight too. Of an hour that
a clock shows twice, a span that begins in it has both, and so has one that ends in it; a time that
a clock leaps over is the one as long after the leap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

A_DAY, NOTHING = timedelta(days=1), timedelta(0)
SPANS_REACH = range(-2, 2)
"""A span begins on a date of its zone, which is up to 14 h ahead or 12 h behind, and lasts a day at
most: on a day of UTC lie parts of those that begin from two dates before to one after."""

MAX_DAYS_KEPT = 1024
TimeRange = tuple[datetime, datetime]
"""From an instant up to another."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of some days: from one time of day to another, in minutes, by the clock of a zone.

    `days` are those on which it begins, 0 for Monday. `end` lies after `begin`, and beyond 24 h
    when it is a time of the next day.
    """

    days: frozenset[int]
    begin: int
    end: int
    zone: tzinfo

    def on(self, day: date) -> TimeRange | None:
        """Return the span that begins on a date of its zone, in UTC; None where none does."""
        if day.weekday() not in self.days:
            return None
        begin = _wall(day, self.begin, self.zone).astimezone(UTC)
        wall = _wall(day, self.end, self.zone)
        end = max(wall.astimezone(UTC), wall.replace(fold=1).astimezone(UTC))
        return (begin, end) if begin < end else None


@dataclass(frozen=True, slots=True)
class Quiet:
    """All the spans in which nothing is expected and nobody is to be told; there may be none.

    All instants are in UTC.
    """

    spans: tuple[Span, ...] = ()

    def covers(self, at: datetime) -> bool:
        """Whether it is quiet at an instant."""
        return any(begin <= at < end for begin, end in self._on(at))

    def ends(self, at: datetime) -> datetime:
        """Return the first instant from a given one on at which it is not quiet."""
        while part := next((part for part in self._on(at) if part[0] <= at < part[1]), None):
            at = part[1]
        return at

    def loud(self, since: datetime, until: datetime) -> timedelta:
        """Return how much time between two instants is not quiet; none if they are turned."""
        if until <= since:
            return NOTHING
        if not self.spans:
            return until - since
        quiet = NOTHING
        for begin, end in self._from(since):
            if begin >= until:
                break
            quiet += min(end, until) - max(begin, since)
        return until - since - quiet

    def after(self, since: datetime, lasting: timedelta) -> datetime:
        """Return the first instant since when so much time was not quiet."""
        if not self.spans:
            return since + lasting
        for begin, end in self._from(since):
            left = max(begin - since, NOTHING)
            if lasting <= left:
                break
            lasting -= left
            since = end
        return since + lasting

    def _on(self, at: datetime) -> tuple[TimeRange, ...]:
        return _parts(self, at.date()) if self.spans else ()

    def _from(self, since: datetime) -> Iterator[TimeRange]:
        """Yield the quiet parts of each day from an instant on, in order, without end."""
        day = since.date()
        while True:
            yield from (part for part in _parts(self, day) if part[1] > since)
            day += A_DAY


def _wall(day: date, minutes: int, zone: tzinfo) -> datetime:
    days, rest = divmod(minutes, 24 * 60)
    return datetime.combine(day + days * A_DAY, time(rest // 60, rest % 60), zone)


NEVER = Quiet()


@lru_cache(MAX_DAYS_KEPT)
def _parts(hours: Quiet, day: date) -> tuple[TimeRange, ...]:
    """Return the quiet parts of a day of UTC, in order, none touching another."""
    begin = datetime.combine(day, time(), UTC)
    end = begin + A_DAY
    dates = [day + n * A_DAY for n in SPANS_REACH]
    found = sorted(part for span in hours.spans for one in dates if (part := span.on(one)))
    parts: list[TimeRange] = []
    for since, until in found:
        part = max(since, begin), min(until, end)
        if parts and part[0] <= parts[-1][1]:
            parts[-1] = parts[-1][0], max(parts[-1][1], part[1])
        elif part[0] < part[1]:
            parts.append(part)
    return tuple(parts)
