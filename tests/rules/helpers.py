"""Changes of real databases, and the events and losses found after them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from dash_app.airlock.airlock import Airlock
from dash_app.history.writer import History
from dash_app.model.database import Database
from dash_app.model.event import Event
from dash_app.model.reading import Reading
from dash_app.rules.changes import apply_reading
from dash_app.rules.state import StateStore
from dash_app.settings.schema import HistorySettings
from dash_app.system.clock import CLOCK
from dash_app.words.events import event_text
from tests.airlock_helpers import read_exact, read_until, watching
from tests.harness import execute

FILL = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
    " INSERT INTO {table}(body) SELECT 'a line' FROM n"
)


def fill(table: str, rows: int) -> str:
    return FILL.format(table=table, rows=rows)


def sql(*statements: str) -> Callable[[Path], None]:
    return lambda path: execute(path, *statements)


def remove(path: Path) -> None:
    path.rename(path.with_suffix(".away"))


def vacuum_into_new_file(path: Path) -> None:
    execute(path, f"VACUUM INTO '{path.with_suffix('.new')}'")
    path.with_suffix(".new").replace(path)


def exact_or_fault(airlock: Airlock) -> Reading:
    reading = read_until(airlock, lambda reading: reading.wait_reason is None)
    return reading if reading.code else read_exact(airlock)


def events_of(path: Path, *changes: Callable[[Path], None]) -> list[Event]:
    """Return the events of each change in turn; each is read twice, and reported once."""
    events: list[Event] = []
    with watching(path) as airlock:
        state, first = apply_reading("a", read_exact(airlock), None)
        assert first == ()
        for change in changes:
            change(path)
            for _again in range(2):
                reading = exact_or_fault(airlock)
                state, more = apply_reading("a", reading, state)
                events += more
    return events


def event_texts(events: list[Event]) -> list[str]:
    return [event_text(event) for event in events]


class StateSimulation:
    """A state store with a history, into which readings are entered as the service does."""

    def __init__(self, path: Path, history: History) -> None:
        self.database = Database("a", "A", path)
        self.history = history
        self.store = StateStore(history, [self.database], CLOCK.now)
        self.later = timedelta()

    def restart(self) -> None:
        self.store.save()
        self.store = StateStore(self.history, [self.database], CLOCK.now)

    def enter(self, reading: Reading) -> list[str]:
        """Enter a reading; return the texts of the events that are open after it."""
        at = reading.read_at + self.later, reading.verified_at + self.later
        reading = replace(reading, read_at=at[0], verified_at=at[1])
        _state, events = self.store.record(self.database, reading, None)
        return [event_text(event) for event in events]


class Entering:
    """Changes a database, or restarts the service if no change is given, and reads it.

    Returns the texts of the events that are open then.
    """

    def __init__(self, path: Path, simulation: StateSimulation, airlock: Airlock) -> None:
        self.simulation = simulation
        self._path, self._airlock = path, airlock

    def __call__(
        self, change: Callable[[Path], None] | None = None, later: timedelta | None = None
    ) -> list[str]:
        self.simulation.later += later or timedelta()
        if change:
            change(self._path)
        else:
            self.simulation.restart()
        return self.simulation.enter(exact_or_fault(self._airlock))


@contextmanager
def entering(path: Path) -> Iterator[Entering]:
    history = History(HistorySettings(path=path.with_name("history.db")))
    simulation = StateSimulation(path, history)
    with watching(path) as airlock:
        after = Entering(path, simulation, airlock)
        after(sql())
        yield after
    history.close()
