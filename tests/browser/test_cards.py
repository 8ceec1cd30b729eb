"""The cards of a real service with a day of history, as a phone shows them."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from dash_app import settings
from dash_app.history.writer import History
from dash_app.model.incident import Incident
from tests.browser.conftest import store_page_checks
from tests.harness import Served, eventually, make_database, write_config

LABEL = "A database whose name is as long as sixty letters, or a few more"
NAMES = ("coordination", "observability", "content", "email", "health")
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Five well databases, watched for more than a day; one had a fault at night."""
    folder = tmp_path_factory.mktemp("cards")
    paths = {name: make_database(folder / f"{name}.db", tasks=100) for name in NAMES}
    config = write_config(folder, paths.items())
    config.write_text(f'{config.read_text()}\nlabel = "{LABEL}"')
    now = datetime.now(UTC)
    with closing(History(settings.load(config).history)) as history:
        steps = [(step, 100 - (step if step < 9 else max(step, 18))) for step in range(80, -1, -1)]
        points = (
            (name, "tasks", now - step * timedelta(minutes=20), rows, rows)
            for step, rows in steps  # silent from 6 h to 3 h ago
            for name in NAMES
        )
        history.backfill(points, ())
        past = Incident(
            "email:down",
            ("email",),
            "down",
            "fault",
            "Email: Down.",
            "",
            now - 9 * HOUR,
            now - 8 * HOUR,
        )
        history.incidents.store([past])
    store_page_checks(config)
    with Served(config) as served:
        eventually(lambda: served.json("/api/db-status")["level"] == "well")
        yield served


def box(page: Page, selector: str) -> dict[str, float]:
    """Return x, y, right and bottom of an element, in px."""
    found: Any = page.locator(selector).bounding_box()
    return {**found, "right": found["x"] + found["width"], "bottom": found["y"] + found["height"]}


def test_five_well_cards_end_above_the_fold(quiet_page: Page, served: Served) -> None:
    quiet_page.goto(served.url)
    cards = [box(quiet_page, f"#app #card-{name}") for name in NAMES]
    assert max(card["height"] for card in cards) <= 97
    assert cards[-1]["bottom"] <= 656
    expect(quiet_page.locator("#app .checked")).to_have_text("5 of 5 checked")


def test_the_page_check_is_behind_the_chevron_on_a_phone_and_below_the_hours_elsewhere(
    quiet_page: Page, served: Served
) -> None:
    quiet_page.goto(served.url)
    line = quiet_page.locator("#app #card-email").get_by_text("No damage found, checked 6 h ago")
    expect(line).to_be_hidden()
    quiet_page.locator("#app #card-email .fold").click()
    expect(line).to_be_visible()
    quiet_page.set_viewport_size({"width": 1440, "height": 900})
    health = quiet_page.locator("#app #card-health .more > .aside")
    expect(health).to_be_visible()
    expect(quiet_page.locator("#app .checked")).to_be_hidden()
    drawing = box(quiet_page, "#app #card-health .sparkline")
    assert box(quiet_page, "#app #card-health .more > .aside")["y"] >= drawing["bottom"] + 4


def test_the_last_24_hours_are_drawn_before_any_script_over_the_whole_width(
    quiet_page: Page, served: Served
) -> None:
    _, html = served.get("/")
    assert html.count('class="sparkline"') == 5
    quiet_page.goto(served.url)
    drawn = quiet_page.locator("#app #card-email .sparkline")
    assert drawn.evaluate("drawing => drawing.outerHTML") in html
    expect(drawn.locator(".bad")).to_have_count(1)
    expect(quiet_page.locator("#app #card-health .bad")).to_have_count(0)
    drawing, facts = (
        box(quiet_page, f"#app #card-email .{name}") for name in ("sparkline", "facts")
    )
    assert (drawing["x"], drawing["right"], drawing["height"]) == (facts["x"], facts["right"], 28)
    fill = "path => getComputedStyle(path).fill"
    assert drawn.locator(".bad").evaluate(fill) != drawn.locator(".ok").evaluate(fill)
    quiet_page.emulate_media(forced_colors="active")
    paper = quiet_page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert drawn.locator(".bad").evaluate(fill) == drawn.locator(".ok").evaluate(fill)
    for name in ("written", "current", "silent", "ok"):
        assert drawn.locator(f".{name}").evaluate(fill) != paper, name


def test_a_name_has_a_whole_ring_and_44_px_to_touch(quiet_page: Page, served: Served) -> None:
    quiet_page.goto(served.url)
    for width, size in ((390, "100%"), (320, "200%")):
        quiet_page.set_viewport_size({"width": width, "height": 660})
        quiet_page.evaluate(f"document.documentElement.style.fontSize = '{size}'")
        for name in ("email", "health"):  # the latter has a long label
            card = f"#app #card-{name}"
            quiet_page.locator(card).scroll_into_view_if_needed()
            link, fold = box(quiet_page, f"{card} .name a"), box(quiet_page, f"{card} .fold")
            x, middle = link["x"] + 1, (link["y"] + link["bottom"]) / 2
            hit = "([x, y]) => document.elementFromPoint(x, y).closest('a, .fold')?.className"
            assert quiet_page.evaluate(hit, [x, middle - 21]) == ""
            assert quiet_page.evaluate(hit, [x, middle + 21]) == ""
            x, middle = (fold["x"] + fold["right"]) / 2, (fold["y"] + fold["bottom"]) / 2
            for across, down in ((-21, 0), (21, 0), (0, -21), (0, 21)):
                assert quiet_page.evaluate(hit, [x + across, middle + down]) == "fold"
            assert link["right"] <= fold["x"] or link["bottom"] <= fold["y"]
            clips = "link => [link, link.parentElement, link.closest('.card-head')].filter("
            clips += "part => getComputedStyle(part).overflow !== 'visible').length"
            assert quiet_page.locator(f"{card} .name a").evaluate(clips) == 0


def test_no_fact_breaks_or_overlaps_at_twice_the_size(quiet_page: Page, served: Served) -> None:
    quiet_page.goto(served.url)
    quiet_page.set_viewport_size({"width": 320, "height": 660})
    quiet_page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert box(quiet_page, "#app #card-email .sparkline")["height"] == 56
    whole = "head => head.scrollWidth <= head.clientWidth"
    assert quiet_page.locator("#app #card-observability .name .head").evaluate(whole)
    broken = """() => [...document.querySelectorAll('#app .card :is(time, .rows, .state)')]
        .filter(part => part.checkVisibility() && part.getClientRects().length > 1).length"""
    assert quiet_page.evaluate(broken) == 0
    facts = [box(quiet_page, f"#app #card-email .facts > :nth-child({at})") for at in (1, 2)]
    assert facts[0]["right"] <= facts[1]["x"] or facts[0]["bottom"] <= facts[1]["y"]
