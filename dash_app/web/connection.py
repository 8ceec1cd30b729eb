"""A client's connection: answers wait in memory, one at a time, until the client reads them."""

import socket
import struct
import time
from contextlib import suppress
from functools import cached_property
from ipaddress import IPv6Address, IPv6Network, ip_address
from types import SimpleNamespace
from typing import Any

import waitress.channel
import waitress.server
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError, TransferEncodingNotImplemented
from waitress.task import WSGITask

from dash_app.system.network import NETWORKS

REQUEST_SECONDS = 10
"""Maximum time for a request to arrive. One byte per second must not keep a connection open."""

MAX_FIELDS = 100
"""Maximum number of header fields. Browsers send about 20, and proxies add a few."""

UNREAD_SECONDS = 30
"""Maximum time without the client reading any byte of its answer."""

SEND_BUFFER_BYTES = 1 << 17
"""Send buffer per connection, enough for 50 Mbit/s at a round trip of 40 ms.

The kernel doubles it. By default, it would grow to 4 MB.
"""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes closing discard unread data. The kernel would keep it for minutes."""

WAITED_SECONDS = "mission_control.waited_seconds"
"""Key of the WSGI environment for the time that the request waited for a thread."""


LOCAL = NETWORKS["loopback"][0]

# If the wall clock is set back, slow connections would stay open.
waitress.channel.time = waitress.server.time = SimpleNamespace(time=time.monotonic)


class Request(HTTPRequestParser):  # type: ignore[misc]
    """A request that is being parsed.

    One thread parses the requests of all connections: thousands of header fields, or of chunks of a
    body, would delay the others.
    """

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the header. Raise ParsingError for too many fields, or a body in chunks."""
        if header_plus.count(b"\n") > MAX_FIELDS:
            raise ParsingError(f"More than {MAX_FIELDS} header fields")
        super().parse_header(header_plus)
        if self.chunked:
            raise TransferEncodingNotImplemented("Send the Content-Length of the body.")


class Task(WSGITask):  # type: ignore[misc]
    """A request, with `WAITED_SECONDS` in its environment."""

    def get_environment(self) -> dict[str, Any]:
        """Return the WSGI environment of the request."""
        environ: dict[str, Any] = super().get_environment()
        environ[WAITED_SECONDS] = time.monotonic() - self.channel.waiting_since
        return environ


class Connection(HTTPChannel):  # type: ignore[misc]
    """A connection that knows when its request began to arrive, and to wait for a thread.

    Times are in seconds of the monotonic clock.
    """

    task_class = Task
    parser_class = Request
    request_since = 0.0
    waiting_since = 0.0
    waits_for_client = False
    """Whether its next request waits until the client has read the previous answer."""

    @cached_property
    def client(self) -> str:
        """The client that limits apply to; see `client_of`."""
        return client_of(self.addr[0])

    def received(self, data: bytes) -> bool:
        """Process data that arrived; return whether there was any."""
        if self.request is None:
            self.request_since = time.monotonic()
        return bool(super().received(data))

    @property
    def is_idle(self) -> bool:
        """Whether neither a complete request nor an answer is waiting."""
        return not (self.requests or self.total_outbufs_len)

    def is_overdue(self, now: float) -> bool:
        """Whether the client takes too long to send its request, or to read its answer."""
        if self.total_outbufs_len:
            return bool(self.last_activity < now - UNREAD_SECONDS)
        is_arriving = self.request is not None and self.is_idle
        return is_arriving and self.request_since < now - REQUEST_SECONDS

    def close_now(self) -> None:
        """Close without waiting for the socket to become writable. For the server's thread only."""
        if self.total_outbufs_len:
            with suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.handle_close()


def client_of(text: str) -> str:
    """Return the client that an address belongs to: its network if one machine can have all of it.

    That is true of 127.0.0.0/8, and of each /64 of IPv6 outside a tailnet, which assigns addresses.
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
