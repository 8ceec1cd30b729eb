"""Requests to our own server."""

import json
import re
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from dash_app.system.network import Address, addresses_to_bind, is_served_by_us, page_url

TIMEOUT_SECONDS = 2.0
"""Our server answers from memory."""

MAX_BYTES = 25_000_000
"""More than the largest response of our server."""

STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its HTTP status and its body."""

    status: int
    body: bytes


def get(
    address: Address,
    port: int,
    path: str,
    timeout_seconds: float = TIMEOUT_SECONDS,
    authorization: str | None = None,
) -> Answer:
    """Request a path. Raise OSError if there is no HTTP response within the timeout.

    The timeout is for the whole exchange, which `http.client` does not offer: another program that
    listens on the port could send a byte per second forever.
    """
    deadline = time.monotonic() + timeout_seconds
    lines = [f"GET {path} HTTP/1.0", f"Host: {page_url(address, port).split('/')[2]}"]
    if authorization:
        lines.append(f"Authorization: {authorization}")
    received = bytearray()
    with socket.create_connection((str(address), port), timeout_seconds) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        while len(received) < MAX_BYTES:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            if not (part := connection.recv(65_536)):
                break
            received += part
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    match = STATUS_LINE.match(head)
    if match is None:
        raise OSError("no HTTP response")
    return Answer(int(match[1]), body)


def get_json(
    names: Iterable[str], port: int, path: str, authorization: str | None
) -> dict[str, Any] | None:
    """Request a JSON object from the server that this user runs, at the nearest of its addresses.

    Return None if there is no such server, or no such response within the timeout.
    """
    addresses = addresses_to_bind(names)
    # A server of another user would learn the token.
    if not addresses or not is_served_by_us(port):
        return None
    address = max(addresses, key=lambda address: address.is_loopback or address.is_unspecified)
    if address.is_unspecified:
        address = ip_address("127.0.0.1" if address.version == 4 else "::1")
    try:
        answer = json.loads(get(address, port, path, authorization=authorization).body)
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None
