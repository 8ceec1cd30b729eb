"""Axe finds no violation in any state of the page, in either colour scheme."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PHONE, ZONE, run_until, store_page_checks
from tests.harness import Served, eventually, make_database, write_config

PATHS = (
    *("/", "/?show=rows&range=7d", "/databases/email?show=rows", "/databases/gone"),
    *("/glance", "/glance?refresh=off", "/nope"),
)
SCHEMES: tuple[Literal["dark", "light"], ...] = ("dark", "light")
ALLOWED = {"/glance": {"meta-refresh"}}
"""A page without scripts has no other way to reload. It links to one that stays."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Databases that are well, gone, replaced and not yet created."""
    folder: Path = tmp_path_factory.mktemp("states")
    names = ("email", "gone", "replaced")
    paths = {name: make_database(folder / f"{name}.db", tasks=126, none=0) for name in names}
    databases = [*paths.items(), ("late", folder / "late.db")]
    config = write_config(folder, databases, history='every = "1s"')
    store_page_checks(config)
    with Served(config) as served:
        eventually(lambda: served.json("/api/db-status")["connected"] == len(names))
        paths["gone"].unlink()
        make_database(folder / "new.db", tasks=1).replace(paths["replaced"])
        eventually(lambda: served.json("/api/db-status")["headline"] == "2 of 4 need you")
        yield served


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """One page for all tests, which loads the scripts once."""
    context = browser.new_context(viewport=PHONE, timezone_id=ZONE)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("path", PATHS)
def test_axe_finds_nothing_in_either_scheme(page: Page, served: Served, path: str) -> None:
    page.goto(served.url + path)
    has_app = page.locator("#app").count()
    if has_app and path != "/databases/gone":  # which has no table to draw
        page.locator("#trends").scroll_into_view_if_needed()
        expect(page.locator(".as-table").first).to_be_attached()
    for scheme in SCHEMES:
        page.emulate_media(
            color_scheme=scheme, reduced_motion="reduce"
        )  # no transition between colours
        if has_app:
            expect(page.locator("html")).to_have_attribute("data-bs-theme", scheme)
        assert violations(page) <= ALLOWED.get(path, set()), scheme


def test_axe_finds_nothing_while_acknowledging_and_offline(page: Page, served: Served) -> None:
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.clock.install()
    page.goto(served.url)
    card = page.locator("#app #card-gone")
    card.get_by_text("Acknowledge").click()
    assert violations(page) == set()
    card.get_by_role("button", name="24 h").click()
    expect(card).to_contain_text("Acknowledged until")
    assert violations(page) == set()
    page.context.set_offline(True)
    run_until(page, lambda: "offline" in page.locator("#app #notice").inner_text())
    assert violations(page) == set()
    page.context.set_offline(False)
    run_until(page, lambda: not page.locator("#app #notice").inner_text())
    card.get_by_role("button", name="Undo").click()
    expect(card).not_to_contain_text("Acknowledged")


def violations(page: Page) -> set[str]:
    """Return the rules of axe that the page violates."""
    return {violation["id"] for violation in Axe().run(page).response["violations"]}
