"""A real browser. `quiet_page` fails a test that logs to the console or leaves this machine."""

import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.harness import PATIENCE_SECONDS

FLAGS = (
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",  # its own pages, next to ours
)
ZONE = "Europe/Paris"

expect.set_options(timeout=PATIENCE_SECONDS * 1000)


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
    context = browser.new_context(viewport={"width": 390, "height": 660}, timezone_id=ZONE)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def quiet_page(page: Page) -> Iterator[Page]:
    """A page whose console must stay empty and whose requests must stay on this machine."""
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
    yield page
    assert noise == []
