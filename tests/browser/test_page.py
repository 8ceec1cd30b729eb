"""The page of a real service, in a real browser, at the size of a phone."""

import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.conftest import run_until
from tests.harness import LiveWriter, Served, eventually, make_database, write_config

NAMES = ("coordination", "observability", "content", "email", "health")


def five(folder: Path) -> dict[str, Path]:
    """Five paths to configure; all except `content` have a database."""
    paths = {name: folder / f"{name}.db" for name in NAMES}
    for name in set(NAMES) - {"content"}:
        make_database(paths[name], tasks=126, agents=7, drafts=0)
    return paths


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service for all tests that change nothing."""
    folder = tmp_path_factory.mktemp("unchanged")
    with Served(write_config(folder, five(folder).items())) as served:
        yield served


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    return five(tmp_path)


@pytest.fixture
def served(tmp_path: Path, paths: dict[str, Path]) -> Iterator[Served]:
    with Served(write_config(tmp_path, paths.items())) as served:
        yield served


def headline(page: Page) -> Locator:
    """The visible headline; the one for stale facts is hidden beside it."""
    return page.locator("#app h1 span >> visible=true")


def test_five_cards_appear_in_configured_order(quiet_page: Page, unchanged: Served) -> None:
    quiet_page.goto(unchanged.url)
    names = quiet_page.locator("#app .card .name")
    expect(names).to_have_text([name.capitalize() for name in NAMES])
    expect(headline(quiet_page)).to_have_text("4 well, 1 not initialized")
    expect(quiet_page.locator("#card-health .rows")).to_have_text("133 rows")
    expect(quiet_page.locator("#age")).to_contain_text("updated")


def test_the_first_response_has_the_cards_without_scripts(
    browser: Browser, unchanged: Served
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(unchanged.url)
    expect(page.locator(".card .rows").first).to_be_visible()
    expect(page.locator(".card .rows").first).to_have_text("133 rows")
    expect(page.get_by_text("Loading")).to_be_hidden()
    context.close()


def test_an_open_page_follows_new_settings(page: Page, served: Served, tmp_path: Path) -> None:
    extra = make_database(tmp_path / "extra.db", notes=5)
    page.goto(served.url)
    expect(headline(page)).to_have_text("4 well, 1 not initialized")
    with (tmp_path / "config.toml").open("a") as config:
        config.write(f'\n[[databases]]\nname = "extra"\npath = "{extra}"\n')
    served.process.send_signal(signal.SIGHUP)
    expect(page.locator("#app #card-extra .rows")).to_have_text("5 rows")
    expect(headline(page)).to_have_text("5 well, 1 not initialized")


def test_a_tick_keeps_open_parts_and_the_focus(
    quiet_page: Page, served: Served, paths: dict[str, Path]
) -> None:
    quiet_page.goto(served.url)
    expect(quiet_page.locator("#card-email .rows")).to_have_text("133 rows")
    fold = quiet_page.locator("#app #card-email .fold")
    fold.click()
    fold.focus()
    with LiveWriter(paths["email"]) as writer:
        writer.do("INSERT INTO tasks (text) VALUES ('one more')")
        expect(quiet_page.locator("#card-email .rows")).to_have_text("134 rows")
    expect(quiet_page.locator("#more-email")).to_be_visible()
    expect(quiet_page.locator("#more-email")).to_contain_text("1 empty table")
    expect(fold).to_be_focused()
    expect(fold).to_have_attribute("aria-expanded", "true")


def test_a_time_that_is_not_near_has_its_day_or_its_year(
    quiet_page: Page, unchanged: Served
) -> None:
    """As in `words.numbers.clock`, but in the browser's zone."""
    quiet_page.goto(unchanged.url)
    expect(quiet_page.locator("#app #card-email")).to_be_visible()
    for days, words in ((-700, r"\d+ \w{3} 20\d\d"), (2, r"\d\d:\d\d on \d+ \w{3}")):
        at = datetime.now(UTC) + timedelta(days=days)
        quiet_page.evaluate(
            "(at) => document.body.insertAdjacentHTML("
            "'beforeend', `<time data-form=clock class=probe datetime=${at}></time>`)",
            at.isoformat(timespec="seconds"),
        )
        expect(quiet_page.locator(".probe").last).to_have_text(re.compile(f"^{words}$"))


def test_what_is_opened_before_the_app_stays_open(quiet_page: Page, unchanged: Served) -> None:
    waiting: list[Route] = []
    quiet_page.route("**/_dash-layout*", lambda route: waiting.append(route))  # noqa: PLW0108
    with quiet_page.expect_request("**/_dash-layout*"):
        quiet_page.goto(unchanged.url)
    quiet_page.locator("#first-view #card-email .fold").click()
    expect(quiet_page.locator("#first-view #more-email")).to_be_visible()
    waiting[0].continue_()
    expect(quiet_page.locator("#app #more-email")).to_be_visible()
    expect(quiet_page.locator("#app #more-health")).to_be_hidden()


def test_the_badge_changes_when_a_database_appears_and_disappears(
    quiet_page: Page, served: Served, paths: dict[str, Path]
) -> None:
    quiet_page.goto(served.url)
    card = quiet_page.locator("#card-content")
    expect(card).to_contain_text("Not initialized")
    expect(card).to_contain_text(f"No file yet at {paths['content']}.")
    make_database(paths["content"], articles=3)
    expect(card).to_contain_text("Connected")
    expect(headline(quiet_page)).to_have_text("All 5 well")
    paths["content"].unlink()
    expect(card).to_contain_text("Error")
    expect(card).to_contain_text("The file is gone.")
    expect(card).to_contain_text("Last seen: 3 rows")
    expect(headline(quiet_page)).to_contain_text("Content is gone, ")
    expect(quiet_page.get_by_role("status")).to_have_text("Content is gone")
    expect(quiet_page).to_have_title("(1) Content · Mission Control")
    quiet_page.get_by_role("link", name="Content is gone").click()
    expect(card).to_be_in_viewport()


def test_a_page_without_its_server_says_so_and_recovers(page: Page, served: Served) -> None:
    page.clock.install()
    page.goto(served.url)
    expect(headline(page)).to_have_text("4 well, 1 not initialized")
    served.stop()
    run_until(page, page.locator("#notice").inner_text)
    expect(page.locator("#notice")).to_contain_text("Can't reach the server since")
    expect(headline(page)).to_have_text("Can't tell")
    expect(page.get_by_role("status")).to_have_text("Can't tell")
    expect(page.locator("#card-health .when-stale")).to_be_visible()
    expect(page.locator("#card-health .facts time").first).to_have_text(re.compile(r"^\d\d:\d\d$"))
    served.restart()
    run_until(page, lambda: not page.locator("#notice").inner_text())
    expect(headline(page)).to_have_text("4 well, 1 not initialized")


def test_the_theme_follows_the_system_until_it_is_chosen(
    browser: Browser, unchanged: Served
) -> None:
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    root = page.locator("html")
    page.goto(unchanged.url)
    expect(root).to_have_attribute("data-bs-theme", "light")
    page.emulate_media(color_scheme="dark")
    expect(root).to_have_attribute("data-bs-theme", "dark")
    page.locator("#app").get_by_role("button", name="Light").click()
    expect(root).to_have_attribute("data-bs-theme", "light")
    page.reload()
    expect(root).to_have_attribute("data-bs-theme", "light")
    context.close()


def test_a_hidden_tab_polls_once_per_minute_and_catches_up_at_once(
    quiet_page: Page, served: Served, paths: dict[str, Path]
) -> None:
    """Only its icon and title are visible."""
    quiet_page.clock.install()
    quiet_page.goto(served.url)
    expect(quiet_page.locator("#age")).to_contain_text("updated")
    set_hidden(quiet_page, hidden=True)
    paths["email"].unlink()
    eventually(lambda: served.json("/api/db-status")["headline"].startswith("Email is gone"))
    requests: list[str] = []
    quiet_page.on("request", lambda request: requests.append(request.url))
    quiet_page.clock.run_for(30_000)
    assert requests == []
    with quiet_page.expect_response("**/_dash-update-component*"):
        quiet_page.clock.run_for(40_000)
    expect(quiet_page).to_have_title("(1) Email · Mission Control")
    expect(quiet_page.locator("#icon")).to_have_attribute("href", "/assets/icons/state-fault.svg")
    expect(quiet_page.locator("#notice")).to_be_empty()
    with quiet_page.expect_request("**/_dash-update-component*"):
        set_hidden(quiet_page, hidden=False)


def set_hidden(page: Page, *, hidden: bool) -> None:
    """Simulate that the tab goes to the background, or comes back."""
    value = str(hidden).lower()
    page.evaluate(
        f"Object.defineProperty(document, 'hidden', {{value: {value}, configurable: true}});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )


def test_the_page_never_scrolls_sideways(quiet_page: Page, tmp_path: Path) -> None:
    long_name = "a_table_with_a_very_long_name_that_goes_on_and_on_and_on_and_on"
    paths = {
        "a-database-with-a-long-name-of-its-own": make_database(
            tmp_path / "a.db", wal=True, **{long_name: 3}
        ),
        "b": make_database(tmp_path / "b.db"),
        "c": make_database(tmp_path / "c.db", lines=1),
    }
    with Served(write_config(tmp_path, paths.items())) as served:
        quiet_page.goto(served.url)
        expect(quiet_page.locator("#app .card")).to_have_count(3)
        for width, size in product((320, 390, 768, 1440, 2560), ("100%", "200%")):
            quiet_page.set_viewport_size({"width": width, "height": 700})
            quiet_page.evaluate(f"document.documentElement.style.fontSize = '{size}'")
            assert quiet_page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_replaced_file_is_a_problem_until_it_is_acknowledged(
    quiet_page: Page, served: Served, paths: dict[str, Path]
) -> None:
    quiet_page.goto(served.url)
    expect(headline(quiet_page)).to_have_text("4 well, 1 not initialized")
    make_database(paths["email"].with_name("new.db"), letters=5).replace(paths["email"])
    card = quiet_page.locator("#card-email")
    expect(card.locator(".when-fresh")).to_have_text("Check")
    expect(card.locator(".cause")).to_contain_text("Replaced by another file")
    expect(headline(quiet_page)).to_have_text("Email was replaced")
    expect(quiet_page.locator("#headline .lines")).to_contain_text(
        "3 others well, 1 not initialized"
    )
    expect(quiet_page).to_have_title("(1) Email · Mission Control")
    expect(quiet_page.locator("#events li")).to_have_count(0)  # it is on its card
    for name, title in (("email", "(1) Email was replaced"), ("health", "Health")):
        quiet_page.goto(f"{served.url}/databases/{name}")
        expect(quiet_page).to_have_title(f"{title} · Mission Control")
    quiet_page.goto(served.url)
    card.get_by_role("button", name="Acknowledge: Email").click()
    expect(card.locator(".when-fresh")).to_have_text("Connected")
    expect(headline(quiet_page)).to_have_text("4 well, 1 not initialized")
    expect(card.get_by_role("button", name="Acknowledge")).to_have_count(0)
    expect(quiet_page.locator("#events li").first).to_contain_text("Replaced by another file")
    served.stop()
    served.restart()
    assert served.database("email")["findings"] == []


def test_the_view_of_a_database_follows_its_changes(
    quiet_page: Page, served: Served, paths: dict[str, Path]
) -> None:
    with LiveWriter(paths["email"]) as writer:
        quiet_page.goto(served.url)
        quiet_page.get_by_role("link", name="Email", exact=True).click()
        expect(quiet_page).to_have_url(f"{served.url}/databases/email")
        expect(quiet_page.locator("#app h1")).to_have_text("Email")
        expect(quiet_page).to_have_title("Email · Mission Control")
        expect(quiet_page.get_by_role("status")).to_have_text("Email Connected")
        rows = quiet_page.locator("#app .sortable tbody tr")
        expect(rows.nth(0)).to_contain_text("tasks")
        assert writer.do("INSERT INTO agents (text) VALUES ('x')") == []
        expect(quiet_page.locator("#app .pairs.four")).to_contain_text("Rows134")
        expect(quiet_page.locator("#app .openers")).to_contain_text(f"(pid {writer.process.pid})")
        quiet_page.get_by_role("link", name="Table", exact=True).click()
        expect(rows.nth(0).locator("td").first).to_have_text("8")
        expect(quiet_page.locator('#app th[aria-sort="ascending"]')).to_have_text("Table")
        quiet_page.locator("#app .schemas > summary").click()
        schema = quiet_page.locator("#app .schema").first
        schema.locator("summary").click()
        expect(schema.get_by_role("row", name="text TEXT")).to_be_visible()
        assert writer.do("INSERT INTO agents (text) VALUES ('x')") == []
        expect(rows.nth(0).locator("td").first).to_have_text("9")
        expect(schema.get_by_role("row", name="text TEXT")).to_be_visible()  # no tick closes it
        # Two minutes after the start there are charts, and so something to choose from.
        expect(quiet_page.locator("#app .panels")).to_contain_text("watching since")
        expect(quiet_page.locator("#app #ranges .choice")).to_have_count(0)


def test_five_well_cards_are_above_the_fold_and_nothing_shifts(
    quiet_page: Page, served: Served, paths: dict[str, Path]
) -> None:
    make_database(paths["content"], articles=3)
    eventually(lambda: served.json("/api/db-status")["headline"] == "All 5 well")
    quiet_page.add_init_script(
        "window.shifted = 0; new PerformanceObserver((list) => list.getEntries().forEach("
        "(entry) => { window.shifted += entry.value; }"
        ")).observe({ type: 'layout-shift', buffered: true })"
    )
    quiet_page.goto(served.url)
    expect(headline(quiet_page)).to_have_text("All 5 well")
    last = quiet_page.locator("#card-health").bounding_box()
    assert last is not None
    assert last["y"] + last["height"] <= 660
    with LiveWriter(paths["email"]) as writer:
        assert writer.do("INSERT INTO tasks (text) VALUES ('x')") == []
        expect(quiet_page.locator("#card-email .rows")).to_have_text("134 rows")
    assert quiet_page.evaluate("window.shifted") < 0.01


def test_a_browser_without_a_referer_gets_the_view_too(page: Page, unchanged: Served) -> None:
    page.route(
        "**/_dash-layout",
        lambda route: route.continue_(
            headers={k: v for k, v in route.request.headers.items() if k != "referer"}
        ),
    )
    page.goto(f"{unchanged.url}/databases/email")
    expect(page.locator("#app h1")).to_have_text("Email")
    expect(page.locator("#app .sortable tbody td").first).to_have_text("126")
    expect(page.locator("#app .cards")).to_have_count(0)
