"""The demo world as a whole: the folder, five databases, five processes that write them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from dash_app.demo.backfill import TIMES, Past, Point
from dash_app.demo.tables import TABLES
from dash_app.demo.temp_folder import held_folder, sweep
from dash_app.model.database import Database
from dash_app.model.event import Event

APPEAR_SECONDS = 60.0
"""So long a database without a past is not initialized: time to see it and then see it come."""

STOP_SECONDS = 2.0
"""A writer ends within milliseconds of its input; only a stopped one takes longer."""

ROOT = Path(__file__).parents[2]


class World:
    """A living demo: its databases grow until it is closed, or until this process ends."""

    def __init__(
        self, folder: Path, databases: tuple[Database, ...], past: Past, stack: ExitStack
    ) -> None:
        """Hold what `create` made; the stack stops and removes it."""
        self.folder = folder
        self.databases = databases
        self._past = past
        self._stack = stack

    @classmethod
    def create(cls, appear_after: float = APPEAR_SECONDS) -> Self:
        """Sweep up after ended demos, fill the databases and start their writers.

        `content` appears after so many seconds. Raises OSError, sqlite3.Error.
        """
        sweep()
        with ExitStack() as stack:
            folder = stack.enter_context(held_folder())
            databases = tuple(
                Database(name, name.capitalize(), folder / f"{name}.db") for name in TABLES
            )
            past = Past(datetime.now(UTC))
            for database in databases:
                has_past = database.name in TIMES
                if has_past:
                    past.fill(database.name, database.path)
                stack.enter_context(_writer(database, 0 if has_past else appear_after))
            return cls(folder, databases, past, stack.pop_all())

    def points(self) -> list[Point]:
        """Return the rows of the thirty days before: see `Past.points`."""
        return self._past.points()

    def events(self) -> list[Event]:
        """Return what happened in those days: see `Past.events`."""
        return self._past.events()

    def close(self) -> None:
        """Stop the writers and remove the folder. Raises OSError."""
        self._stack.close()

    def __enter__(self) -> Self:
        """Return itself: it lives already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


@contextmanager
def _writer(database: Database, wait_seconds: float) -> Iterator[None]:
    """Keep a writer running while in the context."""
    arguments = (database.name, str(database.path), f"--appear-after={wait_seconds}")
    with subprocess.Popen(
        [sys.executable, "-B", "-m", "dash_app.demo.writer", *arguments],
        stdin=subprocess.PIPE,
        cwd=ROOT,
        process_group=0,  # a Ctrl-C in the terminal is for the demo to handle
    ) as process:
        try:
            yield
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    try:
        process.communicate(timeout=STOP_SECONDS)  # closes its standard input
    except subprocess.TimeoutExpired:
        process.kill()
