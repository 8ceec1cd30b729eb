"""Two clocks: the wall clock, which anybody can set, and one that only ever moves forward."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

MIN_ADJUSTMENT = timedelta(seconds=2)
"""Smaller differences are leap seconds, or a pause between the two clocks being read."""

NO_TIME = timedelta(0)


def steady_seconds() -> float:
    """Return the seconds since the machine started, including suspended ones.

    Setting the wall clock does not affect them (clock_gettime(2), CLOCK_BOOTTIME).
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


STARTED_SECONDS = steady_seconds()
"""When this process started."""


class WallClock:
    """The wall clock, and by how much it has been set."""

    def __init__(self) -> None:
        self._started_at = self._start()

    def adjustment(self) -> timedelta:
        """Return by how much the clock was set since the previous call; zero if it was not."""
        started_at = self._start()
        moved = started_at - self._started_at
        if abs(moved) < MIN_ADJUSTMENT:
            return NO_TIME
        self._started_at = started_at
        return moved

    def _start(self) -> datetime:
        """When the machine started, by the wall clock of now."""
        return datetime.now(UTC) - timedelta(seconds=steady_seconds())
