"""The commands; no logic of their own."""

from __future__ import annotations

import getpass
import json
import logging
import re
import signal
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from dash_app import VERSION, logs, network, settings, words
from dash_app.demo.world import World
from dash_app.doctor import examine
from dash_app.history.schema import UnusableHistoryError
from dash_app.history.store import History
from dash_app.network import PortTakenError
from dash_app.sampler import Sampler
from dash_app.settings import SettingsError
from dash_app.watched.discover import sqlite_files

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from dash_app.network import Address
    from dash_app.settings import ServerSettings, Settings

NEEDS_YOU = 3
LEAD_ON = "Your own databases: ./ops/run discover FOLDER --save"

log = logging.getLogger(__name__)

config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="Configuration file to use."
)
port_option = click.option("--port", type=int, help="Port to serve; 3001 by default.")


class ServeByDefault(click.Group):
    """Commands, of which `serve` may be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take options without a command as those of `serve`."""
        own = {"--help", "-h", "--version"}
        if not args or (args[0].startswith("-") and args[0] not in own):
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; settings that cannot be used are what its person is told."""
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            return _fail(str(error))


@click.group(cls=ServeByDefault, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="Mission Control")
def main() -> None:
    """Know on one page whether your agents' SQLite databases are well."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: sys.exit(0))  # so that everything is tidied up
    logs.start()


@main.command()
@config_option
@click.option("--address", multiple=True, help="loopback, tailscale or an IP address; repeatable.")
@port_option
def serve(config: Path | None, address: tuple[str, ...], port: int | None) -> None:
    """Serve the page over the configured databases."""
    chosen = {"addresses": address or None, "port": port}
    given = {name: value for name, value in chosen.items() if value is not None}
    _serve(lambda: settings.load(config, given))


@main.command()
@port_option
def demo(port: int | None) -> None:
    """Serve the page over five demo databases with live writers, in a temporary folder."""
    with World.create() as world:
        databases = [
            {"name": one.name, "label": one.label, "path": str(one.path)} for one in world.databases
        ]
        history = {"path": str(world.folder / "history.db")}
        server = {"port": port} if port is not None else {}
        data = {"databases": databases, "history": history, "server": server}
        configured = settings.parse(data, settings.default_path())
        _serve(lambda: configured, f"A demo, gone when it ends. {LEAD_ON}", world)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--save", is_flag=True, help="Write the configuration instead of printing it.")
def discover(folder: Path, *, save: bool) -> None:
    """Find SQLite files below FOLDER and print, or save, configuration for them."""
    text = _configuration([Path(path) for path in sqlite_files(str(folder.absolute()))])
    if not text:
        _fail(f"No SQLite file below {folder}.")
    if not save:
        click.echo(text, nl=False)
        return
    path = settings.default_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        _fail(f"{path} exists and stays as it is. Without --save, this prints what you may add.")
    except OSError as error:
        _fail(f"{path} cannot be written: {error.strerror}.")
    found = words.plural(text.count("[[databases]]"), "database")
    click.echo(f"Saved {found} to {path}. Next: ./ops/run")


@main.command()
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


def _serve(
    load: Callable[[], Settings],
    closing_line: str = LEAD_ON,
    world: World | None = None,
) -> None:
    configured = load()
    sockets = _listen(configured.server)
    try:
        history = History(configured.history)
    except (OSError, sqlite3.Error, UnusableHistoryError) as error:
        _fail(f"History {configured.history.path} cannot be opened: {error}")
    if world:
        history.fill(world.points(), world.events())
    sampler = Sampler(configured, history)
    sampler.start()
    try:
        # The airlock's first readings are under way while Dash and pandas load.
        from dash_app.service import MissingFrontendError, Service  # noqa: PLC0415

        service = Service(configured, history, sampler, sockets)
        watching = words.plural(len(configured.databases), "database")
        links = [network.link(address, configured.server.port) for address in sockets]
        click.echo("\n  ".join([f"Mission Control watches {watching}:", *links]))
        click.echo(closing_line)
        service.run(load)
    except MissingFrontendError as error:
        _fail(str(error))
    finally:
        sampler.stop()
        history.close()
    log.info("stopped")


def _listen(server: ServerSettings) -> dict[Address, socket.socket]:
    addresses = network.addresses_to_bind(server.addresses)
    if "tailscale" in server.addresses and not network.tailscale_addresses():
        log.info("no Tailscale address now: served as soon as there is one")
    for address in addresses:
        if not network.is_private_to_us(address):
            log.warning("%s: whoever reaches it can ask; allowed_clients decides", address)
    try:
        return {address: network.listen(address, server.port) for address in addresses}
    except PortTakenError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"Port {server.port} cannot be served: {error.strerror}.")


def _configuration(files: list[Path]) -> str:
    """Return TOML for some files, each with a name of its own; empty for none."""
    taken: set[str] = set()
    parts = []
    for path in files:
        stem = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-") or "database"
        names = [stem, *(f"{stem}-{number}" for number in range(2, len(files) + 2))]
        name = next(one for one in names if one not in taken)
        taken.add(name)
        # A JSON string is a TOML string too.
        parts.append(
            f'[[databases]]\nname = "{name}"\npath = {json.dumps(str(path), ensure_ascii=False)}\n'
        )
    return "\n".join(parts)


def _fail(text: str) -> NoReturn:
    click.echo(text, err=True)
    sys.exit(1)
