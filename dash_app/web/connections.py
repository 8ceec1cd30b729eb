"""A client's connection: one answer at a time, in memory, and dropped if the client reads none."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from functools import cached_property
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import waitress.channel
import waitress.server
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError, TransferEncodingNotImplemented
from waitress.task import WSGITask

from dash_app.system.network import NETWORKS

REQUEST_SECONDS = 10
"""Maximum time for a request to arrive: one byte per second must not keep a connection."""

MAX_FIELDS = 100
"""Maximum number of header fields. Browsers send about 20, and proxies add a few."""

UNREAD_SECONDS = 30
"""Maximum time for which the client may read nothing of its answer."""

SEND_BUFFER_BYTES = 1 << 17
"""Send buffer per connection. The kernel doubles it, and by default grows it to 4 MB.

It is enough for 50 Mbit/s at a round trip of 40 ms.
"""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing discards unread data, which the kernel would keep for minutes."""

WAITED_SECONDS = "mission_control.waited_seconds"
"""Key of the WSGI environment: the time for which the request waited for a thread."""


class _Steady:
    """Replaces the wall clock in waitress: set back, that would keep slow connections open."""

    time = staticmethod(time.monotonic)


waitress.channel.time = waitress.server.time = _Steady

LOCAL = ip_network("127.0.0.0/8")


class Request(HTTPRequestParser):  # type: ignore[misc]
    """A request as it arrives.

    All connections share the thread that parses it: thousands of header fields, or of chunks of a
    body, would keep the others waiting.
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
    """A connection with the times when its request began to arrive, and to wait for a thread."""

    task_class = Task
    parser_class = Request
    request_since = 0.0
    waiting_since = 0.0
    is_held = False
    """Whether its next request waits until the client has read the previous answer."""

    @cached_property
    def client(self) -> str:
        """The client that the connection counts for; see `client_of`."""
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
        is_coming = self.request is not None and self.is_idle
        return is_coming and self.request_since < now - REQUEST_SECONDS

    def close_now(self) -> None:
        """Close it even if its socket is never writable again. Only for the server's thread."""
        if self.total_outbufs_len:
            with suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.handle_close()


def client_of(text: str) -> str:
    """Return the client that an address counts for: itself, or its network if one machine has all.

    Such networks are 127.0.0.0/8, and each /64 of IPv6 outside a tailnet, which assigns addresses.
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
