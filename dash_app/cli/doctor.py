"""The command `doctor`: check the installation."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from textwrap import indent

import click

from dash_app.cli.terminal import config_option, load_settings, port_option
from dash_app.doctor import examine, exit_code
from dash_app.service.matching import with_files
from dash_app.words.commands import RUN

MARKS = {"well": "ok ", "notice": "see", "unknown": "?  ", "fault": "BAD"}
"""The start of each line, by level."""

EXAMPLES = f"""\b
Examples:
  {RUN} doctor                      print one line per check, with a fix below it
  {RUN} doctor --config other.toml  check another configuration
  {RUN} doctor --port 4000          check a page that was started with --port 4000
  {RUN} doctor --json | jq '.[] | select(.level == "fault")'

\b
Exit codes: 0 well, 3 something needs you, 4 unknown.
"""


@click.command(short_help="Check the installation.", epilog=EXAMPLES)
@config_option
@port_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON: level, code, text and cure.")
def doctor(config: Path | None, port: int | None, *, as_json: bool) -> None:
    """Check service, databases, port, alerts, history and clock, and show how to fix problems."""
    checks = []
    for check in examine(with_files(load_settings(config, port))):
        checks.append(check)
        if not as_json:
            click.echo(f"{MARKS[check.level]}  {check.text}")
            if check.cure:
                click.echo(indent(check.cure, "     "))
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2))
    sys.exit(exit_code(checks))
