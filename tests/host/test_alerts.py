"""Inside its sandbox, the service resolves names and sends heartbeats and notifications."""

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
def requests() -> Iterator[Path]:
    """The log of the public neighbour, with one line per request."""
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
def notifying(machine: Machine) -> Iterator[Machine]:
    """The machine, configured to notify the neighbour; reset afterwards."""
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


def test_the_unit_allows_notifications_and_heartbeats(notifying: Machine, requests: Path) -> None:
    machine = notifying
    machine.user("touch .local/share/mission-control/alerts")  # as `alerts install` does
    with machine.online():
        machine.user("cd mission-control && ./ops/install")
    compiled = machine.user("cd .local/share/mission-control; find environment-*/optimized")
    assert "/apprise/plugins/custom_json.cpython-311.opt-2.pyc" in compiled
    machine.user("systemctl --user restart mission-control")
    eventually(lambda: "GET /heartbeat" in requests.read_text(), 60)
    machine.user("mv clawd/content.db clawd/away.db")
    eventually(lambda: "Content: needs you" in requests.read_text(), 60)
