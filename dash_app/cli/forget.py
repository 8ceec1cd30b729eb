"""The command `forget`: make a database new again."""

import sqlite3
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from dash_app.cli.terminal import (
    config_option,
    fail,
    fail_if_unreadable,
    load_settings,
    reject_unknown_databases,
    show_elapsed,
)
from dash_app.history.file import forget_request
from dash_app.history.read_only import ReadOnlyHistory
from dash_app.history.schema import HistoryInUseError, UnusableHistoryError
from dash_app.history.writer import History
from dash_app.model.database import Database
from dash_app.settings import Settings
from dash_app.system.exit_codes import ExitCode
from dash_app.words import numbers
from dash_app.words.commands import RUN

POLL_SECONDS = 0.05
MAX_WAIT_SECONDS = 30.0
"""Do not wait longer for a service whose interval may be an hour."""

EXAMPLES = f"""\b
Examples:
  {RUN} forget email        after its file was moved or emptied on purpose
  {RUN} forget email --yes  in a script

\b
Its state, its problems and who had it open are forgotten: a missing file counts as not initialized
again. Its charts and events stay. A running service forgets it with its next reading.
"""


@click.command(short_help="Make a database new again.", epilog=EXAMPLES)
@click.argument("name")
@config_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def forget(name: str, config: Path | None, *, yes: bool) -> None:
    """Make the database NAME new again."""
    configured = load_settings(config)
    reject_unknown_databases((one.name for one in configured.databases), [name])
    database = next(database for database in configured.databases if database.name == name)
    path = configured.history.path
    with fail_if_unreadable(path):
        state = ReadOnlyHistory(path).state_of(database)
    if state is None:
        click.echo(f"{database.label} is new already.")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Cannot ask for confirmation without a terminal. Pass --yes.")
        good = state.last_good
        rows = f", which last had {numbers.plural(good.total_rows, 'row')}" if good else ""
        click.confirm(f"Forget the state of {database.label}{rows}?", abort=True)
    try:
        history = History(configured.history)
    except HistoryInUseError:
        _request_from_service(configured, database)
    except (OSError, sqlite3.Error, UnusableHistoryError) as error:
        fail(f"History {numbers.short_path(path)} cannot be opened: {error}")
    else:
        _forget(history, database)
    click.echo(f"{database.label} is new again.")


def _forget(history: History, database: Database) -> None:
    try:
        history.forget(database, datetime.now(UTC))
        forget_request(history.path, database.name).unlink(missing_ok=True)
    except (OSError, sqlite3.Error) as error:
        fail(f"{database.label} cannot be forgotten: {error}")
    finally:
        history.close()


def _request_from_service(configured: Settings, database: Database) -> None:
    """Leave a request for the service that writes the history, and wait until it is done."""
    request_file = forget_request(configured.history.path, database.name)
    try:
        request_file.touch(mode=0o600)
    except OSError as error:
        fail(f"Cannot leave a request for the service: {error}")
    # The current tick may have started before the request.
    two_ticks = 2 * (configured.sampler.interval + configured.sampler.deadline)
    deadline = time.monotonic() + min(two_ticks.total_seconds(), MAX_WAIT_SECONDS)
    with show_elapsed("Waiting for the service"):
        while request_file.exists() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    if request_file.exists():
        click.echo("The service has not done it yet. It will with its next reading.", err=True)
        sys.exit(ExitCode.CANNOT_TELL)
