"""The command that finds what is wrong: `doctor`."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING

import click

from dash_app import settings, words
from dash_app.cli.terminal import NEEDS_YOU, config_option
from dash_app.doctor import examine

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@config_option
def doctor(config: Path | None) -> None:
    """Find what is wrong with configuration, paths, permissions and port, and how to mend it."""
    well = True
    for finding in examine(
        configured := settings.load(config), words.place_of(configured, getpass.getuser())
    ):
        click.echo(f"{'ok ' if finding.well else 'BAD'}  {finding.text}")
        if finding.cure:
            click.echo(f"     {finding.cure}")
        well = well and finding.well
    sys.exit(0 if well else NEEDS_YOU)
