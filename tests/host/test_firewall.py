"""The rules for UFW, on a machine whose firewall is really on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import eventually
from tests.host.machine import (
    PUBLIC,
    PUBLIC_ADDRESS,
    TAILNET_ADDRESS,
    TAILNET_ADDRESS_6,
    Machine,
    run,
)

FIREWALL = "/home/clawd/mission-control/ops/firewall"
FORGED = "100.64.9.9"


@pytest.fixture
def walled(machine: Machine) -> Iterator[Machine]:
    """Return the machine with UFW on, denying what no rule allows."""
    machine.run("ufw", "default", "deny", "incoming")
    machine.run("ufw", "--force", "enable")
    yield machine
    machine.run("ufw", "--force", "reset")


def forged(machine: Machine) -> str:
    """Return what the public neighbour gets under an address of the tailnet."""
    run("ip", "-n", PUBLIC, "address", "replace", f"{FORGED}/32", "dev", "lo")
    link = f"http://{TAILNET_ADDRESS}:3001/"
    command = ("curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", link)
    got = run("ip", "netns", "exec", PUBLIC, *command, "--interface", FORGED, check=False)
    machine.tell(f"public neighbour under a forged address: {got}")
    return got


def test_says_that_it_is_off_and_keeps_its_hands_off(machine: Machine) -> None:
    said = machine.run(FIREWALL)
    assert "No rule for port 3001." in said
    assert "UFW is off: nothing here filters." in said
    assert "UFW shows its rules to root alone" in machine.user(FIREWALL, check=False)
    machine.run(FIREWALL, "apply")
    assert machine.run("ufw", "status") == "Status: inactive"
    machine.run(FIREWALL, "remove")
    assert forged(machine) == "000"


def test_lets_in_the_tailnet_and_nobody_else(walled: Machine) -> None:
    assert walled.http(TAILNET_ADDRESS) == "000"
    said = walled.run(FIREWALL, "apply")
    assert "UFW is on without a rule for SSH" in said
    for address in (TAILNET_ADDRESS, TAILNET_ADDRESS_6):
        assert walled.http(address) == "200"
    for address in (TAILNET_ADDRESS, PUBLIC_ADDRESS):
        assert walled.http(address, of=PUBLIC) == "000"
    assert forged(walled) == "000"
    assert "# Mission Control via Tailscale" in walled.run("ufw", "status")


def test_holds_after_a_reboot(walled: Machine) -> None:
    walled.run(FIREWALL, "apply")
    walled.reboot()
    eventually(lambda: walled.http(TAILNET_ADDRESS) == "200")
    assert walled.http(TAILNET_ADDRESS, of=PUBLIC) == "000"


def test_applied_twice_is_applied_once_and_removal_leaves_the_rest(walled: Machine) -> None:
    walled.run("ufw", "allow", "22/tcp")
    before = walled.run("ufw", "show", "added")
    once = walled.run(FIREWALL, "apply")
    rules = walled.run("ufw", "show", "added")
    assert "without a rule for SSH" not in once
    walled.run(FIREWALL, "apply")
    assert walled.run("ufw", "show", "added") == rules
    assert rules.count("Mission Control via Tailscale") == 2
    walled.run(FIREWALL, "remove")
    walled.run(FIREWALL, "remove")
    assert walled.run("ufw", "show", "added") == before
    assert walled.http(TAILNET_ADDRESS) == "000"


def test_names_what_else_opens_the_port(walled: Machine) -> None:
    walled.run("ufw", "allow", "3001/tcp")
    assert "Also for this port: allow 3001/tcp" in walled.run(FIREWALL)
