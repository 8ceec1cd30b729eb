"""Cost of watching: processor time of a tick every five seconds."""

import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.report import Table
from tests.bench.run import Run
from tests.bench.systems import System, mission_control
from tests.bench.workloads import Files, writer

INTERVAL_SECONDS = 5
SIDES = ("", "-wal", "-journal")
BUSY_COMMITS = 500
SETTLE_SECONDS = 12
"""Two ticks: files that were just written are read again."""


def measure(run: Run) -> Iterator[Table]:
    """Measure idle and busy databases, all at the default interval."""
    work = run.workloads
    table = Table("Cost of watching, of one core, with a tick every 5 s", "%")
    rounds, seconds = run.either(2, 5), run.either(30, 120)
    for _ in range(rounds):
        table.add("seed, nothing changes", _share(run, "seed", work.seed, seconds))
        table.add("wide, nothing changes", _share(run, "wide", work.wide, seconds))
        busy = (("health", "checks", BUSY_COMMITS),)
        table.add("busy, 500 commits per second", _share(run, "busy", work.seed, seconds, busy))
        slow = (("observability", "events", 1),)
        counting = _share(run, "year", work.year_later, seconds, slow, child_alone=True)
        table.add("year later, counting alone", counting)
        table.add("limit: stat calls, seed", _stat_share(work.seed))
        table.add("peer: COUNT(*) in the sqlite3 shell, wide", _shell_share(work.wide))
    table.value("seed, nothing changes", "seed, nothing changes", 0.3)
    table.value("wide, nothing changes", "wide, nothing changes", 0.3)
    table.value("busy", "busy, 500 commits per second", 3)
    table.value("year later, counting", "year later, counting alone", 2)
    yield table


def _share(
    run: Run,
    kind: str,
    files: Files,
    seconds: float,
    writers: Sequence[tuple[str, str, float]] = (),
    *,
    child_alone: bool = False,
) -> float:
    """Return the share of one core, in percent, while some tables are written."""
    with ExitStack() as stack:
        system = stack.enter_context(mission_control(run.workloads.config(kind, files)))
        for name, table, rate in writers:
            stack.enter_context(writer(dict(files)[name], table, rate))
        time.sleep(SETTLE_SECONDS)
        return cpu_share(system, seconds, child_alone=child_alone)


def cpu_share(system: System, seconds: float, *, child_alone: bool = False) -> float:
    """Return the share of one core that a system uses for some seconds, in percent."""
    before = system.cpu_seconds(child_alone=child_alone)
    time.sleep(seconds)
    return 100 * (system.cpu_seconds(child_alone=child_alone) - before) / seconds


def _stat_share(files: Files) -> float:
    paths = [f"{path}{side}" for _, path in files for side in SIDES]

    def stat_all() -> None:
        for path in paths:
            try:
                os.stat(path)  # noqa: PTH116
            except FileNotFoundError:
                continue

    return 100 * _seconds_of(stat_all, 200) / INTERVAL_SECONDS


def _shell_share(files: Files) -> float:
    return sum(100 * _count_seconds(path) / INTERVAL_SECONDS for _, path in files)


def _count_seconds(path: Path) -> float:
    """Return the processor time of counting all tables of a database with the sqlite3 shell."""
    listing = (
        "SELECT group_concat('SELECT count(*) FROM \"' || name || '\";', '') FROM sqlite_schema"
    )
    counts = subprocess.run(["sqlite3", path, listing], capture_output=True, check=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["sqlite3", path], input=counts.stdout, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _seconds_of(action: Callable[[], object], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        action()
    return (time.process_time() - start) / times
