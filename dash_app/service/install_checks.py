"""Checks for `ops/install`, before it starts a version as a service and after.

`python -m dash_app.service.install_checks plan` prints facts, one per line, or why nothing can be
served. `… answers` waits until the page answers at every address.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from dash_app import settings
from dash_app.settings import Settings, SettingsError
from dash_app.system import network, self_probe
from dash_app.system.exit_codes import ExitCode
from dash_app.system.network import Address, PortTakenError
from dash_app.words.commands import other_port

START_SECONDS = 30.0
"""Maximum time to start. A small machine loads the page's libraries in ten seconds."""

ANSWER_SECONDS = 5.0

PRIVATE = {Path("/tmp"), Path("/var/tmp")}  # noqa: S108
"""Folders of which the service sees its own, by PrivateTmp= of its unit."""

SERVED = {200, 401, 403}
"""Statuses of a served page; the last two if the configuration excludes this machine."""


def plan(configured: Settings) -> Iterator[tuple[str, str]]:
    """Yield facts as kind and value: history, port, link, taken, warning."""
    server, history = configured.server, configured.history.path
    if unread := settings.unread_configuration(configured.source):
        text = f"{unread} is not read: XDG_CONFIG_HOME has no effect. Move it to"
        yield "warning", f"{text} {settings.default_path()}."
    yield "history", str(history)
    yield "port", str(server.port)
    for address in network.addresses_to_bind(server.addresses):
        yield "link", network.page_url(address, server.port)
        yield from _taken(address, server.port, configured.source)
    for database in configured.declared:  # a pattern too
        name, folder = database.name, database.path.parent
        if history.parent in database.path.parents:
            text = f"The service can write to {history.parent}, because it holds our history,"
            yield "warning", f"{text} and so to {name} too. Put the history into its own folder."
        if PRIVATE & set(database.path.parents):
            text = f"The service cannot see {name}: it has private temporary folders."
            yield "warning", f"{text} Move the file out of {folder}."


def _taken(address: Address, port: int, source: Path) -> Iterator[tuple[str, str]]:
    try:
        network.listen(address, port).close()
    except PortTakenError as error:
        yield "taken", f"{error} {other_port(error.free_port, source)}."
    except OSError as error:
        yield "taken", f"{address} port {port} cannot be served: {error.strerror}."


def await_answers(configured: Settings, wait_seconds: float = START_SECONDS) -> list[str]:
    """Wait until all addresses answer; return a sentence for each failure that remains."""
    deadline = time.monotonic() + wait_seconds
    port, addresses = configured.server.port, configured.server.addresses
    while True:
        bound = network.addresses_to_bind(addresses)
        failures = [failure for address in bound for failure in _failures(address, port)]
        if not failures or time.monotonic() > deadline:
            return failures
        time.sleep(0.2)


def _failures(address: Address, port: int) -> Iterator[str]:
    for path in ("/health", "/"):
        link = network.page_url(address, port).removesuffix("/") + path
        try:
            status = self_probe.get(address, port, path, ANSWER_SECONDS).status
        except OSError as error:
            yield f"{link} does not answer: {error}."
        else:
            if status not in SERVED:
                yield f"{link} answers {status}."


def main(command: str) -> int:
    """Run `plan` or `answers`; return the exit code."""
    try:
        configured = settings.load(None)
    except SettingsError as error:
        click.echo(error, err=True)
        return ExitCode.FAILURE
    if command == "plan":
        for kind, value in plan(configured):
            click.echo(f"{kind} {value}")
        return ExitCode.WELL
    failures = await_answers(configured)
    for failure in failures:
        click.echo(failure, err=True)
    return ExitCode.FAILURE if failures else ExitCode.WELL


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
