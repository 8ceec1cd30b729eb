"""Cost of fifty measures: to a writer, and of a core and of memory.

The same writer commits alone and beside a service that asks for them as often as possible, in
turns, to the same database. What they take is measured at their default interval.
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
    "SELECT count(*) FROM tasks WHERE text LIKE '%usual%'",
)
SLOW = "SELECT count(*) FROM events AS a, events AS b WHERE a.id < b.id"
"""One of the fifty takes longer than it may."""

WITHOUT, WITH = "without measures", "with fifty"
PACES = {
    "500 commits per second": (500.0, 1),
    "2,000 per second in bursts of 400": (2000.0, 400),
    "at full speed": (0.0, 1),
}


def measure(run: Run) -> Iterator[Table]:
    """Write at a steady pace, in bursts and at full speed."""
    rounds, seconds = run.either(2, 5), run.either(12, 60)
    for number, (pace, (rate, burst)) in enumerate(PACES.items()):
        folder = run.folder / f"measures-{number}"
        path = make(folder / "busy.db", {"events": ROWS, "tasks": 0})
        pairs = []
        for _round in range(rounds):
            alone = write(path, seconds, rate, burst)
            with mission_control(_config(folder, path, MEASURES, "10s")):
                pairs.append((alone, write(path, seconds, rate, burst)))
        yield from _tables(pace, pairs)
    yield from _costs(run)


def _costs(run: Run) -> Iterator[Table]:
    """Compare a service with measures to one without, beside the same writer."""
    cpu = Table("What fifty measures take, each asked once per minute", "% of one core")
    memory = Table("The same: Pss of all processes", "MB")
    path = make(run.folder / "measures" / "busy.db", {"events": ROWS, "tasks": 0})
    for _round in range(run.either(2, 5)):
        for name, count in ((WITHOUT, 0), (WITH, MEASURES)):
            with mission_control(_config(path.parent, path, count, "1m")) as system:
                seconds, before = run.either(60, 300), _cpu_seconds(system)
                write(path, seconds, 500)
                cpu.add(name, 100 * (_cpu_seconds(system) - before) / seconds)
                memory.add(name, system.memory_mb())
    cpu.difference("measures", WITH, WITHOUT, 1.0)
    memory.difference("measures", WITH, WITHOUT, 10)
    yield cpu
    yield memory


def _tables(pace: str, pairs: list[tuple[WriterRun, WriterRun]]) -> Iterator[Table]:
    for unit, name, limit in (
        ("commits per second", "commits_per_second", 0.98),
        ("MB, largest WAL", "wal_mb", 1.1),
    ):
        table = Table(f"Writer beside fifty measures, {pace}", unit)
        for alone, measured in pairs:
            table.add("alone", getattr(alone, name))
            table.add("measured", getattr(measured, name))
        table.ratio("measured / alone", "measured", "alone", limit, at_most=name == "wal_mb")
        table.notes.append(f"SQLITE_BUSY: {sum(measured.busy for _, measured in pairs)} times")
        yield table


def _config(folder: Path, path: Path, measures: int, every: str) -> Path:
    """Write a configuration with an empty history and a number of measures."""
    for file in folder.glob("history.db*"):
        file.unlink()
    config = write_config(folder, [("busy", path)], interval=FASTEST)
    lines = (
        f'[[databases.measures]]\nname = "m{number}"\nevery = "{every}"\n'
        f'sql = "{QUERIES[number % len(QUERIES)] if number else SLOW}"\n'
        for number in range(measures)
    )
    config.write_text("\n".join([config.read_text(), *lines]))
    return config


def _cpu_seconds(system: System) -> float:
    """Return the processor time of a service, its children, and those that have ended."""
    fields = Path(f"/proc/{system.process.pid}/stat").read_text().rpartition(")")[2].split()
    ended = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return sum(map(cpu_seconds, system.pids)) + ended
