"""Truth latency: how long after its commit a row shows in `/api/db-status`."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from sqlite3 import Connection, connect

from tests.bench.report import Table
from tests.bench.run import Run
from tests.bench.systems import STATUS, System, watching
from tests.bench.workloads import Files

TICK_MS = 5000
POLL_SECONDS = 0.005
INSERT = "INSERT INTO \"{}\" (text) VALUES ('one more row')"


def ask(run: Run) -> Iterator[Table]:
    """Commit at moments of no pattern into each database, and look until it shows."""
    table = Table("Truth latency: from a commit to its row in the answer, 99th percentile", "ms")
    samples = run.either(24, 200)
    moments = random.Random(7)
    work = run.workloads
    for _ in range(run.either(2, 5)):
        table.add("a tick", TICK_MS)
        for kind, files in (("seed", work.seed), ("wide", work.wide)):
            with watching(work.config(kind, files)) as system:
                table.add(kind, _latency_ms(system, files, samples, moments))
    for kind in ("seed", "wide"):
        table.difference(f"{kind}, above a tick", kind, "a tick", 100)
    yield table


def _latency_ms(system: System, files: Files, samples: int, moments: random.Random) -> float:
    """Return the 99th percentile of so many commits."""
    existing = [(name, path) for name, path in files if path.exists()]
    with ExitStack() as opened:
        writers = {
            name: opened.enter_context(closing(connect(path, isolation_level=None)))
            for name, path in existing
        }
        tables = {name: _first_table(writer) for name, writer in writers.items()}
        due = {name: time.monotonic() + 2 + moments.random() for name in writers}
        waiting: dict[str, tuple[float, int]] = {}
        took: list[float] = []
        while len(took) < samples:
            shown = _shown(system, tables)
            now = time.monotonic()
            for name in [n for n, (_, rows) in waiting.items() if shown[n] == rows]:
                took.append(now - waiting.pop(name)[0])
                due[name] = now + moments.random()
            for name in [n for n, at in due.items() if at <= now]:
                del due[name]
                writers[name].execute(INSERT.format(tables[name]))
                waiting[name] = (time.monotonic(), shown[name] + 1)
            time.sleep(POLL_SECONDS)
    return sorted(took)[int(len(took) * 0.99)] * 1000


def _first_table(writer: Connection) -> str:
    sql = "SELECT min(name) FROM sqlite_schema WHERE type = 'table'"
    name: str = writer.execute(sql).fetchone()[0]
    return name


def _shown(system: System, tables: dict[str, str]) -> dict[str, int]:
    document = json.loads(system.get(STATUS)[1])
    return {
        one["name"]: one["rowCounts"][tables[one["name"]]]
        for one in document["databases"]
        if one["name"] in tables
    }
