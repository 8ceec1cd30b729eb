"""The command that finds what is wrong: `doctor`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from dash_app import settings
from dash_app.cli.terminal import config_option
from dash_app.doctor import examine, exit_code

MARKS = {"well": "ok ", "notice": "see", "unknown": "?  ", "fault": "BAD"}
"""Before each line, by its level."""

EXAMPLES = """\b
Examples:
  ./ops/run doctor                         a line for each thing, with its cure below
  ./ops/run doctor --config other.toml     with another configuration
  ./ops/run doctor --json | jq '.[] | select(.level == "fault")'

\b
Exit codes: 0 well, 3 something needs you, 4 cannot tell.
"""


@click.command(epilog=EXAMPLES)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print an array: level, code, text, cure.")
def doctor(config: Path | None, *, as_json: bool) -> None:
    """Find what is wrong with service, databases, port, alerts, history, clock; how to mend it."""
    found = []
    for check in examine(settings.load(config)):
        found.append(check)
        if not as_json:
            click.echo(f"{MARKS[check.level]}  {check.text}")
            if check.cure:
                click.echo(f"     {check.cure}")
    if as_json:
        click.echo(json.dumps([asdict(check) for check in found], indent=2))
    sys.exit(exit_code(found))
