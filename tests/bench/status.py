"""Status route: throughput and latency of `/api/db-status` with 16 clients."""

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
    mission_control,
    running,
    sqlite_web,
)

CLIENTS = 16
BARE = "bare Dash, constant JSON"


def measure(run: Run) -> Iterator[Table]:
    """Measure the throughput compared with others, and p99 on two workloads."""
    rounds, seconds = run.either(3, 7), run.either(3, 15)
    config = run.workloads.config
    with ExitStack() as stack:
        enter = stack.enter_context
        seed = enter(mission_control(config("seed", run.workloads.seed)))
        body = run.folder / "body.json"
        body.write_bytes(seed.get(STATUS)[1])
        constant = enter(running(bare_dash(body, **ALLOCATOR)))
        systems: dict[str, System] = {OURS: seed, BARE: constant}
        yield from _throughput(run, systems, rounds, seconds)
        year = enter(mission_control(config("year", run.workloads.year_later)))
        systems = {OURS: seed, f"{OURS}, year later": year, BARE: constant}
        measured = _loads(systems, rounds, seconds)
        table = Table("Status route: 99th percentile at 16 clients", "ms")
        for name, loads in measured.items():
            table.rows[name] = [measured_load.p99_ms for measured_load in loads]
        text = "p99 on year later / p99 on seed"
        table.ratio(text, f"{OURS}, year later", OURS, 1.5)
        yield table


def _throughput(
    run: Run, systems: dict[str, System], rounds: int, seconds: float
) -> Iterator[Table]:
    table = Table("Status route: responses to 16 clients", "per second")
    with ExitStack() as stack:
        enter = stack.enter_context
        files = run.workloads.seed
        systems |= {
            "bare WSGI hello": enter(running(hello())),
            "Datasette, counts of all": enter(running(datasette(files))),
            "sqlite-web, one database": enter(running(sqlite_web(files, "coordination"))),
        }
        for name, loads in _loads(systems, rounds, seconds).items():
            table.rows[name] = [measured_load.per_second for measured_load in loads]
    table.ratio("responses / constant route", OURS, BARE, 0.7, at_most=False)
    yield table


def _loads(systems: dict[str, System], rounds: int, seconds: float) -> dict[str, list[Load]]:
    loads: dict[str, list[Load]] = {name: [] for name in systems}
    for _ in range(rounds):
        for name, system in systems.items():
            loads[name].append(load(system.port, system.path, CLIENTS, seconds))
    return loads
