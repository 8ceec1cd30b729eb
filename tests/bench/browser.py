"""A real Chromium with a slower network and processor, and its measurements of a page."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, sync_playwright

from tests.browser.conftest import FLAGS

MEASURE = """
window.measured = {shift: 0};
new PerformanceObserver((list) => {
  for (const entry of list.getEntries())
    if (!entry.hadRecentInput) window.measured.shift += entry.value;
}).observe({type: "layout-shift", buffered: true});
const check = () => {
  const cards = document.querySelector(SELECTOR);
  if (!window.measured.visible && cards && cards.getBoundingClientRect().height)
    window.measured.visible = performance.now();
  const app = document.querySelector("#app:not([hidden])");
  if (!window.measured.app && app) window.measured.app = performance.now();
  requestAnimationFrame(check);
};
requestAnimationFrame(check);
"""
"""Sums up layout shifts; records when the cards were first visible and the app interactive."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A network, and the factor by which the processor is slower."""

    latency_ms: int
    megabits: float
    slowdown: int = 1


DESK = Profile(40, 10)
PHONE = Profile(60, 10, 4)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a Chromium and close it at the end."""
    with sync_playwright() as playwright:
        path = os.environ["MISSION_CONTROL_CHROMIUM"]
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


class Visitor:
    """A browser context with its own cache, at first empty, that measures its visits."""

    def __init__(self, browser: Browser, profile: Profile) -> None:
        self._profile = profile
        self._context: BrowserContext = browser.new_context(viewport={"width": 390, "height": 660})

    def visit(self, url: str, selector: str) -> dict[str, float]:
        """Open a page; return milliseconds to its cards and app, layout shift, bytes, requests."""
        page = self._context.new_page()
        page.add_init_script(MEASURE.replace("SELECTOR", repr(selector)))
        session, received = self._slow(page)
        page.goto(url)
        page.wait_for_selector(selector)
        page.wait_for_load_state("networkidle")
        if page.query_selector("#app"):
            page.wait_for_selector("#app:not([hidden])")
        measured: dict[str, float] = page.evaluate("window.measured")
        session.detach()
        page.close()
        return {**measured, "bytes": sum(received), "requests": len(received)}

    def close(self) -> None:
        """Close the context and its cache."""
        self._context.close()

    def _slow(self, page: Page) -> tuple[CDPSession, list[float]]:
        session = self._context.new_cdp_session(page)
        received: list[float] = []

        def add(event: dict[str, Any]) -> None:
            if event["encodedDataLength"]:  # zero if it was cached
                received.append(event["encodedDataLength"])

        session.on("Network.loadingFinished", add)
        session.send("Network.enable")
        rate = self._profile.megabits * 1e6 / 8
        throttle = {"downloadThroughput": rate, "uploadThroughput": rate, "offline": False}
        throttle["latency"] = self._profile.latency_ms
        session.send("Network.emulateNetworkConditions", throttle)
        session.send("Emulation.setCPUThrottlingRate", {"rate": self._profile.slowdown})
        return session, received


def main_thread_seconds(session: CDPSession) -> float:
    """Return how long the main thread of a page has been busy."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))
