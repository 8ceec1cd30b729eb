"""Lets the real sampler, history, incidents and alerts watch a world at high speed.

Real are all that judges, stores and tells. Not real are the clock, the airlock, whose readings are
those of the world, and who receives the messages.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from unittest.mock import patch

from dash_app import settings
from dash_app.airlock.airlock import Airlock
from dash_app.airlock.self_check import SelfCheck
from dash_app.history.writer import History
from dash_app.model.incident import Acknowledgement
from dash_app.model.notification import Notification
from dash_app.model.reading import Reading
from dash_app.sampler import Sampler
from tests.drill.checks import Said
from tests.drill.scenarios import Course
from tests.drill.world import START, World, configuration

TICK = timedelta(minutes=1)


class Wall(datetime):
    """The clock on the wall of the world that is watched."""

    shows = START

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        assert tz is not None
        return cls.shows.astimezone(tz)


class Window:
    """Stands where the airlock does, and reads the world."""

    longest_open_seconds, sidecars_left, is_reading, guards = 0.0, 0, True, None
    pids: tuple[int, ...] = ()

    def __init__(self, world: World) -> None:
        self._world = world

    def read(self, _wait_seconds: float) -> Mapping[str, Reading]:
        return self._world.readings()

    def resume(self, _memories: object) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""


class Receiver:
    """Stands where messages are sent, and is the person's: it answers at once, or not at all."""

    is_ready = True

    def __init__(self, drill: Drill) -> None:
        self._drill = drill
        self._news: list[dict[str, Any]] = []

    def begin(self, messages: Sequence[Notification], _types: Mapping[str, str]) -> None:
        """Take messages, if it answers."""
        answers = self._drill.receiver_answers
        if answers:
            self._drill.hear(messages)
        failure = None if answers else "no answer"
        self._news += [
            {"mark": one.mark, "failure": failure, "outcome": "away"} for one in messages
        ]

    def news(self) -> list[dict[str, Any]]:
        """Return what became of the messages."""
        told, self._news = self._news, []
        return told

    def end(self) -> None:
        """Nothing is under way."""


class Drill:
    """A world, its failures, the service that watches it, and the person whom it tells."""

    def __init__(self, folder: Path, course: Course, seed: int = 1) -> None:
        urls = folder / "alerts.urls"
        urls.touch(0o600)
        urls.write_text("json://receiver.example\n")
        self.settings = settings.parse(
            {
                **configuration(course.stores),
                "history": {"path": str(folder / "history.db"), "every": "10m"},
                "alerts": {"urls_file": str(urls)},
            },
            folder / "config.toml",
        )
        self.world = World(self.settings.databases, course.lasts, seed)
        self.is_held = False
        self.receiver_answers = True
        self.looks = 0
        self.said: list[Said] = []
        self._sampler: Sampler | None = None
        self._acts = sorted(
            (act for plant in course.plants for act in plant.acts), key=lambda act: act[0]
        )

    def run(self) -> list[Said]:
        """Go through the whole time, look by look; return what the person was told."""
        with (
            _simulated(self.world),
            patch("dash_app.alerts.notifier.Delivery", lambda *_: Receiver(self)),
        ):
            self.start()
            while self.world.now < self.world.ends:
                self._go_on()
            if self._sampler:
                self.stop()
        return self.said

    def start(self) -> None:
        """Start the service."""
        self._history = History(self.settings.history)
        window = cast("Airlock", Window(self.world))
        self._sampler = Sampler(self.settings, self._history, window)

    def stop(self) -> None:
        """End the service as a shutdown does."""
        assert self._sampler is not None
        self._sampler._stopping.set()
        self._sampler._run()  # which has nothing left to do but to keep what it knows
        self.kill()

    def kill(self) -> None:
        """End the service without a word."""
        self._history.close()
        self._sampler = None

    def acknowledge(self, name: str) -> None:
        """Have the person say that they know of what is amiss with a database."""
        assert self._sampler is not None
        by = Acknowledgement("ann", self.world.wall, None)
        for one in self._sampler.docket.incidents:
            if name in one.databases and one.id is not None:
                self._sampler.docket.acknowledge(one.id, by)

    def see(self, name: str) -> None:
        """Have the person mark what happened to a database as seen."""
        assert self._sampler is not None
        self._sampler._requests.see(name, self.world.wall)

    def hear(self, messages: Sequence[Notification]) -> None:
        """Have the person told."""
        assert self._sampler is not None
        concerned = {one.key: one.databases for one in self._sampler.docket.incidents}
        for one in messages:
            text = one.body if one.cause else f"{one.title}\n{one.body}"
            names = concerned.get(one.cause, ())
            self.said.append(Said(self.world.now, one.kind, names, text))

    def _go_on(self) -> None:
        self.world.go_on(self.world.now + TICK)
        Wall.shows = self.world.wall
        while self._acts and self._acts[0][0] <= self.world.now:
            self._acts.pop(0)[1](self)
        if self._sampler and not self.is_held:
            self._sampler._tick()
            self.looks += 1


@contextmanager
def _simulated(world: World) -> Iterator[None]:
    """Have the clock on the wall of the world in every part that asks for the time."""

    def steady() -> float:
        return (world.now - START).total_seconds()

    asking = [module for module in _own_modules() if "datetime.now(" in inspect.getsource(module)]
    with ExitStack() as stack:
        for module in asking:
            stack.enter_context(patch.object(module, "datetime", Wall))
        # What only the page shows, and what only a real child has, would take most of the time.
        stack.enter_context(patch("dash_app.system.clock.steady_seconds", steady))
        stack.enter_context(patch("dash_app.sampler.steady_seconds", steady))
        stack.enter_context(patch("dash_app.sampler.activity", lambda *_: {}))
        stack.enter_context(patch.object(SelfCheck, "look", lambda *_: None))
        yield


def _own_modules() -> list[ModuleType]:
    return [
        module
        for name, module in sys.modules.items()
        if name.startswith("dash_app.") and getattr(module, "datetime", None) is datetime
    ]
