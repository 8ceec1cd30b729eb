"""The command line. Each command only parses options and prints; the work is done elsewhere.

A command's module is imported when that command runs, so that `status` starts without the libraries
that `serve` needs.
"""

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
from dash_app.words.commands import INSTALL, RUN

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
    "compare": "compare",
}
"""The module of each command, in the order of the help text."""


class LateCommands(click.Group):
    """Imports a command when it runs, and runs `serve` if none is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command and return it; None if there is none of that name."""
        if cmd_name not in MODULES:
            return None
        command = getattr(import_module(f"dash_app.cli.{MODULES[cmd_name]}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Pass options without a command to `serve`."""
        own = {"--help", "-h", "--version"}
        if not args or (args[0].startswith("-") and args[0] not in own):
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; print an error as one line instead of a traceback."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
            raise
        except SettingsError as error:
            return fail(str(error))
        except Exception as error:  # noqa: BLE001
            return fail(f"Mission Control failed: {logging_setup.describe_error(error)}")


EXAMPLES = f"""\b
Examples:
  {RUN} demo                                try it with five demo databases
  {RUN} discover --save                     find your own databases and configure them
  {RUN}                                     serve the page
  {RUN} status                              show the state of each database
  {RUN} status --json | jq -r .headline     the same, for a script
  {RUN} history --database email --from 7d  summarize the last week
  {RUN} events --since 24h                  list the changes of the last day
  {RUN} incidents --open                    list what is wrong now, and why
  {RUN} alerts test                         send a test notification
  {INSTALL:<{len(RUN) + 37}}serve the page from boot on, as a service

\b
Exit codes of status and doctor:
  0  well: nothing needs you
  3  something needs you
  4  unknown, because the readings are too old
Of all commands: 1 failure, 2 wrong options. COMMAND --help shows more.
"""


@click.group(
    cls=LateCommands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXAMPLES,
)
@click.version_option(VERSION, prog_name="Mission Control")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Show on one page whether the SQLite databases of your agents are well."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":  # no-color.org
        ctx.color = False
    if isinstance(sys.stdout, TextIOWrapper):  # the terminal may lack some characters
        sys.stdout.reconfigure(errors="backslashreplace")
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: sys.exit(0))  # run all cleanup
    logging_setup.configure()
