"""Addresses appear and disappear while the service runs, and connections make room for others."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import pytest

from tests.harness import PATIENCE_SECONDS, ROOT, Served


def connect(served: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_SECONDS)


def is_closed(connection: socket.socket) -> bool:
    """Wait until the other side closes a connection."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


def test_idle_connections_make_room_for_requests(served: Served) -> None:
    """The longest idle ones are closed first."""
    with ExitStack() as idle:
        first = idle.enter_context(connect(served))
        for _ in range(300):
            idle.enter_context(connect(served))
        assert served.get("/health") == (200, "ok\n")
        assert is_closed(first)
    assert "Socket error" not in served.log


def test_a_used_connection_outlives_idle_ones(served: Served) -> None:
    used = HTTPConnection("127.0.0.1", served.port)
    used.connect()
    port = used.sock.getsockname()[1]
    with closing(used), ExitStack() as idle:
        for _ in range(60):
            for _ in range(5):
                idle.enter_context(connect(served))
            used.request("GET", "/health")
            assert used.getresponse().read() == b"ok\n"
        assert used.sock.getsockname()[1] == port


IN_A_TAILNET = """
import json, socket, sys
from ipaddress import ip_address
from subprocess import run
from dash_app.system import network
from dash_app.web.listeners import Listeners
from dash_app.settings.schema import ServerSettings

def ip(words):
    run(["ip", *words.split()], check=True)

# The kernel adds the route to an IPv6 address a moment after the address itself.
def await_route(command, address):
    table = ["ip", "-6", "route", "show", "table", "local"]
    while command == "add" and ":" in address:
        if address in run(table, check=True, capture_output=True, text=True).stdout:
            return

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]

def status_line(address, source):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(5)
        client.bind((source, 0))
        try:
            client.connect((address, 3001))
        except OSError:
            return None
        host = f"[{address}]" if ":" in address else address
        client.sendall(f"GET / HTTP/1.0\\r\\nHost: {host}\\r\\n\\r\\n".encode())
        try:
            return client.recv(100).split(b"\\r\\n")[0].decode()
        except ConnectionResetError:
            return ""

ip("link set lo up")
ip("link add tailscale0 type veth peer name peer")
ip("link set peer up")
ip("link set tailscale0 up")
ip("address add 203.0.113.9/32 dev lo")
settings = ServerSettings()
here = network.addresses_to_bind(settings.addresses)
listeners = Listeners(app, settings, {address: network.listen(address, 3001) for address in here})
for line in sys.stdin:
    command, address, *source = line.split()
    if command == "get":
        answer = status_line(address, *source or [""])
        print(json.dumps([answer, sorted(map(str, listeners.addresses))]), flush=True)
    else:
        ip(f"address {command} {address} dev tailscale0" + (" nodad" if ":" in address else ""))
        await_route(command, address.split("/")[0])
        listeners.sync_addresses()
"""


class Tailnet:
    """Listeners in their own network, whose addresses can be changed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ["unshare", "--net", "--map-root-user", sys.executable, "-c", IN_A_TAILNET],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/sbin:/sbin:/usr/bin:/bin"},
        )

    def run(self, text: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def get(self, address: str, source: str = "") -> list[object]:
        """Return the status line of a request to an address, and the open addresses."""
        self.run(f"get {address} {source}")
        assert self.process.stdout
        answer: list[object] = json.loads(self.process.stdout.readline())
        return answer


@pytest.fixture
def tailnet() -> Iterator[Tailnet]:
    tailnet = Tailnet()
    yield tailnet
    tailnet.process.kill()
    tailnet.process.communicate()


OK = "HTTP/1.0 200 OK"
LOOPBACK = ["127.0.0.1", "::1"]


def test_tailscale_addresses_are_served_as_they_come_and_go(tailnet: Tailnet) -> None:
    """Loopback is served all the time."""
    first, second, six = "100.101.102.103", "100.101.102.104", "fd7a:115c:a1e0::7"
    assert tailnet.get("127.0.0.1") == [OK, LOOPBACK]
    tailnet.run(f"add {first}/32")
    assert tailnet.get(first) == [OK, sorted([*LOOPBACK, first])]
    tailnet.run(f"add {six}/128")
    assert tailnet.get(six) == [OK, sorted([*LOOPBACK, first, six])]
    tailnet.run(f"del {first}/32")
    assert tailnet.get(first) == [None, sorted([*LOOPBACK, six])]
    tailnet.run(f"add {second}/32")
    assert tailnet.get(second) == [OK, sorted([*LOOPBACK, second, six])]
    assert tailnet.get("::1") == [OK, sorted([*LOOPBACK, second, six])]


def test_disallowed_clients_are_disconnected(tailnet: Tailnet) -> None:
    """For example a neighbour on the public network that sends packets to the Tailscale address."""
    tailnet.run("add 100.101.102.103/32")
    assert tailnet.get("100.101.102.103", "203.0.113.9")[0] == ""
    assert tailnet.get("127.0.0.1", "203.0.113.9")[0] == ""
    assert tailnet.get("100.101.102.103")[0] == OK
