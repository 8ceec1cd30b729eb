"""HTTP clients that send the next request after each response: PORT, PATH, NUMBER, SECONDS.

They run in one process with one thread, to take as little time as possible from the server.
"""

import json
import select
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from tests.harness import ROOT


@dataclass(frozen=True, slots=True)
class Load:
    """Responses per second, and the latency in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float


def load(port: int, path: str, clients: int, seconds: float) -> Load:
    """Run a number of clients for some seconds."""
    command = [sys.executable, "-m", "tests.bench.clients", str(port), path]
    done = subprocess.run(
        [*command, str(clients), str(seconds)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return Load(**json.loads(done.stdout))


class Client:
    """One connection that sends the next request after each response."""

    def __init__(self, port: int, request: bytes) -> None:
        self.latencies: list[float] = []
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._request, self._response = request, bytearray()
        self._send()

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> None:
        """Receive data; after a complete response, record its latency and send the next request."""
        self._response += self._socket.recv(1 << 18)
        head, has_head, body = self._response.partition(b"\r\n\r\n")
        if not has_head:
            return
        assert head.startswith(b"HTTP/1.1 200"), head
        length = head.lower().partition(b"content-length:")[2].split()
        is_complete = len(body) == int(length[0]) if length else body.endswith(b"0\r\n\r\n")
        if is_complete:
            self.latencies.append(time.perf_counter() - self._sent_at)
            self._response.clear()
            self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._socket.sendall(self._request)


def main() -> None:
    """Run the clients and print the load as JSON."""
    port, path, count, seconds = sys.argv[1:]
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    connections = [Client(int(port), request) for _ in range(int(count))]
    clients = {client.fileno(): client for client in connections}
    poll = select.epoll()
    for descriptor in clients:
        poll.register(descriptor, select.EPOLLIN)
    start = time.perf_counter()
    while time.perf_counter() < start + float(seconds):
        for descriptor, _ in poll.poll(1):
            clients[descriptor].receive()
    latencies = sorted(latency for client in connections for latency in client.latencies)
    measured = Load(
        len(latencies) / (time.perf_counter() - start),
        latencies[len(latencies) // 2] * 1000,
        latencies[int(len(latencies) * 0.99)] * 1000,
    )
    print(json.dumps(asdict(measured)))  # noqa: T201


if __name__ == "__main__":
    main()
