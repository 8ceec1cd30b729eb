"""Measures on the page: folded on a phone's card, in place at each change, a chart by a link."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from dash_app import settings
from dash_app.history.writer import History
from tests.harness import Served, eventually, execute, make_database, write_config
from tests.measuring import ANY_SHARE, ASKED_AT_EACH_CHANGE

WIDTHS = (320, 390, 1440)
MEASURES = f"""
[[databases.measures]]
name = "open_tasks"
sql = "SELECT count(*) FROM tasks"
max = 5
unit = "tasks"
pinned = true
[[databases.measures]]
name = "by_status"
label = "{"A label that is rather long " * 2}"
sql = "SELECT 'a status of {"long " * 9}', 12345678.5 UNION SELECT 'done', 7"
pinned = true
[[databases.measures]]
name = "newest"
sql = "SELECT 1700000000"
unit = "age"
pinned = true
[[databases.measures]]
name = "broken"
sql = "SELECT nothing FROM tasks"
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_database(tmp_path_factory.mktemp("measures") / "email.db", tasks=3)


@pytest.fixture(scope="module")
def served(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("config")
    config = write_config(folder, [("email", path)], history='every = "1s"', measures=ANY_SHARE)
    with config.open("a") as file:
        file.write(MEASURES)
    now = datetime.now(UTC)
    earlier = [now - timedelta(minutes=minutes) for minutes in range(45, 0, -1)]
    with closing(History(settings.load(config).history)) as history:
        history.backfill(
            [("email", "tasks", at, 3, 3) for at in earlier],
            (),
            [("email", "open_tasks", None, at, 3) for at in earlier],
        )
    with Served(config, patch=ASKED_AT_EACH_CHANGE) as served:
        eventually(lambda: "Open tasks: 3 tasks" in served.get("/glance")[1])
        yield served


def test_measures_change_in_place_and_lead_to_their_chart(
    page: Page, served: Served, path: Path
) -> None:
    page.goto(served.url)
    card, tasks = page.locator("#app #card-email"), page.locator("#app dd").first
    expect(tasks).to_be_hidden()
    card.get_by_role("button", name="Details of Email").click()
    expect(tasks).to_have_text("3 tasks")
    before = card.locator(".measures").bounding_box()
    execute(path, "INSERT INTO tasks (text) VALUES ('x')")
    expect(tasks).to_have_text("4 tasks")
    assert card.locator(".measures").bounding_box() == before
    page.goto(f"{served.url}/databases/email")
    page.set_viewport_size({"width": 1440, "height": 600})
    page.locator("#app .measured a").first.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{served.url}/databases/email?show=measure%3Aopen_tasks#trends")
    expect(page.locator("#trends")).to_be_in_viewport()
    expect(page.locator("#ranges [aria-current]").first).to_have_text("Open tasks")
    chart = page.locator("#panels .panel")
    expect(chart.locator(".fact").first).to_have_text("4 tasks")

    def points_at_a_value() -> bool:
        """Point at the middle of the chart, which may get its width only now."""
        width = chart.locator(".plot").evaluate("plot => plot.clientWidth")
        chart.locator(".plot").hover(position={"x": width / 2, "y": 20})
        return "3 tasks " in chart.locator(".finger").inner_text()

    eventually(points_at_a_value)


@pytest.mark.parametrize("view", ["/?show=measures", "/databases/email?show=measures"])
def test_nothing_is_wider_than_the_screen_and_axe_finds_nothing(
    page: Page, served: Served, view: str
) -> None:
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(served.url + view)
    page.locator("#trends").scroll_into_view_if_needed()
    expect(page.locator(".as-table").first).to_be_attached()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 660})
        # Charts are drawn again a moment after the change.
        page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)
    assert Axe().run(page).response["violations"] == []
