"""Memory of service and child, compared with a bare Dash + pandas + waitress process."""

from collections.abc import Iterator
from contextlib import ExitStack

from tests.bench.browser import chromium
from tests.bench.clients import load
from tests.bench.report import OURS, Table
from tests.bench.run import Run
from tests.bench.systems import ALLOCATOR, STATUS, System, bare_dash, mission_control, running
from tests.harness import OPTIMIZED

BARE = "bare Dash + pandas + waitress"
BROWSERS, REQUESTS = 5, 10_000
AT_START, AFTER = f"{OURS}, at start", f"{OURS}, after work"
BEFORE = f"{OURS}, after three quarters of the work"
MANY = "200 databases"
TABLES = 5


def measure(run: Run) -> Iterator[Table]:
    """Keep five browsers open after ten thousand requests; for an hour in the long form."""
    work = run.workloads
    table = Table("Memory: Pss of all processes", "MB")
    body = run.folder / "body.json"
    body.write_bytes(b"x" * 3000)
    for name, optimized in ((BARE, {}), (f"{BARE}, without docstrings as ours", OPTIMIZED)):
        with running(bare_dash(body, **ALLOCATOR, **optimized)) as bare:
            table.add(name, _work(bare, 1, 5)[-1])
    with mission_control(work.config("seed", work.seed, "1s")) as system:
        table.add(AT_START, system.memory_mb())
        before, after = _work(system, BROWSERS, run.either(60, 3600))
    table.add(BEFORE, before)
    table.add(AFTER, after)
    few, many = work.many(6, TABLES), work.many(200, TABLES)
    for name, files in (("6 databases", few), (MANY, many)):
        with mission_control(work.config("many", files)) as system:
            table.add(name, _work(system, 1, 20)[-1])
    table.difference("above the bare process, after work", AFTER, BARE, 20)
    table.ratio("flat: after work / after three quarters of it", AFTER, BEFORE, 1.02)
    table.difference("200 databases above 6", MANY, "6 databases", 30)
    yield table


def _work(system: System, browsers: int, seconds: float) -> tuple[float, float]:
    """Request the status route, and open the page with its charts in some browsers.

    Return the memory in MB after three quarters of the time, and at its end.
    """
    with ExitStack() as opened:
        browser = opened.enter_context(chromium())
        for _ in range(browsers):
            page = browser.new_page()
            page.goto(system.url)
            page.wait_for_load_state("networkidle")
            page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        requests = 0.0
        while requests < REQUESTS:
            requests += load(system.port, STATUS, 4, 2).per_second * 2
        page.wait_for_timeout(seconds * 750)
        before = system.memory_mb()
        page.wait_for_timeout(seconds * 250)
        return before, system.memory_mb()
