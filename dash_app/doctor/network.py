"""Whether the page is, or can be, served at each address."""

import re
import shutil
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

from dash_app.doctor.check import Check
from dash_app.doctor.service import UNIT, is_the_service
from dash_app.model.refusal import REASONS, Kind
from dash_app.settings.schema import ServerSettings
from dash_app.system import network, self_probe
from dash_app.system.network import Address, PortTakenError
from dash_app.system.processes import IS_CONTAINER
from dash_app.words.commands import other_port

HEALTH = {b"ok\n", b"not reading\n"}
REFUSAL = b'"client_not_allowed"'
"""Part of our own response if `allowed_clients` excludes this machine."""

MAX_NAMES_SHOWN = 5
FIXES: dict[Kind, str] = {
    "client": "Add the clients that you trust to `allowed_clients` under [server].",
    "host": "Add the names that you use to `allowed_hosts` under [server].",
    "user": "Add the users that you trust to `allowed_users` under [server].",
    "token": "Give your clients the token in `token_file`.",
}
"""The fix for refusals, by their kind in `/api/service`."""


def examine(server: ServerSettings, source: Path) -> Iterator[Check]:
    """Yield the checks of each address to serve, and whether Tailscale's is missing.

    `source` is the configuration file.
    """
    for address in network.addresses_to_bind(server.addresses):
        yield _address(address, server.port, source)
        if not network.is_local_or_tailnet(address):
            yield from _clients_of(address, server.allowed_clients)
    if "tailscale" in server.addresses and not network.tailscale_addresses():
        yield _no_tailscale()


def _address(address: Address, port: int, source: Path) -> Check:
    try:
        network.listen(address, port).close()
    except PortTakenError as error:
        if is_mission_control(address, port):
            text = f"Mission Control is served at {network.page_url(address, port)}"
            return Check("well", "served", text)
        holder = re.search(r"\(pid (\d+)\)", str(error))
        if holder and is_the_service(holder[1]):
            text = f"The service has port {port} on {address} but does not answer."
            cure = f"It may be starting. Otherwise: systemctl --user restart {UNIT}"
            return Check("unknown", "service_silent", text, cure)
        cure = f"{other_port(error.free_port, source)}, or stop that program."
        return Check("fault", "port_taken", str(error), cure)
    except OSError as error:
        text = f"{address} port {port} cannot be served: {error.strerror}."
        return Check("fault", "address_refused", text, "Choose another address or port.")
    text = f"Port {port} on {address} is free: the page is not served there now."
    return Check("well", "port_free", text)


def _clients_of(address: Address, allowed: tuple[str, ...]) -> Iterator[Check]:
    """Yield a notice if no client may use an address that is served."""
    if network.admits_others(allowed, address):
        return
    text = f"{address} is served, but only this machine and its tailnet are allowed there."
    example = "192.168.1.0/24"
    if not address.is_unspecified:
        example = str(ip_network(f"{address}/{24 if address.version == 4 else 64}", strict=False))
    cure = (
        f'Add the network of its clients to `allowed_clients` under [server], such as "{example}".'
    )
    yield Check("notice", "no_clients_allowed", text, cure)


def examine_refusals(server: ServerSettings) -> Iterator[Check]:
    """Yield the refusals of the running service, and the problem of its history."""
    found = self_probe.get_json(server.addresses, server.port, "/api/service", server.authorization)
    if not found:
        return
    for kind, (subject, reason) in REASONS.items():
        names = [
            f"{name['name']} at {name['address']} ({name['count']} times, last at {name['lastAt']})"
            for name in found.get("refused", [])
            if name["kind"] == kind
        ]
        if names:
            rest = len(names) - MAX_NAMES_SHOWN
            more = f" and {rest} more" if rest > 0 else ""
            text = f"Rejected {subject}s, {reason}: {', '.join(names[:MAX_NAMES_SHOWN])}{more}."
            yield Check("notice", f"{kind}_refused", text, FIXES[kind])
    if problem := found.get("historyProblem"):
        yield Check("notice", "history_problem", problem)


def _no_tailscale() -> Check:
    text = "There is no Tailscale address: other machines cannot reach the page."
    if shutil.which("tailscale"):
        return Check("fault", "tailscale_missing", text, "sudo tailscale up")
    cure = "Install Tailscale if you want to open the page on a phone."
    if IS_CONTAINER:
        cure = f"{cure} The container needs `network_mode: host`."
    return Check("notice", "tailscale_missing", text, cure)


def is_mission_control(address: Address, port: int) -> bool:
    """Whether the program that listens there is Mission Control."""
    try:
        body = self_probe.get(address, port, "/health").body
    except OSError:
        return False
    return body in HEALTH or REFUSAL in body
