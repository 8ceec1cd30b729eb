"""What being watched costs a writer: `python -m tests.bench.observed`, or `./ops/bench`.

A writer commits with and without Mission Control looking on at the shortest interval, in turns.
Printed: commits a second, the 99th percentile of a commit, the greatest log, SQLITE_BUSY met; and
the ratios of the medians.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import connect
from statistics import median
from tempfile import TemporaryDirectory

import click

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
MANY = "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < {rows})"
FASTEST = "1s"


@dataclass(frozen=True, slots=True)
class Run:
    """What one writer met in one run."""

    commits_per_second: float
    p99_ms: float
    log_mb: float
    busy: int


def make(path: Path, rows: int) -> None:
    """Make a database with a large table, and a small one to write."""
    with closing(connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for table in ("events", "tasks"):
            connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, text TEXT)")
        fill = MANY.format(rows=rows) + " INSERT INTO events (text) SELECT 'event ' || n FROM many"
        connection.execute(fill)


def write(path: Path, seconds: float, rate: float) -> Run:
    """Let a writer of its own process commit for so long."""
    command = [sys.executable, "-c", WRITER, str(path), str(seconds), str(rate)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Run(**json.loads(done.stdout))


def measure(rows: int, seconds: float, rate: float, rounds: int) -> list[tuple[Run, Run]]:
    """Return pairs of runs, alone and watched, made in turns on one and the same database."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "busy.db"
        make(path, rows)
        config = write_config(folder, [("busy", path)], interval=FASTEST)
        pairs = []
        for _round in range(rounds):
            alone = write(path, seconds, rate)
            with Served(config) as served:
                eventually(lambda s=served: s.database("busy")["status"] == "connected")  # type: ignore[misc]
                pairs.append((alone, write(path, seconds, rate)))
        return pairs


@click.command(help=__doc__)
@click.option("--rows", default=1_000_000, help="Rows of the large table.")
@click.option("--seconds", default=20.0, help="Length of a run.")
@click.option("--rounds", default=3, help="How often each of both is measured.")
@click.option("--rate", default=0.0, help="Commits a second; 0 is flat out.")
def main(rows: int, seconds: float, rounds: int, rate: float) -> None:
    """Measure and print."""
    pairs = measure(rows, seconds, rate, rounds)
    load = os.getloadavg()[0]
    click.echo(f"{rows:,} rows, {seconds:g} s a run, load {load:.1f}; alone / watched:")
    for name in ("commits_per_second", "p99_ms", "log_mb", "busy"):
        values = [(getattr(a, name), getattr(w, name)) for a, w in pairs]
        runs = "  ".join(f"{alone:.6g} / {watched:.6g}" for alone, watched in values)
        alone, watched = (median(side) for side in zip(*values, strict=True))
        ratio = f"  ratio {watched / alone:.3f}" if alone else ""
        click.echo(f"{name:20}{runs}{ratio}")


if __name__ == "__main__":
    main()
