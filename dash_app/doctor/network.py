"""Whether the page can be served where it should be, or already is."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from ipaddress import ip_network

from dash_app.doctor.check import Check
from dash_app.doctor.service import UNIT, is_the_service
from dash_app.settings.schema import ServerSettings
from dash_app.system import network, self_probe
from dash_app.system.network import Address, PortTakenError

HEALTH = {b"ok\n", b"not reading\n"}
REFUSAL = b'"client_not_allowed"'
"""Where `allowed_clients` leaves out this machine, it is refused as we alone do."""

MAX_NAMES_SHOWN = 5
REFUSED = {
    "client": (
        "Refused, not in allowed_clients",
        "Add those that may ask to `allowed_clients` under [server].",
    ),
    "host": (
        "Refused, asked for under a name that is not in allowed_hosts",
        "Add the names that you use to `allowed_hosts` under [server].",
    ),
    "user": (
        "Refused, not in allowed_users",
        "Add those who may look to `allowed_users` under [server].",
    ),
    "token": (
        "Refused, without the token",
        "Give those that may ask the token in `token_file`.",
    ),
}
"""The text and the fix for refusals, by their kind in `/api/service`."""


def examine(server: ServerSettings) -> Iterator[Check]:
    """Yield what was found of each address that is served, and of Tailscale's."""
    for address in network.addresses_to_bind(server.addresses):
        yield _address(address, server.port)
        if not network.is_private_to_us(address):
            yield from _clients_of(address, server.allowed_clients)
    if "tailscale" in server.addresses and not network.tailscale_addresses():
        yield _no_tailscale()


def _address(address: Address, port: int) -> Check:
    try:
        network.listen(address, port).close()
    except PortTakenError as error:
        if is_mission_control(address, port):
            text = f"Mission Control is served at {network.link(address, port)}"
            return Check("well", "served", text)
        holder = re.search(r"\(pid (\d+)\)", str(error))
        if holder and is_the_service(holder[1]):
            text = f"The service has port {port} on {address} and does not answer."
            cure = f"It may be starting. If it stays so: systemctl --user restart {UNIT}"
            return Check("unknown", "service_silent", text, cure)
        found, _, free = str(error).partition(". ")
        cure = f"{free}, or `port` in the configuration; or stop that program."
        return Check("fault", "port_taken", f"{found}.", cure)
    except OSError as error:
        text = f"{address} port {port} cannot be served: {error.strerror}."
        return Check("fault", "address_refused", text, "Name another address or port.")
    return Check("well", "port_free", f"Port {port} on {address} is free.")


def _clients_of(address: Address, allowed: tuple[str, ...]) -> Iterator[Check]:
    """Yield a notice if no client may use an address that is served."""
    if network.lets_in_others(allowed, address):
        return
    text = f"{address} is served, but only this machine and its tailnet may ask there."
    example = "192.168.1.0/24"
    if not address.is_unspecified:
        example = str(ip_network(f"{address}/{24 if address.version == 4 else 64}", strict=False))
    cure = f'Add the network of its clients to `allowed_clients` under [server]: "{example}"?'
    yield Check("notice", "no_clients_allowed", text, cure)


def examine_refusals(server: ServerSettings) -> Iterator[Check]:
    """Yield the refusals of the running service, and the problem of its history."""
    found = self_probe.get_json(server.addresses, server.port, "/api/service", server.authorization)
    if not found:
        return
    for kind, (title, cure) in REFUSED.items():
        names = [
            f"{one['name']} at {one['address']} ({one['count']} times, last at {one['lastAt']})"
            for one in found.get("refused", [])
            if one["kind"] == kind
        ]
        if names:
            rest = len(names) - MAX_NAMES_SHOWN
            more = f" and {rest} more" if rest > 0 else ""
            text = f"{title}: {', '.join(names[:MAX_NAMES_SHOWN])}{more}."
            yield Check("notice", f"{kind}_refused", text, cure)
    if problem := found.get("historyProblem"):
        yield Check("notice", "history_problem", problem)


def _no_tailscale() -> Check:
    text = "No Tailscale address now: other machines cannot reach the page."
    if shutil.which("tailscale"):
        return Check("fault", "tailscale_missing", text, "sudo tailscale up")
    return Check("notice", "tailscale_missing", text, "Install Tailscale, where a phone is to.")


def is_mission_control(address: Address, port: int) -> bool:
    """Whether what listens there answers as we do."""
    try:
        body = self_probe.get(address, port, "/health").body
    except OSError:
        return False
    return body in HEALTH or REFUSAL in body
