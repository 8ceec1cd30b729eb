"""Clients that ask as fast as they are answered, by PORT, PATH, NUMBER and SECONDS.

A process of its own, of one thread, so that it takes as little as can be from whom it asks.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

from tests.harness import ROOT


@dataclass(frozen=True, slots=True)
class Load:
    """What some clients met: answers a second, and how long one took, in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float


def load(port: int, path: str, clients: int, seconds: float) -> Load:
    """Have so many clients ask for so long."""
    command = [sys.executable, "-m", "tests.bench.clients", str(port), path]
    done = subprocess.run(
        [*command, str(clients), str(seconds)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return Load(**json.loads(done.stdout))


class Client:
    """One connection, over which the next request follows each answer."""

    def __init__(self, port: int, request: bytes) -> None:
        self.took: list[float] = []
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._request, self._answer = request, bytearray()
        self._ask()

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> None:
        """Take what came; note how long a whole answer took, and ask again."""
        self._answer += self._socket.recv(1 << 18)
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found:
            return
        assert head.startswith(b"HTTP/1.1 200"), head
        length = head.lower().partition(b"content-length:")[2].split()
        whole = len(body) == int(length[0]) if length else body.endswith(b"0\r\n\r\n")
        if whole:
            self.took.append(time.perf_counter() - self._asked)
            self._answer.clear()
            self._ask()

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._socket.sendall(self._request)


def main() -> None:
    """Ask, and print what was met."""
    port, path, count, seconds = sys.argv[1:]
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    clients = {one.fileno(): one for one in (Client(int(port), request) for _ in range(int(count)))}
    poll = select.epoll()
    for descriptor in clients:
        poll.register(descriptor, select.EPOLLIN)
    began = time.perf_counter()
    while time.perf_counter() < began + float(seconds):
        for descriptor, _ in poll.poll(1):
            clients[descriptor].receive()
    took = sorted(one for client in clients.values() for one in client.took)
    found = Load(
        len(took) / (time.perf_counter() - began),
        took[len(took) // 2] * 1000,
        took[int(len(took) * 0.99)] * 1000,
    )
    print(json.dumps({name: getattr(found, name) for name in Load.__slots__}))  # noqa: T201


if __name__ == "__main__":
    main()
