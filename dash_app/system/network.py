"""The addresses of this machine, and sockets that listen on them."""

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

from dash_app.system.processes import process_label

Address = IPv4Address | IPv6Address

TAILSCALE_INTERFACE = "tailscale0"
NETWORKS = {
    "loopback": (ip_network("127.0.0.0/8"), ip_network("::1/128")),
    "tailscale": (ip_network("100.64.0.0/10"), ip_network("fd7a:115c:a1e0::/48")),
}
IP_FREEBIND = 15
SIOCGIFADDR = 0x8915
BACKLOG = 128
LISTENING = "0A"

EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
"""Errors that mean that no descriptor or memory is left."""


class PortTakenError(Exception):
    """Another program listens on the port. The text names it; `free_port` is one to use instead."""

    def __init__(self, text: str, free_port: int) -> None:
        super().__init__(text)
        self.free_port = free_port


def addresses_to_bind(names: Iterable[str]) -> list[Address]:
    """Resolve the configured names: `loopback`, `tailscale`, or literal addresses.

    Skip address families and interfaces that are missing now, and addresses that a wildcard covers.
    Raise OSError if no descriptor is left.
    """
    addresses: dict[Address, None] = {}
    for name in names:
        if name == "loopback":
            addresses[ip_address("127.0.0.1")] = None
            if _interface_ipv6("lo"):
                addresses[ip_address("::1")] = None
        elif name == "tailscale":
            addresses |= dict.fromkeys(tailscale_addresses())
        else:
            addresses[ip_address(name)] = None
    covered = {address.version for address in addresses if address.is_unspecified}
    return [a for a in addresses if a.is_unspecified or a.version not in covered]


def tailscale_addresses() -> list[Address]:
    """Return the addresses of the Tailscale interface that are in Tailscale's own networks."""
    candidates = [*_interface_ipv4(TAILSCALE_INTERFACE), *_interface_ipv6(TAILSCALE_INTERFACE)]
    return [a for a in candidates if any(a in network for network in NETWORKS["tailscale"])]


def is_local_or_tailnet(address: Address) -> bool:
    """Whether only this machine or its tailnet can reach an address."""
    return any(address in network for group in NETWORKS.values() for network in group)


def listen(address: Address, port: int) -> socket.socket:
    """Return a listening socket, even for an address that is not up yet.

    Raise PortTakenError or OSError.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((str(address), port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortTakenError(_explain_taken(address, port), _free_port(address, port)) from error
    return listener


def is_served_by_us(port: int) -> bool:
    """Whether processes of our user listen on a port of this machine, and no others."""
    users = {int(fields[7]) for fields in _listening(port)}
    return users == {os.getuid()}


def admits_others(allowed: Iterable[str], address: Address) -> bool:
    """Whether any client beyond this machine and its tailnet may connect to an address."""
    others = [ip_network(name) for name in allowed if name not in NETWORKS]
    return any(
        network.version == address.version and not is_local_or_tailnet(network.network_address)
        for network in others
    )


def page_url(address: Address, port: int) -> str:
    """Return the URL of the page at an address."""
    host = f"[{address}]" if address.version == 6 else str(address)
    return f"http://{host}:{port}/"


def _has_ipv6() -> bool:
    """Whether this process can use IPv6. A kernel, a container or a unit may disable it.

    Raise OSError if no descriptor is left.
    """
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
        return False
    return True


def _interface_ipv4(interface: str) -> list[Address]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("256s", interface.encode())
        try:
            answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, request)
        except OSError:
            return []
    return [IPv4Address(answer[20:24])]


def _interface_ipv6(interface: str) -> list[Address]:
    if not _has_ipv6():
        return []
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except (FileNotFoundError, PermissionError):
        return []
    fields = [line.split() for line in lines]
    return [IPv6Address(bytes.fromhex(field[0])) for field in fields if field[5] == interface]


def _explain_taken(address: Address, port: int) -> str:
    inode = next((fields[9] for fields in _listening(port)), None)
    holder = _process_with_socket(inode) if inode else None
    by = f"by {holder}" if holder else "by a process of another user"
    return f"Port {port} on {address} is taken {by}."


def _listening(port: int) -> Iterator[list[str]]:
    """Yield the fields of each socket that listens on a port (proc_pid_net(5))."""
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields


def _process_with_socket(inode: str) -> str | None:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # of another user, or it has exited meanwhile
            for descriptor in (process / "fd").iterdir():
                with suppress(FileNotFoundError):  # closed meanwhile
                    if str(descriptor.readlink()) == f"socket:[{inode}]":
                        return process_label(int(process.name))
    return None


def _free_port(address: Address, port: int) -> int:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    for candidate in range(port + 1, 65536):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((str(address), candidate))
            except OSError:
                continue
        return candidate
    return 0
