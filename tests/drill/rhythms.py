"""Known rhythms: when a table is written, and the matching expectations."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

Writes = Callable[[Random, datetime, datetime], Iterator[tuple[datetime, int]]]
"""Yields the instants of writes between two instants, each with its number of rows."""

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
PARIS, SYDNEY = ZoneInfo("Europe/Paris"), ZoneInfo("Australia/Sydney")


@dataclass(frozen=True)
class Rhythm:
    """A kind of table: when it is written, and what is expected of it."""

    name: str
    every: timedelta
    grace: timedelta
    writes: Writes
    quiet: tuple[str, ...] = ()

    @property
    def configuration(self) -> dict[str, Any]:
        """The expectations, as in the configuration file."""
        every, grace = (f"{duration // MINUTE}m" for duration in (self.every, self.grace))
        return {
            "expect": {"every": every, "grace": grace},
            "quiet": list(self.quiet),
            "min_rows": 10,
        }


def steady(step: timedelta, jitter: timedelta, growth: float = 0.0) -> Writes:
    """Write every `step`, up to `jitter` late, with `growth` more rows each time."""

    def writes(random: Random, since: datetime, until: datetime) -> Iterator[tuple[datetime, int]]:
        for number in range(-(-(until - since) // step)):
            yield since + number * step + random.random() * jitter, 1 + int(number * growth)

    return writes


def bursty(random: Random, since: datetime, until: datetime) -> Iterator[tuple[datetime, int]]:
    """Write some rows within minutes, then nothing for up to ten hours."""
    at = since
    while at < until:
        for _ in range(random.randrange(1, 30)):
            at += random.expovariate(1) * MINUTE
            yield at, random.randrange(1, 9)
        at += min(random.expovariate(1 / 3), 9.5) * HOUR


def with_backfill(
    random: Random, since: datetime, until: datetime
) -> Iterator[tuple[datetime, int]]:
    """Write hourly, except that one write in ten is half an hour late or comes with the next."""
    pending = 0
    for number in range(-(-(until - since) // HOUR)):
        pending += 1
        late = random.random()
        if late > 0.05 or pending > 1:
            yield since + number * HOUR + (30 if late < 0.1 else 0) * MINUTE, 3 * pending
            pending = 0


def at(*times: time, zone: ZoneInfo, weekdays: bool = False) -> Writes:
    """Write at local times of the day, up to a quarter of an hour late."""

    def writes(random: Random, since: datetime, until: datetime) -> Iterator[tuple[datetime, int]]:
        for number in range((until - since) // DAY + 2):
            day = since.astimezone(zone).date() + number * DAY
            for local in times if day.weekday() < 5 or not weekdays else ():
                instant = datetime.combine(day, local, zone).astimezone(UTC)
                instant += random.randrange(15) * MINUTE
                if since <= instant < until:
                    yield instant, random.randrange(100, 200)

    return writes


OFFICE_HOURS = [time(hour, minute) for hour in range(8, 18) for minute in (0, 30)]

RHYTHMS = (
    Rhythm("every 5 minutes", 7 * MINUTE, 3 * MINUTE, steady(5 * MINUTE, MINUTE)),
    Rhythm("hourly", 75 * MINUTE, 15 * MINUTE, steady(HOUR, 10 * MINUTE)),
    Rhythm("nightly", 26 * HOUR, 2 * HOUR, at(time(2, 30), zone=PARIS)),
    Rhythm(
        "in office hours",
        75 * MINUTE,
        15 * MINUTE,
        at(*OFFICE_HOURS, zone=PARIS, weekdays=True),
        ("18:00-08:00 Europe/Paris", "Sat-Sun Europe/Paris"),
    ),
    Rhythm("in bursts", 11 * HOUR, HOUR, bursty),
    Rhythm("growing", 75 * MINUTE, 15 * MINUTE, steady(HOUR, 10 * MINUTE, growth=0.1)),
    Rhythm("with late backfill", 155 * MINUTE, 15 * MINUTE, with_backfill),
    Rhythm(
        "on weekday mornings",
        25 * HOUR,
        2 * HOUR,
        at(time(6), zone=SYDNEY, weekdays=True),
        ("Sat-Sun Australia/Sydney",),
    ),
)
