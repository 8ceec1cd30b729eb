"""The commands: a module for each group of them, and no logic but that of a terminal.

A command's module is imported when that command is asked for, so that `status` starts without what
`serve` needs.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from io import TextIOWrapper

import click

from dash_app import VERSION
from dash_app.cli.terminal import fail
from dash_app.settings import SettingsError
from dash_app.system import logging_setup

MODULES = {
    "serve": "serve",
    "demo": "serve",
    "status": "status",
    "history": "history",
    "events": "history",
    "incidents": "history",
    "forget": "forget",
    "discover": "discover",
    "suggest": "suggest",
    "alerts": "alerts",
    "doctor": "doctor",
}
"""The commands in the order in which a person meets them, and the module of each."""


class LateCommands(click.Group):
    """Commands that are imported when they are asked for, of which `serve` may be left out."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command by its name, from its module."""
        if cmd_name not in MODULES:
            return None
        command = getattr(import_module(f"dash_app.cli.{MODULES[cmd_name]}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take options without a command as those of `serve`."""
        own = {"--help", "-h", "--version"}
        if not args or (args[0].startswith("-") and args[0] not in own):
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; of what it cannot do, its person is told a line, and no traceback."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
            raise
        except SettingsError as error:
            return fail(str(error))
        except Exception as error:  # noqa: BLE001
            return fail(f"Mission Control failed: {logging_setup.described(error)}")


EXAMPLES = """\b
Examples:
  ./ops/run demo                                five demo databases, to look around
  ./ops/run discover ~/clawd --save             find your own, and watch them
  ./ops/run                                     serve the page
  ./ops/run status                              a line a database, here and now
  ./ops/run status --json | jq -r .headline     the same for a script
  ./ops/run history --database email --from 7d  what a week brought
  ./ops/run events --since 24h                  what happened since yesterday
  ./ops/run incidents --open                    what went wrong, why, and who knows
  ./ops/run alerts test                         whether messages arrive

\b
Exit codes of status and doctor:
  0  well (a database that is not initialized is well)
  3  something needs you
  4  cannot tell: the facts are too old
Of every command: 1 is a failure, 2 a wrong call. COMMAND --help shows more.
"""


@click.group(
    cls=LateCommands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXAMPLES,
)
@click.version_option(VERSION, prog_name="Mission Control")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Know on one page whether your agents' SQLite databases are well."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":  # no-color.org
        ctx.color = False
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal may not have all letters
        sys.stdout.reconfigure(errors="backslashreplace")
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: sys.exit(0))  # so that everything is tidied up
    logging_setup.start()
