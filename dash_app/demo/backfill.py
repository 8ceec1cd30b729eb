"""The past: what the agents wrote in the thirty days before the demo began."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from pathlib import Path
from random import Random

from dash_app.demo.rhythm import HOURS, at_first, at_full_hours, in_bursts, spread
from dash_app.demo.rows import AGENTS
from dash_app.demo.tables import TABLES, connect
from dash_app.model.event import Event

Point = tuple[str, str, datetime, int, int]

TIMES: dict[str, dict[str, Callable[[Random, datetime], list[datetime]]]] = {
    "coordination": {
        "agents": partial(at_first, count=len(AGENTS)),
        "tasks": partial(spread, count=126),
    },
    "observability": {"events": partial(in_bursts, count=10_640)},
    "email": {"messages": partial(spread, count=384), "attachments": partial(spread, count=0)},
    "health": {"readings": partial(at_full_hours, count=HOURS)},
}
"""When the rows of each table were written, by database and table. `content` has no past."""


GAP_ENDED, GAP_LASTED = timedelta(days=19), timedelta(hours=31)
"""Mission Control was not running then."""

LOST_AT, LOST_TABLE, LOST_ROWS = timedelta(days=12, hours=5), "events", 8_000
"""Somebody cleared out old events."""

CHANGED_AT = timedelta(days=5, hours=3)


class Past:
    """The rows of the thirty days up to a time: the same at every run, but for that time."""

    def __init__(self, now: datetime) -> None:
        """Choose when each row was written. `now` is an aware time in UTC."""
        self._now = now.replace(microsecond=0)
        self._times = {
            database: {
                table: times_of(_random("time", table), self._now)
                for table, times_of in tables.items()
            }
            for database, tables in TIMES.items()
        }

    def fill(self, database: str, path: Path) -> None:
        """Make a database with its past in a new file. Raises sqlite3.Error."""
        with closing(connect(path)) as connection:
            # Nothing here need survive a power cut, and some disks are slow to sync.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN")
            for table in TABLES[database]:
                table.create(connection)
                times = self._times[database][table.name]
                table.add(connection, _random("row", table.name), times)
            connection.commit()

    def points(self) -> list[Point]:
        """Return database, table, time, rows after it and rows written so far, in order of time.

        One point for each minute in which a table grew, and two for every table, at the beginning
        and at `now`: in between its rows are known. None while nobody watched, and more rows before
        some were lost.
        """
        gap_ends = self._now - GAP_ENDED
        points = (
            (database, table, at, rows + self._lost_later(table, at), rows)
            for database, tables in self._times.items()
            for table, times in tables.items()
            for at, rows in self._counts(times)
            if not gap_ends - GAP_LASTED < at < gap_ends
        )
        return sorted(points, key=itemgetter(2))

    def events(self) -> list[Event]:
        """Return what happened in the past, all of it seen by somebody since."""
        lost_at, changed_at = self._now - LOST_AT, self._now - CHANGED_AT
        kept = sum(at < lost_at for at in self._times["observability"][LOST_TABLE])
        lost = {"rows": {LOST_TABLE: kept + LOST_ROWS}}, {"rows": {LOST_TABLE: kept}}
        return [
            Event("observability", "rows_dropped", lost_at, *lost, ended_at=lost_at + GAP_LASTED),
            Event(
                "coordination",
                "schema_changed",
                changed_at,
                {"objects": []},
                {"objects": ["column tasks.priority"]},
            ),
        ]

    def _lost_later(self, table: str, at: datetime) -> int:
        return LOST_ROWS if table == LOST_TABLE and at < self._now - LOST_AT else 0

    def _counts(self, times: list[datetime]) -> Iterable[tuple[datetime, int]]:
        began = self._now - timedelta(hours=HOURS)
        counts = {began.replace(second=0): (began, 0)}
        counts |= {at.replace(second=0): (at, rows) for rows, at in enumerate(times, 1)}
        counts[self._now.replace(second=0)] = (self._now, len(times))
        return counts.values()


def _random(purpose: str, table: str) -> Random:
    return Random(f"{purpose} {table}")  # noqa: S311 - the same demo each time, no secrets
