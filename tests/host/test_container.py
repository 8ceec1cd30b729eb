"""The container of `ops/Containerfile` and `ops/compose.yml`, beside live writers outside."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.airlock_helpers import public_folder
from tests.harness import LiveWriter, eventually, free_port, make_database
from tests.host.container import Container, Image
from tests.host.machine import run

OWNER = 1000
NAMES = ("coordination", "observability", "content", "email", "health")
CRASH = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("INSERT INTO agents (text) VALUES ('x')")
os._exit(1)
"""


@pytest.fixture(scope="module")
def image() -> Image:
    return Image()


@pytest.fixture
def home() -> Iterator[Path]:
    """A home with the five default databases: closed WALs, one without an index, and no WAL."""
    with public_folder() as folder:
        for name in NAMES:
            make_database(folder / "clawd" / f"{name}.db", wal=name != "health", agents=3)
        content = folder / "clawd" / "content.db"
        subprocess.run([sys.executable, "-c", CRASH, content], check=False)
        content.with_name("content.db-shm").unlink()
        settings = folder / ".config" / "mission-control"
        settings.mkdir(parents=True)
        (settings / "config.toml").write_text(f"[server]\nport = {free_port()}\n")
        run("chown", "-R", f"{OWNER}:{OWNER}", folder)
        yield folder


def quiet_files(home: Path) -> dict[str, int]:
    """Return the times of the files that no program writes, beside which none may appear."""
    files = [file for name in NAMES[:3] for file in (home / "clawd").glob(f"{name}.*")]
    return {file.name: file.stat().st_mtime_ns for file in files}


def port(home: Path) -> str:
    text = (home / ".config/mission-control/config.toml").read_text()
    return text.split("= ")[1].strip()


def get(home: Path, path: str) -> str:
    return run("curl", "--silent", "--fail", f"http://127.0.0.1:{port(home)}{path}", check=False)


def statuses(home: Path) -> dict[str, Any]:
    text = get(home, "/api/db-status")
    return {found["name"]: found for found in json.loads(text)["databases"]} if text else {}


def test_the_image_is_small_and_belongs_to_root(image: Image) -> None:
    assert image.user == f"{OWNER}:{OWNER}"
    size_mb = int(run("du", "-sm", str(image.root)).split()[0])
    sys.stdout.write(f"image: {size_mb} MB\n")
    assert size_mb < 450
    app = image.root / "app"
    assert run("find", str(app), "-not", "-user", "root", "-o", "-perm", "/022", "-type", "f") == ""
    assert (app / ".venv" / "alerts-from").exists()


def test_it_serves_what_writers_outside_commit(image: Image, home: Path, tmp_path: Path) -> None:
    container, folder = Container(image, home), home / "clawd"
    before = quiet_files(home)
    with LiveWriter(folder / "email.db") as writer, LiveWriter(folder / "health.db") as locker:
        writer.do("INSERT INTO agents (text) VALUES ('x')")
        process = container.start(tmp_path / "log")
        try:
            eventually(lambda: get(home, "/health") == "ok")
            eventually(lambda: statuses(home)["email"]["totalRows"] == 4)
            found = statuses(home)
            assert {name: one["totalRows"] for name, one in found.items()} == {
                "coordination": 3,
                "observability": 3,
                "content": 4,
                "email": 4,
                "health": 3,
            }
            writer.do("INSERT INTO agents (text) VALUES ('x')")
            eventually(lambda: statuses(home)["email"]["totalRows"] == 5)
            holders = json.loads(get(home, "/api/databases/email"))["holders"]
            assert [holder["pid"] for holder in holders] == [writer.process.pid]
            service = json.loads(get(home, "/api/service"))
            assert (service["guards"], service["conflictsUnknown"]) == (["seccomp", "landlock"], [])
            sys.stdout.write(f"memory: {service['memory']}\n")
            assert "Coordination" in get(home, "/")
            check_rights(process.pid)
            check = [word.replace("3001", port(home)) for word in container.healthcheck]
            assert container.execute(*check).returncode == 0
            assert container.execute(*container.healthcheck).returncode == 1
            locker.do("BEGIN EXCLUSIVE")
            status = container.run("status")
            assert "5 rows" in status.stdout
            locker.do("COMMIT")
            doctor = container.run("doctor")
            assert "ok   This is a container" in doctor.stdout
            assert "No configuration" not in doctor.stdout
            assert "ok   Mission Control is served at" in doctor.stdout
            assert "can be written" in doctor.stdout
            assert quiet_files(home) == before
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0, (tmp_path / "log").read_text()
    sys.stdout.write((tmp_path / "log").read_text() + doctor.stdout)
    history = home / "history" / "history.db"
    assert history.stat().st_uid == OWNER
    assert "email" in container.run("history").stdout


def check_rights(pid: int) -> None:
    """Check that a process has no rights and a file system that nobody can write."""
    status = Path(f"/proc/{pid}/status").read_text()
    sets = re.findall(r"^Cap\w+:\s+(\w+)", status, re.MULTILINE)
    assert {int(bits, 16) for bits in sets} == {0}
    assert re.search(r"^NoNewPrivs:\s+1", status, re.MULTILINE)
    assert re.findall(r"^Uid:\s+(\d+)", status, re.MULTILINE) == [str(OWNER)]
    mounts = Path(f"/proc/{pid}/mounts").read_text().splitlines()
    writable = {line.split()[1] for line in mounts if line.split()[3].startswith("rw")}
    expected = ("/tmp", "/dev", "/proc", "/home/mission-control/.local/state/mission-control")
    assert all(path.startswith(expected) for path in writable), writable


def test_doctor_says_what_is_hidden_without_the_namespaces_of_the_host(
    image: Image, home: Path
) -> None:
    container, folder = Container(image, home), home / "clawd"
    with LiveWriter(folder / "email.db") as writer:
        writer.do("INSERT INTO agents (text) VALUES ('x')")
        doctor = container.run("doctor", alone=True).stdout
        assert doctor.count("programs outside this container are not seen") == 1
        assert "Start the container with `pid: host`." in doctor
        assert "The container needs `network_mode: host`." in doctor
        assert "ok   Email: 4 rows" in doctor
        assert "ok   Content: 4 rows" in doctor
        assert container.run("status", alone=True).returncode == 0
    sys.stdout.write(doctor)
