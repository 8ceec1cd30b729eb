"""A page whose facts are no longer drawn says so, and recovers by itself."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect

from tests.harness import Served, eventually, make_database, write_config

CALLBACKS = "**/_dash-update-component*"
RELOADED_OFTEN = "sessionStorage.setItem('mission-control-reloads', '9')"

FOREIGN = {
    "translator that puts text into elements of its own": """
        const done = new WeakSet();
        const all = (root) => {
          const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), nodes = [];
          while (walk.nextNode()) nodes.push(walk.currentNode);
          for (const node of nodes.filter((one) => one.nodeValue.trim() && !done.has(one))) {
            const font = document.createElement('font');
            font.textContent = node.nodeValue;
            done.add(font.firstChild);
            node.replaceWith(font);
          }
        };
        all(document.querySelector('#app'));
        new MutationObserver(() => all(document.querySelector('#app')))
          .observe(document.body, { childList: true, subtree: true, characterData: true });
    """,
    "blocker that takes a card away": "document.querySelector('#card-email').remove()",
    "highlighter that wraps cards and texts": """
        for (const one of document.querySelectorAll('#app h1, #app h3, #app p, #app .card')) {
          const mark = document.createElement('mark');
          one.replaceWith(mark);
          mark.append(one);
        }
    """,
    "checker that adds elements of its own": """
        for (const one of document.querySelectorAll('#app h1, #app .card, #app main')) {
          one.prepend(document.createElement('some-extension'));
          one.append(document.createElement('some-extension'));
        }
    """,
    "editor that writes the whole page anew": "document.body.innerHTML = document.body.innerHTML",
    "blocker that takes the age, the notice and the icon away": """
        for (const id of ['age', 'notice', 'icon']) document.getElementById(id).remove();
    """,
    "blocker that takes all facts away": "document.querySelector('#before-charts').remove()",
    "script that empties the app": "document.querySelector('#react-entry-point').innerHTML = ''",
}


def hang(_: Route) -> None:
    """Never answer."""


def abort(route: Route) -> None:
    route.abort()


def answer(status: int) -> Callable[[Route], None]:
    return lambda route: route.fulfill(status=status, body="Something else.")


LEFT_OUT: tuple[tuple[str, Callable[[Route], None]], ...] = (
    ("**/dash_renderer*", abort),
    ("**/dash_renderer*", hang),
    ("**/react-dom*", abort),
    ("**/dash_core_components*", hang),
    ("**/assets/page.js*", answer(502)),
    ("**/assets/start.js*", abort),
    ("**/_dash-layout", answer(502)),
)


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
    """What all tests look at that change nothing."""
    folder = tmp_path_factory.mktemp("unchanged")
    path = make_database(folder / "email.db", tasks=126)
    with Served(write_config(folder, [("email", path)])) as served:
        yield served


def headline(page: Page) -> Locator:
    """The headline that can be seen."""
    return page.locator("h1 span >> visible=true")


def opened(page: Page, served: Served) -> list[str]:
    """Open the page and wait for its app; return the list of its loads, which goes on growing."""
    loads: list[str] = []
    page.on("load", lambda page: loads.append(page.url))
    page.goto(served.url)
    expect(page.locator("#app #card-email")).to_contain_text("Connected")
    return loads


def passes(page: Page, until: Callable[[], object]) -> None:
    """Let seconds pass for the page until something holds."""

    def probe() -> bool:
        page.clock.run_for(1000)
        return bool(until())

    eventually(probe)


def test_facts_are_followed_whatever_others_do_to_the_page(
    context: BrowserContext, served: Served, path: Path
) -> None:
    """Translators and extensions change what React draws, which then throws (react issue 11538)."""
    pages = {name: context.new_page() for name in FOREIGN}
    for name, page in pages.items():
        opened(page, served)
        expect(page.locator("html")).to_have_attribute("translate", "no")
        page.evaluate(FOREIGN[name])
    away = path.rename(path.with_suffix(".away"))
    for name, page in pages.items():
        expect(page.locator("#card-email"), name).to_contain_text("The file is gone.")
        expect(headline(page), name).to_have_text("1 of 2 needs you")
    away.rename(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO tasks (text) VALUES ('one more')")
    for name, page in pages.items():
        expect(headline(page), name).to_have_text("All 2 well")
        expect(page.locator("#card-email .rows"), name).to_have_text("127 rows")
        expect(page.locator("#card-email .fold"), name).to_have_count(1)


def test_facts_that_cannot_be_drawn_are_stale_until_they_can(page: Page, unchanged: Served) -> None:
    loads = opened(page, unchanged)
    page.evaluate(RELOADED_OFTEN)
    page.evaluate(
        "window.real = document.getElementById;"
        "void (document.getElementById = (id) =>"
        " id === 'before-charts' ? null : real.call(document, id))"
    )
    expect(headline(page)).to_have_text("Can't tell")
    expect(page.locator("#notice")).to_contain_text("this page does not follow it since")
    expect(page.locator("#card-email .when-stale")).to_be_visible()
    page.evaluate("void (document.getElementById = real)")
    expect(headline(page)).to_have_text("All well")
    expect(page.locator("#notice")).to_be_empty()
    assert len(loads) == 1


def test_a_page_that_arrives_in_part_turns_grey_and_reloads_itself(
    context: BrowserContext, unchanged: Served
) -> None:
    """A bundle fails to load on a phone's network (dash-bootstrap-components issue 1005)."""
    pages = [context.new_page() for _ in LEFT_OUT]
    for page, (pattern, how) in zip(pages, LEFT_OUT, strict=True):
        page.clock.install()
        page.route(pattern, how)
        page.goto(unchanged.url, wait_until="commit")
        expect(headline(page), pattern).to_have_text("All well")
        page.evaluate("document.getAnimations().forEach((animation) => animation.finish())")
        expect(headline(page), pattern).to_have_text("Can't tell")
        expect(page.get_by_text("Part of this page has not arrived."), pattern).to_be_visible()
        expect(page.locator(".card .when-stale"), pattern).to_be_visible()
        page.unroute(pattern)
        passes(page, page.locator("#app #card-email").count)
        expect(headline(page), pattern).to_have_text("All well")
        expect(page.locator("#age"), pattern).to_contain_text("updated")


def test_under_another_path_the_page_turns_grey(page: Page, unchanged: Served) -> None:
    """A proxy takes the path away, and all that the page loads is not there (tailscale 7823)."""

    def strip(route: Route) -> None:
        url = urlsplit(route.request.url)
        if not url.path.startswith("/mc/"):
            return route.fulfill(status=404, body="Another app.")
        return route.fulfill(response=route.fetch(url=unchanged.url + url.path.removeprefix("/mc")))

    page.route("**/*", strip)
    page.goto(f"{unchanged.url}/mc/")
    expect(headline(page)).to_have_text("All well")
    page.evaluate("document.getAnimations().forEach((animation) => animation.finish())")
    expect(headline(page)).to_have_text("Can't tell")
    expect(page.get_by_role("link", name="Reload")).to_be_visible()


def test_an_old_tab_reloads_itself_and_never_loops(page: Page, unchanged: Served) -> None:
    """After an upgrade, callbacks of the former page are refused (DeFi-Analytics issue 108)."""
    page.clock.install()
    loads = opened(page, unchanged)
    page.route(CALLBACKS, answer(400))
    passes(page, lambda: len(loads) == 2)
    expect(page.locator("#app #card-email")).to_contain_text("Connected")
    passes(page, page.locator("#notice").inner_text)
    for _ in range(10):
        page.clock.run_for(1000)
    expect(page.locator("#notice")).to_contain_text("The server answers, but this page does not")
    assert page.evaluate("sessionStorage.getItem('mission-control-reloads')") == "1"
    assert len(loads) == 2
    page.unroute(CALLBACKS)
    passes(page, lambda: not page.locator("#notice").inner_text())


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, r"The server refuses this page since \d\d:\d\d \(403\)"),
        (502, r"The server answers with an error since \d\d:\d\d \(502\)"),
        (0, r"Can't reach the server since \d\d:\d\d"),
    ],
)
def test_the_notice_says_what_answers(
    page: Page, unchanged: Served, status: int, words: str
) -> None:
    page.clock.install()
    loads = opened(page, unchanged)
    for pattern in (CALLBACKS, f"{unchanged.url}/"):
        page.route(pattern, answer(status) if status else abort)
    passes(page, lambda: re.match(words, page.locator("#notice").inner_text()))
    expect(headline(page)).to_have_text("Can't tell")
    page.unroute_all()
    passes(page, lambda: not page.locator("#notice").inner_text())
    assert len(loads) == 1


def test_ages_of_facts_that_are_not_followed_stand_still(page: Page, unchanged: Served) -> None:
    """A write may have come since: only the age of the page itself goes on."""
    page.clock.install()
    opened(page, unchanged)
    page.route("**/*", abort)
    passes(page, page.locator("#notice").inner_text)
    told = page.locator("#card-email .facts").first.inner_text()
    page.clock.run_for(600_000)
    expect(page.locator("#age")).to_contain_text("min ago")
    expect(page.locator("#card-email .facts").first).to_have_text(told, use_inner_text=True)


def test_a_device_without_a_network_says_so(page: Page, unchanged: Served) -> None:
    opened(page, unchanged)
    page.context.set_offline(True)
    expect(page.locator("#notice")).to_contain_text("This device is offline since")
    page.context.set_offline(False)
    expect(page.locator("#notice")).to_be_empty()


def test_a_woken_tab_updates_before_it_warns(page: Page, unchanged: Served) -> None:
    """Nothing but the clock tells that a lid was shut over a visible tab (ilios/frontend 3315)."""
    page.clock.install()
    opened(page, unchanged)
    page.route(CALLBACKS, hang)
    page.clock.fast_forward(40_000)
    expect(page.locator("#age")).to_have_text("Updating…")
    expect(page.locator("#notice")).to_be_empty()
    expect(headline(page)).to_have_text("All well")
    passes(page, page.locator("#notice").inner_text)
    page.unroute(CALLBACKS)


def test_a_clock_that_is_set_neither_hides_nor_makes_an_age(page: Page, served: Served) -> None:
    opened(page, served)
    page.evaluate("window.real = Date.now; void (Date.now = () => real() + 3600_000)")
    expect(page.locator("#age")).to_contain_text("updated")
    expect(headline(page)).to_have_text("All 2 well")
    page.evaluate("void (Date.now = () => real() - 3600_000)")
    served.stop()
    expect(headline(page)).to_have_text("Can't tell")
    expect(page.locator("#notice")).to_contain_text("Can't reach the server since")


def test_on_paper_stand_date_and_time(page: Page, unchanged: Served) -> None:
    opened(page, unchanged)
    page.emulate_media(media="print")
    expect(page.locator("#printed-age")).to_have_text(
        re.compile(r"As of \d+ \w{3} \d{4}, \d\d:\d\d:\d\d CET|CEST")
    )
    expect(page.locator("#printed-age")).to_be_visible()
    expect(page.locator("#age")).to_be_hidden()
