"""Page: time until the cards are visible, on a slow network and on a phone; cost of a tick."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

from playwright.sync_api import Browser

from tests.bench.browser import DESK, PHONE, Profile, Visitor, chromium, main_thread_seconds
from tests.bench.report import OURS, Table
from tests.bench.run import Run
from tests.bench.systems import (
    ALLOCATOR,
    STATUS,
    System,
    bare_dash,
    datasette,
    mission_control,
    running,
    sqlite_web,
)

SELECTORS = {
    OURS: ".card",
    "bare Dash": "#cards .card",
    "Datasette": "h2",
    "sqlite-web": "ul.nav li, table",
}
"""The selector to wait for on each system's page."""


def measure(run: Run) -> Iterator[Table]:
    """Visit the pages of the systems in turns."""
    rounds = run.either(3, 9)
    with ExitStack() as stack:
        enter = stack.enter_context
        files = run.workloads.seed
        system = enter(mission_control(run.workloads.config("seed", files, "1s")))
        body = run.folder / "body.json"
        body.write_bytes(system.get(STATUS)[1])
        systems = {
            OURS: system,
            "bare Dash": enter(running(bare_dash(body, **ALLOCATOR))),
            "Datasette": enter(running(datasette(files))),
            "sqlite-web": enter(running(sqlite_web(files, "coordination"))),
        }
        browser = enter(chromium())
        cold, warm = _visits(browser, systems, DESK, rounds)
        table = _table("Page: cards visible at 10 Mbit/s, 40 ms, cold", cold, "visible")
        table.value("cards visible", OURS, 300)
        yield table
        yield from _bytes(cold, warm)
        yield from _phone(*_visits(browser, systems, PHONE, rounds))
        ticking = {name: systems[name] for name in (OURS, "bare Dash")}
        yield from _ticks(browser, ticking, rounds, run.either(10, 60))


Visits = dict[str, list[dict[str, float]]]


def _visits(
    browser: Browser, systems: dict[str, System], profile: Profile, rounds: int
) -> tuple[Visits, Visits]:
    """Return visits with an empty cache, and second visits right after them."""
    cold: Visits = {name: [] for name in systems}
    warm: Visits = {name: [] for name in systems}
    for _ in range(rounds):
        for name, system in systems.items():
            visitor = Visitor(browser, profile)
            cold[name].append(visitor.visit(f"{system.url}/", SELECTORS[name]))
            warm[name].append(visitor.visit(f"{system.url}/", SELECTORS[name]))
            visitor.close()
    return cold, warm


def _table(title: str, visits: Visits, measure: str, unit: str = "ms") -> Table:
    rows = {name: [visit.get(measure, 0) for visit in each] for name, each in visits.items()}
    return Table(title, unit, rows)


def _bytes(cold: Visits, warm: Visits) -> Iterator[Table]:
    for name, visits, limit in (("cold", cold, 450_000), ("warm", warm, 40_000)):
        table = _table(f"Page: bytes until a chart is in view, {name}", visits, "bytes", "bytes")
        table.value(name, OURS, limit)
        yield table


def _phone(cold: Visits, warm: Visits) -> Iterator[Table]:
    for name, visits, limit in (("cold", cold, 700), ("warm", warm, 400)):
        title = f"Page: cards visible on a phone (4x slower, 60 ms, 10 Mbit/s), {name}"
        table = _table(title, visits, "visible")
        table.value("cards visible", OURS, limit)
        yield table
    table = Table("Page on a phone, cold: until the app is interactive", "ms")
    table.rows[OURS] = [visit["app"] for visit in cold[OURS]]
    table.value("interactive", OURS, 2500)
    yield table
    table = _table("Page on a phone, cold: layout shift", cold, "shift", "CLS")
    table.value("layout shift", OURS, 0.02)
    yield table


def _ticks(
    browser: Browser, systems: dict[str, System], rounds: int, seconds: float
) -> Iterator[Table]:
    """Keep pages open that tick each second while nothing changes."""
    size = Table("Page: a tick without changes", "bytes")
    work = Table("Page: a tick and one second of its clock", "ms of main thread")
    for _ in range(rounds):
        for name, system in systems.items():
            sizes, worked_ms = _tick(browser, system, seconds)
            size.rows.setdefault(name, []).extend(sizes)
            work.add(name, worked_ms)
    size.value("bytes of a tick", OURS, 1000)
    yield size
    work.value("main thread of a tick", OURS, 15)
    yield work


def _tick(browser: Browser, system: System, seconds: float) -> tuple[list[float], float]:
    """Return the bytes of each response, and milliseconds of work per second."""
    page = browser.new_page()
    sizes: list[float] = []
    page.goto(system.url)
    page.wait_for_load_state("networkidle")
    page.on(
        "requestfinished",
        lambda request: sizes.append(request.sizes()["responseBodySize"]),
    )
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.wait_for_timeout(2000)
    sizes.clear()
    before, start = main_thread_seconds(session), time.monotonic()
    page.wait_for_timeout(seconds * 1000)
    worked_ms = (main_thread_seconds(session) - before) * 1000 / (time.monotonic() - start)
    page.close()
    return sizes, worked_ms
