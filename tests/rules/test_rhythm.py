"""What may be expected of a table by its own past: what it keeps to, and never by chance."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from dash_app.history.growth import grown, watched
from dash_app.history.writer import History
from dash_app.rules.rhythm import Rhythm, rhythm_of
from dash_app.settings.quiet_hours import parse_quiet_hours
from dash_app.settings.schema import HistorySettings

Times = Callable[[Random], Iterable[datetime]]

ZONE = "Europe/Paris"
PARIS = ZoneInfo(ZONE)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 9, 24, 22, tzinfo=UTC)
"""A month before the clocks go back in Paris, midnight there."""

LEARNT, LASTS = 30 * DAY, 62 * DAY
WEEKEND, OFFICE = f"Sat-Sun {ZONE}", f"17:00-09:00 {ZONE}"


def walk(step: Callable[[], timedelta], since: datetime = START) -> list[datetime]:
    times, at = [], since
    while (at := at + step()) < START + LASTS:
        times.append(at.replace(second=0, microsecond=0))
    return times


def every(minutes: float, jitter: float = 0) -> Times:
    return lambda random: walk(lambda: (minutes + random.uniform(-jitter, jitter)) * MINUTE)


def at_random(minutes: float) -> Times:
    return lambda random: walk(lambda: random.expovariate(1 / minutes) * MINUTE)


def at_half_past_two(random: Random) -> list[datetime]:
    """Each night by the clock of Paris, which goes back an hour in the second month."""
    days = (START.astimezone(PARIS).date() + n * DAY for n in range(LASTS // DAY))
    local = (datetime(day.year, day.month, day.day, 2, 30, tzinfo=PARIS) for day in days)
    return [at.astimezone(UTC) + random.randrange(20) * MINUTE for at in local]


def on_weekdays(times: Times, hours: range = range(24)) -> Times:
    def kept(random: Random) -> list[datetime]:
        local = ((at, at.astimezone(PARIS)) for at in times(random))
        return [at for at, there in local if there.weekday() < 5 and there.hour in hours]

    return kept


def with_an_outage(random: Random) -> list[datetime]:
    away = START + 9 * DAY, START + 9 * DAY + 6 * HOUR
    return [at for at in every(60, 2)(random) if not away[0] < at < away[1]]


def late_backfill(random: Random) -> list[datetime]:
    """Each hour, and now and then some hours' rows at once, none of them later than usual."""
    return sorted([*every(60, 2)(random), *at_random(2_000)(random)])


def learnt(times: Iterable[datetime], lasts: timedelta = LEARNT) -> Rhythm:
    end = START + lasts
    return rhythm_of([at for at in times if at < end], [(START, end)], ZONE)


@pytest.mark.parametrize(
    ("times", "reason", "expected"),
    [
        (every(1), "gained rows every minute over 30 days", "3m+2m"),
        (every(5, 1), "gained rows every 4 to 6 min over 30 days", "8m+2m"),
        (every(60, 2), "gained rows every 58 to 62 min over 30 days", "65m+15m"),
        (every(6 * 60, 5), "gained rows every 6 h over 30 days", "480m+100m"),
        (at_half_past_two, "gained rows every 24 h over 30 days", "1560m+315m"),
        (
            with_an_outage,
            "gained rows every 58 to 62 min over 30 days, but for 1 longer silence",
            "65m+15m",
        ),
        (late_backfill, "gained rows every 52 to 62 min over 30 days", "65m+15m"),
        (at_random(60), "gained rows in bursts, silent for 5 h at most, over 30 days", "660m+165m"),
    ],
)
def test_a_rhythm_is_told_with_what_may_be_expected(
    times: Times, reason: str, expected: str
) -> None:
    found = learnt(times(Random(1)))
    assert found.expect is not None, found.reason
    told = f"{found.expect.every // MINUTE}m+{found.expect.grace // MINUTE}m"
    assert (found.reason, told, found.quiet) == (reason, expected, ())


@pytest.mark.parametrize(
    ("times", "quiet_times", "at_most"),
    [
        (on_weekdays(every(60, 2)), (WEEKEND,), 3 * HOUR),
        (on_weekdays(at_half_past_two), (WEEKEND,), 26 * HOUR),
        (on_weekdays(every(5, 1), range(8, 18)), (OFFICE, WEEKEND), 10 * MINUTE),
        (on_weekdays(at_random(12), range(8, 18)), (OFFICE, WEEKEND), 4 * HOUR),
    ],
)
def test_what_is_quiet_makes_an_expectation_sharp(
    times: Times, quiet_times: tuple[str, ...], at_most: timedelta
) -> None:
    found = learnt(times(Random(1)))
    assert found.expect is not None, found.reason
    assert found.quiet == quiet_times
    assert found.expect.every <= at_most


@pytest.mark.parametrize(
    ("times", "lasts", "reason"),
    [
        (list[datetime](), LEARNT, "gained no rows"),
        (every(60)(Random()), 6 * DAY, "known for 5 d, and a rhythm takes 7 d to know"),
        (
            every(7 * 24 * 60)(Random()),
            LEARNT,
            "gained rows 4 times in 23 days, too seldom to tell",
        ),
        (at_random(24 * 60)(Random(1)), LEARNT, "irregular: silent for up to 2 d in 30 days"),
        # Whether it rests on every weekend is not known after two.
        (on_weekdays(every(60))(Random()), 12 * DAY, "irregular: silent for up to 2 d in 12 days"),
        (
            [at for at in every(60)(Random()) if at < START + 20 * DAY],
            LEARNT,
            "gained rows every 60 min over 30 days, but none for 10 d",
        ),
    ],
)
def test_nothing_is_expected_without_a_rhythm(
    times: list[datetime], lasts: timedelta, reason: str
) -> None:
    assert learnt(times, lasts) == Rhythm(reason, grew=bool(times))


@pytest.mark.parametrize("seed", range(3))
def test_what_is_learnt_holds_in_the_month_after(seed: int) -> None:
    for times in (
        every(5, 1),
        every(60, 2),
        at_half_past_two,
        at_random(60),
        on_weekdays(every(60, 2)),
        on_weekdays(every(5, 1), range(8, 18)),
        on_weekdays(at_half_past_two),
    ):
        happened = list(times(Random(seed)))
        found = learnt(happened)
        assert found.expect is not None, found.reason
        silent = parse_quiet_hours(list(found.quiet))
        later = [at for at in happened if at >= START + LEARNT]
        silences = [silent.active_time(*pair) for pair in pairwise(later)]
        assert max(silences) <= found.expect.every, found


def test_time_that_nobody_watched_is_no_silence(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    history = History(HistorySettings(path=path))
    away = START + 5 * DAY, START + 8 * DAY
    times = [START, *every(60, 2)(Random(1))]
    seen = [at for at in times if at < START + 20 * DAY and not away[0] < at < away[1]]
    history.fill([("a", "t", at, number, number) for number, at in enumerate(seen)], [])
    history.fill([("a", "gone by", seen[-1], 1, 1)], [])
    history.close()

    instants, spans = dict(grown(path, "a", START)), watched(path, "a", START)
    assert instants == {"gone by": [], "t": seen[1:]}
    back = next(at for at in seen if at > away[1])
    assert spans == [(START, max(at for at in seen if at < away[0])), (back, seen[-1])]
    found = rhythm_of(instants["t"], spans, ZONE)
    assert found.reason == "gained rows every 58 to 62 min over 17 days"
    later = START + 15 * DAY
    assert dict(grown(path, "a", later))["t"] == [at for at in seen if at >= later]
