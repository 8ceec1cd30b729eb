"""The rules for UFW, on a machine with an active firewall."""

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
def firewalled(machine: Machine) -> Iterator[Machine]:
    """The machine with UFW on, which denies everything that no rule allows."""
    machine.run("ufw", "default", "deny", "incoming")
    machine.run("ufw", "--force", "enable")
    yield machine
    machine.run("ufw", "--force", "reset")


def http_from_forged_address(machine: Machine) -> str:
    """Return the HTTP status for the public neighbour with a forged address of the tailnet."""
    run("ip", "-n", PUBLIC, "address", "replace", f"{FORGED}/32", "dev", "lo")
    link = f"http://{TAILNET_ADDRESS}:3001/"
    command = ("curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", link)
    status = run("ip", "netns", "exec", PUBLIC, *command, "--interface", FORGED, check=False)
    machine.log(f"public neighbour under a forged address: {status}")
    return status


def test_a_firewall_that_is_off_is_reported_and_left_off(machine: Machine) -> None:
    output = machine.run(FIREWALL)
    assert "No rule for port 3001." in output
    assert "UFW is disabled, so it filters nothing." in output
    assert "Only root can see the rules of UFW" in machine.user(FIREWALL, check=False)
    machine.run(FIREWALL, "apply")
    assert machine.run("ufw", "status") == "Status: inactive"
    machine.run(FIREWALL, "remove")
    assert http_from_forged_address(machine) == "000"


def test_only_the_tailnet_is_let_in(firewalled: Machine) -> None:
    assert firewalled.http(TAILNET_ADDRESS) == "000"
    output = firewalled.run(FIREWALL, "apply")
    assert "UFW is enabled without a rule for SSH" in output
    for address in (TAILNET_ADDRESS, TAILNET_ADDRESS_6):
        assert firewalled.http(address) == "200"
    for address in (TAILNET_ADDRESS, PUBLIC_ADDRESS):
        assert firewalled.http(address, of=PUBLIC) == "000"
    assert http_from_forged_address(firewalled) == "000"
    assert "# Mission Control via Tailscale" in firewalled.run("ufw", "status")


def test_the_rules_survive_a_reboot(firewalled: Machine) -> None:
    firewalled.run(FIREWALL, "apply")
    firewalled.reboot()
    eventually(lambda: firewalled.http(TAILNET_ADDRESS) == "200")
    assert firewalled.http(TAILNET_ADDRESS, of=PUBLIC) == "000"


def test_applying_is_idempotent_and_removing_keeps_other_rules(firewalled: Machine) -> None:
    firewalled.run("ufw", "allow", "22/tcp")
    before = firewalled.run("ufw", "show", "added")
    once = firewalled.run(FIREWALL, "apply")
    rules = firewalled.run("ufw", "show", "added")
    assert "without a rule for SSH" not in once
    firewalled.run(FIREWALL, "apply")
    assert firewalled.run("ufw", "show", "added") == rules
    assert rules.count("Mission Control via Tailscale") == 2
    firewalled.run(FIREWALL, "remove")
    firewalled.run(FIREWALL, "remove")
    assert firewalled.run("ufw", "show", "added") == before
    assert firewalled.http(TAILNET_ADDRESS) == "000"


def test_other_rules_for_the_port_are_shown(firewalled: Machine) -> None:
    firewalled.run("ufw", "allow", "3001/tcp")
    assert "Also for this port: allow 3001/tcp" in firewalled.run(FIREWALL)
