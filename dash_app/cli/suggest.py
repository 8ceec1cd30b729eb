"""The command `suggest`: propose expectations by the history, and measures by the tables."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from dash_app.cli.measure_trials import propose_measures
from dash_app.cli.terminal import (
    config_option,
    database_option,
    history_file,
    load_settings,
    reject_unknown_databases,
    save_configuration,
    show_elapsed,
)
from dash_app.history.coverage import find_growth, find_watched
from dash_app.history.retention import MAX_POINT_AGE
from dash_app.model.database import Database
from dash_app.model.expectation import Expectation
from dash_app.model.naming import is_of_a_period
from dash_app.rules.rhythm import Rhythm, rhythm_of
from dash_app.settings import Settings, toml_edit
from dash_app.settings.schema import FileSettings
from dash_app.settings.toml_edit import Additions, toml_string
from dash_app.system.processes import printable
from dash_app.words import numbers
from dash_app.words.commands import RUN

LOCAL_TIME, ZONES = Path("/etc/localtime"), "zoneinfo"
"""/etc/localtime is a link to a file below a folder of this name."""

NEXT = f""" Next: {RUN}, or reload the service.
A measure is shown in the view of its database; with `pinned = true`, also on its card."""

OF_A_PERIOD = Rhythm("its name has a date: another table will follow it")

UNITS = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1)))

EXAMPLES = f"""\b
Examples:
  {RUN} suggest                   print configuration with the reasons
  {RUN} suggest --database email  only for one database
  {RUN} suggest --save            write it to the configuration file

\b
Databases are read by a process that cannot write, and the service does not need to run. What is
configured stays as it is.
"""


@dataclass(frozen=True, slots=True)
class TableRhythm:
    """A table without an expectation, and the rhythm in which it gained rows."""

    entry: str
    """The configured name of its database, or of the pattern that the file matches."""
    database: Database
    table: str
    rhythm: Rhythm

    @property
    def proposal(self) -> tuple[Expectation | None, tuple[str, ...]]:
        """The expectation and quiet hours to add; None without a rhythm."""
        return self.rhythm.expect, tuple(self.rhythm.quiet)


@click.command(short_help="Propose expectations and measures.", epilog=EXAMPLES)
@config_option
@database_option
@click.option("--save", is_flag=True, help="Write them to the configuration file.")
def suggest(config: Path | None, databases: tuple[str, ...], *, save: bool) -> None:
    """Propose how often each table should gain rows, and measures that are worth watching.

    Expectations come from the history. Measures come from packs for known programs, and from names
    and types of columns. Tables without a rhythm are listed with the reason.
    """
    configured = load_settings(config)
    reject_unknown_databases((one.name for one in configured.databases), databases)
    selected = [
        (entry.name, own)
        for entry in configured.declared
        if (own := [*entry.databases(configured.matches)])
        if not databases or not set(databases).isdisjoint(one.name for one in own)
    ]
    rhythms = _rhythms(configured, selected)
    additions, remarks = _proposals(rhythms)
    measures: dict[str, list[str]] = {}
    with show_elapsed("Trying measures"):
        for entry, own in selected:
            measures[entry], more = propose_measures(own)
            remarks += more
    if not configured.history.path.exists():
        remarks.append("no expectations yet, because there is no history")
    change = partial(_change, additions=additions, measures=measures)
    proposed = {*additions, *(entry for entry, found in measures.items() if found)}
    if not proposed:
        click.echo("# Nothing to propose.")
    elif save:
        former = save_configuration(configured.source, change, _databases(configured.declared))
        found = {"expectation": additions.values(), "measure": measures.values()}
        counts = {kind: sum(map(len, groups)) for kind, groups in found.items()}
        saved = " and ".join(numbers.plural(n, kind) for kind, n in counts.items() if n)
        click.echo(f"Saved {saved} to {configured.source}.{former}{NEXT}")
    else:
        click.echo(change(_databases(one for one in configured.declared if one.name in proposed)))
    for line in (*remarks, *_without_rhythm(rhythms)):
        click.echo(f"# {line}")


def _change(text: str, additions: Additions, measures: dict[str, list[str]]) -> str:
    """Return a configuration with what is proposed. Raise toml_edit.NotUnderstoodError."""
    return toml_edit.add_measures(toml_edit.add_settings(text, additions), measures)


def _rhythms(
    configured: Settings, selected: Iterable[tuple[str, Iterable[Database]]]
) -> list[TableRhythm]:
    """Return the rhythm of each table without an expectation, of databases by their entry."""
    since, zone = datetime.now(UTC) - MAX_POINT_AGE, _zone_name()
    if not configured.history.path.exists():
        return []
    with history_file(configured) as path:
        return [
            TableRhythm(
                entry,
                database,
                table,
                OF_A_PERIOD if is_of_a_period(table) else rhythm_of(instants, spans, zone),
            )
            for entry, databases in selected
            for database in databases
            for spans in [find_watched(path, database.name, since)]
            for table, instants in find_growth(path, database.name, since)
            if database.rules.for_table(table).expect is None
            if not database.rules.ignores(table)
        ]


def _proposals(rhythms: Iterable[TableRhythm]) -> tuple[Additions, list[str]]:
    """Return what to add to the entries, and why nothing is added to those of some patterns.

    The settings of a pattern apply to all of its databases, so that these must agree.
    """
    additions: Additions = {}
    differing = []
    groups: dict[tuple[str, str], list[TableRhythm]] = {}
    for found in rhythms:
        groups.setdefault((found.entry, found.table), []).append(found)
    for (entry, table), group in groups.items():
        first, proposals = group[0].rhythm, {found.proposal for found in group}
        if first.expect and len(proposals) == 1:
            additions.setdefault(entry, {})[table] = _lines(first, first.expect)
        elif any(expect for expect, _quiet in proposals):
            names = numbers.join_names([f"{one.database.name} {_every(one)}" for one in group])
            text = f"{entry} {table}: nothing fits all files of this pattern ({names})"
            differing.append(printable(f"{text}. Name a file alone to give it its own"))
    return additions, differing


def _every(found: TableRhythm) -> str:
    expect = found.rhythm.expect
    return f"every {_duration(expect.every)}" if expect else "without a rhythm"


def _zone_name() -> str:
    """Return the time zone of this machine; UTC if it is not known."""
    parts = LOCAL_TIME.resolve().parts
    name = "/".join(parts[parts.index(ZONES) + 1 :]) if ZONES in parts else "UTC"
    try:
        return "UTC" if name == "Etc/UTC" else ZoneInfo(name).key
    except (KeyError, OSError, ValueError):
        return "UTC"


def _lines(rhythm: Rhythm, expect: Expectation) -> str:
    """Return an expectation as TOML, below a comment with its reason."""
    every, grace = _duration(expect.every), _duration(expect.grace)
    lines = [f"# {rhythm.reason}", f'expect = {{every = "{every}", grace = "{grace}"}}']
    if rhythm.quiet:
        lines.append(f"quiet = [{', '.join(map(toml_string, rhythm.quiet))}]")
    return "\n".join(lines)


def _duration(length: timedelta) -> str:
    name, unit = next((name, unit) for name, unit in UNITS if length % unit == timedelta(0))
    return f"{length // unit}{name}"


def _databases(databases: Iterable[FileSettings]) -> str:
    return "\n".join(
        f'[[databases]]\nname = "{database.name}"\npath = {toml_string(str(database.path))}\n'
        for database in databases
    )


def _without_rhythm(rhythms: Iterable[TableRhythm]) -> Iterator[str]:
    """Yield one line with the reason per table without a rhythm, and the number that never grew."""
    never_grew = 0
    for found in rhythms:
        if found.rhythm.grew and not found.rhythm.expect:
            yield printable(f"{found.database.name} {found.table}: {found.rhythm.reason}")
        never_grew += not found.rhythm.grew
    if never_grew:
        yield f"no new rows in the history: {numbers.plural(never_grew, 'table')}"
