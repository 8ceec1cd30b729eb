"""Ask for measures in their process, as the service does, without a service."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.harness import ROOT

ASK = """
from dash_app.reader import measure, short_reads
measure.STILL_SECONDS = short_reads.STILL_SECONDS = 0.05
measure.QUIET_SECONDS, measure.STUCK_SECONDS, short_reads.REST_FACTOR = 0.05, 0.5, 0
measure.main()
"""
"""The process, with limits that a test can wait for."""


def request(path: Path, sql: str, kind: str = "number", *, is_age: bool = False) -> dict[str, Any]:
    """Return a request for a measure, which is named by its query."""
    return {"id": ["a", sql], "path": str(path), "kind": kind, "sql": sql, "is_age": is_age}


def ask(measures: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], int]:
    """Return the answers by the query of their measures, and the exit code of the process."""
    done = subprocess.run(
        [sys.executable, "-S", "-B", "-c", ASK, str(os.getpid())],
        input=json.dumps({"measures": list(measures)}),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    messages = map(json.loads, done.stdout.splitlines())
    return {message["id"][1]: message for message in messages if "id" in message}, done.returncode
