"""What the commands have in common: options, exit codes, and how they speak to a terminal."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import NoReturn

import click

from dash_app.settings import Settings
from dash_app.settings.values import DURATION_UNITS
from dash_app.system.exit_codes import ExitCode
from dash_app.words import numbers

PATIENCE_SECONDS = 1.0
"""Whatever takes longer says that it goes on."""

config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="Configuration file to use."
)
port_option = click.option(
    "--port", type=click.IntRange(1, 65535), help="Port to serve; 3001 by default."
)
database_option = click.option(
    "--database", "databases", multiple=True, metavar="NAME", help="Of this one alone; repeatable."
)


class Instant(click.ParamType[datetime]):
    """A time: `24h` or `7d` before now, or RFC 3339 with its zone."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time that a text means."""
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
            self.fail(f"{text!r}: write 24h, 7d or such as 2026-11-23T15:00:00Z.", param, ctx)
        return time


def fail(text: str) -> NoReturn:
    """Say on standard error what went wrong, and end."""
    click.echo(text, err=True)
    sys.exit(ExitCode.FAILURE)


def end(code: int) -> NoReturn:
    """End at once: to take leave of every module would take 20 ms of a `status`'s 250."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def refuse_unknown(settings: Settings, databases: Sequence[str]) -> None:
    """End as a wrong call where a database is not configured, naming those that are."""
    known = [database.name for database in settings.databases]
    for name in databases:
        if name not in known:
            text = f"There is no database {name!r}. Known: {', '.join(known)}."
            raise click.UsageError(text)


def table(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Return lines with aligned columns; those whose numbers are in `right` end at one edge."""
    rows = [[printable(cell) for cell in row] for row in rows]
    wide = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, wide, strict=True))
        ).rstrip()
        for row in rows
    ]


def printable(text: str) -> str:
    """Return a text that cannot command the terminal, whatever a table in it is called."""
    return "".join(character if character.isprintable() else "�" for character in text)


@contextmanager
def recorded(settings: Settings) -> Iterator[Path]:
    """Lead to our own record; where there is none, or it cannot be read, that is the answer."""
    path = settings.history.path
    if not path.exists():
        fail(f"No history yet at {numbers.short_path(path)}. It begins with ./ops/run")
    try:
        with patience("Reading the history"):
            yield path
    except sqlite3.Error as error:
        fail(f"History {numbers.short_path(path)} cannot be read: {error}")


@contextmanager
def patience(doing: str) -> Iterator[None]:
    """Say on a terminal what goes on and for how long, once it takes more than a second."""
    over = Event()
    speaker = Thread(target=_count_seconds, args=(doing, over), daemon=True)
    if sys.stderr.isatty():
        speaker.start()
    try:
        yield
    finally:
        over.set()
        if speaker.is_alive():
            speaker.join()


def _count_seconds(doing: str, over: Event) -> None:
    began = time.monotonic()
    while not over.wait(PATIENCE_SECONDS):
        click.echo(f"\r{doing}, {time.monotonic() - began:.0f} s", err=True, nl=False)
    if time.monotonic() - began >= PATIENCE_SECONDS:
        click.echo("\r\x1b[K", err=True, nl=False)
