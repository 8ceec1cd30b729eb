"""The proposed expectation of a table follows its habits, never chance."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from dash_app.history.coverage import find_growth, find_watched
from dash_app.history.writer import History
from dash_app.rules.rhythm import Rhythm, rhythm_of
from dash_app.settings.quiet_hours import parse_quiet_hours
from dash_app.settings.schema import HistorySettings

Times = Callable[[Random], Iterable[datetime]]

ZONE = "Europe/Paris"
PARIS = ZoneInfo(ZONE)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 9, 24, 22, tzinfo=UTC)
"""Midnight in Paris, a month before its clocks go back."""

LEARNED, TOTAL = 30 * DAY, 62 * DAY
WEEKEND, OFFICE = f"Sat-Sun {ZONE}", f"17:00-09:00 {ZONE}"


def repeat(step: Callable[[], timedelta], since: datetime = START) -> list[datetime]:
    times, at = [], since
    while (at := at + step()) < START + TOTAL:
        times.append(at.replace(second=0, microsecond=0))
    return times


def every(minutes: float, jitter: float = 0) -> Times:
    return lambda random: repeat(lambda: (minutes + random.uniform(-jitter, jitter)) * MINUTE)


def at_random(minutes: float) -> Times:
    return lambda random: repeat(lambda: random.expovariate(1 / minutes) * MINUTE)


def at_half_past_two(random: Random) -> list[datetime]:
    """Every night on the clock of Paris, which goes back an hour in the second month."""
    days = (START.astimezone(PARIS).date() + n * DAY for n in range(TOTAL // DAY))
    local = (datetime(day.year, day.month, day.day, 2, 30, tzinfo=PARIS) for day in days)
    return [at.astimezone(UTC) + random.randrange(20) * MINUTE for at in local]


def on_weekdays(times: Times, hours: range = range(24)) -> Times:
    def selected(random: Random) -> list[datetime]:
        local = ((at, at.astimezone(PARIS)) for at in times(random))
        return [at for at, there in local if there.weekday() < 5 and there.hour in hours]

    return selected


def with_an_outage(random: Random) -> list[datetime]:
    outage = START + 9 * DAY, START + 9 * DAY + 6 * HOUR
    return [at for at in every(60, 2)(random) if not outage[0] < at < outage[1]]


def late_backfill(random: Random) -> list[datetime]:
    """Every hour, and now and then an additional write."""
    return sorted([*every(60, 2)(random), *at_random(2_000)(random)])


def learn(times: Iterable[datetime], duration: timedelta = LEARNED) -> Rhythm:
    end = START + duration
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
            "gained rows every 58 to 62 min over 30 days, except for 1 longer silence",
            "65m+15m",
        ),
        (late_backfill, "gained rows every 52 to 62 min over 30 days", "65m+15m"),
        (at_random(60), "gained rows in bursts, at most 5 h apart, over 30 days", "660m+165m"),
    ],
)
def test_a_rhythm_has_a_reason_and_an_expectation(times: Times, reason: str, expected: str) -> None:
    found = learn(times(Random(1)))
    assert found.expect is not None, found.reason
    expectation = f"{found.expect.every // MINUTE}m+{found.expect.grace // MINUTE}m"
    assert (found.reason, expectation, found.quiet) == (reason, expected, ())


@pytest.mark.parametrize(
    ("times", "quiet_times", "max_every"),
    [
        (on_weekdays(every(60, 2)), (WEEKEND,), 3 * HOUR),
        (on_weekdays(at_half_past_two), (WEEKEND,), 26 * HOUR),
        (on_weekdays(every(5, 1), range(8, 18)), (OFFICE, WEEKEND), 10 * MINUTE),
        (on_weekdays(at_random(12), range(8, 18)), (OFFICE, WEEKEND), 4 * HOUR),
    ],
)
def test_quiet_hours_shorten_the_expected_time_between_writes(
    times: Times, quiet_times: tuple[str, ...], max_every: timedelta
) -> None:
    found = learn(times(Random(1)))
    assert found.expect is not None, found.reason
    assert found.quiet == quiet_times
    assert found.expect.every <= max_every


@pytest.mark.parametrize(
    ("times", "duration", "reason"),
    [
        (list[datetime](), LEARNED, "gained no rows"),
        (every(60)(Random()), 6 * DAY, "watched for 5 d; a rhythm takes at least 7 d"),
        (
            every(7 * 24 * 60)(Random()),
            LEARNED,
            "gained rows 4 times in 23 days, too rarely for a rhythm",
        ),
        (at_random(24 * 60)(Random(1)), LEARNED, "irregular: no rows for up to 2 d in 30 days"),
        # Two weekends without rows may be chance.
        (on_weekdays(every(60))(Random()), 12 * DAY, "irregular: no rows for up to 2 d in 12 days"),
        (
            [at for at in every(60)(Random()) if at < START + 20 * DAY],
            LEARNED,
            "gained rows every 60 min over 30 days, but none for 10 d",
        ),
    ],
)
def test_without_a_rhythm_nothing_is_proposed(
    times: list[datetime], duration: timedelta, reason: str
) -> None:
    assert learn(times, duration) == Rhythm(reason, grew=bool(times))


@pytest.mark.parametrize("seed", range(3))
def test_a_learned_expectation_holds_in_the_following_month(seed: int) -> None:
    for times in (
        every(5, 1),
        every(60, 2),
        at_half_past_two,
        at_random(60),
        on_weekdays(every(60, 2)),
        on_weekdays(every(5, 1), range(8, 18)),
        on_weekdays(at_half_past_two),
    ):
        instants = list(times(Random(seed)))
        found = learn(instants)
        assert found.expect is not None, found.reason
        silent = parse_quiet_hours(list(found.quiet))
        later = [at for at in instants if at >= START + LEARNED]
        silences = [silent.active_time(*pair) for pair in pairwise(later)]
        assert max(silences) <= found.expect.every, found


def test_time_that_was_not_watched_is_not_a_silence(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    history = History(HistorySettings(path=path))
    away = START + 5 * DAY, START + 8 * DAY
    times = [START, *every(60, 2)(Random(1))]
    seen = [at for at in times if at < START + 20 * DAY and not away[0] < at < away[1]]
    history.backfill([("a", "t", at, number, number) for number, at in enumerate(seen)], [])
    history.backfill([("a", "gone by", seen[-1], 1, 1)], [])
    history.close()

    instants, spans = dict(find_growth(path, "a", START)), find_watched(path, "a", START)
    assert instants == {"gone by": [], "t": seen[1:]}
    back = next(at for at in seen if at > away[1])
    assert spans == [(START, max(at for at in seen if at < away[0])), (back, seen[-1])]
    found = rhythm_of(instants["t"], spans, ZONE)
    assert found.reason == "gained rows every 58 to 62 min over 17 days"
    later = START + 15 * DAY
    assert dict(find_growth(path, "a", later))["t"] == [at for at in seen if at >= later]
