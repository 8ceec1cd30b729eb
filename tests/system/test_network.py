"""The addresses that are bound, and the error for a port that is taken."""

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from shlex import quote

import pytest

from dash_app.settings.schema import ServerSettings
from dash_app.system import network
from dash_app.system.network import PortTakenError
from dash_app.web.listeners import Listeners
from tests.harness import ROOT, free_port


def test_the_error_for_a_taken_port_names_its_process_and_a_free_port() -> None:
    address = ip_address("127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError) as refusal:
            network.listen(address, port)
    assert f"(pid {os.getpid()})" in str(refusal.value)
    network.listen(address, refusal.value.free_port).close()


def test_a_port_is_ours_unless_another_user_listens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    assert not network.is_served_by_us(port)
    with socket.create_server(("127.0.0.1", port)):
        assert network.is_served_by_us(port)
        other_user = os.getuid() + 1
        monkeypatch.setattr(os, "getuid", lambda: other_user)
        assert not network.is_served_by_us(port)


def test_an_address_that_is_not_up_yet_can_be_listened_on() -> None:
    network.listen(ip_address("100.64.99.99"), free_port()).close()


def test_a_wildcard_covers_the_addresses_of_its_family() -> None:
    """Otherwise their ports would be taken by the wildcard."""
    addresses = network.addresses_to_bind(["loopback", "0.0.0.0", "192.0.2.1"])
    assert ip_address("0.0.0.0") in addresses
    assert not {ip_address("127.0.0.1"), ip_address("192.0.2.1")} & set(addresses)


def test_loopback_and_literal_addresses_are_resolved_without_duplicates() -> None:
    addresses = network.addresses_to_bind(["loopback", "192.0.2.1", "192.0.2.1"])
    assert addresses[0] == ip_address("127.0.0.1")
    assert addresses[-1] == ip_address("192.0.2.1")
    assert len(addresses) == len(set(addresses))


IN_A_TAILNET = """
set -e
PATH=$PATH:/usr/sbin:/sbin
ip link set lo up
ip link add tailscale0 type dummy 2>/dev/null || ip link add tailscale0 type veth peer name peer
ip address add {address} dev tailscale0
ip link set tailscale0 up
{python} -c "
from dash_app.system import network
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
def test_the_tailscale_address_is_read_from_its_interface(address: str, expected: str) -> None:
    script = IN_A_TAILNET.format(address=address, python=quote(sys.executable))
    done = subprocess.run(
        ["unshare", "--net", "--map-root-user", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected


@contextmanager
def descriptors_left(number: int) -> Iterator[None]:
    """Limit the number of files that this process can still open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + number, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(number):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)


def test_resolving_addresses_without_descriptors_raises_an_error() -> None:
    before = network.addresses_to_bind(["loopback"])
    with descriptors_left(0), pytest.raises(OSError, match="Too many open files"):
        network.addresses_to_bind(["loopback"])
    assert network.addresses_to_bind(["loopback"]) == before


@pytest.mark.parametrize("number", [1, 2])
def test_an_address_that_appears_without_descriptors_left_is_served_later(number: int) -> None:
    settings = ServerSettings(addresses=("127.0.0.1",), port=free_port())
    served = Listeners(lambda *_: [], settings, {})
    with descriptors_left(number):
        served.sync_addresses()
        assert served.addresses == []
    served.sync_addresses()
    assert served.addresses == [ip_address("127.0.0.1")]
    served.stop()
    served.join()
    served._dispatcher.set_thread_count(0)


def test_processes_that_end_meanwhile_do_not_end_the_search_for_a_holder() -> None:
    """A folder of `/proc` may be gone between two looks at it."""
    loop = "while :; do /bin/true; done"
    with ExitStack() as stack:
        for _ in range(4):
            shell = stack.enter_context(subprocess.Popen(["sh", "-c", loop]))
            stack.callback(shell.kill)
        for _ in range(200):
            assert network._process_with_socket("0") is None
