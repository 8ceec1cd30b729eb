"""What `ops/install` asks of a version before it starts it as a service, and after.

`python -m dash_app.service.install_checks plan` prints what it needs to know, a fact a line, or why
this cannot be served; `… answers` waits until the page answers at every address.
"""

from __future__ import annotations

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

PATIENCE_SECONDS = 30.0
"""A small machine loads the page's libraries in ten."""

ANSWER_SECONDS = 5.0

HIDDEN = {Path("/tmp"), Path("/var/tmp")}  # noqa: S108
"""Private to the service, by PrivateTmp= of its unit."""

SERVED = {200, 401, 403}
"""Answers of a page that is served: the last two to a machine that may not ask, as configured."""


def plan(configured: Settings) -> Iterator[tuple[str, str]]:
    """Yield facts as kind and value: history, port, link, taken, warning."""
    server, history = configured.server, configured.history.path
    if unread := settings.unread_configuration(configured.source):
        text = f"{unread} is not read, whatever XDG_CONFIG_HOME is: move it to"
        yield "warning", f"{text} {settings.default_path()}."
    yield "history", str(history)
    yield "port", str(server.port)
    for address in network.addresses_to_bind(server.addresses):
        yield "link", network.page_url(address, server.port)
        yield from _taken(address, server.port)
    for database in configured.databases:
        if history.parent in database.path.parents:
            text = f"{history.parent} holds our history and can be written: {database.name} too."
            yield "warning", f"{text} Give the history a folder of its own."
        if HIDDEN & set(database.path.parents):
            text = f"{database.name} lies where a service sees only files of its own"
            yield "warning", f"{text}, and would be missing: move it out of {database.path.parent}."


def _taken(address: Address, port: int) -> Iterator[tuple[str, str]]:
    try:
        network.listen(address, port).close()
    except PortTakenError as error:
        yield "taken", str(error)
    except OSError as error:
        yield "taken", f"{address} port {port} cannot be served: {error.strerror}."


def faults(configured: Settings, patience_seconds: float = PATIENCE_SECONDS) -> list[str]:
    """Return what is wrong at which address once all were given time to answer; empty if all do."""
    ends = time.monotonic() + patience_seconds
    addresses = network.addresses_to_bind(configured.server.addresses)
    while True:
        found = [text for one in addresses for text in _faults(one, configured.server.port)]
        if not found or time.monotonic() > ends:
            return found
        time.sleep(0.2)


def _faults(address: Address, port: int) -> Iterator[str]:
    for path in ("/health", "/"):
        link = network.page_url(address, port).removesuffix("/") + path
        try:
            status = self_probe.get(address, port, path, ANSWER_SECONDS).status
        except OSError as error:
            yield f"{link} does not answer: {error}."
        else:
            if status not in SERVED:
                yield f"{link} answers {status}."


def main(question: str) -> int:
    """Answer one of the two questions; return the exit code."""
    try:
        configured = settings.load(None)
    except SettingsError as error:
        click.echo(error, err=True)
        return ExitCode.FAILURE
    if question == "plan":
        for kind, value in plan(configured):
            click.echo(f"{kind} {value}")
        return ExitCode.WELL
    wrong = faults(configured)
    for text in wrong:
        click.echo(text, err=True)
    return ExitCode.FAILURE if wrong else ExitCode.WELL


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
