"""Somebody with an empty home starts the demo, and then keeps the command."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT, eventually, free_port

NAME = "sqlite-mission-control"
SECONDS = 600.0
"""Maximum time to install. A slow connection needs minutes for 60 MB."""

RUNNERS = {
    "uvx --from": ("uv", "tool", "run", "--from", "WHEEL", NAME),
    "pipx run --spec": ("pipx", "run", "--spec", "WHEEL", NAME),
}
INSTALLERS = (("uv", "tool", "install", "WHEEL"), ("pipx", "install", "WHEEL"))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The wheel of the files as they are now."""
    folder = tmp_path_factory.mktemp("dist")
    build = (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder)
    subprocess.run(build, cwd=ROOT, check=True)
    (path,) = folder.iterdir()
    return str(path)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with an empty home."""
    theirs = ("PYTHON", "XDG_", "MISSION_CONTROL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    return kept | {"HOME": str(tmp_path), "PATH": f"{tmp_path}/.local/bin:{kept['PATH']}"}


def run(environment: dict[str, str], *command: str, code: int = 0) -> str:
    """Run a command in an empty home and return its output, also that of errors."""
    done = subprocess.run(
        command,
        cwd=environment["HOME"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def check_demo(environment: dict[str, str], command: tuple[str, ...], name: str) -> None:
    """Start the demo, open its page and stop it as Ctrl-C does."""
    port, start = free_port(), time.monotonic()
    log = Path(environment["HOME"]) / "demo.log"
    with subprocess.Popen(
        [*command, "demo", "--port", str(port)],
        cwd=environment["HOME"],
        env=environment,
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
        process_group=0,
    ) as demo:
        eventually(lambda: f"http://127.0.0.1:{port}/" in log.read_text(), SECONDS)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
            assert b"Mission Control" in page.read()
        sys.stdout.write(f"\n{name}: the page after {time.monotonic() - start:.1f} s\n")
        os.killpg(demo.pid, signal.SIGINT)
        demo.wait(SECONDS)
    assert f"Your own databases: {name} discover" in log.read_text()


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_demo_runs_without_an_installation(
    runner: str, wheel: str, environment: dict[str, str]
) -> None:
    """Sentences name the wheel, too, because no index has it."""
    command = tuple(wheel if word == "WHEEL" else word for word in RUNNERS[runner])
    name = f"{runner} file://{wheel} {NAME}"
    check_demo(environment, command, name)
    assert run(environment, *command, "install", "--help").startswith(f"Usage: {name} install [")


@pytest.fixture(params=INSTALLERS, ids=lambda words: words[0])
def installed(
    request: pytest.FixtureRequest, wheel: str, environment: dict[str, str]
) -> Iterator[dict[str, str]]:
    """The environment of a user who installed the command."""
    run(environment, *(wheel if word == "WHEEL" else word for word in request.param))
    yield environment
    run(environment, *request.param[:-2], "uninstall", NAME)
    left = Path(environment["HOME"]).rglob("*sqlite*mission*control*")
    assert [path for path in left if path.is_dir() and ".cache" not in path.parts] == []


def test_the_installed_command_has_everything(installed: dict[str, str]) -> None:
    """Also the library that sends notifications, although uv makes environments without pip."""
    check_demo(installed, (NAME,), NAME)
    assert f"{NAME} discover" in run(installed, NAME, "doctor")
    output = run(installed, NAME, "alerts", "install")
    assert output.endswith(f"Next: {NAME} alerts test\n")
