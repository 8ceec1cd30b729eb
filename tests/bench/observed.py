"""The observed: what being watched at the shortest interval costs a writer.

One and the same writer commits alone and watched, in turns, on one and the same database.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import Table
from tests.bench.run import Run
from tests.bench.workloads import make
from tests.harness import Served, eventually, write_config

WRITER = """
import json, os, sqlite3, sys, time
path, seconds, rate = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
connection = sqlite3.connect(path, isolation_level=None, timeout=0)
connection.execute("PRAGMA synchronous = NORMAL")
took, busy, log_bytes = [], 0, 0
began = time.perf_counter()
while (now := time.perf_counter()) < began + seconds:
    try:
        connection.execute("INSERT INTO tasks (text) VALUES ('one more row of a usual length')")
        took.append(time.perf_counter() - now)
    except sqlite3.OperationalError:
        busy += 1
    log_bytes = max(log_bytes, os.stat(path + "-wal").st_size)
    if rate:
        time.sleep(max(0, began + (len(took) + busy) / rate - time.perf_counter()))
took.sort()
print(json.dumps({
    "commits_per_second": len(took) / seconds,
    "p99_ms": took[int(len(took) * 0.99)] * 1000,
    "log_mb": log_bytes / 1e6,
    "busy": busy,
}))
"""
FASTEST = "1s"
LARGE = 10_000_000


@dataclass(frozen=True, slots=True)
class Course:
    """What one writer met in one run."""

    commits_per_second: float
    p99_ms: float
    log_mb: float
    busy: int


def ask(run: Run) -> Iterator[Table]:
    """Write at a steady pace and flat out, beside a small table and one of ten million rows."""
    rounds, seconds = run.either(3, 7), run.either(8, 30)
    for rows, rate in ((10_000, 500), (10_000, 0), (LARGE, 0)):
        pace = f"{rate} commits a second" if rate else "flat out"
        folder = run.folder / f"observed-{rows}-{rate}"
        yield from _tables(
            f"{pace} beside {rows:,} rows", measure(folder, rows, seconds, rate, rounds)
        )


def _tables(title: str, pairs: list[tuple[Course, Course]]) -> Iterator[Table]:
    for unit, name, limit in (
        ("commits per second", "commits_per_second", 0.98),
        ("ms, p99 of a commit", "p99_ms", 1.05),
        ("MB, greatest log", "log_mb", 1.1),
    ):
        table = Table(f"The observed, {title}", unit)
        for alone, watched in pairs:
            table.add("alone", getattr(alone, name))
            table.add("watched", getattr(watched, name))
        is_pace = name == "commits_per_second"
        table.ratio("watched, of alone", "watched", "alone", limit, at_most=not is_pace)
        busy = sum(watched.busy for _, watched in pairs)
        table.notes.append(f"told that the database is busy: {busy} times")
        yield table


def write(path: Path, seconds: float, rate: float) -> Course:
    """Let a writer of its own process commit for so long."""
    command = [sys.executable, "-c", WRITER, str(path), str(seconds), str(rate)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Course(**json.loads(done.stdout))


def measure(
    folder: Path, rows: int, seconds: float, rate: float, rounds: int
) -> list[tuple[Course, Course]]:
    """Return pairs of runs, alone and watched, made in turns on one and the same database."""
    path = make(folder / "busy.db", {"events": rows, "tasks": 0})
    config = write_config(folder, [("busy", path)], interval=FASTEST)
    pairs = []
    for _round in range(rounds):
        alone = write(path, seconds, rate)
        with Served(config) as served:
            eventually(lambda s=served: s.database("busy")["status"] == "connected")  # type: ignore[misc]
            pairs.append((alone, write(path, seconds, rate)))
    return pairs
