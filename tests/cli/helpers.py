"""Commands run as a person types them, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.forked import run_forked
from tests.harness import ROOT


def environment(home: Path) -> dict[str, str]:
    """The environment of a user with this home, which alone may have a configuration."""
    kept = {name: value for name, value in os.environ.items() if name != "MISSION_CONTROL_CONFIG"}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def run(home: Path, *arguments: object, **variables: object) -> subprocess.CompletedProcess[str]:
    changed = environment(home) | {name: str(value) for name, value in variables.items()}
    if variables:  # which may concern Python or the libraries
        command = [sys.executable, "-m", "dash_app", *map(str, arguments)]
        return subprocess.run(
            command, env=changed, capture_output=True, text=True, check=False, timeout=60
        )
    return run_forked(list(map(str, arguments)), changed)


def output_lines(tmp_path: Path, *arguments: object) -> list[str]:
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def usage_error(tmp_path: Path, *arguments: object) -> str:
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr
