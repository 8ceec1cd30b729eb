"""Status route: what `/api/db-status` answers to 16 clients, and how late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from tests.bench.clients import Load, load
from tests.bench.report import OURS, Table
from tests.bench.run import Run
from tests.bench.systems import (
    ALLOCATOR,
    STATUS,
    System,
    bare_dash,
    datasette,
    hello,
    running,
    sqlite_web,
    watching,
)

CLIENTS = 16
BARE = "bare Dash, constant JSON"


def ask(run: Run) -> Iterator[Table]:
    """Measure throughput beside others, and p99 on two workloads."""
    rounds, seconds = run.either(3, 7), run.either(3, 15)
    config = run.workloads.config
    with ExitStack() as running_now:
        enter = running_now.enter_context
        seed = enter(watching(config("seed", run.workloads.seed)))
        body = run.folder / "body.json"
        body.write_bytes(seed.get(STATUS)[1])
        constant = enter(running(bare_dash(body, **ALLOCATOR)))
        systems: dict[str, System] = {OURS: seed, BARE: constant}
        yield from _throughput(run, systems, rounds, seconds)
        year = enter(watching(config("year", run.workloads.year_later)))
        systems = {OURS: seed, f"{OURS}, year later": year, BARE: constant}
        found = _loads(systems, rounds, seconds)
        table = Table("Status route: 99th percentile at 16 clients", "ms")
        for name, loads in found.items():
            table.rows[name] = [one.p99_ms for one in loads]
        text = "p99 on year later, of that on seed"
        table.ratio(text, f"{OURS}, year later", OURS, 1.5)
        yield table


def _throughput(
    run: Run, systems: dict[str, System], rounds: int, seconds: float
) -> Iterator[Table]:
    table = Table("Status route: answers at 16 clients", "per second")
    with ExitStack() as running_now:
        enter = running_now.enter_context
        files = run.workloads.seed
        systems |= {
            "bare WSGI hello": enter(running(hello())),
            "Datasette, counts of all": enter(running(datasette(files))),
            "sqlite-web, one database": enter(running(sqlite_web(files, "coordination"))),
        }
        for name, loads in _loads(systems, rounds, seconds).items():
            table.rows[name] = [one.per_second for one in loads]
    table.ratio("answers, of a constant route's", OURS, BARE, 0.7, at_most=False)
    yield table


def _loads(systems: dict[str, System], rounds: int, seconds: float) -> dict[str, list[Load]]:
    found: dict[str, list[Load]] = {name: [] for name in systems}
    for _ in range(rounds):
        for name, system in systems.items():
            found[name].append(load(system.port, system.path, CLIENTS, seconds))
    return found
