"""How often each table is written, both before the demo started and while it runs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

QUIETEST_HOUR = 3
FIRST_WEEKEND_DAY = 5
WEEKEND_SHARE = 0.5


def busyness(at: datetime) -> float:
    """Return how busy the writers are: 0.3 at night to 1.7 by day, half of that at weekends."""
    daily = 1 - 0.7 * math.cos(2 * math.pi * (at.hour - QUIETEST_HOUR) / 24)
    return daily * (WEEKEND_SHARE if at.weekday() >= FIRST_WEEKEND_DAY else 1)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Writes of up to `max_rows` rows, on average `per_hour`; a regular one is a fixed clock."""

    per_hour: float
    max_rows: int = 1
    is_regular: bool = False

    def pause(self, random: Random, at: datetime) -> timedelta:
        """Return the time from a write at this time (UTC) to the next one."""
        if self.is_regular:
            return timedelta(hours=1 / self.per_hour)
        return timedelta(hours=random.expovariate(self.per_hour * busyness(at)))

    def rows(self, random: Random) -> int:
        """Return the number of rows of one write."""
        return random.randint(1, self.max_rows)

    def times(self, random: Random, start: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the time of each row written from a start to an end, oldest first."""
        at = start
        while at <= end:
            yield from [at] * self.rows(random)
            at += self.pause(random, at)


RHYTHMS: dict[str, tuple[str, Rhythm]] = {
    "coordination": ("tasks", Rhythm(30)),
    "observability": ("events", Rhythm(60, max_rows=3)),
    "content": ("articles", Rhythm(120)),
    "email": ("messages", Rhythm(20)),
    "health": ("readings", Rhythm(60, is_regular=True)),
}
"""The table that the writer of each database writes, and how often."""
