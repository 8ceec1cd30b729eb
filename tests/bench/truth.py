"""Latency from a commit until `/api/db-status` shows its row."""

import json
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from sqlite3 import Connection, connect

from tests.bench.report import Table
from tests.bench.run import Run
from tests.bench.systems import STATUS, System, mission_control
from tests.bench.workloads import Files

TICK_MS = 5000
POLL_SECONDS = 0.005
INSERT = "INSERT INTO \"{}\" (text) VALUES ('one more row')"


def measure(run: Run) -> Iterator[Table]:
    """Commit to each database at random times, and poll until the row is shown."""
    table = Table("Latency from a commit to its row in the response, 99th percentile", "ms")
    samples = run.either(24, 200)
    times = random.Random(7)
    work = run.workloads
    for _ in range(run.either(2, 5)):
        table.add("a tick", TICK_MS)
        for kind, files in (("seed", work.seed), ("wide", work.wide)):
            with mission_control(work.config(kind, files)) as system:
                table.add(kind, _latency_ms(system, files, samples, times))
    for kind in ("seed", "wide"):
        table.difference(f"{kind}, above a tick", kind, "a tick", 100)
    yield table


def _latency_ms(system: System, files: Files, samples: int, times: random.Random) -> float:
    """Return the 99th percentile of a number of commits."""
    existing = [(name, path) for name, path in files if path.exists()]
    with ExitStack() as opened:
        writers = {
            name: opened.enter_context(closing(connect(path, isolation_level=None)))
            for name, path in existing
        }
        tables = {name: _first_table(writer) for name, writer in writers.items()}
        due = {name: time.monotonic() + 2 + times.random() for name in writers}
        pending: dict[str, tuple[float, int]] = {}
        latencies: list[float] = []
        while len(latencies) < samples:
            shown = _shown(system, tables)
            now = time.monotonic()
            for name in [n for n, (_, rows) in pending.items() if shown[n] == rows]:
                latencies.append(now - pending.pop(name)[0])
                due[name] = now + times.random()
            for name in [n for n, at in due.items() if at <= now]:
                del due[name]
                writers[name].execute(INSERT.format(tables[name]))
                pending[name] = (time.monotonic(), shown[name] + 1)
            time.sleep(POLL_SECONDS)
    return sorted(latencies)[int(len(latencies) * 0.99)] * 1000


def _first_table(writer: Connection) -> str:
    sql = "SELECT min(name) FROM sqlite_schema WHERE type = 'table'"
    name: str = writer.execute(sql).fetchone()[0]
    return name


def _shown(system: System, tables: dict[str, str]) -> dict[str, int]:
    document = json.loads(system.get(STATUS)[1])
    return {
        database["name"]: database["rowCounts"][tables[database["name"]]]
        for database in document["databases"]
        if database["name"] in tables
    }
