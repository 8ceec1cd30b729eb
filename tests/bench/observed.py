"""Cost to a writer of being watched at the shortest interval.

The same writer commits alone and watched, in turns, to the same database.
"""

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
path, seconds, rate, burst = sys.argv[1], *map(float, sys.argv[2:5])
connection = sqlite3.connect(path, isolation_level=None, timeout=0)
connection.execute("PRAGMA synchronous = NORMAL")
took, busy, wal_bytes = [], 0, 0
began = time.perf_counter()
while (now := time.perf_counter()) < began + seconds:
    try:
        connection.execute("INSERT INTO tasks (text) VALUES ('one more row of a usual length')")
        took.append(time.perf_counter() - now)
    except sqlite3.OperationalError:
        busy += 1
    wal_bytes = max(wal_bytes, os.stat(path + "-wal").st_size)
    if rate and (len(took) + busy) % burst == 0:
        time.sleep(max(0, began + (len(took) + busy) / rate - time.perf_counter()))
took.sort()
print(json.dumps({
    "commits_per_second": len(took) / seconds,
    "p99_ms": took[int(len(took) * 0.99)] * 1000,
    "wal_mb": wal_bytes / 1e6,
    "busy": busy,
}))
"""
FASTEST = "1s"
CHECK_AT_ONCE = "from dash_app.airlock import page_checker; page_checker.FIRST_SECONDS = 0"
LARGE = 10_000_000


@dataclass(frozen=True, slots=True)
class WriterRun:
    """The measurements of one run of a writer; `busy` counts SQLITE_BUSY."""

    commits_per_second: float
    p99_ms: float
    wal_mb: float
    busy: int


def measure(run: Run) -> Iterator[Table]:
    """Write at a steady pace and at full speed, next to a small and a large table."""
    rounds, seconds = run.either(3, 7), run.either(8, 30)
    for rows, rate in ((10_000, 500), (10_000, 0), (LARGE, 0)):
        pace = f"{rate} commits per second" if rate else "at full speed"
        folder = run.folder / f"observed-{rows}-{rate}"
        yield from _tables(
            f"{pace} next to {rows:,} rows", run_in_turns(folder, rows, seconds, rate, rounds)
        )


def _tables(title: str, pairs: list[tuple[WriterRun, WriterRun]]) -> Iterator[Table]:
    for unit, name, limit in (
        ("commits per second", "commits_per_second", 0.98),
        ("ms, p99 of a commit", "p99_ms", 1.05),
        ("MB, largest WAL", "wal_mb", 1.1),
    ):
        table = Table(f"Watched writer, {title}", unit)
        for alone, watched in pairs:
            table.add("alone", getattr(alone, name))
            table.add("watched", getattr(watched, name))
        is_pace = name == "commits_per_second"
        table.ratio("watched / alone", "watched", "alone", limit, at_most=not is_pace)
        busy = sum(watched.busy for _, watched in pairs)
        table.notes.append(f"SQLITE_BUSY: {busy} times")
        yield table


def write(path: Path, seconds: float, rate: float, burst: int = 1) -> WriterRun:
    """Let a writer process commit for some seconds, so many times at full speed before it waits."""
    command = [sys.executable, "-c", WRITER, str(path), str(seconds), str(rate), str(burst)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return WriterRun(**json.loads(done.stdout))


def run_in_turns(
    folder: Path, rows: int, seconds: float, rate: float, rounds: int
) -> list[tuple[WriterRun, WriterRun]]:
    """Return pairs of runs, alone and watched, made in turns on the same database.

    Its pages are checked meanwhile, from their start.
    """
    path = make(folder / "busy.db", {"events": rows, "tasks": 0})
    config = write_config(folder, [("busy", path)], interval=FASTEST)
    pairs = []
    for _round in range(rounds):
        alone = write(path, seconds, rate)
        for file in folder.glob("history.db*"):
            file.unlink()
        with Served(config, patch=CHECK_AT_ONCE) as served:
            eventually(lambda s=served: s.database("busy")["status"] == "connected")  # type: ignore[misc]
            pairs.append((alone, write(path, seconds, rate)))
    return pairs
