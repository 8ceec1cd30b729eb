"""What a visit to the page costs the network, counted."""

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from tests.bench.browser import Profile, Visitor
from tests.harness import Served, make_database, write_config

MAX_COMPONENTS = 20
MAX_COLD_BYTES, MAX_WARM_BYTES = 401_000, 40_000
MAX_COLD_REQUESTS, MAX_WARM_REQUESTS = 26, 12


def test_a_visit_stays_within_its_bytes_and_requests(browser: Browser, tmp_path: Path) -> None:
    """Measured before a chart comes into view, which loads the chart library."""
    paths = [(f"db{n}", make_database(tmp_path / f"db{n}.db", tasks=126)) for n in range(5)]
    with Served(write_config(tmp_path, paths, interval="5s")) as served:
        visitor = Visitor(browser, Profile(0, 1000))
        cold, warm = (visitor.visit(served.url, ".card") for _ in range(2))
        visitor.close()
    assert cold["bytes"] <= MAX_COLD_BYTES
    assert warm["bytes"] <= MAX_WARM_BYTES
    assert cold["requests"] <= MAX_COLD_REQUESTS
    assert warm["requests"] <= MAX_WARM_REQUESTS
    assert cold["shift"] < 0.02


def test_dash_has_few_components_whatever_the_number_of_databases(tmp_path: Path) -> None:
    """Dash searches its components a dozen times per tick."""
    paths = [(f"db{n}", make_database(tmp_path / f"db{n}.db", tasks=126)) for n in range(9)]
    with Served(write_config(tmp_path, paths, interval="5s")) as served:
        layout = json.loads(served.get("/_dash-layout")[1])
    assert 10 < _components(layout) <= MAX_COMPONENTS


def _components(part: Any) -> int:
    if isinstance(part, list):
        return sum(map(_components, part))
    return 1 + _components(part["props"].get("children")) if isinstance(part, dict) else 0
