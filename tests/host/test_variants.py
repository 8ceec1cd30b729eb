"""Installing where the home is a link, and where the service manager has settings of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import eventually
from tests.host.machine import TAILNET_ADDRESS, USER, Machine

INSTALL = "cd mission-control && ./ops/install"
XDG = "/etc/systemd/system/user@.service.d/xdg.conf"


PUT_BACK = f"""
for folder in /home/{USER} /home/{USER}/.local; do
    [ ! -L "$folder" ] || {{ rm "$folder"; mv "/data/${{folder##*/}}" "$folder"; }}
done
"""


def install(machine: Machine, before: str = "") -> str:
    """Install with this before it, and await that it is served."""
    with machine.online():
        said = machine.user(before + INSTALL)
    eventually(lambda: machine.http(TAILNET_ADDRESS) == "200")
    return said


@pytest.fixture
def emptied(bare: Machine) -> Iterator[Machine]:
    """Return the machine with nothing installed; afterwards its home is as it was."""
    bare.run("loginctl", "enable-linger", USER)
    eventually(lambda: bare.user("systemctl --user is-system-running", check=False) == "running")
    yield bare
    for _once_more in range(2):
        assert "is uninstalled" in bare.user(f"{INSTALL} --uninstall --purge")
    bare.run("rm", "-f", XDG)
    bare.run("sh", "-c", PUT_BACK)
    restart_manager(bare)


def restart_manager(machine: Machine) -> None:
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "user@1000")


@pytest.mark.parametrize("linked", [f"/home/{USER}", f"/home/{USER}/.local"])
def test_a_home_that_is_a_link(emptied: Machine, linked: str) -> None:
    """On another disk, for instance (nix-community/home-manager issue 6096)."""
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


def test_a_manager_with_a_configuration_home_of_its_own(emptied: Machine) -> None:
    """The unit is put where it looks (systemd/systemd issues 30782 and 43586)."""
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


def test_settings_in_the_shell_alone_reach_no_service(emptied: Machine) -> None:
    """The configuration there is named, since it is not read."""
    emptied.user("mkdir -p cfg/mission-control; touch cfg/mission-control/config.toml")
    said = install(emptied, "export XDG_CONFIG_HOME=~/cfg XDG_STATE_HOME=~/s XDG_DATA_HOME=~/d; ")
    assert "cfg/mission-control/config.toml is not read" in said
    assert "mission-control.service" in emptied.user("ls .config/systemd/user")
    assert emptied.user("ls -d s d", check=False).count("No such file") == 2
    emptied.user("rm -r cfg")
