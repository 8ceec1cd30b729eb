"""Upgrades, failed upgrades and uninstalling: nothing is left half done."""

from collections.abc import Iterator

import pytest

from tests.harness import eventually
from tests.host.machine import TAILNET_ADDRESS, Machine

INSTALL = "cd mission-control && ./ops/install"
BROKEN = "raise RuntimeError('this version is broken')"
MIGRATION = 'MIGRATIONS = (*MIGRATIONS, "CREATE TABLE later (id INTEGER) STRICT;")'
CONFIG = ".config/mission-control/config.toml"
UNIT = ".config/systemd/user/mission-control.service"


def state(machine: Machine) -> list[str]:
    """Return the pid of the service, its unit, and the installed folders."""
    return [
        machine.user("systemctl --user show -P MainPID mission-control"),
        machine.user(f"cat {UNIT}"),
        machine.user("ls .local/share/mission-control"),
    ]


def check_refused(machine: Machine, reason: str) -> None:
    """Run an installation that must fail and leave the running service unchanged."""
    before = state(machine)
    output = machine.user(INSTALL + "; echo exit $?")
    assert reason in output
    assert "exit 1" in output
    assert state(machine)[:2] == before[:2]
    assert machine.http(TAILNET_ADDRESS) == "200"


@pytest.fixture
def changed(machine: Machine) -> Iterator[Machine]:
    """The machine, whose checkout a test may change; restored afterwards."""
    machine.user("cp -a mission-control original")
    yield machine
    machine.user("rm -rf mission-control; mv original mission-control")


def test_a_second_run_changes_nothing(machine: Machine) -> None:
    before = state(machine)
    assert "Nothing has changed; all is well." in machine.user(INSTALL)
    assert state(machine) == before


def test_an_upgrade_replaces_the_old_version(changed: Machine) -> None:
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


def test_changing_the_checkout_does_not_affect_the_service(changed: Machine) -> None:
    changed.user(f'echo "{BROKEN}" >>mission-control/dash_app/service/service.py')
    changed.user("systemctl --user restart mission-control")
    eventually(lambda: changed.http(TAILNET_ADDRESS) == "200")


def test_a_version_that_does_not_start_is_rolled_back(changed: Machine) -> None:
    _, unit, folders = state(changed)
    changed.user(f'echo "{BROKEN}" >>mission-control/dash_app/service/service.py')
    changed.user(f"echo '{MIGRATION}' >>mission-control/dash_app/history/schema.py")
    output = changed.user(INSTALL + "; echo exit $?")
    assert "this version is broken" in output
    assert "The history is as it was before the upgrade." in output
    assert "The previous version is running again." in output
    assert "exit 1" in output
    assert state(changed)[1] == unit
    assert set(folders.split()) <= set(state(changed)[2].split())
    assert changed.http(TAILNET_ADDRESS) == "200"


def test_an_environment_that_cannot_be_made_changes_nothing(changed: Machine) -> None:
    changed.user("echo 'click==8.2.0 --hash=sha256:00' >>mission-control/requirements.txt")
    check_refused(changed, "The installation failed for the reason above.")


def test_an_invalid_configuration_is_refused(machine: Machine) -> None:
    machine.user(f"mkdir -p .config/mission-control; echo '[server]\nport = 0' >{CONFIG}")
    check_refused(machine, "[server] `port` = 0")
    machine.user(f"rm {CONFIG}")


def test_a_port_in_use_is_refused(machine: Machine) -> None:
    machine.user(f"mkdir -p .config/mission-control; echo '[server]\nport = 3100' >{CONFIG}")
    machine.user("systemd-run --user --quiet --unit other python3 -m http.server 3100")
    eventually(lambda: "3100" in machine.run("ss", "-Hltn"))
    check_refused(machine, "Port 3100 on 127.0.0.1 is taken by")
    machine.user(f"systemctl --user stop other; rm {CONFIG}")


def test_a_history_in_another_folder_is_writable(machine: Machine) -> None:
    machine.user(
        f"mkdir -p .config/mission-control; echo '[history]\npath = \"~/a b%/h.db\"' >{CONFIG}"
    )
    machine.user(INSTALL)
    assert machine.user("stat -c %a 'a b%'") == "700"
    assert "h.db" in machine.user("ls 'a b%'")
    machine.user(f"rm {CONFIG}; cd; {INSTALL}; cd; rm -r 'a b%'")


def test_installing_as_root_is_refused(machine: Machine) -> None:
    output = machine.run("/home/clawd/mission-control/ops/install", check=False)
    assert "Install as the user who owns the databases" in output


NO_NAMESPACES = "/etc/systemd/system/user@.service.d/no-namespaces.conf"


def restart_manager(machine: Machine) -> None:
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "user@1000")


def test_without_user_namespaces_a_reduced_unit_is_installed(machine: Machine) -> None:
    """Ubuntu 24.04 may deny them to the user's manager."""
    drop_in = f"printf '[Service]\\nRestrictNamespaces=~user\\n' >{NO_NAMESPACES}"
    machine.run("sh", "-c", f"mkdir -p $(dirname {NO_NAMESPACES}); {drop_in}")
    restart_manager(machine)
    assert machine.http(TAILNET_ADDRESS) == "000"
    output = machine.user(INSTALL)
    unit = machine.user(f"cat {UNIT}")
    assert "Lost: read-only home and system" in output
    assert "PrivateUsers" not in unit
    assert "WantedBy=default.target" in unit
    assert machine.http(TAILNET_ADDRESS) == "200"
    machine.run("rm", NO_NAMESPACES)
    restart_manager(machine)
    machine.user(INSTALL)
    assert "PrivateUsers=yes" in machine.user(f"cat {UNIT}")


FILES = "find . -path ./mission-control -prune -o -path ./clawd -prune -o -print | sort"


def test_uninstalling_keeps_configuration_and_history_unless_purged(
    machine: Machine,
) -> None:
    machine.user(f"mkdir -p .config/mission-control; touch {CONFIG}")
    output = machine.user(f"{INSTALL} --uninstall")
    assert "Mission Control is uninstalled." in output
    remaining = machine.user(FILES)
    assert "history.db" in remaining
    assert CONFIG in remaining
    assert "share/mission-control" not in remaining
    assert ".service" not in remaining
    assert machine.http(TAILNET_ADDRESS) == "000"
    machine.user(f"{INSTALL} --uninstall --purge")
    assert "mission" not in machine.user(FILES)
    units = "systemctl --user list-units --all --plain --no-legend 'mission*'"
    assert machine.user(units) == ""


def test_a_first_version_that_does_not_start_is_removed(machine: Machine) -> None:
    machine.user("cp -a mission-control broken")
    machine.user(f'echo "{BROKEN}" >>broken/dash_app/service/service.py')
    with machine.online():
        output = machine.user("broken/ops/install; echo exit $?")
    assert "this version is broken" in output
    assert "Nothing is installed." in output
    assert "exit 1" in output
    machine.user("rm -r broken")
    assert machine.user("find .config/systemd -name 'mission*'") == ""


def test_with_root_runs_the_steps_that_need_root_and_undoes_them(machine: Machine) -> None:
    machine.run("loginctl", "disable-linger", "clawd")
    machine.run("sh", "-c", "echo 'clawd ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/clawd")
    with machine.online():
        machine.user(f"{INSTALL} --with-root")
    assert machine.run("ls", "/var/lib/systemd/linger") == "clawd"
    assert "Mission Control via Tailscale" in machine.run("ufw", "show", "added")
    machine.user(f"{INSTALL} --uninstall --purge --with-root")
    assert machine.run("ls", "/var/lib/systemd/linger") == ""
    assert "Mission Control" not in machine.run("ufw", "show", "added")
