"""What a visit of the page costs the network, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.browser import Profile, Visitor
from tests.harness import Served, make_database, write_config

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

MOST_COLD_BYTES, MOST_WARM_BYTES = 450_000, 40_000
MOST_COLD_REQUESTS, MOST_WARM_REQUESTS = 26, 12


def test_a_visit_keeps_within_its_bytes_and_requests(browser: Browser, tmp_path: Path) -> None:
    """Until a chart is in view, which brings the chart library."""
    paths = [(f"db{n}", make_database(tmp_path / f"db{n}.db", tasks=126)) for n in range(5)]
    with Served(write_config(tmp_path, paths, interval="5s")) as served:
        visitor = Visitor(browser, Profile(0, 1000))
        cold, warm = (visitor.visit(served.url, ".card") for _ in range(2))
        visitor.close()
    assert cold["bytes"] <= MOST_COLD_BYTES
    assert warm["bytes"] <= MOST_WARM_BYTES
    assert cold["requests"] <= MOST_COLD_REQUESTS
    assert warm["requests"] <= MOST_WARM_REQUESTS
    assert cold["shift"] < 0.02
