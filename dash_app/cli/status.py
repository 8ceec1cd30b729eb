"""The command `status`: show the state of each database."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from dash_app.airlock.airlock import Airlock
from dash_app.api.schemas import StatusDocument
from dash_app.cli.service_status import snapshot_from
from dash_app.cli.terminal import config_option, exit_now, load_settings, show_elapsed
from dash_app.model.snapshot import Snapshot
from dash_app.service.matching import with_files
from dash_app.settings import Settings
from dash_app.system import self_probe
from dash_app.system.exit_codes import ExitCode
from dash_app.system.processes import printable
from dash_app.words.commands import RUN
from dash_app.words.summaries import (
    aligned,
    headline_with_age,
    pattern_notes,
    snapshot_age,
    status_line,
)

COLOURS = {"well": "green", "notice": "yellow", "fault": "red", "unknown": "bright_black"}

EXAMPLES = f"""\b
Examples:
  {RUN} status                             one line per database
  {RUN} status || notify-send "Look"       a desktop message if something needs you
  {RUN} status --json | jq '.databases[].totalRows'
  watch {RUN} status                       repeat every two seconds

\b
Asks the running service if it has the same configuration. Otherwise reads the databases itself.
Exit codes: 0 well, 3 something needs you, 4 unknown.
"""


@click.command(epilog=EXAMPLES)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the document of /api/db-status.")
def status(config: Path | None, *, as_json: bool) -> None:
    """Show the state of each database, one per line."""
    logging.disable()  # the output has every problem
    configured = load_settings(config)
    with show_elapsed("Reading the databases"):
        snapshot, document = _from_service(configured) or _from_files(configured)
    now = datetime.now(UTC)
    is_fresh = now - snapshot.taken_at <= configured.fresh_for
    if as_json:
        click.echo(json.dumps(document, indent=2, sort_keys=True))
    else:
        is_first = not configured.names_databases and all(
            status.status == "not_initialized" for status in snapshot.databases
        )
        for line in lines(snapshot, now, is_fresh=is_fresh, is_first=is_first):
            click.echo(line)
    exit_now(exit_code(snapshot) if is_fresh else ExitCode.CANNOT_TELL)


def lines(
    snapshot: Snapshot, now: datetime, *, is_fresh: bool, is_first: bool = False
) -> Iterator[str]:
    """Yield the headline, then each database, worst first, with its remedies below it.

    A snapshot is not fresh if the service stopped reading. `is_first`: there is neither a
    configuration nor any of the default databases, so that only one remedy helps.
    """
    if is_fresh:
        yield headline_with_age(snapshot, now)
    else:
        yield f"Can't tell · {snapshot_age(snapshot, now)}"
        yield "The service answers but stopped reading then. Its last readings:"
    for status, word, label in aligned(snapshot):
        level = status.level if is_fresh and not status.is_paused else "unknown"
        text = printable(status_line(status, now))
        yield f"{click.style(word, fg=COLOURS[level])}  {label}  {text}"
        problems = () if is_first else status.problems
        for remedy in dict.fromkeys(problem.remedy for problem in problems):
            yield f"{'':{len(word)}}  {'':{len(label)}}  {remedy}"
    yield from pattern_notes(snapshot.patterns)
    if is_first:
        yield f"There is no configuration yet. To find your databases: {RUN} discover --save"


def exit_code(snapshot: Snapshot) -> ExitCode:
    """Return the exit code for a fresh snapshot."""
    if any(status.needs_you for status in snapshot.databases):
        return ExitCode.NEEDS_YOU
    is_unknown = any(status.level == "unknown" for status in snapshot.databases)
    return ExitCode.CANNOT_TELL if is_unknown else ExitCode.WELL


def _from_files(configured: Settings) -> tuple[Snapshot, StatusDocument]:
    configured = with_files(configured)
    airlock = Airlock.from_settings(configured)
    # Start the airlock first, so that it boots while the modules load that only this case needs.
    airlock.start()
    from dash_app.cli.read_once import read_once  # noqa: PLC0415

    return read_once(configured, airlock)


def _from_service(configured: Settings) -> tuple[Snapshot, StatusDocument] | None:
    """Return the newest snapshot of a service; None if none answers for the same databases."""
    server = configured.server
    document: Any = self_probe.get_json(
        server.addresses, server.port, "/api/db-status", server.authorization
    )
    expected = [(database.name, database.label, database.path) for database in configured.databases]
    try:
        snapshot = snapshot_from(document)
    except (KeyError, TypeError, ValueError):
        return None
    databases = [status.database for status in snapshot.databases]
    found = [(database.name, database.label, database.path) for database in databases]
    return (snapshot, document) if found == expected else None
