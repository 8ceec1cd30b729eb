"""The command that says on a terminal how the databases are: `status`."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from dash_app import settings
from dash_app.airlock.airlock import Airlock
from dash_app.api.schemas import StatusDocument as Document
from dash_app.cli.status_text import is_fresh, lines
from dash_app.cli.terminal import config_option, exit_now, show_elapsed
from dash_app.settings import Settings
from dash_app.system import self_probe
from dash_app.system.exit_codes import ExitCode

EXAMPLES = """\b
Examples:
  ./ops/run status                             a line a database
  ./ops/run status || notify-send "Look"       tell yourself when something needs you
  ./ops/run status --json | jq '.databases[].totalRows'
  watch ./ops/run status                       look again every two seconds

\b
Asks the service that runs over the same configuration; where none answers, reads by itself.
Exit codes: 0 well, 3 something needs you, 4 cannot tell.
"""


@click.command(epilog=EXAMPLES)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the document of /api/db-status.")
def status(config: Path | None, *, as_json: bool) -> None:
    """Say how the databases are, a line each."""
    logging.disable()  # what is amiss is the answer
    configured = settings.load(config)
    with show_elapsed("Reading the databases"):
        document = _from_service(configured) or _from_files(configured)
    now = datetime.now(UTC)
    if as_json:
        click.echo(json.dumps(document, indent=2, sort_keys=True))
    else:
        for line in lines(document, now, configured.fresh_for):
            click.echo(line)
    exit_now(_exit_code(document, is_fresh=is_fresh(document, now, configured.fresh_for)))


def _exit_code(document: Document, *, is_fresh: bool) -> ExitCode:
    databases = document["databases"]
    if not is_fresh:
        return ExitCode.CANNOT_TELL
    calm = {"well", "notice", "unknown"}  # unknown levels, of a newer service, are not
    if any(one["level"] not in calm or one["findings"] for one in databases):
        return ExitCode.NEEDS_YOU
    is_unknown = any(database["level"] == "unknown" for database in databases)
    return ExitCode.CANNOT_TELL if is_unknown else ExitCode.WELL


def _from_files(configured: Settings) -> Document:
    """Have the databases read once by a reader of our own."""
    airlock = Airlock.of(configured)
    airlock.start()
    # Its process comes up while the rest is loaded, which who asks the service has no use for.
    from dash_app.cli.read_once import look  # noqa: PLC0415

    return look(configured, airlock)


def _from_service(configured: Settings) -> Document | None:
    """Return what a service over the same databases says; None where there is none."""
    server = configured.server
    document: Any = self_probe.get_json(
        server.addresses, server.port, "/api/db-status", server.authorization
    )
    return document if _watches_the_same(document, configured) else None


def _watches_the_same(document: Document | None, configured: Settings) -> bool:
    """Whether an answer is Mission Control's, over the databases of this configuration."""
    expected = [(one.name, one.label, str(one.path)) for one in configured.databases]
    try:
        told = document and [(d["name"], d["label"], d["path"]) for d in document["databases"]]
    except (KeyError, TypeError):
        return False
    return bool(document and "takenAt" in document and told == expected)
