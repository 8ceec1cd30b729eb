"""The unit forbids what succeeds outside it."""

import json
from typing import Any

import pytest

from tests.harness import ROOT, eventually
from tests.host.machine import Machine

Outcomes = dict[str, Any]

OUTSIDE = "systemd-run --user --wait --quiet --collect -p StandardOutput=truncate:{0} {1}"
PROBE = "/usr/bin/python3 {home}/probe.py {other} {host}"
"""Started instead of the service by an otherwise identical unit."""

AS_A_PROBE = (
    r"sed -e 's|^Type=notify|Type=oneshot\nStandardOutput=truncate:{0}|' "
    r"-e '/^\(WatchdogSec\|Restart\|RestartSec\)=/d' -e 's|^ExecStart=.*|ExecStart={1}|' "
    ".config/systemd/user/mission-control.service >.config/systemd/user/probe.service && "
    "systemctl --user daemon-reload && systemctl --user start probe; "
    "rm .config/systemd/user/probe.service"
)


def probe(machine: Machine, how: str, name: str) -> Outcomes:
    target = f"/home/clawd/{name}.json"
    other = machine.user("systemctl --user show -P MainPID dbus")
    host = machine.user("readlink /proc/self/ns/uts")
    command = PROBE.format(home="/home/clawd", other=other, host=host)
    machine.user(how.format(target, command))
    outcomes: Outcomes = json.loads(machine.user(f"cat {target}"))
    return outcomes


@pytest.fixture(scope="module")
def outcomes(machine: Machine) -> tuple[Outcomes, Outcomes]:
    """The outcomes of all attempts outside and inside the unit."""
    script = (ROOT / "tests/host/probe.py").read_text()
    (machine.disk / "home/clawd/probe.py").write_text(script)
    machine.run("mount", "-t", "tmpfs", "-o", "mode=777", "disk", "/srv")
    machine.run("sh", "-c", "echo theirs >/tmp/theirs; chmod 644 /tmp/theirs")
    return probe(machine, OUTSIDE, "outside"), probe(machine, AS_A_PROBE, "inside")


FORBIDDEN = {
    "write into the home": "EROFS",
    "write beside a database": "EROFS",
    "write a database": "EROFS",
    "change a database's mode": "EROFS",
    "write where all may": "EROFS",
    "write to another disk": "EROFS",
    "write own control group": "EROFS",
    "read a secret": "EACCES",
    "see others' temporary files": "ENOENT",
    "see devices": False,
    "see the kernel's log": 0,
    "see kernel modules": "EACCES",
    "see another's environment": "EACCES",
    "see who owns the system": 65534,
    "reach the user's bus": "ENOENT",
    "reach the user's manager": "ENOENT",
    "reach the system's bus": "EACCES",
    "run what it wrote": "EACCES",
    "run from /tmp": "EACCES",
    "run 32-bit calls": "crashed",
    "write and run memory": "EPERM",
    "make a root program": "EPERM",
    "change an owner": "EPERM",
    "trace a process": "EPERM",
    "bind to a processor": "EPERM",
    "ask for realtime": "EPERM",
    "ask the clock's state": "EPERM",
    "change personality": "EPERM",
    "enter a new namespace": "EPERM",
    "open netlink": "EAFNOSUPPORT",
    "gain rights by a program": "never",
    "hold capabilities": False,
    "leave its memory in a file": False,
    "make what others may read": False,
    "share the host's name": False,
}
"""Tunables of the kernel are read-only in any container, so test_memory checks them."""

ALLOWED = {
    "read a database": "SQLite",
    "write our history": "done",
    "limit its memory": "done",
    "give up writing": "done",
}


@pytest.mark.parametrize("attempt", FORBIDDEN)
def test_the_unit_forbids(outcomes: tuple[Outcomes, Outcomes], attempt: str) -> None:
    outside, inside = outcomes
    assert inside[attempt] == FORBIDDEN[attempt]
    assert outside[attempt] != FORBIDDEN[attempt]


@pytest.mark.parametrize("attempt", ALLOWED)
def test_the_unit_allows(outcomes: tuple[Outcomes, Outcomes], attempt: str) -> None:
    for where in outcomes:
        assert where[attempt] == ALLOWED[attempt]


def test_keys_are_not_shared(outcomes: tuple[Outcomes, Outcomes]) -> None:
    outside, inside = outcomes
    assert outside["share keys"] != inside["share keys"]


WRITER = """
import sqlite3, sys
connection = sqlite3.connect("/home/clawd/clawd/email.db", isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("CREATE TABLE mail (id INTEGER PRIMARY KEY)")
for _ in range(3):
    connection.execute("INSERT INTO mail DEFAULT VALUES")
print("written", flush=True)
__import__("time").sleep(1000)
"""


def database(machine: Machine, name: str) -> Any:
    answer = machine.user("curl -s http://127.0.0.1:3001/api/db-status")
    databases = json.loads(answer)["databases"]
    return next(database for database in databases if database["name"] == name)


def files(machine: Machine) -> str:
    return machine.user("cd clawd && stat -c '%n %i %s %a %Y %Z' * && sha256sum *")


def test_a_closed_database_is_read_and_not_changed(machine: Machine) -> None:
    before = files(machine)
    machine.user("systemctl --user restart mission-control")
    assert eventually(lambda: database(machine, "coordination")["totalRows"]) == 7
    assert files(machine) == before


def test_a_database_with_a_writer_is_read_with_its_wal(machine: Machine) -> None:
    (machine.disk / "home/clawd/writer.py").write_text(WRITER)
    machine.user("systemd-run --user --quiet --unit writer python3 writer.py")
    eventually(lambda: database(machine, "email")["totalRows"] == 3)
    assert database(machine, "email")["walBytes"] > 0
    machine.user("systemctl --user kill -s KILL writer; systemctl --user reset-failed writer")
    before = files(machine)
    machine.user("systemctl --user restart mission-control")
    eventually(lambda: database(machine, "email")["totalRows"] == 3)
    assert files(machine) == before


def test_the_security_score_is_good(machine: Machine) -> None:
    output = machine.user("systemd-analyze --user security mission-control --no-pager | tail -1")
    machine.log(output)
    assert float(output.split("service:")[1].split()[0]) <= 1.8
