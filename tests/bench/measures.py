"""Cost of fifty measures to a writer, and what they take of a core and of memory.

The same writer commits alone, beside a service without measures and beside one with fifty, in
turns, to the same database.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from dash_app.system.processes import cpu_seconds
from tests.bench.observed import FASTEST, WriterRun, write
from tests.bench.report import Table
from tests.bench.run import Run
from tests.bench.systems import System, mission_control
from tests.bench.workloads import make
from tests.harness import write_config

MEASURES, ROWS = 50, 10_000
QUERIES = (
    "SELECT count(*) FROM events WHERE text LIKE '%7 of%'",
    "SELECT substr(text, 1, 5), count(*) FROM events WHERE id <= 1000 GROUP BY 1",
    "SELECT max(id) FROM tasks",
    "SELECT count(*) FROM tasks WHERE date('now') > '2020'",
    "SELECT count(*) FROM events AS a, events AS b WHERE a.id < b.id",
)
"""The last one takes longer than it may, and that before it may not beside many tasks."""

PACES = {
    "500 commits per second": (500.0, 1),
    "2,000 per second in bursts of 400": (2000.0, 400),
    "at full speed": (0.0, 1),
}


def measure(run: Run) -> Iterator[Table]:
    """Write at a steady pace, in bursts and at full speed."""
    rounds, seconds = run.either(2, 5), run.either(12, 60)
    cost = Table("What fifty measures take", "% of one core")
    memory = Table("Memory: Pss of all processes", "MB")
    for number, (pace, (rate, burst)) in enumerate(PACES.items()):
        folder = run.folder / f"measures-{number}"
        path = make(folder / "busy.db", {"events": ROWS, "tasks": 0})
        writes: dict[str, list[WriterRun]] = {"alone": [], "watched": [], "measured": []}
        for _round in range(rounds):
            writes["alone"].append(write(path, seconds, rate, burst))
            for name in ("watched", "measured"):
                config = _config(folder / name, path, MEASURES if name == "measured" else 0)
                with mission_control(config) as system:
                    before = _cpu_seconds(system)
                    writes[name].append(write(path, seconds, rate, burst))
                    share = 100 * (_cpu_seconds(system) - before) / seconds
                    cost.add(f"{name}, {pace}", share)
                    memory.add(f"{name}, {pace}", system.memory_mb())
        yield from _tables(pace, writes)
        cost.difference(f"measures, {pace}", f"measured, {pace}", f"watched, {pace}", 1.0)
        memory.ratio(f"with / without, {pace}", f"measured, {pace}", f"watched, {pace}", 1.1)
    yield cost
    yield memory


def _tables(pace: str, writes: dict[str, list[WriterRun]]) -> Iterator[Table]:
    for unit, name, limit in (
        ("commits per second", "commits_per_second", 0.98),
        ("MB, largest WAL", "wal_mb", 1.1),
    ):
        table = Table(f"Writer beside fifty measures, {pace}", unit)
        for system, runs in writes.items():
            for one in runs:
                table.add(system, getattr(one, name))
        table.ratio("measured / alone", "measured", "alone", limit, at_most=name == "wal_mb")
        table.notes.append(f"SQLITE_BUSY: {sum(one.busy for one in writes['measured'])} times")
        yield table


def _config(folder: Path, path: Path, measures: int) -> Path:
    """Write a configuration with an empty history, and measures as often as possible."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("history.db*"):
        file.unlink()
    config = write_config(folder, [("busy", path)], interval=FASTEST)
    lines = (
        f'[[databases.measures]]\nname = "m{number}"\nevery = "10s"\n'
        f'sql = "{QUERIES[number % len(QUERIES)]}"\n'
        for number in range(measures)
    )
    config.write_text("\n".join([config.read_text(), *lines]))
    return config


def _cpu_seconds(system: System) -> float:
    """Return the processor time of a service, its children, and those that have ended."""
    fields = Path(f"/proc/{system.process.pid}/stat").read_text().rpartition(")")[2].split()
    ended = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return sum(map(cpu_seconds, system.pids)) + ended
