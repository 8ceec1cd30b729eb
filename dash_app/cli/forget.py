"""The command that makes a database new again: `forget`."""

from __future__ import annotations

import sqlite3
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from dash_app import settings
from dash_app.cli.terminal import config_option, fail, patience, refuse_unknown
from dash_app.history.read_only import ReadOnlyHistory
from dash_app.history.requests import to_forget
from dash_app.history.schema import HistoryInUseError, UnusableHistoryError
from dash_app.history.writer import History
from dash_app.model.database import Database
from dash_app.model.snapshot import DatabaseState
from dash_app.settings import Settings
from dash_app.system.exit_codes import ExitCode
from dash_app.words import numbers

LOOK_SECONDS = 0.05
MAX_SECONDS = 30.0
"""No longer than that is a service awaited that looks once in an hour."""

EXAMPLES = """\b
Examples:
  ./ops/run forget email         a database that was moved or emptied for good
  ./ops/run forget email --yes   in a script

\b
What it held at last and what it found amiss is forgotten: where it is missing, it is calmly
awaited again. Its charts and events stay. A service that runs does it with its next look.
"""


@click.command(epilog=EXAMPLES)
@click.argument("name")
@config_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(name: str, config: Path | None, *, yes: bool) -> None:
    """Make the database NAME new again."""
    configured = settings.load(config)
    refuse_unknown(configured, [name])
    database = next(one for one in configured.databases if one.name == name)
    memory = _remembered(configured, database)
    if memory is None:
        click.echo(f"{database.label} is new already.")
        return
    if not yes:
        _confirm(database, memory)
    try:
        history = History(configured.history)
    except HistoryInUseError:
        _ask_service(configured, database)
    except (OSError, sqlite3.Error, UnusableHistoryError) as error:
        fail(f"History {numbers.short_path(configured.history.path)} cannot be opened: {error}")
    else:
        _forget(history, database)
    click.echo(f"{database.label} is new again.")


def _remembered(configured: Settings, database: Database) -> DatabaseState | None:
    path = configured.history.path
    try:
        return ReadOnlyHistory(path).memory_of(database)
    except sqlite3.Error as error:
        fail(f"History {numbers.short_path(path)} cannot be read: {error}")


def _confirm(database: Database, memory: DatabaseState) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here: say --yes.")
    good = memory.last_good
    held = f", {numbers.plural(good.total_rows, 'row')} at last" if good else ""
    click.confirm(f"Forget what is remembered of {database.label}{held}?", abort=True)


def _forget(history: History, database: Database) -> None:
    try:
        history.forget(database, datetime.now(UTC))
        to_forget(history.path, database.name).unlink(missing_ok=True)
    except (OSError, sqlite3.Error) as error:
        fail(f"{database.label} cannot be forgotten: {error}")
    finally:
        history.close()


def _ask_service(configured: Settings, database: Database) -> None:
    """Have the service that writes the history do it, and wait until it has."""
    errand = to_forget(configured.history.path, database.name)
    try:
        errand.touch(mode=0o600)
    except OSError as error:
        fail(f"The service cannot be asked: {error}")
    # A tick may be under way, and begin before it was asked.
    two_ticks = 2 * (configured.sampler.interval + configured.sampler.deadline)
    ends = time.monotonic() + min(two_ticks.total_seconds(), MAX_SECONDS)
    with patience("The service forgets it with its next look"):
        while errand.exists() and time.monotonic() < ends:
            time.sleep(LOOK_SECONDS)
    if errand.exists():
        click.echo("The service did not get to it yet. It will with its next look.", err=True)
        sys.exit(ExitCode.CANNOT_TELL)
