"""The commands `serve` and `demo`."""

import logging
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import click

from dash_app import settings
from dash_app.cli.terminal import config_option, fail, fail_if_unreadable, port_option
from dash_app.demo.environment import Demo, running_demo
from dash_app.demo.rules import RULES
from dash_app.history.schema import UnusableHistoryError
from dash_app.history.writer import History
from dash_app.sampler import Sampler
from dash_app.service.matching import with_files
from dash_app.settings import Settings
from dash_app.system import network
from dash_app.system.network import Address, PortTakenError
from dash_app.words import numbers
from dash_app.words.commands import RUN, other_port

NEXT_STEP = f"Your own databases: {RUN} discover --save"

log = logging.getLogger(__name__)


SERVE_EXAMPLES = f"""\b
Examples:
  {RUN}                                      the same as {RUN} serve
  {RUN} serve --address loopback --port 4000
  {RUN} serve --address tailscale --address 192.168.7.2
"""

DEMO_EXAMPLES = f"""\b
Examples:
  {RUN} demo
  {RUN} demo --port 4000  if the service already uses port 3001
"""


def _address(text: str) -> str:
    try:
        return settings.values.served_address(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}.") from None


@click.command(epilog=SERVE_EXAMPLES)
@config_option
@click.option(
    "--address",
    multiple=True,
    callback=lambda _context, _option, values: tuple(map(_address, values)),
    help="loopback, tailscale or an IP address; repeatable.",
)
@port_option
def serve(config: Path | None, address: tuple[str, ...], port: int | None) -> None:
    """Serve the page for the configured databases."""
    options = {"addresses": address or None, "port": port}
    overrides = {name: value for name, value in options.items() if value is not None}
    _serve(lambda: settings.load(config, overrides))


@click.command(short_help="Serve five demo databases with live writers.", epilog=DEMO_EXAMPLES)
@port_option
def demo(port: int | None) -> None:
    """Serve the page for five demo databases with live writers, in a temporary folder."""
    with running_demo() as started:
        databases = [
            {"name": one.name, "label": one.label, "path": str(one.path), **RULES[one.name]}
            for one in started.databases
        ]
        history = {"path": str(started.folder / "history.db")}
        server = {"port": port} if port is not None else {}
        data = {"databases": databases, "history": history, "server": server}
        configured = settings.parse(data, settings.default_path())
        closing_line = f"Stopping the demo removes its files. {NEXT_STEP}"
        _serve(lambda: configured, closing_line, started)


def _serve(
    load: Callable[[], Settings],
    closing_line: str = "",
    demo: Demo | None = None,
) -> None:
    configured = load()
    sockets = _listen(configured, is_demo=demo is not None)
    try:
        history = History(configured.history)
    except (OSError, sqlite3.Error, UnusableHistoryError) as error:
        fail(f"History {configured.history.path} cannot be opened: {error}")
    if configured.patterns:
        with fail_if_unreadable(history.path):
            configured = with_files(configured.with_matches(history.matches()))
    if demo:
        past = demo.backfill
        history.backfill(past.points(), past.events(), past.measured())
    sampler = Sampler(configured, history)
    sampler.start()
    try:
        # Imported late: while Dash and pandas load, the airlock makes its first readings.
        from dash_app.service.service import Service  # noqa: PLC0415

        service = Service(configured, history, sampler, sockets)
        count = numbers.plural(len(configured.databases), "database")
        links = [network.page_url(address, configured.server.port) for address in sockets]
        click.echo("\n  ".join([f"Mission Control watches {count}:", *links]))
        if closing_line or not configured.names_databases:
            click.echo(closing_line or NEXT_STEP)
        service.run(load)
    finally:
        sampler.stop()
        history.close()
    log.info("stopped")


def _listen(configured: Settings, *, is_demo: bool) -> dict[Address, socket.socket]:
    server = configured.server
    addresses = network.addresses_to_bind(server.addresses)
    if "tailscale" in server.addresses and not network.tailscale_addresses():
        log.info("no Tailscale address yet: it will be served as soon as there is one")
    for address in addresses:
        if not network.is_local_or_tailnet(address):
            has_others = network.admits_others(server.allowed_clients, address)
            clients = ", ".join(server.allowed_clients) if has_others else "nobody else"
            text = "is reachable beyond this machine and its tailnet"
            log.warning("%s %s; clients that are answered there: %s", address, text, clients)
    sockets = {}
    for address in addresses:
        try:
            sockets[address] = network.listen(address, server.port)
        except PortTakenError as error:
            free = error.free_port
            lasting = "" if is_demo else f"{other_port(free, configured.source)}. "
            fail(
                f"{error} {lasting}To try it: {RUN} {'demo' if is_demo else 'serve'} --port {free}"
            )
        except OSError as error:
            fail(f"Port {server.port} on {address} cannot be served: {error.strerror}.")
    return sockets
