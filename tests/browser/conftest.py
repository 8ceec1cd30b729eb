"""A real browser. `quiet_page` fails a test that logs to the console or leaves this machine."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)

from dash_app import settings
from dash_app.airlock.page_checker import CheckState
from dash_app.history.writer import History
from dash_app.model.encoding import encode
from dash_app.model.integrity import TableCheck
from tests.harness import PATIENCE_SECONDS, eventually

FLAGS = (
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--renderer-process-limit=1",  # each new process would take a seventh of a page's time
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",  # its own pages, next to ours
)
CALLBACKS = "**/_dash-update-component*"
ZONE = "Europe/Paris"
PHONE: ViewportSize = {"width": 390, "height": 660}

expect.set_options(timeout=PATIENCE_SECONDS * 1000)


def store_page_checks(config: Path, index: str = "by_time") -> None:
    """Store that each configured database was checked 6 h ago, before its service starts."""
    now = datetime.now(UTC)
    checked, sizes = now - timedelta(hours=6), {"tasks": 1_100_000, index: 300_000}
    states = {}
    configured = settings.load(config)
    for database in configured.databases:
        if database.path.exists():
            found = database.path.stat()
            state = CheckState(
                f"{found.st_dev}:{found.st_ino}",
                checked,
                share=1.0,
                tables={"tasks": TableCheck(checked, "expression index")},
                table_bytes=sizes,
                index_tables={index: "tasks"},
            )
            states[database.name, str(database.path)] = encode(state)
    with closing(History(configured.history)) as history:
        history.store_states("integrity", states)


def run_answered(page: Page, seconds: int) -> None:
    """Advance the page's clock, once it is installed, as fast as the server answers its ticks.

    Otherwise a page that gets no answer for many of its seconds reloads itself.
    """
    for _second in range(seconds):
        with page.expect_response(CALLBACKS):
            page.clock.run_for(1000)


def run_until(page: Page, until: Callable[[], object]) -> None:
    """Advance the page's clock, once it is installed, by seconds until a condition holds."""

    def probe() -> bool:
        page.clock.run_for(1000)
        return bool(until())

    eventually(probe)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = os.environ.get("MISSION_CONTROL_CHROMIUM")
        assert chromium, "no Chromium: start the tests with ./ops/test, which installs it"
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=PHONE, timezone_id=ZONE)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def quiet_page(page: Page) -> Iterator[Page]:
    """A page whose console must stay empty and whose requests must stay on this machine."""
    with silent(page):
        yield page


@contextmanager
def silent(page: Page) -> Iterator[None]:
    """Fail if a page logs to the console or requests anything from another machine."""
    noise: list[str] = []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on(
        "requestfailed",
        lambda request: (
            noise.append(f"failed: {request.url}")
            if request.failure != "net::ERR_ABORTED"  # cancelled when the page is left
            else None
        ),
    )
    page.on(
        "request",
        lambda request: (
            noise.append(f"left this machine: {request.url}")
            if urlsplit(request.url).hostname not in {"127.0.0.1", None}
            else None
        ),
    )
    yield
    assert noise == []
