"""The past: what the agents wrote in the thirty days before the demo began."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from operator import itemgetter
from random import Random
from typing import TYPE_CHECKING

from dash_app.demo.rhythm import HOURS, at_first, at_full_hours, in_bursts, spread
from dash_app.demo.rows import AGENTS
from dash_app.demo.tables import TABLES, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from pathlib import Path

    Point = tuple[str, str, datetime, int]

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
        """Return database, table, time and rows after it, in order of time.

        One point for each minute in which a table grew, and one for every table at `now`: until
        then its rows are known.
        """
        points = (
            (database, table, at, rows)
            for database, tables in self._times.items()
            for table, times in tables.items()
            for at, rows in self._counts(times)
        )
        return sorted(points, key=itemgetter(2))

    def _counts(self, times: list[datetime]) -> Iterable[tuple[datetime, int]]:
        counts = {at.replace(second=0): (at, rows) for rows, at in enumerate(times, 1)}
        counts[self._now.replace(second=0)] = (self._now, len(times))
        return counts.values()


def _random(purpose: str, table: str) -> Random:
    return Random(f"{purpose} {table}")  # noqa: S311 - the same demo each time, no secrets
