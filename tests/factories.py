"""Made-up values for tests: clocks, readings, snapshots, incidents."""

from __future__ import annotations

from datetime import datetime, timedelta

from dash_app.system.clock import Clock


class FakeClock(Clock):
    """Two clocks that stand still unless moved; `wall` may be set."""

    def __init__(self, wall: datetime) -> None:
        self.wall = wall
        self.passed = timedelta(0)

    def now(self) -> datetime:
        return self.wall

    def steady_seconds(self) -> float:
        return 1000.0 + self.passed.total_seconds()

    def advance(self, time: timedelta) -> None:
        """Let time pass on both clocks."""
        self.wall += time
        self.passed += time
