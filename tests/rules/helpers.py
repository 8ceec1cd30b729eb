"""Changes of real databases, the events that they cause, and services that expect writes."""

import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dash_app.airlock.airlock import Airlock
from dash_app.history.writer import History
from dash_app.model.database import Database
from dash_app.model.event import Event
from dash_app.model.expectation import Rules
from dash_app.model.reading import Reading
from dash_app.rules.changes import apply_reading
from dash_app.rules.state import StateStore
from dash_app.settings.schema import HistorySettings
from dash_app.system.clock import CLOCK
from dash_app.words.events import event_text
from tests.airlock_helpers import is_exact, open_airlock, read_exact, read_until
from tests.harness import Served, execute, make_database, write_config

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
    """Read until all counts are exact, or the database cannot be read; see `read_exact`."""
    begun = datetime.now(UTC)

    def is_final(reading: Reading) -> bool:
        is_new = reading.verified_at >= begun and reading.wait_reason is None
        return is_new and (reading.code is not None or is_exact(reading))

    return read_until(airlock, is_final)


def events_of(path: Path, *changes: Callable[[Path], None]) -> list[Event]:
    """Make changes in turn, read the database twice after each, and return all events."""
    events: list[Event] = []
    with open_airlock(path) as airlock:
        state, first = apply_reading("a", read_exact(airlock), None)
        assert first == ()
        for change in changes:
            change(path)
            for _again in range(2):
                reading = exact_or_fault(airlock)
                state, more = apply_reading("a", reading, state)
                events += more
    return events


def event_texts(events: Iterable[Event]) -> list[str]:
    """Return the texts of events. On a busy machine, a moment may last for seconds."""
    return [re.sub(r"after \d+ s", "after a moment", event_text(event)) for event in events]


class Simulation:
    """A service that watches one database, which may restart and whose clock may be ahead."""

    def __init__(self, path: Path, history: History, airlock: Airlock, rules: Rules) -> None:
        self.database, self._airlock = Database("a", "A", path, rules), airlock
        self._history = history
        self._ahead = timedelta()
        self._start()

    def __call__(
        self, change: Callable[[Path], None] | None = None, later: timedelta | None = None
    ) -> list[str]:
        """Change the database, or restart the service without a change; read it `later`.

        Return the texts of the events that are open then.
        """
        self._ahead += later or timedelta()
        if change:
            change(self.database.path)
        else:
            self.store.save()
            self._start()
        reading = exact_or_fault(self._airlock)
        at = reading.read_at + self._ahead, reading.verified_at + self._ahead
        reading = replace(reading, read_at=at[0], verified_at=at[1])
        _state, open_events = self.store.record(self.database, reading, None)
        return event_texts(open_events)

    def _start(self) -> None:
        self.store = StateStore(self._history, [self.database], CLOCK.now)


@contextmanager
def watched_service(path: Path, rules: Rules | None = None) -> Iterator[Simulation]:
    """A service that has read the database once."""
    settings = HistorySettings(path=path.with_name("history.db"))
    with closing(History(settings)) as history, open_airlock(path) as airlock:
        after = Simulation(path, history, airlock, rules or Rules())
        after(sql())
        yield after


def expecting(folder: Path, rules: str) -> Path:
    """A configuration of one database, written three hours ago."""
    path = make_database(folder / "email.db", tasks=9, agents=7)
    then = (datetime.now(UTC) - timedelta(hours=3)).timestamp()
    os.utime(path, (then, then))
    config = write_config(folder, [("email", path)])
    config.write_text(f"{config.read_text()}\n{rules}")
    return config


def pretend_watched_for(served: Served, folder: Path, duration: timedelta) -> None:
    """Change the history as if the database had been watched this much longer, without writes."""
    served.stop()
    with closing(sqlite3.connect(folder / "history.db")) as history, history:
        seconds = duration.total_seconds()
        history.execute("UPDATE watched SET since = since - ?", (seconds,))
    served.restart()
