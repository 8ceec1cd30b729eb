"""A page that cannot draw new facts says so, and recovers by itself."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import APIResponse, BrowserContext, Locator, Page, Route, expect

from tests.browser.conftest import CALLBACKS, run_answered, run_until
from tests.harness import PATIENCE_SECONDS, Served, make_database, write_config

SLOW_CHARTS = (
    "import time; from dash_app.page.page import Page; trends = Page.trends; Page.trends ="
    " lambda *given: (time.sleep(2.5 if len(given) > 3 and given[3] else 0), trends(*given))[1]"
)
"""A patch of a service: its charts take longer than two of its records."""

MANY_RELOADS = "sessionStorage.setItem('mission-control-reloads', '9')"

FOREIGN = {
    "translator that wraps text in elements": """
        const done = new WeakSet();
        const wrapAll = (root) => {
          const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), nodes = [];
          while (walk.nextNode()) nodes.push(walk.currentNode);
          for (const node of nodes.filter((node) => node.nodeValue.trim() && !done.has(node))) {
            const font = document.createElement('font');
            font.textContent = node.nodeValue;
            done.add(font.firstChild);
            node.replaceWith(font);
          }
        };
        wrapAll(document.querySelector('#app'));
        new MutationObserver(() => wrapAll(document.querySelector('#app')))
          .observe(document.body, { childList: true, subtree: true, characterData: true });
    """,
    "blocker that removes a card": "document.querySelector('#card-email').remove()",
    "highlighter that wraps cards and texts": """
        for (const element of document.querySelectorAll('#app h1, #app h3, #app p, #app .card')) {
          const mark = document.createElement('mark');
          element.replaceWith(mark);
          mark.append(element);
        }
    """,
    "checker that adds elements": """
        for (const element of document.querySelectorAll('#app h1, #app .card, #app main')) {
          element.prepend(document.createElement('some-extension'));
          element.append(document.createElement('some-extension'));
        }
    """,
    "editor that rewrites the whole page": "document.body.innerHTML = document.body.innerHTML",
    "blocker that removes age, notice and icon": """
        for (const id of ['age', 'notice', 'icon']) document.getElementById(id).remove();
    """,
    "blocker that removes all facts": "document.querySelector('#before-charts').remove()",
    "script that empties the app": "document.querySelector('#react-entry-point').innerHTML = ''",
}


def hang(_: Route) -> None:
    """Never answer."""


def abort(route: Route) -> None:
    route.abort()


def answer(status: int) -> Callable[[Route], None]:
    return lambda route: route.fulfill(status=status, body="Something else.")


FAILURES: tuple[tuple[str, Callable[[Route], None]], ...] = (
    ("**/dash_renderer*", abort),
    ("**/dash_renderer*", hang),
    ("**/react-dom*", abort),
    ("**/dash_core_components*", hang),
    ("**/assets/page.js*", answer(502)),
    ("**/assets/start.js*", abort),
    ("**/_dash-layout", answer(502)),
)

ANSWERS = {
    403: r"The server has refused this page since \d\d:\d\d \(403\)",
    502: r"The server has answered with an error since \d\d:\d\d \(502\)",
    0: r"Can't reach the server since \d\d:\d\d",
}
"""What the notice says of each status; 0 is no answer."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_database(tmp_path / "email.db", tasks=126)


@pytest.fixture
def served(tmp_path: Path, path: Path) -> Iterator[Served]:
    other = make_database(tmp_path / "health.db", tasks=7)
    config = write_config(tmp_path, [("email", path), ("health", other)])
    with Served(config) as served:
        yield served


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service for all tests that change nothing."""
    folder = tmp_path_factory.mktemp("unchanged")
    path = make_database(folder / "email.db", tasks=126)
    with Served(write_config(folder, [("email", path)])) as served:
        yield served


def headline(page: Page) -> Locator:
    """The visible headline."""
    return page.locator("h1 span >> visible=true")


def open_page(page: Page, served: Served) -> list[str]:
    """Open the page and wait for its app. Return a list that grows with each load."""
    loads: list[str] = []
    page.on("load", lambda page: loads.append(page.url))
    page.goto(served.url)
    expect(page.locator("#app #card-email")).to_contain_text("Connected")
    return loads


def test_facts_are_updated_whatever_extensions_do_to_the_page(
    context: BrowserContext, served: Served, path: Path
) -> None:
    """Translators and extensions change elements, and React then throws (react issue 11538)."""
    pages = {name: context.new_page() for name in FOREIGN}
    for name, page in pages.items():
        open_page(page, served)
        expect(page.locator("html")).to_have_attribute("translate", "no")
        page.evaluate(FOREIGN[name])
    away = path.rename(path.with_suffix(".away"))
    for name, page in pages.items():
        expect(page.locator("#card-email"), name).to_contain_text("The file is gone.")
        expect(headline(page), name).to_contain_text("Email is gone, ")
    away.rename(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO tasks (text) VALUES ('one more')")
    for name, page in pages.items():
        expect(headline(page), name).to_have_text("Both well")
        expect(page.locator("#card-email .rows"), name).to_have_text("127 rows")
        expect(page.locator("#card-email .fold"), name).to_have_count(1)


def test_facts_that_cannot_be_drawn_are_stale(page: Page, unchanged: Served) -> None:
    page.clock.install()
    loads = open_page(page, unchanged)
    page.evaluate(MANY_RELOADS)
    page.evaluate(
        "window.real = document.getElementById;"
        "void (document.getElementById = (id) =>"
        " id === 'before-charts' ? null : real.call(document, id))"
    )
    notice = "this page has not been updated since"
    run_until(page, lambda: notice in page.locator("#notice").inner_text())
    expect(headline(page)).to_have_text("Can't tell")
    expect(page.locator("#card-email .when-stale")).to_be_visible()
    page.evaluate("void (document.getElementById = real)")
    run_until(page, lambda: not page.locator("#notice").inner_text())
    expect(headline(page)).to_have_text("Email is well")
    assert len(loads) == 1


def test_a_repeated_answer_is_no_update(page: Page, unchanged: Served) -> None:
    """A proxy may keep an answer, whatever its headers say."""
    page.clock.install()
    open_page(page, unchanged)
    page.evaluate(MANY_RELOADS)
    answers: list[APIResponse] = []

    def repeat(route: Route) -> None:
        answers[:] = answers or [route.fetch()]
        route.fulfill(response=answers[0])

    page.route(CALLBACKS, repeat)
    for _ in range(6):
        with page.expect_response(CALLBACKS):
            page.clock.run_for(1500)
    expect(page.locator("#notice")).to_contain_text("this page has not been updated since")
    expect(headline(page)).to_have_text("Can't tell")
    page.unroute(CALLBACKS)
    run_until(page, lambda: not page.locator("#notice").inner_text())


def test_charts_that_are_not_updated_say_so(page: Page, unchanged: Served) -> None:
    """Their request fails while that of the facts does not, or an extension replaced them."""
    page.clock.install()
    late = page.locator("#charts-late", has_text="The charts have not been drawn.")

    def fail(route: Route) -> None:
        is_chart = "panels.children" in (route.request.post_data or "")
        route.fulfill(status=502) if is_chart else route.continue_()

    page.route(CALLBACKS, fail)
    open_page(page, unchanged)
    page.locator("#trends").scroll_into_view_if_needed()
    run_until(page, late.count)
    expect(page.locator("#age")).to_contain_text("updated")
    expect(headline(page)).to_have_text("Email is well")
    page.unroute(CALLBACKS)
    run_until(page, page.locator("[data-drawn]").count)
    run_until(page, lambda: not late.count())
    page.evaluate(
        "const panels = document.querySelector('#panels');"
        "panels.replaceWith(panels.cloneNode(true));"
        "history.pushState(null, '', '?range=7d');"
        "window.dispatchEvent(new CustomEvent('_dashprivate_pushstate'))"
    )
    run_answered(page, 25)
    expect(page.get_by_text("The charts have not been ")).to_be_visible()
    expect(headline(page)).to_have_text("Email is well")


def test_charts_that_take_longer_than_a_new_record_are_drawn(page: Page, path: Path) -> None:
    """Dash drops the answer to a request once there is a newer one."""
    config = write_config(path.parent, [("email", path)], history='every = "1s"')
    with Served(config, patch=SLOW_CHARTS) as served:
        page.goto(served.url)
        page.locator("#trends").scroll_into_view_if_needed()
        drawn = "() => document.querySelector('#panels [data-drawn]')?.dataset.drawn"
        first = page.wait_for_function(drawn).json_value()
        page.wait_for_function(f"(first) => ({drawn})() !== first", arg=first)
        expect(page.locator("#charts-late")).to_be_empty()


def test_a_page_that_arrives_partly_turns_grey_and_reloads(
    context: BrowserContext, unchanged: Served
) -> None:
    """A bundle fails to load on a phone's network (dash-bootstrap-components issue 1005)."""
    pages = [context.new_page() for _ in FAILURES]
    for page, (pattern, handler) in zip(pages, FAILURES, strict=True):
        page.clock.install()
        page.route(pattern, handler)
        page.goto(unchanged.url, wait_until="commit")
        expect(headline(page), pattern).to_have_text("Email is well")
        page.evaluate("document.getAnimations().forEach((animation) => animation.finish())")
        expect(headline(page), pattern).to_have_text("Can't tell")
        expect(page.get_by_text("Part of this page has not arrived."), pattern).to_be_visible()
        expect(page.locator(".card .when-stale"), pattern).to_be_visible()
        page.unroute(pattern)
        run_until(page, page.locator("#app #card-email").count)
        expect(headline(page), pattern).to_have_text("Email is well")
        expect(page.locator("#age"), pattern).to_contain_text("updated")
        page.close()  # or it would go on asking while the others are tested


def test_a_page_behind_another_path_turns_grey(page: Page, unchanged: Served) -> None:
    """A proxy strips the path, so that the page's files are not found (tailscale 7823)."""

    def strip(route: Route) -> None:
        url = urlsplit(route.request.url)
        if not url.path.startswith("/mc/"):
            return route.fulfill(status=404, body="Another app.")
        return route.fulfill(response=route.fetch(url=unchanged.url + url.path.removeprefix("/mc")))

    page.route("**/*", strip)
    page.goto(f"{unchanged.url}/mc/")
    expect(headline(page)).to_have_text("Email is well")
    page.evaluate("document.getAnimations().forEach((animation) => animation.finish())")
    expect(headline(page)).to_have_text("Can't tell")
    expect(page.get_by_role("link", name="Reload")).to_be_visible()


def test_an_old_tab_reloads_once_and_never_loops(page: Page, unchanged: Served) -> None:
    """After an upgrade, callbacks of the old page are rejected (DeFi-Analytics issue 108)."""
    page.clock.install()
    loads = open_page(page, unchanged)
    page.route(CALLBACKS, answer(400))
    with page.expect_event("load", timeout=PATIENCE_SECONDS * 1000):
        for _ in range(8):  # more could be too long for a page that is still loading
            page.clock.run_for(1000)
    expect(page.locator("#app #card-email")).to_contain_text("Connected")
    run_until(page, page.locator("#notice").inner_text)
    for _ in range(10):
        page.clock.run_for(1000)
    expect(page.locator("#notice")).to_contain_text("The server answers, but this page has not")
    assert page.evaluate("sessionStorage.getItem('mission-control-reloads')") == "1"
    assert len(loads) == 2
    page.unroute(CALLBACKS)
    run_until(page, lambda: not page.locator("#notice").inner_text())


def test_the_notice_names_the_answer(page: Page, unchanged: Served) -> None:
    page.clock.install()
    loads = open_page(page, unchanged)
    for status, words in ANSWERS.items():
        for pattern in (CALLBACKS, f"{unchanged.url}/"):
            page.route(pattern, answer(status) if status else abort)
        run_until(page, page.locator("#notice", has_text=re.compile(words)).count)
        expect(headline(page)).to_have_text("Can't tell")
        page.unroute_all()
        expect(page.locator("#notice")).to_be_empty()
        expect(headline(page)).to_have_text("Email is well")
    assert len(loads) == 1


def test_ages_of_stale_facts_stand_still(page: Page, unchanged: Served) -> None:
    """There may have been a write since; only the age of the page itself goes on."""
    page.clock.install()
    open_page(page, unchanged)
    page.route("**/*", abort)
    run_until(page, page.locator("#notice").inner_text)
    facts = page.locator("#card-email .facts").first.inner_text()
    page.clock.run_for(600_000)
    expect(page.locator("#age")).to_contain_text("min ago")
    expect(page.locator("#card-email .facts").first).to_have_text(facts, use_inner_text=True)


def test_the_notice_says_that_the_device_is_offline(page: Page, unchanged: Served) -> None:
    page.clock.install()
    open_page(page, unchanged)
    page.context.set_offline(True)
    run_until(page, page.locator("#notice").inner_text)
    expect(page.locator("#notice")).to_contain_text("This device has been offline since")
    page.context.set_offline(False)
    run_until(page, lambda: not page.locator("#notice").inner_text())


def test_a_tab_updates_after_waking_before_it_warns(page: Page, unchanged: Served) -> None:
    """Only the clock shows that a lid was closed over a visible tab (ilios/frontend 3315)."""
    page.clock.install()
    open_page(page, unchanged)
    page.route(CALLBACKS, hang)
    page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=40))
    expect(page.locator("#age")).to_have_text("Updating…")
    expect(page.locator("#notice")).to_be_empty()
    expect(headline(page)).to_have_text("Email is well")
    run_until(page, page.locator("#notice").inner_text)
    page.unroute(CALLBACKS)


def test_setting_the_clock_does_not_change_the_age(page: Page, unchanged: Served) -> None:
    page.clock.install()
    open_page(page, unchanged)
    page.evaluate("window.real = Date.now; void (Date.now = () => real() + 3600_000)")
    with page.expect_response(CALLBACKS):  # drawn after that
        page.clock.run_for(2000)
    expect(page.locator("#age")).to_contain_text("updated")
    expect(headline(page)).to_have_text("Email is well")
    page.evaluate("void (Date.now = () => real() - 3600_000)")
    page.route("**/*", abort)
    run_until(page, page.locator("#notice").inner_text)
    expect(headline(page)).to_have_text("Can't tell")
    expect(page.locator("#notice")).to_contain_text("Can't reach the server since")


def test_a_printed_page_shows_date_and_time(page: Page, unchanged: Served) -> None:
    open_page(page, unchanged)
    page.emulate_media(media="print")
    expect(page.locator("#printed-age")).to_have_text(
        re.compile(r"As of \d+ \w{3} \d{4}, \d\d:\d\d:\d\d CET|CEST")
    )
    expect(page.locator("#printed-age")).to_be_visible()
    expect(page.locator("#age")).to_be_hidden()
