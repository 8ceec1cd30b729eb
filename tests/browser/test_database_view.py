"""The view of one database: order, width and wrapping on a desktop and on a phone."""

from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import store_page_checks
from tests.harness import LiveWriter, Served, make_database, write_config

LONG_NAME = "a_table_with_a_name_of_sixty_letters_that_no_phone_is_wide_eno"
LETTERS = """head => {
    const range = document.createRange();
    range.setStart(head.firstChild, 0);
    range.setEnd(head.firstChild, 1);
    return head.getBoundingClientRect().width / range.getBoundingClientRect().width;
}"""
"""The width of the start of a name, in letters."""

BREAKS = """code => {
    const range = document.createRange(), breaks = [];
    const walker = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
    let before = null, text = "";
    while (walker.nextNode()) {
        for (let at = 0; at < walker.currentNode.length; at++) {
            range.setStart(walker.currentNode, at);
            range.setEnd(walker.currentNode, at + 1);
            const { bottom } = range.getBoundingClientRect();
            if (before !== null && bottom > before + 4) breaks.push(text);
            before = bottom;
            text += walker.currentNode.data[at];
        }
    }
    return breaks;
}"""
"""The text before each break of a line."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("view") / "agents" / "of_the_third_floor" / "databases"
    tables = {LONG_NAME: 90_000, "locks": 0, "queue": 0}
    tables |= {f"table_{number:02}": 40 - number for number in range(30)}
    return make_database(folder / "email.db", wal=True, **tables)


@pytest.fixture(scope="module")
def served(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = write_config(tmp_path_factory.mktemp("config"), [("email", path)])
    with config.open("a") as file:
        file.write('\n[databases.tables.table_00]\nexpect = {every = "1h"}\n')
    store_page_checks(config, index=LONG_NAME)
    with Served(config) as served:
        yield served


def box(part: Locator) -> dict[str, Any]:
    found = part.bounding_box()
    assert found is not None
    return {**found, "right": found["x"] + found["width"], "bottom": found["y"] + found["height"]}


def fact_boxes(page: Page) -> list[dict[str, Any]]:
    facts = page.locator("#app .pairs.four > div")
    expect(facts).to_have_count(4)
    return [box(fact) for fact in facts.all()]


def section(page: Page, name: str) -> dict[str, Any]:
    return box(page.locator("#app section", has=page.get_by_role("heading", name=name)).last)


def test_a_desktop_is_used_in_its_width(quiet_page: Page, served: Served) -> None:
    quiet_page.set_viewport_size({"width": 1440, "height": 900})
    quiet_page.goto(f"{served.url}/databases/email")
    expect(quiet_page).to_have_title("Email · Mission Control")
    tables, table = section(quiet_page, "Tables"), quiet_page.locator("#app .sortable").first
    assert 700 < box(table)["width"] < tables["width"] <= 800
    facts = fact_boxes(quiet_page)
    assert len({fact["y"] for fact in facts}) == 1
    whole = box(quiet_page.locator("#app .box"))
    day = box(quiet_page.locator("#app .box .sparkline"))
    assert (day["height"], whole["y"] < facts[0]["y"] < day["y"] < whole["bottom"]) == (52, True)
    headings = ("Recent events", "Storage", "Open by")
    beside = [section(quiet_page, heading) for heading in headings]
    assert len({(part["y"], part["height"]) for part in beside}) == 1
    assert all(left["right"] < right["x"] for left, right in pairwise(beside))
    trends = section(quiet_page, "Trends")
    assert whole["bottom"] < tables["y"] < trends["y"] < beside[0]["y"]
    integrity = section(quiet_page, "Integrity")
    assert integrity["y"] > beside[0]["bottom"]
    assert integrity["width"] == beside[1]["right"] - beside[0]["x"]
    quiet_page.evaluate(f"scrollTo(0, {tables['bottom'] - 300})")
    expect(quiet_page.get_by_role("link", name="Last growth")).to_be_in_viewport()
    header = quiet_page.locator("#app header")
    assert abs(box(table.locator("thead th").first)["y"] - box(header)["bottom"]) < 1


def test_a_phone_has_second_lines_and_breaks_paths_after_a_part(
    quiet_page: Page, served: Served, path: Path
) -> None:
    quiet_page.goto(f"{served.url}/databases/email")
    facts = fact_boxes(quiet_page)
    assert [len({fact[axis] for fact in facts}) for axis in ("x", "y")] == [2, 2]
    first, second = (quiet_page.locator("#app .sortable tbody tr").nth(at) for at in (0, 1))
    expect(first.locator(".note")).to_have_text("No growth seen")
    expect(second.locator(".note")).to_have_text("New: nothing yet; expected every hour")
    line, name, rows = (
        box(second.locator(part)) for part in (".note > span", ".cut", "td >> nth=0")
    )
    assert line["y"] > name["y"]
    assert line["right"] > rows["x"]
    letters = first.locator(".head").evaluate(LETTERS)
    assert 4 < letters < len(LONG_NAME) - 8
    assert 0 < letters - round(letters) < 0.1  # or there is a gap before the tail
    short = second.locator(".head")
    assert short.evaluate("head => head.offsetWidth >= head.scrollWidth")
    assert box(second.locator("td").first)["y"] < line["y"]
    expect(quiet_page.get_by_role("columnheader", name="Last growth")).to_have_count(0)
    code = quiet_page.locator("#app .pairs.list + div code")
    expect(code).to_have_text(str(path))
    breaks = code.evaluate(BREAKS)
    assert breaks
    assert all(text.endswith(("/", "-")) for text in breaks)
    expect(first.locator("td").first).to_have_text("90,000")
    for width, size in product((320, 390, 768, 1440, 2560), ("100%", "200%")):
        quiet_page.set_viewport_size({"width": width, "height": 700})
        quiet_page.evaluate(f"document.documentElement.style.fontSize = '{size}'")
        assert quiet_page.evaluate("document.documentElement.scrollWidth") <= width
        name, rows = box(first.locator(".cut")), box(first.locator("td").first)
        assert name["bottom"] <= rows["y"] or name["right"] <= rows["x"]
        assert name["width"] > 115


def test_empty_tables_are_folded_and_a_tick_keeps_them_open(
    quiet_page: Page, served: Served, path: Path
) -> None:
    quiet_page.goto(f"{served.url}/databases/email")
    empty = quiet_page.locator("#app .boxed tr", has_text="queue")
    expect(empty).to_be_hidden()
    quiet_page.locator("#app").get_by_text("2 empty tables").click()
    expect(empty).to_be_visible()
    with LiveWriter(path) as writer:
        assert writer.do("INSERT INTO locks (text) VALUES ('x')") == []
        expect(quiet_page.locator("#app .boxed summary")).to_have_text("1 empty table")
    expect(empty).to_be_visible()
    expect(quiet_page.locator("#app .boxed tr", has_text="locks")).to_be_visible()
