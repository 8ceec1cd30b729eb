"""The page on paper, in forced colours, enlarged, translated and offline."""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.conftest import CALLBACKS, PHONE, ZONE, run_answered, run_until
from tests.harness import Served, eventually, execute, make_database, write_config

PATHS = ("/", "/databases/lost", "/glance", "/nope")
LONG = "workspace-of-the-agent/state-and-history/observability.sqlite3"

INK = """async (png) => {
  const image = await createImageBitmap(await (await fetch("data:image/png;base64," + png)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
  canvas.drawImage(image, 0, 0);
  const data = canvas.getImageData(0, 0, image.width, image.height).data, shades = [];
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue] = [...data.slice(at, at + 3)].map((value) =>
      value <= 10 ? value / 3295 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    shades.push(0.2126 * red + 0.7152 * green + 0.0722 * blue);
  }
  return (Math.max(...shades) + 0.05) / (Math.min(...shades) + 0.05);
}"""
"""The greatest contrast between two pixels of a picture."""

SMALL = """() => [...document.querySelectorAll("a, button, summary")].filter((element) => {
  if (element.closest(".troubles")) return false;  // several links in one sentence
  if (!element.checkVisibility({ visibilityProperty: true })) return false;
  element.scrollIntoView({ block: "center", behavior: "instant" });
  const { left, right, top, bottom } = element.getBoundingClientRect();
  const x = (Math.max(left, 0) + Math.min(right, innerWidth)) / 2, y = (top + bottom) / 2;
  return ![-21.5, 21.5].every((off) => element.contains(document.elementFromPoint(x, y + off)));
}).map((element) => element.outerHTML)"""
"""The controls that a finger misses 22 px above or below their middle."""

CUT = """() => [...document.querySelectorAll("a, button, summary")].filter((element) => {
  if (!element.checkVisibility({ visibilityProperty: true })) return false;
  element.focus();
  const style = getComputedStyle(element), box = element.getBoundingClientRect();
  if (style.outlineStyle !== "solid" || style.outlineWidth !== "2px") return true;
  const ring = 2 + parseFloat(style.outlineOffset);
  for (let at = element.parentElement; at !== document.body; at = at.parentElement) {
    const clip = at.getBoundingClientRect(), { overflowX, overflowY } = getComputedStyle(at);
    const isWide = box.left - ring < clip.left || box.right + ring > clip.right;
    const isHigh = box.top - ring < clip.top || box.bottom + ring > clip.bottom;
    if ((overflowX === "hidden" && isWide) || (overflowY !== "visible" && isHigh)) return true;
  }
  return false;
}).map((element) => element.outerHTML)"""
"""The controls whose focus ring is missing or cut by an element around them."""

BROKEN = """() => {
  const lines = (node, from, to) => {
    const range = new Range();
    range.setStart(node, from);
    range.setEnd(node, to);
    return new Set([...range.getClientRects()].map((box) => box.bottom)).size;
  };
  const times = [...document.querySelectorAll("#app time")].filter((time) =>
    time.firstChild && lines(time, 0, time.childNodes.length) > 1);
  const isShort = (part) => part.data && part.length < 12 && !part.data.includes("-");
  const isBroken = (part) => isShort(part) && lines(part, 0, part.length) > 1;
  const paths = [...document.querySelectorAll("#app code")].filter((code) =>
    [...code.childNodes].some(isBroken));
  return [...times, ...paths].map((element) => element.outerHTML);
}"""
"""Times on two lines, and paths with a short part on two lines. A hyphen may end a line."""

TRANSLATOR = """
const translated = new WeakMap();
window.translations = 0;
const translate = () => {
  const walk = document.createTreeWalker(document, NodeFilter.SHOW_TEXT), found = [];
  while (walk.nextNode()) found.push(walk.currentNode);
  for (const node of found) {
    if (translated.get(node) === node.data || !node.data.trim()) continue;
    if (node.parentElement.closest("style, script")) continue;
    window.translations += 1;
    const text = new Text(node.data.toUpperCase());
    translated.set(text, text.data);
    if (node.parentElement.closest("title, svg")) {
      node.replaceWith(text);
      continue;
    }
    const [outer, inner] = [1, 2].map(() => document.createElement("font"));
    inner.append(text);
    outer.append(inner);
    node.replaceWith(outer);
  }
};
translate();
new MutationObserver(translate)
  .observe(document.documentElement, { childList: true, subtree: true, characterData: true });
"""
"""Replaces each text by one of its own in two elements, again after each change, as browsers do."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Databases that are well, gone together, not created, and one that lost rows."""
    folder: Path = tmp_path_factory.mktemp("states")
    away = folder / "away"
    paths = {
        "well": make_database(folder / LONG, tasks=126),
        "left": make_database(away / "left.db", tasks=7),
        "right": make_database(away / "right.db", tasks=7),
        "lost": make_database(folder / "lost.db", tasks=126, empty=0),
        "new": folder / f"new-{LONG}",
    }
    with Served(write_config(folder, paths.items())) as served:
        eventually(lambda: served.json("/api/db-status")["connected"] == 4)
        away.rename(folder / "elsewhere")
        execute(paths["lost"], "DELETE FROM tasks WHERE id > 5")
        eventually(lambda: len(served.json("/api/incidents?open=true")["incidents"]) == 2)
        yield served


def visit(page: Page, url: str) -> None:
    """Open the page, with its charts."""
    page.goto(url)
    if page.locator("#app").count():
        page.locator("#app #trends").scroll_into_view_if_needed()
        expect(page.locator("#app .panels .below")).to_be_visible()


@pytest.fixture(scope="module")
def opened(browser: Browser, served: Served) -> Iterator[dict[str, Page]]:
    """Each page in a tab of its own, with its charts, for the tests that only look at it."""
    context = browser.new_context(viewport=PHONE, timezone_id=ZONE)
    pages = {path: context.new_page() for path in PATHS}
    for path, page in pages.items():
        visit(page, served.url + path)
    yield pages
    context.close()


@contextmanager
def resized(page: Page) -> Iterator[None]:
    """Give a page its size back."""
    yield
    page.set_viewport_size(PHONE)
    page.evaluate("document.documentElement.style.fontSize = ''")


def ink(decoder: Page, shape: Locator) -> float:
    """Return the greatest contrast within the picture of an element."""
    contrast: float = decoder.evaluate(INK, base64.b64encode(shape.screenshot()).decode())
    return contrast


def test_every_shape_and_choice_is_visible_in_forced_colours(
    browser: Browser, served: Served
) -> None:
    for scheme in ("dark", "light"):
        context = browser.new_context(
            viewport={"width": 390, "height": 660}, forced_colors="active", color_scheme=scheme
        )
        page, decoder = context.new_page(), context.new_page()
        visit(page, served.url)
        shapes = [".dot", "#card-well .state .icon", "#card-lost .state .icon", "#card-well .fold"]
        for shape in shapes:
            found = page.locator(f"#app {shape} >> visible=true")
            assert ink(decoder, found.first) >= 3, (scheme, shape)
        background = "e => getComputedStyle(e).backgroundColor"
        chosen, other = (
            page.locator(f"#app [data-theme={name}]").evaluate(background)
            for name in ("system", "dark")
        )
        assert chosen != other
        context.close()


def test_paper_gets_light_colours_and_no_controls(opened: dict[str, Page]) -> None:
    for path, page in opened.items():
        page.emulate_media(color_scheme="dark")
        if path in PATHS[:2]:
            expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
        page.emulate_media(media="print", color_scheme="dark")
        assert page.locator("button >> visible=true").count() == 0, path
        assert page.locator("nav a >> visible=true").count() == 0, path
        body = page.locator("body")
        expect(body).to_have_css("background-color", "rgb(255, 255, 255)")
        expect(body).to_have_css("color", "rgb(24, 24, 27)")
        page.emulate_media(media="screen", color_scheme="light")


@pytest.mark.parametrize("path", PATHS)
def test_controls_are_large_and_their_rings_whole(opened: dict[str, Page], path: str) -> None:
    page = opened[path]
    page.bring_to_front()
    page.keyboard.press("Tab")
    assert page.evaluate(CUT) == []
    assert page.evaluate(SMALL) == []


@pytest.mark.parametrize("path", PATHS[:2])
def test_no_line_breaks_within_a_time_or_a_short_part_of_a_path(
    opened: dict[str, Page], path: str
) -> None:
    page = opened[path]
    with resized(page):
        for width, size in product((320, 390, 1440), ("100%", "200%")):
            page.set_viewport_size({"width": width, "height": 700})
            page.evaluate(f"document.documentElement.style.fontSize = '{size}'")
            assert page.evaluate(BROKEN) == [], (width, size)
            # Charts follow a new width after a while.
            is_narrow = "(width) => document.documentElement.scrollWidth <= width"
            page.wait_for_function(is_narrow, arg=width)


def test_a_notice_takes_the_place_of_the_lines(opened: dict[str, Page]) -> None:
    """A view keeps its cause, and its notice has a line of its own."""

    def stop(route: Route) -> None:
        answer = route.fetch()
        body = re.sub(r'"ageMs":\d+', '"ageMs":60000', answer.text())
        route.fulfill(response=answer, body=body)

    def tops(page: Page) -> list[float]:
        """Where the first card or fact is, on a phone and on a desktop."""
        page.evaluate("scrollTo(0, 0)")
        found = []
        for width in (390, 1440):
            page.set_viewport_size({"width": width, "height": 700})
            found.append(
                page.evaluate(
                    "document.querySelector('#app .card, #app .pairs').getBoundingClientRect().top"
                )
            )
        return found

    for path in PATHS[:2]:
        page = opened[path]
        with resized(page):
            before = tops(page)
            page.route(CALLBACKS, stop)
            expect(page.locator("#app #notice code")).to_have_text(re.compile("^systemctl --user"))
            expect(page.locator("#app #notice")).to_contain_text("The server stopped reading at")
            if path == "/":
                assert tops(page) == before
            else:
                expect(page.locator("#app .cause").first).to_be_visible()
            page.unroute_all(behavior="wait")
            expect(page.locator("#app #notice")).to_be_empty()


def test_nothing_is_red_or_amber_offline(page: Page, served: Served) -> None:
    page.clock.install()
    visit(page, served.url)
    coloured = page.locator("#app .state:is(.ok, .warn, .bad) >> visible=true")
    expect(coloured.first).to_be_visible()
    page.context.set_offline(True)
    run_until(page, page.locator("#app #notice").inner_text)
    expect(page.locator("#app #notice")).to_contain_text("This device has been offline since")
    badges = page.locator("#app .card.incident .state >> visible=true").all_inner_texts()
    assert badges
    assert all(re.match(r"As of \d\d:\d\d$", badge) for badge in badges)
    expect(coloured).to_have_count(0)
    page.context.set_offline(False)
    run_until(page, lambda: not page.locator("#app #notice").inner_text())


def test_a_translated_page_keeps_working(quiet_page: Page, tmp_path: Path) -> None:
    """A text of ours that does not change is not written again, which would undo a translation."""
    path = make_database(tmp_path / "email.db", tasks=126)
    page, body = quiet_page, quiet_page.locator("#app")
    config = write_config(tmp_path, [("email", path)], history='every = "1s"')
    with Served(config) as served:
        page.clock.install()
        visit(page, served.url)
        expect(page.locator("html")).to_have_attribute("data-freshness", "fresh")
        page.evaluate(TRANSLATOR)
        expect(page).to_have_title("MISSION CONTROL")
        expect(body.locator("h1 span >> visible=true")).to_have_text("EMAIL IS WELL")
        page.evaluate(
            "void (window.kept = [...document.querySelectorAll("
            "'#before-charts :is(h1, h3, [data-form=clock]) font')])"
        )
        run_answered(page, 10)
        expect(body.locator("#age")).to_contain_text("UPDATED")
        assert page.evaluate("kept.filter((text) => !text.isConnected).length") == 0
        execute(path, "DELETE FROM tasks WHERE id > 5")
        badge = body.locator("#card-email .state >> visible=true")
        expect(badge).to_have_text("ROWS LOST")
        expect(page).to_have_title(re.compile("EMAIL"))
        body.get_by_role("button", name="Acknowledge: Email").click()
        expect(badge).to_have_text("CONNECTED")
        body.get_by_role("link", name="ROWS", exact=True).click()
        expect(body.locator(".choice[aria-current] >> visible=true").first).to_have_text("ROWS")
        expect(body.locator("#trends .panel-head h3")).to_have_text("EMAIL")
