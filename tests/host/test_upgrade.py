"""Upgrades, those that fail, and the end: what is installed comes whole, and goes whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import eventually
from tests.host.machine import TAILNET_ADDRESS, Machine

INSTALL = "cd mission-control && ./ops/install"
BROKEN = "raise RuntimeError('this version is broken')"
CONFIG = ".config/mission-control/config.toml"
UNIT = ".config/systemd/user/mission-control.service"


def state(machine: Machine) -> list[str]:
    """Return what runs, and from which folders."""
    return [
        machine.user("systemctl --user show -P MainPID mission-control"),
        machine.user(f"cat {UNIT}"),
        machine.user("ls .local/share/mission-control"),
    ]


def refused(machine: Machine, why: str) -> None:
    """Install something that cannot be; nothing that runs may change."""
    before = state(machine)
    said = machine.user(INSTALL + "; echo exit $?")
    assert why in said
    assert "exit 1" in said
    assert state(machine)[:2] == before[:2]
    assert machine.http(TAILNET_ADDRESS) == "200"


@pytest.fixture
def changed(machine: Machine) -> Iterator[Machine]:
    """Return the machine, whose checkout a test may change."""
    machine.user("cp -a mission-control original")
    yield machine
    machine.user("rm -rf mission-control; mv original mission-control")


def test_a_second_run_changes_nothing_and_says_so(machine: Machine) -> None:
    before = state(machine)
    assert "Nothing has changed; all is well." in machine.user(INSTALL)
    assert state(machine) == before


def test_an_upgrade_runs_the_new_version_and_clears_the_old_away(changed: Machine) -> None:
    pid, _, folders = state(changed)
    changed.user(
        "rm -rf mission-control/.git; echo '# new' >>mission-control/dash_app/cli/serve.py"
    )
    changed.user(INSTALL)
    new_pid, unit, new_folders = state(changed)
    assert pid != new_pid
    assert folders != new_folders
    assert len(new_folders.split()) == len(folders.split()) == 2
    assert all(folder in unit for folder in new_folders.split())


def test_a_change_in_the_checkout_changes_nothing_that_runs(changed: Machine) -> None:
    changed.user(f'echo "{BROKEN}" >>mission-control/dash_app/service/service.py')
    changed.user("systemctl --user restart mission-control")
    eventually(lambda: changed.http(TAILNET_ADDRESS) == "200")


def test_a_version_that_does_not_start_gives_way_to_the_one_before(changed: Machine) -> None:
    _, unit, folders = state(changed)
    changed.user(f'echo "{BROKEN}" >>mission-control/dash_app/service/service.py')
    said = changed.user(INSTALL + "; echo exit $?")
    assert "this version is broken" in said
    assert "The version before runs again." in said
    assert "exit 1" in said
    assert state(changed)[1] == unit
    assert set(folders.split()) <= set(state(changed)[2].split())
    assert changed.http(TAILNET_ADDRESS) == "200"


def test_an_environment_that_cannot_be_made_leaves_all_as_it_is(changed: Machine) -> None:
    changed.user("echo 'click==8.2.0 --hash=sha256:00' >>mission-control/requirements.txt")
    refused(changed, "Could not install, for the reason above.")


def test_a_configuration_that_cannot_be_used_is_refused(machine: Machine) -> None:
    machine.user(f"mkdir -p .config/mission-control; echo '[server]\nport = 0' >{CONFIG}")
    refused(machine, "[server] `port` = 0")
    machine.user(f"rm {CONFIG}")


def test_a_port_that_is_taken_is_named(machine: Machine) -> None:
    machine.user(f"mkdir -p .config/mission-control; echo '[server]\nport = 3100' >{CONFIG}")
    machine.user("systemd-run --user --quiet --unit other python3 -m http.server 3100")
    eventually(lambda: "3100" in machine.run("ss", "-Hltn"))
    refused(machine, "Port 3100 on 127.0.0.1 is taken by")
    machine.user(f"systemctl --user stop other; rm {CONFIG}")


def test_a_history_elsewhere_is_written_there(machine: Machine) -> None:
    machine.user(
        f"mkdir -p .config/mission-control; echo '[history]\npath = \"~/a b%/h.db\"' >{CONFIG}"
    )
    machine.user(INSTALL)
    assert machine.user("stat -c %a 'a b%'") == "700"
    assert "h.db" in machine.user("ls 'a b%'")
    machine.user(f"rm {CONFIG}; cd; {INSTALL}; cd; rm -r 'a b%'")


def test_root_is_refused_with_the_reason(machine: Machine) -> None:
    said = machine.run("/home/clawd/mission-control/ops/install", check=False)
    assert "Install as the user who owns the databases" in said


NO_NAMESPACES = "/etc/systemd/system/user@.service.d/no-namespaces.conf"


def restart_manager(machine: Machine) -> None:
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "user@1000")


def test_where_user_namespaces_are_off_a_reduced_unit_says_what_is_lost(machine: Machine) -> None:
    """As Ubuntu 24.04 may have it: the user's manager is refused them."""
    drop_in = f"printf '[Service]\\nRestrictNamespaces=~user\\n' >{NO_NAMESPACES}"
    machine.run("sh", "-c", f"mkdir -p $(dirname {NO_NAMESPACES}); {drop_in}")
    restart_manager(machine)
    assert machine.http(TAILNET_ADDRESS) == "000"
    said = machine.user(INSTALL)
    unit = machine.user(f"cat {UNIT}")
    assert "Lost: read-only home and system" in said
    assert "PrivateUsers" not in unit
    assert "WantedBy=default.target" in unit
    assert machine.http(TAILNET_ADDRESS) == "200"
    machine.run("rm", NO_NAMESPACES)
    restart_manager(machine)
    machine.user(INSTALL)
    assert "PrivateUsers=yes" in machine.user(f"cat {UNIT}")


FILES = "find . -path ./mission-control -prune -o -path ./clawd -prune -o -print | sort"


def test_uninstalling_leaves_configuration_and_history_and_purging_nothing(
    machine: Machine,
) -> None:
    machine.user(f"mkdir -p .config/mission-control; touch {CONFIG}")
    said = machine.user(f"{INSTALL} --uninstall")
    assert "Mission Control is uninstalled." in said
    left = machine.user(FILES)
    assert "history.db" in left
    assert CONFIG in left
    assert "share/mission-control" not in left
    assert ".service" not in left
    assert machine.http(TAILNET_ADDRESS) == "000"
    machine.user(f"{INSTALL} --uninstall --purge")
    assert "mission" not in machine.user(FILES)
    units = "systemctl --user list-units --all --plain --no-legend 'mission*'"
    assert machine.user(units) == ""


def test_a_first_version_that_does_not_start_is_not_left_behind(machine: Machine) -> None:
    machine.user("cp -a mission-control broken")
    machine.user(f'echo "{BROKEN}" >>broken/dash_app/service/service.py')
    with machine.online():
        said = machine.user("broken/ops/install; echo exit $?")
    assert "this version is broken" in said
    assert "Nothing is installed." in said
    assert "exit 1" in said
    machine.user("rm -r broken")
    assert machine.user("find .config/systemd -name 'mission*'") == ""


def test_with_root_does_what_needs_root_and_undoes_it(machine: Machine) -> None:
    machine.run("loginctl", "disable-linger", "clawd")
    machine.run("sh", "-c", "echo 'clawd ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/clawd")
    with machine.online():
        machine.user(f"{INSTALL} --with-root")
    assert machine.run("ls", "/var/lib/systemd/linger") == "clawd"
    assert "Mission Control via Tailscale" in machine.run("ufw", "show", "added")
    machine.user(f"{INSTALL} --uninstall --purge --with-root")
    assert machine.run("ls", "/var/lib/systemd/linger") == ""
    assert "Mission Control" not in machine.run("ufw", "show", "added")
