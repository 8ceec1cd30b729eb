"""Which addresses are bound, and who may ask: every answer passes one gate."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from dash_app import network
from dash_app.network import Gate, PortTakenError
from dash_app.settings import ServerSettings
from tests.harness import ROOT, free_port

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIEnvironment

BOUND = [ip_address("127.0.0.1"), ip_address("::1"), ip_address("100.101.102.103")]


def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"behind the gate"]


def ask(
    host: str = "localhost",
    *,
    client: str = "127.0.0.1",
    path: str = "/",
    authorization: str | None = None,
    settings: ServerSettings | None = None,
) -> str:
    """Return the status line that a request gets."""
    said: list[str] = []
    environ = {"REMOTE_ADDR": client, "HTTP_HOST": host, "PATH_INFO": path}
    if authorization is not None:
        environ["HTTP_AUTHORIZATION"] = authorization
    gate = Gate(app, settings or ServerSettings(), BOUND)
    gate(environ, lambda status, *_: said.append(status))  # type: ignore[arg-type]
    return said[0]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:3001",
        "LOCALHOST",
        "localhost.",
        "127.0.0.1:3001",
        "[::1]:3001",
        "[0:0:0:0:0:0:0:1]:3001",
        "100.101.102.103",
        "box.example.ts.net:3001",
    ],
)
def test_a_known_host_may_be_asked_for(host: str) -> None:
    named = ServerSettings(allowed_hosts=("box.example.ts.net",))
    assert ask(host, settings=named) == "200 OK"


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "127.0.0.2", "[::2]", "::1", "[", "a b"]
)
def test_any_other_host_is_refused(host: str) -> None:
    assert ask(host) == "400 Bad Request"


@pytest.mark.parametrize(
    "client", ["127.0.0.1", "127.9.9.9", "::1", "100.64.0.1", "fd7a:115c:a1e0::5"]
)
def test_this_machine_and_its_tailnet_may_ask(client: str) -> None:
    assert ask(client=client) == "200 OK"


@pytest.mark.parametrize("client", ["192.0.2.1", "100.128.0.1", "2001:db8::1", "", "unix"])
def test_nobody_else_may_ask(client: str) -> None:
    assert ask(client=client) == "403 Forbidden"


def test_other_networks_may_ask_when_named() -> None:
    named = ServerSettings(allowed_clients=("192.0.2.0/24",))
    assert ask(client="192.0.2.7", settings=named) == "200 OK"
    assert ask(client="127.0.0.1", settings=named) == "403 Forbidden"


def test_a_token_guards_the_routes_for_machines_and_not_the_page(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    guarded = ServerSettings.model_validate(
        {"token_file": str(tmp_path / "token")}, context={"folder": tmp_path}
    )
    assert ask(path="/", settings=guarded) == "200 OK"
    for path in ("/api/db-status", "/metrics"):
        assert ask(path=path, settings=guarded) == "401 Unauthorized"
        for wrong in ("Bearer s3cre", "Bearer s3crett", "Basic s3cret", "s3cret", ""):
            assert ask(path=path, authorization=wrong, settings=guarded) == "401 Unauthorized"
        assert ask(path=path, authorization="Bearer s3cret", settings=guarded) == "200 OK"


def test_a_taken_port_names_its_holder_and_a_free_port() -> None:
    address = ip_address("127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError) as refusal:
            network.listen(address, port)
    text = str(refusal.value)
    assert f"(pid {os.getpid()})" in text
    network.listen(address, int(text.rpartition(" ")[2])).close()


def test_an_address_that_is_not_up_yet_can_be_listened_on() -> None:
    network.listen(ip_address("100.64.99.99"), free_port()).close()


def test_loopback_is_never_left_out_and_literals_are_taken_as_they_are() -> None:
    found = network.addresses_to_bind(["loopback", "192.0.2.1", "192.0.2.1"])
    assert found[0] == ip_address("127.0.0.1")
    assert found[-1] == ip_address("192.0.2.1")
    assert len(found) == len(set(found))


IN_A_TAILNET = """
set -e
PATH=$PATH:/usr/sbin:/sbin
ip link set lo up
ip link add tailscale0 type dummy 2>/dev/null || ip link add tailscale0 type veth peer name peer
ip address add {address} dev tailscale0
ip link set tailscale0 up
{python} -c "
from dash_app import network
print(*network.addresses_to_bind(['tailscale']))"
"""


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("100.101.102.103/32", "100.101.102.103"),
        ("fd7a:115c:a1e0::7/128", "fd7a:115c:a1e0::7"),
        ("192.0.2.7/32", ""),
    ],
)
def test_the_tailscale_address_is_taken_from_its_interface(address: str, expected: str) -> None:
    script = IN_A_TAILNET.format(address=address, python=sys.executable)
    done = subprocess.run(
        ["unshare", "--net", "--map-root-user", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected
