"""Fifty databases on a phone and on a desktop, and the page before the first database."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import run_until
from tests.harness import Served, eventually, make_database, write_config

PHONE = {"width": 390, "height": 660}
DESKTOP = {"width": 1440, "height": 900}


@pytest.fixture(scope="module")
def fifty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service of fifty databases. The file of `agent-20` is gone; all others are well."""
    folder = tmp_path_factory.mktemp("fifty")
    source = make_database(folder / "agent-0.db", wal=False, tasks=126, agents=7)
    paths = [(f"agent-{number}", folder / f"agent-{number}.db") for number in range(50)]
    for _, path in paths[1:]:
        path.write_bytes(source.read_bytes())
    with Served(write_config(folder, paths)) as served:
        eventually(lambda: served.json("/api/db-status")["headline"] == "All 50 well")
        paths[20][1].unlink()
        eventually(lambda: "Agent 20 is gone" in served.json("/api/db-status")["headline"])
        yield served


def rows(page: Page) -> Locator:
    """The rows of the list, once the app has replaced the first view."""
    return page.locator("#app .lists li")


def bottom(shown: Locator) -> float:
    """The lower edge of an element, in pixels below the top of the page, which is at its top."""
    box = shown.bounding_box()
    assert box is not None
    return box["y"] + box["height"]


def assert_accessible_at_each_size(page: Page) -> None:
    """Axe finds nothing, and nothing is wider than the window, also with text twice as large."""
    assert Axe().run(page).response["violations"] == []
    for width, size in product((320, 768, 1440), ("200%", "100%")):
        page.set_viewport_size({"width": width, "height": 660})
        page.evaluate(f"document.documentElement.style.fontSize = '{size}'")
        page.wait_for_function(
            "(width) => document.documentElement.scrollWidth <= width", arg=width
        )


def test_fifty_databases_are_rows_below_the_cards_in_trouble(
    quiet_page: Page, fifty: Served
) -> None:
    quiet_page.goto(f"{fifty.url}/?state=well")
    expect(rows(quiet_page)).to_have_count(49)
    expect(quiet_page.locator("#app #cards .card")).to_have_count(0)
    assert bottom(rows(quiet_page).last) <= 6 * PHONE["height"]
    quiet_page.locator("#app").get_by_role("link", name="All 50").click()
    expect(rows(quiet_page)).to_have_count(50)
    for viewport, heads in ((PHONE | {"width": 320}, 1), (PHONE, 1), (DESKTOP, 3)):
        quiet_page.set_viewport_size(viewport)  # type: ignore[arg-type]
        heights = rows(quiet_page).evaluate_all("rows => rows.map((row) => row.offsetHeight)")
        assert set(heights) == {44}
        visible = quiet_page.locator("#app .columns >> visible=true")
        expect(visible).to_have_count(heads)
        assert visible.first.evaluate("(head) => head.offsetHeight") == 32
    card = quiet_page.locator("#app #cards .card")
    expect(card).to_contain_text("The file is gone.")
    expect(card.get_by_role("button", name=re.compile("Acknowledge"))).to_have_count(0)
    expect(rows(quiet_page).nth(20)).to_contain_text("Error")
    quiet_page.set_viewport_size({"width": 390, "height": 300})
    rows(quiet_page).nth(20).click()
    expect(quiet_page).to_have_url(f"{fifty.url}/#card-agent-20")
    expect(card).to_be_in_viewport()
    rows(quiet_page).nth(21).click(position={"x": 300, "y": 40})
    expect(quiet_page).to_have_url(f"{fifty.url}/databases/agent-21")


def test_typing_filters_without_losing_the_field_or_other_parameters(
    quiet_page: Page, fifty: Served
) -> None:
    quiet_page.goto(f"{fifty.url}/?range=7d")
    field = quiet_page.locator("#app").get_by_role("searchbox", name="Filter by name")
    field.focus()
    quiet_page.keyboard.type("agent-22")
    expect(rows(quiet_page)).to_have_count(1)
    expect(quiet_page).to_have_url(f"{fifty.url}/?range=7d&name=agent-22")
    quiet_page.keyboard.press("ArrowLeft")
    quiet_page.keyboard.press("Backspace")
    quiet_page.keyboard.type("3")
    expect(rows(quiet_page)).to_have_count(1)
    expect(rows(quiet_page)).to_contain_text("Agent 32")
    expect(field).to_be_focused()
    assert field.evaluate("(field) => field.selectionStart") == len("agent-3")
    with quiet_page.expect_response("**/_dash-update-component*"):
        pass
    expect(field).to_have_value("agent-32")
    quiet_page.keyboard.press("Escape")
    expect(rows(quiet_page)).to_have_count(50)
    expect(field).to_have_value("")
    quiet_page.go_back()
    expect(rows(quiet_page)).to_have_count(1)
    expect(field).to_have_value("agent-32")
    expect(quiet_page.locator("#app h2", has_text="1 of 50 databases")).to_be_visible()
    quiet_page.keyboard.press("Tab")
    quiet_page.keyboard.press("Tab")
    expect(quiet_page.locator(":focus")).to_have_text("Well 1")
    quiet_page.keyboard.press("Tab")
    expect(quiet_page.locator(":focus")).to_have_text("Agent 32")
    quiet_page.keyboard.press("Enter")
    expect(quiet_page).to_have_url(f"{fifty.url}/databases/agent-32")


def test_a_link_to_a_card_that_is_filtered_out_clears_the_filter(
    quiet_page: Page, fifty: Served
) -> None:
    quiet_page.goto(f"{fifty.url}/?range=7d&state=well")
    expect(rows(quiet_page)).to_have_count(49)
    quiet_page.locator("#app #headline a").first.click()
    expect(quiet_page.locator("#app #card-agent-20")).to_be_visible()
    expect(rows(quiet_page)).to_have_count(50)
    expect(quiet_page).to_have_url(f"{fifty.url}/?range=7d#card-agent-20")


def test_a_row_claims_nothing_while_the_server_is_silent(page: Page, fifty: Served) -> None:
    page.clock.install()
    page.goto(fifty.url)
    icon = rows(page).first.locator(".icon")
    expect(icon).to_be_visible()
    expect(rows(page).nth(20).locator(".when-fresh")).to_be_visible()
    assert_accessible_at_each_size(page)
    page.route("**/_dash-update-component*", lambda route: route.abort())
    run_until(page, icon.is_hidden)
    expect(rows(page).nth(20)).to_contain_text("As of")


def test_the_filter_works_without_scripts(browser: Browser, fifty: Served) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{fifty.url}/?range=7d")
    page.get_by_role("searchbox").fill("agent-2")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator(".lists li")).to_have_count(11)
    page.get_by_role("link", name="Needs you 1").click()
    expect(page.locator(".lists li")).to_have_count(1)
    expect(page).to_have_url(f"{fifty.url}/?range=7d&name=agent-2&state=needs_you")
    context.close()


def test_the_first_start_is_one_block_until_a_database_appears(
    quiet_page: Page, tmp_path: Path
) -> None:
    make_database(tmp_path / ".hermes" / "state.db", sessions=1, messages_fts=1, state_meta=1)
    with Served(write_config(tmp_path, []), HOME=str(tmp_path)) as served:
        quiet_page.goto(served.url)
        block = quiet_page.locator("#app .first-start")
        names = "coordination.db, observability.db, content.db, email.db, health.db"
        expect(block).to_contain_text(f"Five files are awaited in ~/clawd: {names}.")
        expect(quiet_page.locator("#app #headline")).to_contain_text(" found, none watched yet.")
        found = block.locator("li", has_text="Hermes ~/.hermes/state.db")
        expect(found).to_have_count(1)  # other databases of this machine may come first
        expect(quiet_page.locator("html")).to_have_attribute("data-level", "unknown")
        expect(quiet_page.locator("#trends")).to_be_hidden()
        expect(quiet_page.locator("#app #cards .card")).to_have_count(0)
        assert_accessible_at_each_size(quiet_page)
        block.locator("code").first.click()
        selected = quiet_page.evaluate("getSelection().toString()")
        assert selected == "./ops/run discover --save"
        make_database(tmp_path / "clawd" / "email.db", letters=3)
        expect(quiet_page.locator("#app #cards .card")).to_have_count(5)
        expect(quiet_page.locator("#trends")).to_be_visible()
        expect(block).to_have_count(0)
