"""Options that several commands have, and output to a terminal."""

import os
import sqlite3
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import NoReturn

import click

from dash_app import settings
from dash_app.history.read_only import ReadOnlyHistory
from dash_app.settings import Settings, toml_edit
from dash_app.settings.values import DURATION_UNITS
from dash_app.system.exit_codes import ExitCode
from dash_app.system.processes import printable
from dash_app.system.text_file import read_text
from dash_app.words import numbers
from dash_app.words.commands import RUN

SHOW_ELAPSED_AFTER_SECONDS = 1.0

config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="Configuration file to use."
)
port_option = click.option(
    "--port", type=click.IntRange(1, 65535), help="Port to serve; default: 3001."
)
database_option = click.option(
    "--database", "databases", multiple=True, metavar="NAME", help="Only this database; repeatable."
)


class Instant(click.ParamType[datetime]):
    """A time: `24h` or `7d` before now, or RFC 3339 with its zone."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return an option's text as a time."""
        if isinstance(value, datetime):
            return value
        text = str(value)
        number, unit = text[:-1], text[-1:]
        try:
            if number.isdecimal() and unit in DURATION_UNITS:
                return datetime.now(UTC) - timedelta(seconds=int(number) * DURATION_UNITS[unit])
            time = datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            time = None
        if time is None or time.tzinfo is None:
            self.fail(f"{text!r}: write 24h, 7d or 2026-11-23T15:00:00Z.", param, ctx)
        return time


def fail(text: str) -> NoReturn:
    """Print an error and exit."""
    click.echo(text, err=True)
    sys.exit(ExitCode.FAILURE)


def exit_now(code: ExitCode) -> NoReturn:
    """Exit without Python's own cleanup, which would take 20 of the 250 ms of `status`."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def load_settings(config: Path | None, port: int | None = None) -> Settings:
    """Return the settings of a file, with the files that their patterns matched so far.

    `port` overrides the configured one.
    """
    configured = settings.load(config, {} if port is None else {"port": port})
    if not configured.patterns:
        return configured
    with fail_if_unreadable(configured.history.path):
        return configured.with_matches(ReadOnlyHistory(configured.history.path).matches())


def save_configuration(path: Path, change: Callable[[str], str], default: str = "") -> str:
    """Change the text of a configuration; say where the former one is, if there was one.

    `default` is the text before if there is no file. Exit if the file cannot be changed.
    """
    try:
        text = change(read_text(path)[0] if path.exists() else default)
        settings.parse(tomllib.loads(text), path)
        former = toml_edit.save(path, text)
    except (OSError, toml_edit.NotUnderstoodError) as error:
        fail(f"{path} was not changed: {error}. Without --save, this prints what to add to it.")
    return f" The former file is {former}." if former else ""


def reject_unknown_databases(known: Iterable[str], names: Sequence[str]) -> None:
    """Raise UsageError if a name is not that of a known database."""
    known = list(known)
    for name in names:
        if name not in known:
            text = f"There is no database {name!r}. Configured: {', '.join(known)}."
            raise click.UsageError(text)


def table(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Return lines with aligned columns, those with an index in `right` to the right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


@contextmanager
def history_file(configured: Settings) -> Iterator[Path]:
    """Yield the history's path; exit with an error if there is no file or it cannot be read."""
    path = configured.history.path
    if not path.exists():
        fail(f"No history yet at {numbers.short_path(path)}. Start it with {RUN}")
    with show_elapsed("Reading the history"), fail_if_unreadable(path):
        yield path


@contextmanager
def fail_if_unreadable(history: Path) -> Iterator[None]:
    """Exit with an error if the history cannot be read."""
    try:
        yield
    except sqlite3.Error as error:
        fail(f"History {numbers.short_path(history)} cannot be read: {error}")


@contextmanager
def show_elapsed(activity: str) -> Iterator[None]:
    """Show on a terminal what takes more than a second, and for how long it has run."""
    done = Event()
    thread = Thread(target=_count_seconds, args=(activity, done), daemon=True)
    if sys.stderr.isatty():
        thread.start()
    try:
        yield
    finally:
        done.set()
        if thread.is_alive():
            thread.join()


def _count_seconds(activity: str, done: Event) -> None:
    started = time.monotonic()
    while not done.wait(SHOW_ELAPSED_AFTER_SECONDS):
        click.echo(f"\r{activity}, {time.monotonic() - started:.0f} s", err=True, nl=False)
    if time.monotonic() - started >= SHOW_ELAPSED_AFTER_SECONDS:
        click.echo("\r\x1b[K", err=True, nl=False)
