"""What the writers wrote, and what happened, in the thirty days before the demo started."""

import math
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from pathlib import Path
from random import Random

from dash_app.demo.tables import TABLES, connect
from dash_app.model.event import Event

Point = tuple[str, str, datetime, int, int]

HOURS = 30 * 24
HOUR_SECONDS = 3600

QUIETEST_HOUR = 3
FIRST_WEEKEND_DAY = 5
WEEKEND_SHARE = 0.4

EVENTS_PER_BURST = 20
BURST_SECONDS = 20

GAP_END, GAP_LENGTH = timedelta(days=19), timedelta(hours=31)
"""When, before now, Mission Control was not running."""

DROP_AGE, DROPPED_TABLE, DROPPED_ROWS = timedelta(days=12, hours=5), "events", 8_000
"""Somebody deleted old events."""

SCHEMA_CHANGE_AGE = timedelta(days=5, hours=3)


def busyness(at: datetime) -> float:
    """Return how busy the writers are: 0.1 at night to 2.1 by day, less at weekends."""
    daily = 1.1 - math.cos(2 * math.pi * (at.hour - QUIETEST_HOUR) / 24)
    return daily * (WEEKEND_SHARE if at.weekday() >= FIRST_WEEKEND_DAY else 1)


def once(_random: Random, now: datetime, count: int) -> list[datetime]:
    """Return times one minute apart at the very start, as of a setup."""
    start = now - timedelta(hours=HOURS)
    return [start + timedelta(minutes=minute) for minute in range(count)]


def spread(random: Random, now: datetime, count: int) -> list[datetime]:
    """Return random times, more of them in busier hours."""
    ends = [now - timedelta(hours=hour) for hour in range(HOURS)]
    hours = random.choices(ends, [busyness(end) for end in ends], k=count)
    return sorted(end - timedelta(seconds=random.randrange(HOUR_SECONDS)) for end in hours)


def in_bursts(random: Random, now: datetime, count: int) -> list[datetime]:
    """Return times in bursts of about twenty; the bursts are spread as by `spread`."""
    starts = random.choices(spread(random, now, count // EVENTS_PER_BURST), k=count)
    times = (start + timedelta(seconds=random.randrange(BURST_SECONDS)) for start in starts)
    return sorted(min(now, time) for time in times)


def hourly(_random: Random, now: datetime, count: int) -> list[datetime]:
    """Return the last full hours."""
    last = now.replace(minute=0, second=0, microsecond=0)
    return [last - timedelta(hours=hour) for hour in reversed(range(count))]


ROW_TIMES: dict[str, dict[str, Callable[[Random, datetime], list[datetime]]]] = {
    "coordination": {"agents": partial(once, count=7), "tasks": partial(spread, count=126)},
    "observability": {"events": partial(in_bursts, count=10_640)},
    "email": {"messages": partial(spread, count=384), "attachments": partial(spread, count=0)},
    "health": {"readings": partial(hourly, count=HOURS)},
}
"""The rhythm of each table, by database. `content` is new and has no rows yet.

Each function returns aware times in UTC, in whole seconds, oldest first, none after `now`.
"""


class Backfill:
    """Thirty days of rows, points and events up to `now`, the same at each run."""

    def __init__(self, now: datetime) -> None:
        """Choose when each row was written. `now` is an aware time in UTC."""
        self._now = now.replace(microsecond=0)
        self._times = {
            database: {
                table: row_times(Random(f"time {table}"), self._now)  # noqa: S311 - no secrets
                for table, row_times in tables.items()
            }
            for database, tables in ROW_TIMES.items()
        }

    def create(self, database: str, path: Path) -> None:
        """Create a database with its rows in a new file. Raise sqlite3.Error."""
        with closing(connect(path)) as connection:
            # Nothing here needs to survive a power cut, and some disks are slow to sync.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN")
            for table in TABLES[database]:
                table.create(connection)
                table.insert(connection, self._times[database][table.name])
            connection.commit()

    def points(self) -> list[Point]:
        """Return (database, table, time, rows, rows written so far) in order of time.

        A table has one point for each minute in which it grew, and one at the start and at `now`,
        because its rows are known in between. There are none in the gap.
        """
        gap_end = self._now - GAP_END
        points = (
            (database, table, at, rows + self._rows_dropped_later(table, at), rows)
            for database, tables in self._times.items()
            for table, times in tables.items()
            for at, rows in self._counts(times)
            if not gap_end - GAP_LENGTH < at < gap_end
        )
        return sorted(points, key=itemgetter(2))

    def events(self) -> list[Event]:
        """Return a drop of rows, already acknowledged, and a change of a schema."""
        dropped_at, changed_at = self._now - DROP_AGE, self._now - SCHEMA_CHANGE_AGE
        rows = sum(at < dropped_at for at in self._times["observability"][DROPPED_TABLE])
        before, after = ({"rows": {DROPPED_TABLE: n}} for n in (rows + DROPPED_ROWS, rows))
        ended_at = dropped_at + GAP_LENGTH
        column = ["column tasks.priority"]
        return [
            Event("observability", "rows_dropped", dropped_at, before, after, ended_at=ended_at),
            Event(
                "coordination", "schema_changed", changed_at, {"objects": []}, {"objects": column}
            ),
        ]

    def _rows_dropped_later(self, table: str, at: datetime) -> int:
        return DROPPED_ROWS if table == DROPPED_TABLE and at < self._now - DROP_AGE else 0

    def _counts(self, times: list[datetime]) -> Iterable[tuple[datetime, int]]:
        start = self._now - timedelta(hours=HOURS)
        counts = {start.replace(second=0): (start, 0)}
        counts |= {at.replace(second=0): (at, rows) for rows, at in enumerate(times, 1)}
        counts[self._now.replace(second=0)] = (self._now, len(times))
        return counts.values()
