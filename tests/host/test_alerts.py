"""From within its sandbox the service finds names, gives signs of life and has messages sent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT, eventually
from tests.host.machine import CACHE, PUBLIC, TAILNET_ADDRESS, Machine

ADDRESS = "203.0.113.5"
CONFIG = """
mkdir -p .config/mission-control
cd .config/mission-control
install -m 600 /dev/null urls
install -m 600 /dev/null heartbeat
echo json://monitor.example/alerts >urls
echo http://monitor.example/heartbeat >heartbeat
cat >config.toml <<END
[alerts]
urls_file = "urls"
after = "0s"
[watch]
heartbeat_file = "heartbeat"
heartbeat_every = "1s"
[[databases]]
name = "content"
path = "~/clawd/content.db"
END
"""


@pytest.fixture
def heard() -> Iterator[Path]:
    """Return what the public neighbour heard, a line each, while it is there."""
    lines = CACHE / "neighbour.log"
    command = (sys.executable, str(ROOT / "tests/host/neighbour.py"), ADDRESS)
    with lines.open("wb") as log:
        neighbour = subprocess.Popen(("ip", "netns", "exec", PUBLIC, *command), stdout=log)
    try:
        yield lines
    finally:
        neighbour.kill()
        neighbour.wait()


@pytest.fixture
def telling(machine: Machine) -> Iterator[Machine]:
    """Return the machine with a configuration that tells the neighbour; then it is as before."""
    names = machine.disk / "etc/resolv.conf"
    before = names.read_text() if names.exists() else ""
    names.write_text(f"nameserver {ADDRESS}\n")
    machine.user(CONFIG)
    yield machine
    names.write_text(before)
    machine.user("mv clawd/away.db clawd/content.db")
    machine.user("rm -r .config/mission-control .local/share/mission-control/alerts")
    machine.user("systemctl --user restart mission-control")
    eventually(lambda: machine.http(TAILNET_ADDRESS) == "200")


def test_the_unit_lets_out_messages_and_signs_of_life(telling: Machine, heard: Path) -> None:
    machine = telling
    machine.user("touch .local/share/mission-control/alerts")  # as `alerts install` does
    with machine.online():
        machine.user("cd mission-control && ./ops/install")
    compiled = machine.user("cd .local/share/mission-control; find environment-*/optimized")
    assert "/apprise/plugins/custom_json.cpython-311.opt-2.pyc" in compiled
    machine.user("systemctl --user restart mission-control")
    eventually(lambda: "GET /heartbeat" in heard.read_text(), 60)
    machine.user("mv clawd/content.db clawd/away.db")
    eventually(lambda: "Content: needs you" in heard.read_text(), 60)
