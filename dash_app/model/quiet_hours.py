"""Quiet hours: recurring spans of a day or week in a time zone, and the active time between them.

A span runs from one clock time to another in its zone, past midnight if it ends earlier than it
starts. If a clock shows an hour twice, a span that starts or ends in that hour contains both. A
time that the clock skips counts as the time equally long after the skip.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

A_DAY, NOTHING = timedelta(days=1), timedelta(0)
START_OFFSETS = range(-2, 2)
"""Days between the date in its zone on which a span starts and a UTC day that it may overlap: a
zone is up to 14 h ahead of UTC or 12 h behind, and a span lasts at most a day."""

MAX_CACHED_DAYS = 1024
TimeRange = tuple[datetime, datetime]
"""A start and an end; the end is exclusive."""


@dataclass(frozen=True, slots=True)
class Span:
    """A quiet part of certain weekdays, in minutes since midnight on the clock of a zone.

    `days` are the weekdays on which it starts (0 is Monday). `end` is greater than `begin`, and
    more than 24 h if it is on the next day.
    """

    days: frozenset[int]
    begin: int
    end: int
    zone: tzinfo

    def starting_on(self, day: date) -> TimeRange | None:
        """Return the span, in UTC, that starts on a date in its zone; None if none does."""
        if day.weekday() not in self.days:
            return None
        begin = _local_time(day, self.begin, self.zone).astimezone(UTC)
        local_end = _local_time(day, self.end, self.zone)
        end = max(local_end.astimezone(UTC), local_end.replace(fold=1).astimezone(UTC))
        return (begin, end) if begin < end else None


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Spans in which no write is expected and no notification is sent. All times are UTC."""

    spans: tuple[Span, ...] = ()

    def covers(self, at: datetime) -> bool:
        """Whether a time is quiet."""
        return any(begin <= at < end for begin, end in self._on(at))

    def next_active(self, at: datetime) -> datetime:
        """Return the given time or, if it is quiet, the next time that is not."""
        while current := next((found for found in self._on(at) if found[0] <= at < found[1]), None):
            at = current[1]
        return at

    def active_time(self, since: datetime, until: datetime) -> timedelta:
        """Return the time between two instants that is not quiet; zero if `until` is earlier."""
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

    def add_active_time(self, since: datetime, duration: timedelta) -> datetime:
        """Return the first time at which the active time since `since` equals `duration`."""
        if not self.spans:
            return since + duration
        for begin, end in self._from(since):
            left = max(begin - since, NOTHING)
            if duration <= left:
                break
            duration -= left
            since = end
        return since + duration

    def begun_before(self, at: datetime, reach: timedelta) -> list[TimeRange]:
        """Return the spans that began in the time `reach` before an instant, newest first."""
        days = [at.date() + n * A_DAY for n in range(-reach.days - 2, 2)]
        ranges = {span.starting_on(day) for span in self.spans for day in days}
        return sorted((one for one in ranges if one and at - reach <= one[0] < at), reverse=True)

    def _on(self, at: datetime) -> tuple[TimeRange, ...]:
        return _quiet_ranges(self, at.date()) if self.spans else ()

    def _from(self, since: datetime) -> Iterator[TimeRange]:
        """Yield the quiet ranges of each UTC day that end after `since`, in order, without end."""
        day = since.date()
        while True:
            yield from (found for found in _quiet_ranges(self, day) if found[1] > since)
            day += A_DAY


def _local_time(day: date, minutes: int, zone: tzinfo) -> datetime:
    days, rest = divmod(minutes, 24 * 60)
    return datetime.combine(day + days * A_DAY, time(rest // 60, rest % 60), zone)


NO_QUIET_HOURS = QuietHours()


@lru_cache(MAX_CACHED_DAYS)
def _quiet_ranges(hours: QuietHours, day: date) -> tuple[TimeRange, ...]:
    """Return the quiet ranges within a UTC day, in order; ranges that touch are merged."""
    day_start = datetime.combine(day, time(), UTC)
    day_end = day_start + A_DAY
    starts = [day + n * A_DAY for n in START_OFFSETS]
    found = sorted(
        quiet for span in hours.spans for start in starts if (quiet := span.starting_on(start))
    )
    ranges: list[TimeRange] = []
    for since, until in found:
        begin, end = max(since, day_start), min(until, day_end)
        if ranges and begin <= ranges[-1][1]:
            ranges[-1] = ranges[-1][0], max(ranges[-1][1], end)
        elif begin < end:
            ranges.append((begin, end))
    return tuple(ranges)
