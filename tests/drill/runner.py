"""Runs the real sampler, history, incidents and alerts over a simulated world at high speed.

Three parts are simulated: the clock, the airlock, which returns the world's readings, and the
receiver of the notifications.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self
from unittest.mock import patch

from dash_app import settings
from dash_app.airlock.airlock import Airlock
from dash_app.airlock.child_process import Limits
from dash_app.alerts.delivery import Delivery
from dash_app.history.writer import History
from dash_app.model.incident import Acknowledgement, Incident
from dash_app.model.notification import Notification
from dash_app.model.reading import Reading
from dash_app.sampler import Sampler
from dash_app.system.clock import Clock
from tests.drill.world import START, World, configuration

TICK = timedelta(minutes=1)

Action = Callable[["Drill"], None]


@dataclass(frozen=True)
class Received:
    """A notification that a person received, at a time of the world.

    `kind` is "fault", "reminder", "over" or "summary"; `databases` are those it concerns.
    """

    at: datetime
    kind: str
    databases: tuple[str, ...]
    text: str


class WorldClock(Clock):
    """The two clocks of a simulated machine."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        return self._world.wall

    def steady_seconds(self) -> float:
        return (self._world.now - START).total_seconds()


class WorldAirlock(Airlock):
    """Returns the readings of the world, without any child."""

    def __init__(self, world: World) -> None:
        super().__init__([], Limits(deadline_seconds=2.0, table_seconds=0.25))
        self._world = world

    def read(self, wait_seconds: float) -> Mapping[str, Reading]:  # noqa: ARG002 - overrides
        return self._world.readings()


class WorldDelivery(Delivery):
    """Delivers notifications at once, or not at all while the receiver is down."""

    def __init__(self, drill: Drill) -> None:
        super().__init__(drill.urls_file, lambda: None)
        self._drill = drill

    def start(self, notifications: Sequence[Notification], types: Mapping[str, str]) -> None:  # noqa: ARG002 - overrides
        failure = None if self._drill.receiver_answers else "no answer"
        if not failure:
            self._drill.receive(notifications)
        for notification in notifications:
            self._results.put({"id": notification.id, "failure": failure, "outcome": "away"})


class Drill:
    """A world, the service that watches it, and the person whom the service notifies."""

    def __init__(self, folder: Path, duration: timedelta, databases: int, seed: int = 1) -> None:
        self.urls_file = folder / "alerts.urls"
        self.urls_file.touch(0o600)
        self.urls_file.write_text("json://receiver.example\n")
        self.settings = settings.parse(
            {
                **configuration(databases),
                "history": {"path": str(folder / "history.db"), "every": "10m"},
                "alerts": {"urls_file": str(self.urls_file)},
            },
            folder / "config.toml",
        )
        self.world = World(self.settings.databases, duration, seed)
        self.receiver_answers = True
        self.ticks = 0
        self.received: list[Received] = []
        self._sampler: Sampler | None = None

    def run(self, actions: Sequence[tuple[datetime, Action]]) -> Self:
        """Run the whole time, tick by tick, and do each action at its time."""
        pending = sorted(actions, key=lambda action: action[0])
        with patch("dash_app.alerts.notifier.Delivery", lambda *_: WorldDelivery(self)):
            self.start()
            while self.world.now < self.world.end:
                self.world.advance(self.world.now + TICK)
                while pending and pending[0][0] <= self.world.now:
                    pending.pop(0)[1](self)
                self._tick()
            if self._sampler:
                self.stop()
        return self

    def start(self) -> None:
        """Start the service."""
        self._history = History(self.settings.history)
        airlock, clock = WorldAirlock(self.world), WorldClock(self.world)
        self._sampler = Sampler(self.settings, self._history, airlock, clock)

    def stop(self) -> None:
        """Stop the service as a shutdown does."""
        assert self._sampler is not None
        self._sampler.finish()
        self.kill()

    def kill(self) -> None:
        """End the service without letting it store its state."""
        self._history.close()
        self._sampler = None

    def acknowledge(self, database: str) -> None:
        """Let the person acknowledge a database's incidents."""
        assert self._sampler is not None
        by = Acknowledgement("ann", self.world.wall, None)
        for incident in self._incidents:
            if database in incident.databases and incident.id is not None:
                self._sampler.inbox.acknowledge({incident.id: by})

    def dismiss(self, database: str) -> None:
        """Let the person mark a database's events as seen."""
        assert self._sampler is not None
        self._sampler.inbox.dismiss(database, self.world.wall)

    def receive(self, notifications: Sequence[Notification]) -> None:
        """Let the person receive notifications."""
        databases = {incident.key: incident.databases for incident in self._incidents}
        for sent in notifications:
            text = sent.body if sent.cause else f"{sent.title}\n{sent.body}"
            concerned = databases.get(sent.cause, ())
            self.received.append(Received(self.world.now, sent.kind, concerned, text))

    @property
    def _incidents(self) -> tuple[Incident, ...]:
        """The incidents of the newest snapshot."""
        assert self._sampler is not None
        assert self._sampler.snapshot is not None
        return self._sampler.snapshot.incidents

    def _tick(self) -> None:
        if self._sampler and not self.world.is_asleep:
            self._sampler.tick()
            self.ticks += 1
