"""The scripts in ops/ and the locks that they install from; nothing here reaches a network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCRIPTS = (
    *("ops/run", "ops/install", "ops/firewall", "ops/test", "ops/test-host"),
    *("ops/fuzz", "ops/bench", "ops/lock", ".ci/run"),
)
LOCKS = (
    *("requirements.txt", "tests/requirements.txt", "tests/bench/requirements.txt"),
    *("ops/frontend/requirements.txt", "ops/alerts.txt"),
)
TOOLS = ("bash", "cat", "cksum", "dirname", "flock", "readlink", "rm")
"""All that ops/run needs besides a Python."""

REPORT = """
import json, os, sys
report = {"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}
print(json.dumps(report))
sys.exit(3)
"""

PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)( ; .+)? \\$")


def run(
    command: Path, *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script as a person would, with their environment unless another is given."""
    return subprocess.run(
        [command, *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a repository in a folder with a space in its name, whose environment is ready."""
    copy = tmp_path / "a checkout"
    shutil.copytree(ROOT / "ops", copy / "ops")
    shutil.copy(ROOT / "requirements.txt", copy)
    (copy / ".venv").mkdir()
    for path in (ROOT / ".venv").iterdir():
        (copy / ".venv" / path.name).symlink_to(path)
    (copy / "dash_app").symlink_to(ROOT / "dash_app")
    return copy


@pytest.fixture
def reporting(checkout: Path) -> Path:
    """Return the checkout with a program that reports how it was started, and exits with 3."""
    (checkout / "dash_app").unlink()
    (checkout / "dash_app").mkdir()
    (checkout / "dash_app" / "__main__.py").write_text(REPORT)
    return checkout


def only_tools(folder: Path, **scripts: str) -> dict[str, str]:
    """Return an environment whose PATH knows only what ops/run needs, and these scripts."""
    folder.mkdir()
    for tool in TOOLS:
        path = shutil.which(tool)
        assert path is not None
        (folder / tool).symlink_to(path)
    for name, text in scripts.items():
        (folder / name.replace("_", ".")).write_text(f"#!{shutil.which('bash')}\n{text}\n")
        (folder / name.replace("_", ".")).chmod(0o755)
    return {"PATH": str(folder)}


def test_starts_from_any_folder_through_a_link(checkout: Path, tmp_path: Path) -> None:
    """The repository is found from the script itself; a ready environment is used in silence."""
    link = tmp_path / "mission-control"
    link.symlink_to(checkout / "ops" / "run")
    done = run(link, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage:")


def test_passes_on_arguments_folder_and_exit_code(reporting: Path, tmp_path: Path) -> None:
    """Relative paths stay the person's own, and a module of theirs is not taken for a library."""
    (tmp_path / "json.py").write_text("raise SystemExit('their json.py was imported')")
    done = run(reporting / "ops" / "run", "status", "--config", "a b.toml", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert done.returncode == 3
    assert report["arguments"] == ["status", "--config", "a b.toml"]
    assert report["folder"] == str(tmp_path)


def test_settings_of_other_programs_do_not_reach_it(reporting: Path, tmp_path: Path) -> None:
    """Dash would follow DASH_*; without bytecode every start would compile anew."""
    theirs = {"DASH_DEBUG": "1", "DASH_URL_BASE_PATHNAME": "/x/", "PYTHONDONTWRITEBYTECODE": "1"}
    done = run(reporting / "ops" / "run", cwd=tmp_path, environment={**os.environ, **theirs})
    environment = json.loads(done.stdout)["environment"]
    assert not theirs.keys() & environment.keys()
    assert environment["PYTHONPATH"] == str(reporting)


@pytest.mark.parametrize("changed", ["requirements.txt", "ops/frontend/package-lock.json"])
def test_environment_of_other_locks_is_not_used(
    checkout: Path, tmp_path: Path, changed: str
) -> None:
    """A changed lock asks for a new environment, which here no Python can make."""
    with (checkout / changed).open("a") as lock:
        lock.write("\n")
    done = run(
        checkout / "ops" / "run", "--help", cwd=tmp_path, environment=only_tools(tmp_path / "bin")
    )
    assert (done.returncode, done.stdout) == (1, "")


def test_half_an_installation_is_not_used(checkout: Path, tmp_path: Path) -> None:
    """What was interrupted carries no note of what it was made from."""
    (checkout / ".venv" / "made-from").unlink()
    environment = only_tools(tmp_path / "bin")
    done = run(checkout / "ops" / "run", "--help", cwd=tmp_path, environment=environment)
    assert (done.returncode, done.stdout) == (1, "")


def test_an_environment_that_is_a_link_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    """To make it anew would empty somebody else's."""
    shutil.rmtree(checkout / ".venv")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "made-from").write_text("other locks")
    (checkout / ".venv").symlink_to(tmp_path / "theirs")
    done = run(checkout / "ops" / "run", cwd=tmp_path)
    assert done.returncode == 1
    assert "is a link" in done.stderr
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["made-from"]


def test_says_which_python_is_needed(checkout: Path, tmp_path: Path) -> None:
    """Without a Python, one line says what to install."""
    shutil.rmtree(checkout / ".venv")
    environment = only_tools(tmp_path / "bin")
    done = run(checkout / "ops" / "run", cwd=tmp_path, environment=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("Mission Control needs Python 3.11, 3.12 or 3.13;")
    assert done.stderr.count("\n") == 1


def test_says_that_the_venv_module_is_missing(checkout: Path, tmp_path: Path) -> None:
    """Debian ships Python without it."""
    shutil.rmtree(checkout / ".venv")
    environment = only_tools(tmp_path / "bin", python3_12='[[ "$*" != *ensurepip* ]]')
    done = run(checkout / "ops" / "run", cwd=tmp_path, environment=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("python3.12 is here without its venv module;")
    assert done.stderr.count("\n") == 1


def test_shows_why_an_installation_failed(checkout: Path, tmp_path: Path) -> None:
    """Chatter is kept back until it matters."""
    shutil.rmtree(checkout / ".venv")
    fails = '[[ "$*" != *--clear* ]] || { echo "No space left on device"; exit 1; }'
    environment = only_tools(tmp_path / "bin", python3_11=fails)
    done = run(checkout / "ops" / "run", cwd=tmp_path, environment=environment)
    assert done.returncode == 1
    assert "\nNo space left on device\nCould not install, for the reason above." in done.stderr
    assert not (checkout / ".venv" / "made-from").exists()


def test_what_sends_messages_is_installed_where_it_is_wanted_and_kept(
    checkout: Path, tmp_path: Path
) -> None:
    """Once for each lock, also into an environment that was made anew; a failure stops nothing."""
    (checkout / ".venv" / "bin").unlink()
    (checkout / ".venv" / "alerts-from").unlink(missing_ok=True)
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir()
    said = tmp_path / "said"
    python.write_text(f'#!/usr/bin/env bash\necho "$*" >>"{said}"\n[ ! -e "{said}.fails" ]\n')
    python.chmod(0o755)
    environment = {**os.environ, "HOME": str(tmp_path / "home")}

    def starts(*arguments: str) -> list[str]:
        said.write_text("")
        run(checkout / "ops" / "run", *arguments, cwd=tmp_path, environment=environment)
        lock = f"--requirement {checkout}/ops/alerts.txt"
        return [line.replace(lock, "LOCK").split()[-1] for line in said.read_text().splitlines()]

    assert starts("status") == ["status"]
    assert starts("alerts", "install") == ["LOCK", "install"]
    assert starts("status") == ["status"]
    with (checkout / "ops" / "alerts.txt").open("a") as lock:
        lock.write("\n")
    said.with_name("said.fails").touch()
    assert starts("status") == ["LOCK", "status"]
    said.with_name("said.fails").unlink()
    assert starts("status") == ["LOCK", "status"]
    assert starts("status") == ["status"]


@pytest.mark.parametrize("script", [*SCRIPTS, "ops/environment.sh"])
def test_scripts_parse_and_can_be_started(script: str) -> None:
    """Those that a person or a machine starts are executable."""
    subprocess.run(["bash", "-n", ROOT / script], check=True)
    assert os.access(ROOT / script, os.X_OK) == (script in SCRIPTS)


def locked(lock: str) -> list[tuple[str, str]]:
    """Return name and version of each requirement of a lock."""
    lines = (ROOT / lock).read_text().splitlines()
    return [(found[1], found[2]) for found in map(PINNED.match, lines) if found]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_with_hashes(lock: str) -> None:
    """And nothing else stands in a lock: no index, no address, no path."""
    lines = [
        line for line in (ROOT / lock).read_text().splitlines() if not line.startswith("    #")
    ]
    hashes = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
    for line, following in pairwise([*lines, ""]):
        assert PINNED.match(line) or hashes.match(line), line
        assert bool(hashes.match(following)) == line.endswith("\\"), line


def test_no_library_that_memory_cannot_afford() -> None:
    """They come along with pandas and Plotly easily, and cost tens of megabytes."""
    assert not {"pyarrow", "plotly-resampler"} & {name for name, _ in locked("requirements.txt")}


def test_tests_run_with_the_versions_of_production() -> None:
    """A library in both locks has one version."""
    production, tests = locked("requirements.txt"), locked("tests/requirements.txt")
    shared = {name for name, _ in production} & {name for name, _ in tests}
    assert shared
    assert {pin for pin in tests if pin[0] in shared} <= set(production)


def test_small_plotly_is_of_the_version_that_dash_expects() -> None:
    """It is served in the place of the full one that stands in the Python package."""
    full = files("plotly") / "package_data" / "plotly.min.js"
    small = ROOT / ".venv" / "share" / "mission-control" / "plotly-basic.min.js"
    versions = [
        re.findall(r"plotly\.js (?:\(.+\) )?v([\d.]+)", path.read_text()[:200])
        for path in (full, small)
    ]
    assert len(versions[0]) == 1
    assert versions[0] == versions[1]


def test_npm_lock_has_hashes_and_no_addresses() -> None:
    """Where the packages come from is each person's own setting."""
    packages = json.loads((ROOT / "ops" / "frontend" / "package-lock.json").read_text())["packages"]
    wanted = [package for name, package in packages.items() if name]
    assert wanted
    assert all(package["integrity"].startswith("sha512-") for package in wanted)
    assert not any("resolved" in package for package in wanted)


def test_page_files_come_with_their_licences() -> None:
    """Both licences ask to be kept beside the copies."""
    share = ROOT / ".venv" / "share" / "mission-control"
    assert sorted(path.name for path in share.iterdir()) == [
        "bootstrap.LICENSE",
        "bootstrap.min.css",
        "plotly-basic.min.js",
        "plotly.js-basic-dist-min.LICENSE",
    ]
