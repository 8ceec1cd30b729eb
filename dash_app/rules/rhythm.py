"""From when a table gained rows to what may be expected of it, with the reason; or to why not.

Silences are measured as lateness is: by the time that was watched and is not quiet. Whoever watches
by what is proposed here would have been told nothing in all the time that it was learned from, but
for the odd outage.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from dash_app.model.expectation import Expectation
from dash_app.model.quiet_hours import NO_QUIET_HOURS, QuietHours, TimeRange
from dash_app.settings.quiet_hours import parse_quiet_hours
from dash_app.words import numbers

A_MINUTE, AN_HOUR, A_DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

MIN_WATCHED = 7 * A_DAY
"""Less has not seen every day of the week."""

MIN_PERIODS, MAX_PERIODS, MIN_BURSTS = 10, 30, 50
"""So often the longest silence must fit into what was watched, and so many silences be known."""

STEADY = 1.5
"""Of a steady table even the longest silence lasts no more than so many times a usual long one."""

DAYS_AN_OUTAGE = 14
"""In so much time the record may hold one outage. What weekends bring comes twice in it."""

OUTAGE = 1.5
"""So many times as long as the next one is a silence that was none of the table's own."""

STRAY = 0.02
"""Of its rows' times a table may have so many at hours that are quiet all the same."""

WEEKEND = "Sat-Sun"
SILENT_HOURS = range(4, 20)
"""So many without rows in a row are a part of the day; more leave a single time of it."""

WEEKDAYS_KEPT = 0.8
"""Of all weekdays; otherwise weekends may be without rows by chance."""

STEPS = ((10, 1), (120, 5), (360, 15), (2_880, 60), (1_000_000, 1_440))
"""Up to so many minutes a proposal is a multiple of so many."""

MIN_GRACE = 2 * A_MINUTE
COARSE = 1.5 * A_MINUTE
"""The record is one of minutes, and looks come later: a silence may last longer than known."""

CLOCK_CHANGES_FROM = 3 * AN_HOUR
"""So long a silence may hold the hour that a clock is set back in autumn."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What may be expected of a table, and when not; `expect` is None where it has no rhythm.

    `quiet` is written as a configuration has it, `reason` says in words what was seen. `grew` is
    whether it gained any rows at all.
    """

    reason: str
    expect: Expectation | None = None
    quiet: tuple[str, ...] = ()
    grew: bool = True


@dataclass(frozen=True, slots=True)
class _Beat:
    """Silences between rows: how short and how long they usually are, and how many were outages.

    `straddles` is whether one may begin before a quiet weekend and end after it, each by a part of
    its own.
    """

    shortest: timedelta
    longest: timedelta
    is_steady: bool
    outages: int = 0
    straddles: bool = False

    @property
    def expect(self) -> Expectation:
        """What may be expected, with a margin for what was not seen yet."""
        if not self.is_steady or (self.straddles and self.longest < A_DAY / 2):
            return Expectation(_up(2 * self.longest), _up(self.longest / 2))
        clock = AN_HOUR if self.longest >= CLOCK_CHANGES_FROM else timedelta(0)
        every = _up(self.longest + clock + COARSE)
        return Expectation(every, _up(max(MIN_GRACE, every / 5)))


def rhythm_of(instants: Sequence[datetime], watched: Sequence[TimeRange], zone: str) -> Rhythm:
    """Return the rhythm of a table that gained rows at some instants, as far as it was watched.

    Both in order of time; `zone` is the one whose days and hours may be quiet. A quiet time is
    proposed only where it makes at least twice as sharp what may be expected.
    """
    if not instants:
        return Rhythm("gained no rows", grew=False)
    watched = [(max(begin, instants[0]), end) for begin, end in watched if end > instants[0]]
    lasted = sum((end - begin for begin, end in watched), timedelta(0))
    if lasted < MIN_WATCHED:
        return Rhythm(f"known for {numbers.age(lasted)}, and a rhythm takes 7 d to know")
    if len(instants) <= MIN_PERIODS:
        times = numbers.plural(len(instants), "time")
        return Rhythm(f"gained rows {times} in {_days(lasted)} days, too seldom to tell")
    best: tuple[_Beat, tuple[str, ...]] | None = None
    for texts in _quiet_times(instants, zone):
        beat = _beat(instants, watched, parse_quiet_hours(texts))
        if beat and texts == (f"{WEEKEND} {zone}",):
            beat = replace(beat, straddles=True)
        if beat and (best is None or 2 * beat.expect.every <= best[0].expect.every):
            best = beat, texts
    if best is None:
        longest = max(_silences(instants, watched, NO_QUIET_HOURS))
        return Rhythm(f"irregular: silent for up to {numbers.age(longest)} in {_days(lasted)} days")
    return _told(*best, instants, watched)


def _told(
    beat: _Beat, texts: tuple[str, ...], instants: Sequence[datetime], watched: Sequence[TimeRange]
) -> Rhythm:
    """Return what may be expected with its reason; nothing of a table that stopped."""
    days = _days(sum((end - begin for begin, end in watched), timedelta(0)))
    reason = f"gained rows {_pace(beat)} over {days} days"
    if texts:
        reason += f", outside {' and '.join(text.rsplit(' ', 1)[0] for text in texts)}"
    if beat.outages:
        reason += f", but for {numbers.plural(beat.outages, 'longer silence')}"
    ends = max(instants[-1], watched[-1][1])
    silent = next(_silences((instants[-1], ends), watched, parse_quiet_hours(texts)))
    if silent > beat.expect.every + beat.expect.grace:
        return Rhythm(f"{reason}, but none for {numbers.age(ends - instants[-1])}")
    return Rhythm(reason, beat.expect, texts)


def _days(lasted: timedelta) -> int:
    return round(lasted / A_DAY)


def _pace(beat: _Beat) -> str:
    """Return in words how often rows come."""
    if not beat.is_steady:
        return f"in bursts, silent for {numbers.age(beat.longest)} at most,"
    if beat.longest < 2 * A_MINUTE:
        return "every minute"
    units = ((2 * A_DAY, A_DAY, "d"), (2 * AN_HOUR, AN_HOUR, "h"))
    unit, name = next((u[1:] for u in units if beat.longest >= u[0]), (A_MINUTE, "min"))
    least, most = round(beat.shortest / unit), round(beat.longest / unit)
    if 2 * beat.shortest < beat.longest:
        return f"at least every {most} {name}"
    return f"every {most} {name}" if least == most else f"every {least} to {most} {name}"


def _beat(
    instants: Sequence[datetime], watched: Sequence[TimeRange], silent: QuietHours
) -> _Beat | None:
    """Return how the silences between rows go; None where nothing may be expected of them."""
    counted = sum((silent.active_time(*part) for part in watched), timedelta(0))
    found = sorted(_silences(instants, watched, silent), reverse=True)
    allowed = counted // (DAYS_AN_OUTAGE * A_DAY)
    cut = max((n for n in range(1, allowed + 1) if found[n - 1] >= OUTAGE * found[n]), default=0)
    kept = found[cut:]
    shortest, longest = kept[-2 - len(kept) // 20], kept[0]
    if longest <= STEADY * kept[len(kept) // 3]:
        # A few silences may be alike by chance, unless the short ones are too.
        least = MIN_PERIODS if longest <= 2 * shortest else MIN_BURSTS
        is_known = counted >= MIN_PERIODS * longest and len(kept) >= least
        return _Beat(shortest, longest, is_steady=True, outages=cut) if is_known else None
    is_known = counted >= MAX_PERIODS * found[0] and len(found) >= MIN_BURSTS
    may_be_longer = found[0] > 2 * found[max(2, len(found) // 200)]
    return _Beat(found[-1], found[0], is_steady=False) if is_known and not may_be_longer else None


def _silences(
    instants: Sequence[datetime], watched: Sequence[TimeRange], silent: QuietHours
) -> Iterator[timedelta]:
    """Yield how much time counts between each instant and the next."""
    begins, ends = [begin for begin, _ in watched], [end for _, end in watched]
    for since, until in pairwise(instants):
        within = watched[bisect_right(ends, since) : bisect_left(begins, until)]
        spans = ((max(since, begin), min(until, end)) for begin, end in within)
        yield sum((silent.active_time(*span) for span in spans), timedelta(0))


def _quiet_times(instants: Sequence[datetime], zone: str) -> Iterator[tuple[str, ...]]:
    """Yield the times that may be quiet by what was seen, the simplest first: none."""
    yield ()
    local = [at.astimezone(ZoneInfo(zone)) for at in instants]
    if hours := _silent_hours(local):
        yield (f"{hours} {zone}",)
    if _keeps_weekdays(local):
        days = f"{WEEKEND} {zone}"
        yield (days,)
        if hours := _silent_hours([at for at in local if at.weekday() < 5]):
            yield (f"{hours} {zone}", days)


def _silent_hours(local: Sequence[datetime]) -> str | None:
    """Return the longest part of the day without rows and an hour around it; None for by chance.

    Where rows are few, they might as well lie elsewhere.
    """
    rows = Counter(at.hour for at in local)
    runs = [
        (lasts, begin)
        for begin in range(24)
        for lasts in SILENT_HOURS
        if sum(rows[hour % 24] for hour in range(begin, begin + lasts)) <= STRAY * len(local)
    ]
    lasts, begin = max(runs, default=(0, 0))
    hours_with_rows = len({(at.date(), at.hour) for at in local})
    if hours_with_rows * lasts < MIN_PERIODS * 24 or lasts == SILENT_HOURS[-1]:
        return None
    return f"{(begin - 1) % 24:02}:00-{(begin + lasts + 1) % 24:02}:00"


def _keeps_weekdays(local: Sequence[datetime]) -> bool:
    """Whether a table gains rows on weekdays alone, and does so on most, over two weekends."""
    first, last = local[0].date(), local[-1].date()
    dates = {at.date() for at in local if at.weekday() < 5}
    days = (last - first).days + 1
    weekdays = sum((first + n * A_DAY).weekday() < 5 for n in range(days))
    strays = sum(at.weekday() >= 5 for at in local)
    return (
        strays <= STRAY * len(local)
        and days >= 2 * 7
        and len(dates) >= max(MIN_PERIODS, WEEKDAYS_KEPT * weekdays)
    )


def _up(lasting: timedelta) -> timedelta:
    """Return a duration that reads well and is no shorter."""
    minutes = -(-lasting // A_MINUTE)
    step = next(step for most, step in STEPS if minutes <= most)
    return -(-minutes // step) * step * A_MINUTE
