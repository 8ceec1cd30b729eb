"""Trends in a real browser: labels, bars, gaps, and one finger for all charts."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from dash_app.history.rollups import roll_up_all
from tests.browser.conftest import CALLBACKS, PHONE, ZONE, run_answered, silent
from tests.harness import Served, eventually, make_database, write_config

HOUR = 3600
GAP = range(9, 12)
"""Hours before the present one in which nobody watched."""

LARGEST = {"email": 4_888, "content": 12_345_678}
SHIFTS = """
    window.shifts = [];
    new PerformanceObserver((list) => shifts.push(...list.getEntries().map((entry) => entry.value)))
        .observe({ type: "layout-shift", buffered: true });
"""
DRAWN_HEIGHTS = """
    () => {
        if (document.querySelector("#first-view")) return null;  // its panels are replaced
        const heights = [...document.querySelectorAll(".panel")].map((panel) => panel.offsetHeight);
        return heights.length && heights.every(Boolean) && heights;
    }
"""
SIZED = """
    () => [...document.querySelectorAll(".frame")].every((frame) =>
        [...frame.querySelectorAll(".bars path, .js-line")].some((mark) => {
            const { width, height } = mark.getBoundingClientRect();
            return width && (height || mark.matches(".js-line"));
        }))
"""
"""Whether every chart has its size, which it gets a moment after its marks."""

NUMBERS = "(marks) => marks.map((mark) => mark.getBoundingClientRect().toJSON())"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two databases with a day of hours, of which the present one has most rows; and a new one."""
    folder = tmp_path_factory.mktemp("trends")
    names = (*LARGEST, "new")
    paths = [(name, make_database(folder / f"{name}.db", tasks=126)) for name in names]
    # This hour has begun, with its point, and lasts for all tests.
    eventually(lambda: 9 <= datetime.now(UTC).timestamp() % HOUR < 58 * 60, within=135)
    with Served(write_config(folder, paths, history='every = "1h"')) as served:
        eventually(lambda: served.json("/api/db-status")["connected"] == len(names))
        served.stop()
        with closing(sqlite3.connect(folder / "history.db")) as history:
            _write_a_day(history)
            history.commit()
        served.restart()
        yield served


def _write_a_day(history: sqlite3.Connection) -> None:
    now = int(datetime.now(UTC).timestamp())
    present = now // HOUR * HOUR
    history.execute("DELETE FROM rollup")
    for name, largest in LARGEST.items():
        sql = "SELECT id FROM series WHERE database = ? AND \"table\" = 'tasks'"
        ((series,),) = history.execute(sql, (name,))
        history.execute("DELETE FROM point WHERE series = ?", (series,))
        written = 0
        for hours in range(30, -1, -1):
            # The present hour has the most rows. One hour has none, and the one after the gap.
            written += {0: 2 * largest, 1: largest, 2: 0}.get(hours, 1)
            if hours not in GAP:
                at = min(present - hours * HOUR + 9, now)
                history.execute(
                    "INSERT INTO point VALUES (?, ?, 126, ?, NULL)", (series, at, written)
                )
        gap = (present - GAP[-1] * HOUR, present - (GAP[0] - 1) * HOUR + 9)
        history.execute("DELETE FROM watched WHERE database = ?", (name,))
        spans = [(name, present - 30 * HOUR, gap[0]), (name, gap[1], now)]
        history.executemany("INSERT INTO watched VALUES (?, ?, ?)", spans)
    changed_at = datetime.fromtimestamp(present - 5.5 * HOUR, UTC)
    changed = (
        "email",
        "schema_changed",
        changed_at.isoformat(),
        '{"objects": []}',
        '{"objects": ["table x"]}',
    )
    history.execute(
        "INSERT INTO event (database, kind, at, before, after) VALUES (?, ?, ?, ?, ?)", changed
    )
    roll_up_all(history)


@pytest.fixture(scope="module")
def opened(browser: Browser, served: Served) -> Iterator[Page]:
    """The page with its charts on a phone, for the tests that only look at it."""
    context = browser.new_context(viewport=PHONE, timezone_id=ZONE)
    page = context.new_page()
    with silent(page):
        open_trends(page, served.url)
        yield page
    context.close()


def open_trends(page: Page, url: str) -> None:
    """Open a page and wait for its charts."""
    page.goto(url)
    page.locator("#trends").scroll_into_view_if_needed()
    expect(
        page.locator('[data-drawn^="20"]')
    ).to_be_attached()  # of the first record, or they change
    page.wait_for_function(SIZED)


def test_charts_are_loaded_once_in_view_in_the_browsers_zone(
    quiet_page: Page, served: Served
) -> None:
    quiet_page.set_viewport_size({"width": 390, "height": 320})
    quiet_page.goto(served.url)
    expect(quiet_page.locator(".panel")).to_have_count(len(LARGEST))
    assert quiet_page.evaluate("typeof window.Plotly") == "undefined"
    open_trends(quiet_page, served.url)
    hour = quiet_page.evaluate("String(new Date().getHours()).padStart(2, '0')")
    assert quiet_page.evaluate("new Date().getTimezoneOffset()") != 0
    expect(quiet_page.get_by_role("img", name=f"Email: 9,776 since {hour}:00")).to_be_visible()


@pytest.mark.parametrize("recorded", [r"\g<0>", '"recorded":null'], ids=["same", "older facts"])
def test_charts_are_asked_for_once_per_record(page: Page, served: Served, recorded: str) -> None:
    """Also if they are of a newer record than the facts, which are asked for less often."""
    requests: list[str] = []

    def change(route: Route) -> None:
        if "panels.children" in (route.request.post_data or ""):
            requests.append(route.request.url)
        answer = route.fetch()
        text = re.sub('"recorded":"[^"]*"', recorded, answer.text())
        route.fulfill(response=answer, body=text)

    page.clock.install()
    page.route("**/_dash-*", change)
    open_trends(page, served.url)
    run_answered(page, 25)
    page.unroute_all(behavior="ignoreErrors")
    expect(page.locator("#charts-late")).to_be_empty()
    assert len(requests) == 1


def test_charts_of_another_query_are_asked_for_at_once_and_once(page: Page, served: Served) -> None:
    """Also while others are awaited, and if the browser goes back."""
    asked: list[str] = []

    def note(route: Route) -> None:
        if "panels.children" in (route.request.post_data or ""):
            state = json.loads(route.request.post_data or "")["state"]
            asked.append(next(part["value"] for part in state if part["property"] == "search"))
        route.continue_()

    page.route(CALLBACKS, note)
    open_trends(page, served.url)
    chosen = page.locator("#ranges [aria-current]").last
    for name in ("6 h", "7 d"):
        page.locator("#ranges").get_by_role("link", name=name).click()
    expect(chosen).to_have_text("7 d")
    expect(page.locator("[data-drawn$='?range=7d']")).to_be_attached()
    page.go_back()
    expect(chosen).to_have_text("6 h")
    page.unroute_all(behavior="ignoreErrors")
    assert asked == ["", "?range=6h", "?range=7d", "?range=6h"]


def test_charts_that_are_drawn_again_are_not_asked_for_meanwhile(
    page: Page, served: Served
) -> None:
    """Dash removes charts before it draws new ones, and an extension may remove them for good."""
    bodies: list[str] = []
    page.on("request", lambda request: bodies.append(request.post_data or ""))

    def requests() -> int:
        return sum("panels.children" in body for body in bodies)

    page.clock.install()
    open_trends(page, served.url)
    run_answered(page, 1)
    page.evaluate("document.querySelectorAll('.frame svg').forEach((svg) => svg.remove())")
    run_answered(page, 4)
    assert requests() == 1
    run_answered(page, 25)
    assert requests() == 2


def test_the_running_bar_is_drawn_and_not_in_the_scale(opened: Page) -> None:
    bars = opened.locator("#chart-0 .bars path")
    expect(bars).to_have_count(22)
    eventually(lambda: bars.nth(20).evaluate("bar => bar.getBoundingClientRect().height") > 99)
    boxes = bars.evaluate_all(NUMBERS)
    heights = [box["height"] for box in boxes]
    assert max(heights[:-1]) == heights[-2] == pytest.approx(100, abs=1)
    stubs = [height for height in heights if height < 3]
    assert stubs == pytest.approx([2, 2], abs=1)
    assert sorted(heights)[2] == pytest.approx(4, abs=1)
    opacities = bars.evaluate_all("(bars) => bars.map((bar) => getComputedStyle(bar).opacity)")
    assert opacities == [*["1"] * 21, "0.5"]
    right = opened.locator(".plot").first.evaluate("plot => plot.getBoundingClientRect().right")
    assert boxes[-1]["right"] == pytest.approx(right, abs=1)


@pytest.mark.parametrize("query", ["", "?show=rows"])
def test_a_gap_has_no_ink(quiet_page: Page, served: Served, query: str) -> None:
    open_trends(quiet_page, served.url + query)
    gaps = quiet_page.locator(".band").evaluate_all(NUMBERS)
    assert len(gaps) >= len(LARGEST)
    ink = "#chart-0 .js-line, #chart-0 .js-fill, #chart-0 .bars path"
    drawn = quiet_page.locator(ink).evaluate_all(NUMBERS)
    assert drawn
    for box in drawn:
        assert box["right"] <= gaps[0]["left"] + 1 or box["left"] >= gaps[0]["right"] - 1
    expect(quiet_page.locator(".below")).to_contain_text("not watched")


def test_one_finger_points_at_the_same_instant_in_every_panel(opened: Page) -> None:
    fingers, height = opened.locator(".finger"), "document.getElementById('panels').offsetHeight"
    rest, tall = opened.locator(".rest").all_inner_texts(), opened.evaluate(height)
    point(opened, 1 - 1.5 / 25)
    times = [text.split(" rows ")[1] for text in fingers.all_inner_texts()]
    assert len(set(times)) == 1 < len(times)
    assert fingers.all_inner_texts()[0].startswith("4,888 rows ")
    assert fingers.all_inner_texts()[1].startswith("12,345,678 rows ")
    places = "(lines) => lines.map((line) => line.style.left)"
    assert len(set(opened.locator(".finger-line").evaluate_all(places))) == 1
    expect(opened.locator(".rest").first).to_be_hidden()
    assert opened.evaluate(height) == tall
    point(opened, 1 - (GAP[1] + 0.5) / 25)
    expect(fingers.first).to_have_text(re.compile(r"^ ?not watched \d\d:00 to \d\d:00$"))
    assert fingers.first.locator("span").inner_text().strip().startswith("not watched")
    point(opened, 1 - 6.5 / 25)
    expect(fingers.first).to_contain_text("Schema changed: + table x")
    expect(fingers.nth(1)).to_contain_text("1 row ")
    opened.mouse.move(5, 5)
    expect(fingers.first).to_be_empty()
    assert opened.locator(".rest").all_inner_texts() == rest


def point(page: Page, share: float) -> None:
    """Move the mouse over the first chart, to this share of its time axis."""
    (box,) = page.locator(".plot").first.locator("xpath=.").evaluate_all(NUMBERS)
    page.mouse.move(box["left"] + share * box["width"], box["top"] + 50)


def test_labels_are_whole_at_200_percent_text(opened: Page) -> None:
    """The last test that looks at this page: its charts follow a new size only after a while."""
    page = opened
    expect(page.locator(".ticks").first).to_have_text("04,888")
    expect(page.locator(".ticks").nth(1)).to_have_text("012.3 M")
    for width in (320, 390, 1440):
        page.set_viewport_size({"width": width, "height": 660})
        page.evaluate("document.documentElement.style.fontSize = '200%'")
        panels = page.locator(".panel").evaluate_all(NUMBERS)
        for panel, box in enumerate(panels):
            labels = page.locator(".panel").nth(panel).locator(".ticks span, .instants span")
            shown = [label for label in labels.evaluate_all(NUMBERS) if label["width"]]
            assert len(shown) > 3
            for label in shown:
                assert label["width"] > 10
                assert box["left"] <= label["left"] < label["right"] <= box["right"]
            hours = sorted(shown[2:], key=lambda label: label["left"])
            for one, next_ in pairwise(hours):
                assert one["right"] < next_["left"]


def test_a_tap_shows_an_instant_until_the_next(browser: Browser, served: Served) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 660}, has_touch=True)
    page = context.new_page()
    open_trends(page, served.url)
    page.locator(".frame").first.tap(position={"x": 250, "y": 50})
    expect(page.locator(".finger").nth(1)).to_contain_text(" to ")
    page.locator("#trends h2").tap()
    expect(page.locator(".finger").nth(1)).to_be_empty()
    page.get_by_text("As a table").tap()
    expect(page.locator(".as-table td").first).to_be_visible()
    sizes = "({ scrollWidth, clientWidth }) => [scrollWidth, clientWidth]"
    table, shown = page.locator(".as-table > div").evaluate(sizes)
    assert table > shown
    assert page.evaluate(f"({sizes})(document.documentElement)") == [390, 390]
    context.close()


def test_new_charts_leave_the_table_open_and_the_focus_where_it_is(
    page: Page, tmp_path: Path
) -> None:
    path = make_database(tmp_path / "email.db", tasks=126)
    with Served(write_config(tmp_path, [("email", path)], history='every = "1s"')) as served:
        page.goto(served.url)
        page.locator("#trends").scroll_into_view_if_needed()
        table = page.get_by_text("As a table")
        for control in (table, page.locator("#ranges a").first):
            control.focus()
            if control is table:
                control.press("Enter")
            drawn = page.locator("[data-drawn]")
            first = drawn.get_attribute("data-drawn")
            expect(drawn).not_to_have_attribute("data-drawn", first or "")
            expect(control).to_be_focused()
            expect(page.locator(".as-table td").first).to_be_visible()


def test_choices_keep_each_other_and_are_marked(quiet_page: Page, served: Served) -> None:
    open_trends(quiet_page, f"{served.url}/databases/email?sort=table")
    chosen = quiet_page.locator("#ranges [aria-current]")
    expect(chosen).to_have_text(["Rows written", "24 h"])
    expect(quiet_page.locator("#ranges a")).to_have_text(
        ["Rows written", "Rows", "1 h", "6 h", "24 h", "7 d"]
    )
    quiet_page.get_by_role("link", name="6 h").click()
    expect(chosen).to_have_text(["Rows written", "6 h"])
    quiet_page.get_by_role("link", name="Rows", exact=True).last.click()
    expect(chosen).to_have_text(["Rows", "6 h"])
    assert quiet_page.url.split("?")[1] == "range=6h&sort=table&show=rows"
    head = quiet_page.locator("th a").nth(2)
    expect(head).to_have_attribute("href", "?range=6h&show=rows&sort=change")
    head.click()
    expect(quiet_page.locator('[aria-sort="descending"]')).to_have_text("In 24 h")
    expect(chosen).to_have_text(["Rows", "6 h"])
    assert quiet_page.url.endswith("?range=6h&show=rows&sort=change")


def test_nothing_moves_when_charts_arrive_or_grow(page: Page, served: Served) -> None:
    page.add_init_script(SHIFTS)
    page.set_viewport_size({"width": 390, "height": 320})
    page.goto(served.url)
    placeholders = page.wait_for_function(DRAWN_HEIGHTS).json_value()
    assert len(placeholders) == len(LARGEST)
    heights = "(panels) => panels.map((panel) => panel.offsetHeight)"
    page.locator("#trends").scroll_into_view_if_needed()
    expect(page.locator("#chart-0 .main-svg").first).to_be_attached()
    assert page.locator(".panel").evaluate_all(heights) == placeholders
    expect(page.locator(".below")).to_contain_text("New: watching since")
    before = page.locator("#trends").evaluate_all(NUMBERS)[0]["height"]
    page.evaluate("dash_clientside.set_props('browser', { data: { at: 1 } })")
    expect(page.locator(".below")).to_contain_text("As a table")
    assert page.locator("#trends").evaluate_all(NUMBERS)[0]["height"] == before
    assert sum(json.loads(page.evaluate("JSON.stringify(shifts)"))) < 0.005
