"""Growth: the cost of ten times as many databases, tables and days of history."""

import time
from collections.abc import Iterator
from statistics import median

from tests.bench.clients import load
from tests.bench.history import chart_ms, fill_history
from tests.bench.report import Table
from tests.bench.run import Run
from tests.bench.systems import STATUS, mission_control
from tests.bench.watching import SETTLE_SECONDS, cpu_share
from tests.bench.workloads import Files

DATABASES, TABLES, DAYS = (6, 50, 200), (10, 1_000, 10_000), (1, 365, 5 * 365)


def measure(run: Run) -> Iterator[Table]:
    """Measure each size once, and set targets for the growth."""
    yield from _by_size(run, "databases", {n: run.workloads.many(n, 5) for n in DATABASES})
    yield from _by_size(run, "tables", {n: run.workloads.many(1, n, 1) for n in TABLES})
    table = Table("Growth: days of history, a chart of 60 series over all of them", "ms")
    for days in DAYS:
        names = [(f"db{n}", run.folder / f"{n}.db") for n in range(5)]
        config = run.workloads.config(f"days-{days}", names)
        fill_history(config.with_name("history.db"), days)
        with mission_control(config) as system:
            table.add(f"days {days}", median(chart_ms(system, days) for _ in range(10)))
    table.growth("days ", DAYS)
    yield table


def _by_size(run: Run, what: str, sizes: dict[int, Files]) -> Iterator[Table]:
    memory = Table(f"Growth: {what}, memory", "MB")
    idle = Table(f"Growth: {what}, nothing changes", "% of a core")
    latency = Table(f"Growth: {what}, status route", "ms")
    for size, files in sizes.items():
        with mission_control(run.workloads.config(f"{what}-{size}", files)) as system:
            time.sleep(SETTLE_SECONDS)
            idle.add(f"{what} {size}", max(0.01, cpu_share(system, run.either(20, 120))))
            latency.add(f"{what} {size}", load(system.port, STATUS, 1, 3).p50_ms)
            memory.add(f"{what} {size}", system.memory_mb())
    for table in (memory, idle, latency):
        table.growth(f"{what} ", tuple(sizes))
        yield table
