"""The service runs from boot on, on the right addresses, and restarts after every failure."""

import json
import time
from collections.abc import Callable
from typing import Any

from tests.harness import eventually
from tests.host.machine import PUBLIC, PUBLIC_ADDRESS, TAILNET_ADDRESS, TAILNET_ADDRESS_6, Machine

RECOVERY_SECONDS = 90.0
"""The slowest recovery: 30 for the watchdog, 10 for the abort, 5 of pause, and the start."""


def main_pid(machine: Machine) -> str:
    return machine.user("systemctl --user show -P MainPID mission-control")


def journal(machine: Machine) -> str:
    return machine.user("journalctl --user --unit mission-control --output cat")


def api(machine: Machine, route: str) -> Any:
    return json.loads(machine.user(f"curl -s http://127.0.0.1:3001/api/{route}"))


def answers(machine: Machine, address: str = TAILNET_ADDRESS) -> bool:
    return machine.http(address) == "200"


def await_event(
    machine: Machine, event: str, probe: Callable[[], object], within: float = 20.0
) -> None:
    """Wait for an event and log how long it took."""
    start = time.monotonic()
    eventually(probe, within)
    machine.log(f"{event}: {time.monotonic() - start:.1f} s")


def is_back(machine: Machine, before: str) -> Callable[[], bool]:
    return lambda: main_pid(machine) not in {before, "0"} and answers(machine)


def test_the_databases_are_read_by_a_sandboxed_reader(machine: Machine) -> None:
    databases = api(machine, "db-status")["databases"]
    assert [database["totalRows"] for database in databases[:3]] == [7, 7, 7]
    assert api(machine, "service")["guards"] == ["seccomp", "landlock"]


def test_it_answers_on_loopback_and_tailnet_over_ipv4_and_ipv6(machine: Machine) -> None:
    assert answers(machine)
    assert answers(machine, TAILNET_ADDRESS_6)
    for address in ("127.0.0.1", "[::1]"):
        assert "Mission Control" in machine.user(f"curl -s http://{address}:3001/")


def test_nothing_listens_on_the_public_address(machine: Machine) -> None:
    """Nor does the tailnet address answer requests that arrive through the public one."""
    assert machine.http(PUBLIC_ADDRESS, of=PUBLIC) == "000"
    refused = machine.http(TAILNET_ADDRESS, of=PUBLIC)
    machine.log(f"firewall off, public neighbour at the tailnet address: {refused}")
    assert refused == "000"


def test_a_reboot_needs_no_login(machine: Machine) -> None:
    machine.reboot()
    await_event(machine, "served after a boot", lambda: answers(machine))
    assert machine.run("loginctl", "list-sessions", "--no-legend") == ""


def test_the_oom_killer_prefers_the_service(machine: Machine) -> None:
    pid = main_pid(machine)
    assert machine.run("cat", f"/proc/{pid}/oom_score_adj") == "500"


def test_all_modules_are_compiled(machine: Machine) -> None:
    """The service cannot compile them itself, and each start would take three seconds more."""
    folder = ".config/systemd/user/mission-control.service.d"
    restart = "systemctl --user daemon-reload; systemctl --user restart mission-control"
    verbose = "printf '[Service]\\nEnvironment=PYTHONVERBOSE=1\\n'"
    machine.user(f"mkdir {folder}; {verbose} >{folder}/verbose.conf; {restart}")
    api(machine, "history")
    machine.user("curl -s http://127.0.0.1:3001/_dash-layout http://127.0.0.1:3001/metrics")
    loaded = [line for line in journal(machine).splitlines() if "code object from" in line]
    machine.user(f"rm -r {folder}; {restart}")
    assert len(loaded) > 500
    assert [line for line in loaded if ".opt-2.pyc" not in line] == []


def test_a_killed_service_restarts(machine: Machine) -> None:
    before = main_pid(machine)
    machine.run("kill", "-KILL", before)
    await_event(machine, "back after kill -9", is_back(machine, before))
    assert "Main process exited, code=killed, status=9/KILL" in journal(machine)


def test_a_hung_service_restarts(machine: Machine) -> None:
    before = main_pid(machine)
    machine.run("kill", "-STOP", before)
    await_event(machine, "back after kill -STOP", is_back(machine, before), RECOVERY_SECONDS)
    assert "Watchdog timeout (limit 30s)!" in journal(machine)


def test_changes_of_the_tailscale_address_are_followed(machine: Machine) -> None:
    before = main_pid(machine)
    machine.tailscale_down()
    await_event(
        machine,
        "address gone: closed",
        lambda: f"{TAILNET_ADDRESS} is gone" in journal(machine),
    )
    machine.tailscale_up("100.90.80.70")
    await_event(machine, "another address: served", lambda: answers(machine, "100.90.80.70"))
    machine.tailscale_down()
    machine.tailscale_up()
    await_event(machine, "the first again: served", lambda: answers(machine))
    assert main_pid(machine) == before


def test_without_tailscale_at_boot_only_loopback_is_served_at_first(
    machine: Machine,
) -> None:
    machine.stop()
    machine.boot(tailscale=False)
    await_event(
        machine,
        "served on loopback",
        lambda: "Mission Control" in machine.user("curl -s http://127.0.0.1:3001/", check=False),
    )
    assert "no Tailscale address yet" in journal(machine).split("Mission Control watches")[-2]
    machine.tailscale_up()
    await_event(machine, "address added after the start: served", lambda: answers(machine))


def test_a_reload_applies_the_configuration_and_rejects_a_bad_one(machine: Machine) -> None:
    before = main_pid(machine)
    config = '[[databases]]\nname = "one"\npath = "~/clawd/content.db"\n'
    machine.user(f"mkdir -p .config/mission-control; echo '{config}' >{CONFIG}")
    machine.user("systemctl --user reload mission-control")
    await_event(machine, "reloaded", lambda: len(api(machine, "db-status")["databases"]) == 1)
    machine.user(f"echo 'nonsense' >{CONFIG}; systemctl --user reload mission-control")
    await_event(machine, "a bad file rejected", lambda: "reload rejected" in journal(machine))
    assert len(api(machine, "db-status")["databases"]) == 1
    machine.user(f"rm {CONFIG}; systemctl --user reload mission-control")
    await_event(
        machine, "a missing file rejected", lambda: "is it empty or gone?" in journal(machine)
    )
    assert len(api(machine, "db-status")["databases"]) == 1
    assert main_pid(machine) == before
    machine.user("systemctl --user restart mission-control")
    eventually(lambda: answers(machine))
    assert len(api(machine, "db-status")["databases"]) == 5


CONFIG = ".config/mission-control/config.toml"


def test_stopping_takes_less_than_five_seconds(machine: Machine) -> None:
    start = time.monotonic()
    machine.user("systemctl --user stop mission-control")
    seconds = time.monotonic() - start
    machine.log(f"stopped: {seconds:.1f} s")
    assert machine.user("systemctl --user show -P Result mission-control") == "success"
    machine.user("systemctl --user start mission-control")
    eventually(lambda: answers(machine))
    assert seconds < 5
