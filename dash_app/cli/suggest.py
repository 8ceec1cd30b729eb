"""The command that proposes what may be expected of tables: `suggest`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from dash_app import settings
from dash_app.cli.terminal import (
    config_option,
    database_option,
    fail,
    history_file,
    printable,
    reject_unknown_databases,
)
from dash_app.history.coverage import find_growth, find_watched
from dash_app.history.retention import MAX_POINT_AGE
from dash_app.model.database import Database
from dash_app.rules.rhythm import Rhythm, rhythm_of
from dash_app.settings import Settings, toml_edit
from dash_app.settings.toml_edit import Additions
from dash_app.words import numbers

ZONES = "zoneinfo"
"""The folder of the system's zones, to one of which /etc/localtime leads."""

UNITS = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1)))

EXAMPLES = """\b
Examples:
  ./ops/run suggest                   what may be expected, and why, to paste
  ./ops/run suggest --database email  of one database
  ./ops/run suggest --save            write it into the configuration

\b
Our own record is read, and no watched database; no service is needed. What the configuration
expects already stays as it is.
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A table, and the rhythm in which it gained rows."""

    database: Database
    table: str
    rhythm: Rhythm


@click.command(short_help="Propose what to expect of each table, by its own past.", epilog=EXAMPLES)
@config_option
@database_option
@click.option("--save", is_flag=True, help="Write it into the configuration file.")
def suggest(config: Path | None, databases: tuple[str, ...], *, save: bool) -> None:
    """Propose how often each table is expected to gain rows, by its own past.

    A table without a rhythm is named with the reason, and nothing is expected of it.
    """
    configured = settings.load(config)
    reject_unknown_databases(configured, databases)
    wanted = [one for one in configured.databases if not databases or one.name in databases]
    seen = _seen(configured, wanted)
    additions = _additions(seen)
    if not additions:
        click.echo("# Nothing to propose.")
    elif save:
        _save(configured, additions)
    else:
        named = [one for one in wanted if one.name in additions]
        click.echo(toml_edit.added(_databases(named), additions))
    for line in _without_rhythm(seen):
        click.echo(f"# {line}")


def _seen(configured: Settings, wanted: Iterable[Database]) -> list[Seen]:
    """Return every table of which nothing is expected yet, with its rhythm."""
    since, zone = datetime.now(UTC) - MAX_POINT_AGE, _zone()
    with history_file(configured) as path:
        return [
            Seen(database, table, rhythm_of(instants, spans, zone))
            for database in wanted
            for spans in [find_watched(path, database.name, since)]
            for table, instants in find_growth(path, database.name, since)
            if database.rules.for_table(table).expect is None
        ]


def _zone() -> str:
    """Return the name of this machine's zone."""
    parts = Path("/etc/localtime").resolve().parts
    name = "/".join(parts[parts.index(ZONES) + 1 :]) if ZONES in parts else "UTC"
    try:
        return ZoneInfo(name.removeprefix("Etc/")).key
    except (OSError, ValueError):
        return "UTC"


def _additions(seen: Iterable[Seen]) -> Additions:
    found: Additions = {}
    for one in seen:
        if one.rhythm.expect:
            found.setdefault(one.database.name, {})[one.table] = _lines(one.rhythm)
    return found


def _lines(rhythm: Rhythm) -> str:
    """Return what is expected as a configuration says it, under its reason."""
    assert rhythm.expect is not None  # noqa: S101 - whoever has none is not asked for
    every, grace = _duration(rhythm.expect.every), _duration(rhythm.expect.grace)
    lines = [f"# {rhythm.reason}", f'expect = {{every = "{every}", grace = "{grace}"}}']
    if rhythm.quiet:
        lines.append(f"quiet = [{', '.join(map(toml_edit.text_of, rhythm.quiet))}]")
    return "\n".join(lines)


def _duration(lasting: timedelta) -> str:
    name, unit = next(one for one in UNITS if lasting % one[1] == timedelta(0))
    return f"{lasting // unit}{name}"


def _databases(databases: Iterable[Database]) -> str:
    return "\n".join(
        f'[[databases]]\nname = "{one.name}"\npath = {toml_edit.text_of(str(one.path))}\n'
        for one in databases
    )


def _without_rhythm(seen: Iterable[Seen]) -> Iterator[str]:
    """Yield why nothing is proposed, a line a table; those that never grew in one line."""
    still = 0
    for one in seen:
        if one.rhythm.grew and not one.rhythm.expect:
            yield printable(f"{one.database.name} {one.table}: {one.rhythm.reason}")
        still += not one.rhythm.grew
    if still:
        yield f"{numbers.plural(still, 'table')} gained no rows"


def _save(configured: Settings, additions: Additions) -> None:
    path = configured.source
    try:
        is_new = not path.exists()
        before = _databases(configured.databases) if is_new else path.read_bytes().decode()
        text = toml_edit.added(before, additions)
        settings.parse(tomllib.loads(text), path)
        former = toml_edit.save(path, text)
    except (OSError, toml_edit.NotUnderstoodError) as error:
        fail(f"{path} stays as it is: {error}. Without --save, this prints what to paste.")
    found = numbers.plural(sum(len(tables) for tables in additions.values()), "expectation")
    kept = f" As it was before, it is {former}." if former else ""
    click.echo(f"Saved {found} to {path}.{kept} The service takes it over by a reload.")
