"""One client's connection: one answer at a time, held in memory, and dropped if nobody reads it."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from functools import cached_property
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError, TransferEncodingNotImplemented
from waitress.task import WSGITask

from dash_app.network import NETWORKS

REQUEST_SECONDS = 10
"""A request must have arrived whole by then: one byte a second must not hold a connection."""

MAX_FIELDS = 100
"""Of a request's header. Browsers send some 20, and proxies add a few."""

UNREAD_SECONDS = 30
"""How long an answer may wait without a byte of it being taken."""

SEND_BUFFER_BYTES = 1 << 17
"""Kept by the kernel per connection, which doubles it: what waits beyond that, we count ourselves.

It lets 50 Mbit/s pass at a round trip of 40 ms. By itself the kernel takes up to 4 MB each.
"""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: what was not taken is thrown away at the close, not kept by the kernel for minutes."""

WAITED_SECONDS = "mission_control.waited_seconds"
"""The key of the WSGI environment that holds how long a request waited for its turn."""

LOCAL = ip_network("127.0.0.0/8")


class Request(HTTPRequestParser):  # type: ignore[misc]
    """One request as it arrives. It is parsed by the thread that all connections share.

    Thousands of header fields, or of chunks of a body, would take that thread from the others.
    """

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the header. Raise ParsingError for one that has too many fields, or chunks."""
        if header_plus.count(b"\n") > MAX_FIELDS:
            raise ParsingError(f"More than {MAX_FIELDS} header fields")
        super().parse_header(header_plus)
        if self.chunked:
            raise TransferEncodingNotImplemented("Send the Content-Length of the body.")


class Task(WSGITask):  # type: ignore[misc]
    """One request, whose environment has the time that it waited."""

    def get_environment(self) -> dict[str, Any]:
        """Return the WSGI environment of the request."""
        environ: dict[str, Any] = super().get_environment()
        environ[WAITED_SECONDS] = time.monotonic() - self.channel.waiting_since
        return environ


class Connection(HTTPChannel):  # type: ignore[misc]
    """A connection that has since when a request is coming in, and since when it waits."""

    task_class = Task
    parser_class = Request
    request_since = 0.0
    waiting_since = 0.0
    is_held = False
    """Whether its next request waits until the answer to the one before has been taken."""

    @cached_property
    def client(self) -> str:
        """The client: an address, or the network of addresses that one machine chooses from."""
        return client_of(self.addr[0])

    def received(self, data: bytes) -> bool:
        """Take what arrived; return whether there was anything."""
        if self.request is None:
            self.request_since = time.time()
        return bool(super().received(data))

    @property
    def is_idle(self) -> bool:
        """Whether no whole request waits for its answer, nor an answer to be sent."""
        return not (self.requests or self.total_outbufs_len)

    def is_overdue(self, now: float) -> bool:
        """Whether its request takes too long to arrive, or its answer too long to be taken."""
        if self.total_outbufs_len:
            return bool(self.last_activity < now - UNREAD_SECONDS)
        is_coming = self.request is not None and self.is_idle
        return is_coming and self.request_since < now - REQUEST_SECONDS

    def close_now(self) -> None:
        """Close it, though its socket may never be writable again. Only for the server's thread."""
        if self.total_outbufs_len:
            with suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.handle_close()


def client_of(text: str) -> str:
    """Return whom to count an address for: itself, or the network that one machine chooses from.

    That is all of 127.0.0.0/8, and a /64 of IPv6 except in a tailnet, where each machine has one
    address given to it.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if any(address in network for network in NETWORKS["tailscale"]):
        return str(address)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, 64), strict=False))
    return str(LOCAL if address in LOCAL else address)
