"""One machine for all tests: installed as README describes, by a user who never logged in."""

from collections.abc import Iterator

import pytest

from tests.harness import eventually
from tests.host.machine import USER, Machine

DATABASES = """
import sqlite3
for name in ("coordination", "observability", "content"):
    connection = sqlite3.connect(f"/home/clawd/clawd/{name}.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE tasks (id INTEGER PRIMARY KEY, text TEXT)")
    connection.executemany("INSERT INTO tasks (text) VALUES (?)", [("x",)] * 7)
    connection.close()
"""


@pytest.fixture(scope="session")
def bare() -> Iterator[Machine]:
    """A booted machine with the project's files and databases, and nothing installed."""
    machine = Machine()
    machine.boot()
    try:
        machine.unpack_project()
        machine.user("mkdir clawd .ssh; echo secret >.ssh/id; echo mine >notes")
        machine.user(f"python3 -c '{DATABASES}'")
        yield machine
    finally:
        machine.stop()


@pytest.fixture(scope="session")
def machine(bare: Machine) -> Machine:
    """The machine with the service installed by its user, after one command as root."""
    output = bare.user("cd mission-control && ./ops/install", check=False)
    assert f"sudo loginctl enable-linger {USER}" in output
    assert "No systemd manager runs for clawd" in output
    bare.run("loginctl", "enable-linger", USER)
    with bare.online():
        bare.user("cd mission-control && ./ops/install")
    bare.log("installed")
    eventually(lambda: bare.http("100.101.102.103") == "200")
    return bare
