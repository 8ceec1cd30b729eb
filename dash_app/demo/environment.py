"""The whole demo: the folder, five databases and the five processes that write to them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dash_app.demo.backfill import BACKFILLED, Backfill
from dash_app.demo.tables import TABLES
from dash_app.demo.temp_folder import held_folder, remove_leftovers
from dash_app.model.database import Database

STOP_SECONDS = 2.0
"""A writer exits within milliseconds after its input ends; only a stopped one takes longer."""

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Demo:
    """The databases of a running demo, their folder, and what was written before it started."""

    folder: Path
    databases: tuple[Database, ...]
    backfill: Backfill


@contextmanager
def running_demo() -> Iterator[Demo]:
    """Run the writers while in the context, then remove the folder with everything in it.

    Raise OSError or sqlite3.Error.
    """
    remove_leftovers()
    with ExitStack() as stack:
        folder = stack.enter_context(held_folder())
        databases = tuple(
            Database(name, name.capitalize(), folder / f"{name}.db") for name in TABLES
        )
        backfill = Backfill(datetime.now(UTC))
        for database in databases:
            if database.name in BACKFILLED:
                backfill.create(database.name, database.path)
            stack.enter_context(_writer(database))
        yield Demo(folder, databases, backfill)


@contextmanager
def _writer(database: Database) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-B", "-m", "dash_app.demo.writer", database.name, str(database.path)],
        stdin=subprocess.PIPE,
        cwd=ROOT,
        process_group=0,  # Ctrl-C in the terminal is for the demo alone to handle
    ) as process:
        try:
            yield
        finally:
            try:
                process.communicate(timeout=STOP_SECONDS)  # closes its standard input
            except subprocess.TimeoutExpired:
                process.kill()
