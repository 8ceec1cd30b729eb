"""When the agents wrote: times over the thirty days up to now, oldest first.

Pure functions; times are aware datetimes in UTC in whole seconds, none later than `now`.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from random import Random

HOURS = 30 * 24
HOUR_SECONDS = 3600

QUIETEST_HOUR = 3
FIRST_WEEKEND_DAY = 5
WEEKEND_SHARE = 0.4

EVENTS_PER_BURST = 20
BURST_SECONDS = 20


def busyness(at: datetime) -> float:
    """Return how busy the agents are at a time: 0.1 at night to 2.1 by day, less at week-ends."""
    daily = 1.1 - math.cos(2 * math.pi * (at.hour - QUIETEST_HOUR) / 24)
    return daily * (WEEKEND_SHARE if at.weekday() >= FIRST_WEEKEND_DAY else 1)


def at_first(_random: Random, now: datetime, count: int) -> list[datetime]:
    """Return times a minute apart at the very beginning: what was set up once."""
    beginning = now - timedelta(hours=HOURS)
    return [beginning + timedelta(minutes=minute) for minute in range(count)]


def spread(random: Random, now: datetime, count: int) -> list[datetime]:
    """Return times strewn over the days, the more the busier the hour."""
    ends = [now - timedelta(hours=hour) for hour in range(HOURS)]
    hours = random.choices(ends, [busyness(end) for end in ends], k=count)
    return sorted(end - timedelta(seconds=random.randrange(HOUR_SECONDS)) for end in hours)


def in_bursts(random: Random, now: datetime, count: int) -> list[datetime]:
    """Return times in bursts of some twenty, the bursts strewn over the days."""
    starts = random.choices(spread(random, now, count // EVENTS_PER_BURST), k=count)
    late = (start + timedelta(seconds=random.randrange(BURST_SECONDS)) for start in starts)
    return sorted(min(now, time) for time in late)


def at_full_hours(_random: Random, now: datetime, count: int) -> list[datetime]:
    """Return the last full hours."""
    last = now.replace(minute=0, second=0, microsecond=0)
    return [last - timedelta(hours=hour) for hour in reversed(range(count))]
