"""Addresses come and go while the service runs; slow and greedy clients hold nobody up."""

from __future__ import annotations

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


def ended(connection: socket.socket) -> bool:
    """Whether the other side closed it, after whatever it sent."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


def test_idle_connections_give_way_to_who_asks(served: Served) -> None:
    """The longest idle ones are closed, so that there is always room for one more."""
    with ExitStack() as idle:
        first = idle.enter_context(connect(served))
        for _ in range(300):
            idle.enter_context(connect(served))
        assert served.get("/health") == (200, "ok\n")
        assert ended(first)
    assert "Socket error" not in served.log


def test_a_connection_that_is_used_outlives_idle_ones(served: Served) -> None:
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
from dash_app.web.access import Gate
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

def asks(address, source):
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
listeners = Listeners(app, settings, {one: network.listen(one, 3001) for one in here})
for line in sys.stdin:
    command, address, *source = line.split()
    if command == "is":
        got = asks(address, *source or [""])
        print(json.dumps([got, sorted(map(str, listeners.addresses))]), flush=True)
    else:
        ip(f"address {command} {address} dev tailscale0" + (" nodad" if ":" in address else ""))
        await_route(command, address.split("/")[0])
        listeners.follow()
"""


class Tailnet:
    """Listeners in a network of their own, whose addresses can be changed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ["unshare", "--net", "--map-root-user", sys.executable, "-c", IN_A_TAILNET],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/sbin:/sbin:/usr/bin:/bin"},
        )

    def say(self, text: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def ask(self, address: str, source: str = "") -> list[object]:
        """Return what a request to an address gets, and the addresses that are open."""
        self.say(f"is {address} {source}")
        assert self.process.stdout
        found: list[object] = json.loads(self.process.stdout.readline())
        return found


@pytest.fixture
def tailnet() -> Iterator[Tailnet]:
    tailnet = Tailnet()
    yield tailnet
    tailnet.process.kill()
    tailnet.process.communicate()


OK = "HTTP/1.0 200 OK"
LOOPBACK = ["127.0.0.1", "::1"]


def test_a_tailscale_address_is_followed(tailnet: Tailnet) -> None:
    """It comes late, changes, goes and comes back, and loopback is served all the time."""
    first, second, six = "100.101.102.103", "100.101.102.104", "fd7a:115c:a1e0::7"
    assert tailnet.ask("127.0.0.1") == [OK, LOOPBACK]
    tailnet.say(f"add {first}/32")
    assert tailnet.ask(first) == [OK, sorted([*LOOPBACK, first])]
    tailnet.say(f"add {six}/128")
    assert tailnet.ask(six) == [OK, sorted([*LOOPBACK, first, six])]
    tailnet.say(f"del {first}/32")
    assert tailnet.ask(first) == [None, sorted([*LOOPBACK, six])]
    tailnet.say(f"add {second}/32")
    assert tailnet.ask(second) == [OK, sorted([*LOOPBACK, second, six])]
    assert tailnet.ask("::1") == [OK, sorted([*LOOPBACK, second, six])]


def test_who_may_not_ask_is_hung_up_on(tailnet: Tailnet) -> None:
    """As a neighbour on the public network that sends its packets to the Tailscale address."""
    tailnet.say("add 100.101.102.103/32")
    assert tailnet.ask("100.101.102.103", "203.0.113.9")[0] == ""
    assert tailnet.ask("127.0.0.1", "203.0.113.9")[0] == ""
    assert tailnet.ask("100.101.102.103")[0] == OK
