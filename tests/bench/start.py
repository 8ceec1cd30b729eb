"""Start: time until the first response of the status route."""

from collections.abc import Callable, Iterator

from tests.bench.report import OURS, Table, in_turns
from tests.bench.run import Run
from tests.bench.systems import ALLOCATOR, STATUS, System, bare_dash, datasette, ours

BARE = "bare Dash + pandas + waitress"


def measure(run: Run) -> Iterator[Table]:
    """Start the systems in turns."""
    files = run.workloads.seed
    body = run.folder / "body.json"
    body.write_bytes(b"x" * 3000)
    config = run.workloads.config("seed", files)
    measures: dict[str, Callable[[], float]] = {
        OURS: lambda: _start(ours(config)),
        BARE: lambda: _start(bare_dash(body, **ALLOCATOR)),
        "Datasette": lambda: _start(datasette(files)),
    }
    table = Table("Start: to the first 200", "s")
    in_turns(run.either(9, 15), measures, table)
    table.ratio(f"first 200 of {STATUS} / bare process", OURS, BARE, 1.1)
    yield table


def _start(system: System) -> float:
    try:
        return system.seconds_to_answer()
    finally:
        system.stop()
