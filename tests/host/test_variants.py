"""Installing with a home that is a link, and with a service manager that has own settings."""

from collections.abc import Iterator

import pytest

from tests.harness import eventually
from tests.host.machine import TAILNET_ADDRESS, USER, Machine

INSTALL = "cd mission-control && ./ops/install"
XDG = "/etc/systemd/system/user@.service.d/xdg.conf"


RESTORE_FOLDERS = f"""
for folder in /home/{USER} /home/{USER}/.local; do
    [ ! -L "$folder" ] || {{ rm "$folder"; mv "/data/${{folder##*/}}" "$folder"; }}
done
"""


def install(machine: Machine, before: str = "") -> str:
    """Install after a shell command `before`, and wait until the service answers."""
    with machine.online():
        output = machine.user(before + INSTALL)
    eventually(lambda: machine.http(TAILNET_ADDRESS) == "200")
    return output


@pytest.fixture
def emptied(bare: Machine) -> Iterator[Machine]:
    """The machine with nothing installed; its home is restored afterwards."""
    bare.run("loginctl", "enable-linger", USER)
    eventually(lambda: bare.user("systemctl --user is-system-running", check=False) == "running")
    yield bare
    for _again in range(2):
        assert "is uninstalled" in bare.user(f"{INSTALL} --uninstall --purge")
    bare.run("rm", "-f", XDG)
    bare.run("sh", "-c", RESTORE_FOLDERS)
    restart_manager(bare)


def restart_manager(machine: Machine) -> None:
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "user@1000")


@pytest.mark.parametrize("linked", [f"/home/{USER}", f"/home/{USER}/.local"])
def test_a_home_that_is_a_link(emptied: Machine, linked: str) -> None:
    """For example to another disk (nix-community/home-manager issue 6096)."""
    moved = f"/data/{linked.rpartition('/')[2]}"
    emptied.run(
        "sh", "-ec", f"mkdir -p /data {linked}; mv {linked} {moved}; ln -s {moved} {linked}"
    )
    emptied.run("chown", "-hR", "1000:1000", linked, moved)
    restart_manager(emptied)
    install(emptied)
    assert "PrivateUsers=yes" in emptied.user("cat .config/systemd/user/mission-control.service")
    assert "history.db" in emptied.user("ls .local/state/mission-control")
    assert "Nothing has changed; all is well." in emptied.user(INSTALL)


def test_a_manager_with_another_configuration_home(emptied: Machine) -> None:
    """The unit goes where the manager looks for it (systemd/systemd issues 30782 and 43586)."""
    lines = f"[Service]\\nEnvironment=XDG_CONFIG_HOME=/home/{USER}/my\\\\x20cfg\\n"
    emptied.run("sh", "-c", f"mkdir -p $(dirname {XDG}); printf '{lines}' >{XDG}")
    restart_manager(emptied)
    install(emptied)
    assert "mission-control.service" in emptied.user("ls 'my cfg/systemd/user'")
    assert emptied.user("ls .config/systemd/user", check=False).endswith(
        "No such file or directory"
    )
    environment = emptied.user("echo ~/.local/share/mission-control/environment-*")
    ask = f"PYTHONPATH=$PWD {environment}/bin/python -m dash_app doctor"
    doctor = emptied.user(f"cd .local/share/mission-control/app-* && {ask}", check=False)
    assert "Installed as a service" in doctor
    emptied.user(f"{INSTALL} --uninstall --purge")
    assert emptied.http(TAILNET_ADDRESS) == "000"
    assert (
        emptied.user("find 'my cfg' -name 'mission-control.service*'", check=False).count("/") == 0
    )


def test_variables_of_the_shell_do_not_affect_the_service(emptied: Machine) -> None:
    """A configuration that the service does not read is reported."""
    emptied.user("mkdir -p cfg/mission-control; touch cfg/mission-control/config.toml")
    session = "XDG_RUNTIME_DIR=/run/user/0 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/0/bus"
    theirs = f"export XDG_CONFIG_HOME=~/cfg XDG_STATE_HOME=~/s XDG_DATA_HOME=~/d {session}; "
    output = install(emptied, theirs)
    assert "cfg/mission-control/config.toml is not read" in output
    assert "mission-control.service" in emptied.user("ls .config/systemd/user")
    assert emptied.user("ls -d s d", check=False).count("No such file") == 2
    emptied.user("rm -r cfg")
