"""A newer version in another folder, from a tarball or a wheel, and the way back from it."""

import json
from collections.abc import Callable

import pytest

from tests.harness import eventually
from tests.host.machine import TAILNET_ADDRESS, Machine

COMMAND = "tool/bin/sqlite-mission-control"
UNIT = ".config/systemd/user/mission-control.service"
BROKEN = {
    "dash_app/service/service.py": "raise RuntimeError('this version is broken')",
    "dash_app/history/schema.py": (
        'MIGRATIONS = (*MIGRATIONS, "CREATE TABLE later (id INTEGER) STRICT;")'
    ),
}


def from_tarball(machine: Machine, folder: str) -> str:
    """Install the release in a folder from its tarball; return the output and the exit code."""
    machine.user(f"cd {folder} && tar -xf *.tar.gz && mv */ unpacked")
    return machine.user(f"{folder}/unpacked/ops/install; echo exit $?")


def from_wheel(machine: Machine, folder: str) -> str:
    """Install the release in a folder from its wheel, into the same environment each time."""
    machine.user("[ -d tool ] || python3 -m venv tool")
    machine.user(f"tool/bin/python -m pip install --no-deps --no-index --upgrade {folder}/*.whl")
    return machine.user(f"{COMMAND} install; echo exit $?")


def version(machine: Machine) -> str:
    document = machine.user("curl -s http://127.0.0.1:3001/api/service")
    return str(json.loads(document)["version"])


def history_format(machine: Machine) -> str:
    return machine.user("sqlite3 .local/state/mission-control/history.db 'PRAGMA user_version'")


@pytest.mark.parametrize("install", [from_tarball, from_wheel])
def test_an_upgrade_from_another_folder_and_back(
    machine: Machine, install: Callable[[Machine, str], str]
) -> None:
    """The folders are not needed afterwards. The first version came from a third folder."""
    before = version(machine)
    machine.put_release("new", "7.0.0")
    assert "exit 0" in install(machine, "new")
    assert version(machine) == "7.0.0"
    written = history_format(machine)
    command = COMMAND if install is from_wheel else "./ops/run"
    assert f'"MISSION_CONTROL_COMMAND={command}"' in machine.user(f"cat {UNIT}")

    machine.put_release("broken", "8.0.0", BROKEN)
    output = install(machine, "broken")
    assert "this version is broken" in output
    assert "The history is as it was before the upgrade." in output
    assert "The previous version is running again." in output
    assert "exit 1" in output
    assert version(machine) == "7.0.0"
    assert history_format(machine) == written

    machine.user("rm -rf new broken tool; systemctl --user restart mission-control")
    eventually(lambda: machine.http(TAILNET_ADDRESS) == "200")
    assert version(machine) == "7.0.0"
    machine.user("cd mission-control && ./ops/install")
    assert version(machine) == before
