"""Propose the expectation of a table from the times at which it gained rows, or say why not.

Silences are measured as lateness is: only time that was watched and is not quiet counts. Over the
period from which it was learned, a proposal would have reported nothing but a rare outage.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from dash_app.model.expectation import Expectation
from dash_app.model.quiet_hours import NO_QUIET_HOURS, QuietHours, Span, TimeRange
from dash_app.words import numbers

A_MINUTE, AN_HOUR, A_DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

MIN_WATCHED = 7 * A_DAY
"""Minimum time watched: every day of the week."""

MIN_PERIODS, MAX_PERIODS = 10, 30
"""How often the longest silence must fit into the watched time: for a steady table, and for one
whose rows come in bursts."""

MIN_SILENCES = 50
"""Minimum number of silences, unless a steady table's are all about equally long."""

STEADY = 1.5
"""The longest silence of a steady table is at most this multiple of a usual long one."""

DAYS_PER_OUTAGE = 14
"""One silence per this many days may be an outage. A weekend occurs twice in that time."""

OUTAGE = 1.5
"""An outage is a silence of at least this multiple of the next longest one."""

STRAY = 0.02
"""Maximum share of the times with rows that may be in hours proposed as quiet."""

WEEKEND = "Sat-Sun"
ALL_DAYS, WEEKEND_DAYS = frozenset(range(7)), frozenset({5, 6})
SILENT_HOURS = range(4, 20)
"""Length in hours of a daily silence that is proposed as quiet. If more hours are without rows,
rows come at one time of the day."""

MIN_WEEKDAYS = 0.8
"""Minimum share of all weekdays with rows; with fewer, weekends may be without rows by chance."""

STEPS = ((10, 1), (120, 5), (360, 15), (2_880, 60), (1_000_000, 1_440))
"""Proposals up to the first number of minutes are rounded up to a multiple of the second."""

MIN_GRACE = 2 * A_MINUTE
MARGIN = 1.5 * A_MINUTE
"""Recorded times are whole minutes and readings come later: a silence may last longer than seen."""

MIN_WITH_CLOCK_CHANGE = 3 * AN_HOUR
"""Silences from this length on get an hour more, for when clocks are set back in autumn."""

QuietSpans = dict[str, Span]
"""Spans proposed as quiet, by their text in a configuration, without the zone."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The proposed expectation of a table, None if it has no rhythm, and the reason in words.

    `quiet` has quiet hours as written in a configuration. `grew` is whether the table gained rows.
    """

    reason: str
    expect: Expectation | None = None
    quiet: tuple[str, ...] = ()
    grew: bool = True


@dataclass(frozen=True, slots=True)
class _Silences:
    """The silences between rows: a usual short one, the longest, and the number of outages.

    `may_straddle` is whether a silence may start before a quiet weekend and end after it, so that
    more of it counts than was seen.
    """

    shortest: timedelta
    longest: timedelta
    is_steady: bool
    outages: int = 0
    may_straddle: bool = False

    @property
    def expect(self) -> Expectation:
        """The expectation that follows, with a margin for longer silences than those seen."""
        if not self.is_steady or (self.may_straddle and self.longest < A_DAY / 2):
            return Expectation(_round_up(2 * self.longest), _round_up(self.longest / 2))
        clock_change = AN_HOUR if self.longest >= MIN_WITH_CLOCK_CHANGE else timedelta(0)
        every = _round_up(self.longest + clock_change + MARGIN)
        return Expectation(every, _round_up(max(MIN_GRACE, every / 5)))


def rhythm_of(instants: Sequence[datetime], watched: Sequence[TimeRange], zone: str) -> Rhythm:
    """Return the rhythm of a table from the times at which it gained rows.

    `instants` and the `watched` ranges are in order. `zone` names the time zone of quiet days and
    hours; they are proposed only if they at least halve the expected time between writes.
    """
    if not instants:
        return Rhythm("gained no rows", grew=False)
    watched = [(max(begin, instants[0]), end) for begin, end in watched if end > instants[0]]
    duration = sum((end - begin for begin, end in watched), timedelta(0))
    if duration < MIN_WATCHED:
        return Rhythm(f"watched for {numbers.age(duration)}; a rhythm takes at least 7 d")
    if len(instants) <= MIN_PERIODS:
        times = numbers.plural(len(instants), "time")
        return Rhythm(f"gained rows {times} in {_days(duration)} days, too rarely for a rhythm")
    best: tuple[_Silences, QuietSpans] | None = None
    for quiet in _candidates(instants, zone):
        silences = _measure(instants, watched, QuietHours(tuple(quiet.values())))
        if silences and list(quiet) == [WEEKEND]:
            silences = replace(silences, may_straddle=True)
        if silences and (best is None or 2 * silences.expect.every <= best[0].expect.every):
            best = silences, quiet
    if best is None:
        longest = numbers.age(max(_durations(instants, watched, NO_QUIET_HOURS)))
        return Rhythm(f"irregular: no rows for up to {longest} in {_days(duration)} days")
    return _rhythm(*best, instants, watched, zone)


def _rhythm(
    silences: _Silences,
    quiet: QuietSpans,
    instants: Sequence[datetime],
    watched: Sequence[TimeRange],
    zone: str,
) -> Rhythm:
    """Return the rhythm with its reason; without an expectation if the table has stopped."""
    days = _days(sum((end - begin for begin, end in watched), timedelta(0)))
    reason = f"gained rows {_pace(silences)} over {days} days"
    if quiet:
        reason += f", outside {' and '.join(quiet)}"
    if silences.outages:
        reason += f", except for {numbers.plural(silences.outages, 'longer silence')}"
    end = max(instants[-1], watched[-1][1])
    hours = QuietHours(tuple(quiet.values()))
    current = next(_durations((instants[-1], end), watched, hours))
    if current > silences.expect.every + silences.expect.grace:
        return Rhythm(f"{reason}, but none for {numbers.age(end - instants[-1])}")
    return Rhythm(reason, silences.expect, tuple(f"{text} {zone}" for text in quiet))


def _days(duration: timedelta) -> int:
    return round(duration / A_DAY)


def _pace(silences: _Silences) -> str:
    """Return in words how often rows come."""
    if not silences.is_steady:
        return f"in bursts, at most {numbers.age(silences.longest)} apart,"
    if silences.longest < 2 * A_MINUTE:
        return "every minute"
    units = ((2 * A_DAY, A_DAY, "d"), (2 * AN_HOUR, AN_HOUR, "h"))
    unit, name = next((u[1:] for u in units if silences.longest >= u[0]), (A_MINUTE, "min"))
    shortest, longest = round(silences.shortest / unit), round(silences.longest / unit)
    if 2 * silences.shortest < silences.longest:
        return f"at least every {longest} {name}"
    return f"every {'' if shortest == longest else f'{shortest} to '}{longest} {name}"


def _measure(
    instants: Sequence[datetime], watched: Sequence[TimeRange], quiet: QuietHours
) -> _Silences | None:
    """Return the silences between rows; None if nothing can be expected from them."""
    active = sum((quiet.active_time(*part) for part in watched), timedelta(0))
    found = sorted(_durations(instants, watched, quiet), reverse=True)
    max_outages = active // (DAYS_PER_OUTAGE * A_DAY)
    outages = max(
        (n for n in range(1, max_outages + 1) if found[n - 1] >= OUTAGE * found[n]), default=0
    )
    usual = found[outages:]
    shortest, longest = usual[-2 - len(usual) // 20], usual[0]
    if longest <= STEADY * usual[len(usual) // 3]:
        # A few silences may be equally long by chance, unless the short ones are too.
        min_silences = MIN_PERIODS if longest <= 2 * shortest else MIN_SILENCES
        is_known = active >= MIN_PERIODS * longest and len(usual) >= min_silences
        return _Silences(shortest, longest, is_steady=True, outages=outages) if is_known else None
    is_known = active >= MAX_PERIODS * found[0] and len(found) >= MIN_SILENCES
    may_be_longer = found[0] > 2 * found[max(2, len(found) // 200)]
    if not is_known or may_be_longer:
        return None
    return _Silences(found[-1], found[0], is_steady=False)


def _durations(
    instants: Sequence[datetime], watched: Sequence[TimeRange], quiet: QuietHours
) -> Iterator[timedelta]:
    """Yield the watched active time between each instant and the next."""
    begins, ends = [begin for begin, _ in watched], [end for _, end in watched]
    for since, until in pairwise(instants):
        within = watched[bisect_right(ends, since) : bisect_left(begins, until)]
        ranges = ((max(since, begin), min(until, end)) for begin, end in within)
        yield sum((quiet.active_time(*part) for part in ranges), timedelta(0))


def _candidates(instants: Sequence[datetime], zone: str) -> Iterator[QuietSpans]:
    """Yield the quiet hours that the times suggest, the simplest first: none."""
    yield {}
    local = [at.astimezone(ZoneInfo(zone)) for at in instants]
    if hours := _silent_hours(local):
        yield hours
    if _is_on_weekdays(local):
        weekend = {WEEKEND: Span(WEEKEND_DAYS, 0, 24 * 60, ZoneInfo(zone))}
        yield weekend
        if hours := _silent_hours([at for at in local if at.weekday() not in WEEKEND_DAYS]):
            yield hours | weekend


def _silent_hours(local: Sequence[datetime]) -> QuietSpans:
    """Return the longest part of the day without rows, with an hour more at either end.

    Empty if rows are so few that they may be at other hours by chance.
    """
    rows = Counter(at.hour for at in local)
    runs = [
        (length, begin)
        for begin in range(24)
        for length in SILENT_HOURS
        if sum(rows[hour % 24] for hour in range(begin, begin + length)) <= STRAY * len(local)
    ]
    length, begin = max(runs, default=(0, 0))
    hours_with_rows = len({(at.date(), at.hour) for at in local})
    if hours_with_rows * length < MIN_PERIODS * 24 or length == SILENT_HOURS[-1]:
        return {}
    begin, end = (begin - 1) % 24, (begin + length + 1) % 24
    zone = local[0].tzinfo or UTC
    span = Span(ALL_DAYS, begin * 60, (end if end > begin else end + 24) * 60, zone)
    return {f"{begin:02}:00-{end:02}:00": span}


def _is_on_weekdays(local: Sequence[datetime]) -> bool:
    """Whether rows come only on weekdays, and on most of them, over at least two weeks."""
    first, last = local[0].date(), local[-1].date()
    dates = {at.date() for at in local if at.weekday() not in WEEKEND_DAYS}
    days = (last - first).days + 1
    weekdays = sum((first + n * A_DAY).weekday() not in WEEKEND_DAYS for n in range(days))
    strays = sum(at.weekday() in WEEKEND_DAYS for at in local)
    return (
        strays <= STRAY * len(local)
        and days >= 2 * 7
        and len(dates) >= max(MIN_PERIODS, MIN_WEEKDAYS * weekdays)
    )


def _round_up(duration: timedelta) -> timedelta:
    """Return a duration that reads well and is not shorter."""
    minutes = -(-duration // A_MINUTE)
    step = next(step for limit, step in STEPS if minutes <= limit)
    return -(-minutes // step) * step * A_MINUTE
