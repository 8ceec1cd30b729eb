"""Two clocks: the wall clock, which anybody can set, and one that only ever moves forward."""

from __future__ import annotations

import time
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

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


def moved(value: Any, by: timedelta) -> Any:  # noqa: ANN401 - returns the type that it is given
    """Return a value of the model with all its times moved by as much as the clock was set."""
    if isinstance(value, datetime):
        return value + by
    if isinstance(value, tuple):
        return tuple(moved(one, by) for one in value)
    if isinstance(value, dict):
        return {key: moved(one, by) for key, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        changed = {field.name: moved(getattr(value, field.name), by) for field in fields(value)}
        return replace(value, **changed)
    return value


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
