"""What the writers wrote, and what happened, in the thirty days before the demo started."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from random import Random

from dash_app.demo.rhythm import RHYTHMS
from dash_app.demo.tables import AGENTS, COSTS_USD, TABLES, connect
from dash_app.model.event import Event

Point = tuple[str, str, datetime, int, int]
Measured = tuple[str, str, str | None, datetime, float]

LENGTH = timedelta(days=30)
BACKFILLED = ("coordination", "observability", "email", "health")
"""`content` is new and has no rows yet."""

AGENT_COUNT = 7
MINUTES_LENGTH = timedelta(hours=49)
"""Points of each minute are stored for the charts of up to a day, earlier ones for each hour."""

GAP_END, GAP_LENGTH = timedelta(days=19), timedelta(hours=31)
"""When, before now, Mission Control was not running."""

DROP_AGE, DROPPED_TABLE, DROPPED_ROWS = timedelta(days=12, hours=5), "events", 8_000
"""Somebody deleted old events."""

SCHEMA_CHANGE_AGE = timedelta(days=5, hours=3)


class Backfill:
    """Thirty days of rows, points and events up to `now`, the same at each run."""

    def __init__(self, now: datetime) -> None:
        """Choose when each row was written. `now` is an aware time in UTC."""
        self._now = now.replace(microsecond=0)
        self._start = self._now - LENGTH
        self._times = {
            database: {table.name: self._times_of(database, table.name) for table in tables}
            for database, tables in TABLES.items()
            if database in BACKFILLED
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

        A table has a point for each minute or hour in which it grew, and one at the start and at
        `now`, because its rows are known in between. There are none in the gap.
        """
        points = (
            (database, table, at, rows + self._rows_dropped_later(table, at), rows)
            for database, tables in self._times.items()
            for table, times in tables.items()
            for at, rows in self._counts(times)
            if self._is_watched(at)
        )
        return sorted(points, key=itemgetter(2))

    def measured(self) -> Iterator[Measured]:
        """Yield (database, measure, label, time, value): what the measures would have shown."""
        for database in BACKFILLED:
            table = RHYTHMS[database][0]
            costs: defaultdict[date, float] = defaultdict(float)
            before = 0
            for at, rows in self._counts(self._times[database][table]):
                costs[at.date()] += sum(COSTS_USD[n % len(COSTS_USD)] for n in range(before, rows))
                before = rows
                for name, label, value in _measured(table, rows, costs[at.date()]):
                    if self._is_watched(at):
                        yield database, name, label, at, value

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

    def _times_of(self, database: str, table: str) -> list[datetime]:
        if table == AGENTS.name:
            return [self._start] * AGENT_COUNT
        written_table, rhythm = RHYTHMS[database]
        random = Random(f"time {table}")  # noqa: S311 - no secrets
        is_written = table == written_table
        return list(rhythm.times(random, self._start, self._now)) if is_written else []

    def _rows_dropped_later(self, table: str, at: datetime) -> int:
        return DROPPED_ROWS if table == DROPPED_TABLE and at < self._now - DROP_AGE else 0

    def _is_watched(self, at: datetime) -> bool:
        gap_end = self._now - GAP_END
        return not gap_end - GAP_LENGTH < at < gap_end

    def _counts(self, times: Iterable[datetime]) -> Iterator[tuple[datetime, int]]:
        """Yield the last time in each minute or hour and the rows written by then."""
        counts = {self._start: (self._start, 0)}
        recent, rows = self._now - MINUTES_LENGTH, 0
        for rows, at in enumerate(times, 1):
            at = at.replace(microsecond=0)  # noqa: PLW2901
            slot = at.replace(second=0) if at > recent else at.replace(minute=0, second=0)
            counts[slot] = (at, rows)
        counts[self._now] = (self._now, rows)
        yield from counts.values()


def _measured(table: str, rows: int, cost_usd: float) -> Iterator[tuple[str, str | None, float]]:
    """Yield measure, label and value for a number of rows, as `tables` settles them."""
    if table == "tasks":
        waiting = min(8 + abs(rows % 80 - 40) // 2, rows)
        failed = (rows - waiting) // 60
        yield "open_tasks", None, waiting
        for status, count in (("done", rows - waiting - failed), ("failed", failed)):
            yield "tasks_by_status", status, count
        yield "tasks_by_status", "open", waiting
    elif table == "messages":
        yield "unanswered", None, min(3 + abs(rows % 30 - 15) // 2, rows)
    elif table == "readings":
        yield "newest_reading", None, 20 + rows * 7 % 11
    else:
        yield "cost_today", None, round(cost_usd, 2)
