"""The wall clock, which anybody can set, and a steady clock that only moves forward."""

import time
from datetime import UTC, datetime, timedelta

MIN_ADJUSTMENT = timedelta(seconds=2)
"""Smaller differences are leap seconds, or a pause between reading the two clocks."""


class Clock:
    """Both clocks of this machine. A simulation passes its own."""

    def now(self) -> datetime:
        """Return the time of the wall clock, in UTC."""
        return datetime.now(UTC)

    def steady_seconds(self) -> float:
        """Return the seconds since the machine started, including suspended ones.

        Setting the wall clock does not affect them (clock_gettime(2), CLOCK_BOOTTIME).
        """
        return time.clock_gettime(time.CLOCK_BOOTTIME)


CLOCK = Clock()
STARTED_SECONDS = CLOCK.steady_seconds()
"""When this process started, on the steady clock."""


class AdjustmentDetector:
    """Detects that the wall clock was set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_at = self._machine_start()

    def adjustment(self) -> timedelta:
        """Return by how much the clock was set since the previous call; zero if it was not."""
        started_at = self._machine_start()
        moved = started_at - self._started_at
        if abs(moved) < MIN_ADJUSTMENT:
            return timedelta(0)
        self._started_at = started_at
        return moved

    def _machine_start(self) -> datetime:
        """Return when the machine started, according to the present wall clock."""
        return self._clock.now() - timedelta(seconds=self._clock.steady_seconds())
