"""A real Chromium whose network and processor are slowed down, and what it notes of a page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, sync_playwright

from tests.browser.conftest import FLAGS

NOTE = """
window.noted = {shift: 0};
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.noted.shift += one.value;
}).observe({type: "layout-shift", buffered: true});
const look = () => {
  const seen = document.querySelector(SELECTOR);
  if (!window.noted.visible && seen && seen.getBoundingClientRect().height)
    window.noted.visible = performance.now();
  const app = document.querySelector("#app:not([hidden])");
  if (!window.noted.app && app) window.noted.app = performance.now();
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
"""Counts layout shifts; notes the first frame that shows the cards, and when the app took over."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A network, and by how much the processor is slower."""

    latency_ms: int
    megabits: float
    slowdown: int = 1


DESK = Profile(40, 10)
PHONE = Profile(60, 10, 4)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium for the time of a context."""
    with sync_playwright() as playwright:
        path = os.environ["MISSION_CONTROL_CHROMIUM"]
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


class Visitor:
    """A browser with a cache of its own: visits pages, and says what each visit took."""

    def __init__(self, browser: Browser, profile: Profile) -> None:
        """Begin with nothing cached."""
        self._profile = profile
        self._context: BrowserContext = browser.new_context(viewport={"width": 390, "height": 660})

    def visit(self, url: str, selector: str) -> dict[str, float]:
        """Open a page; return milliseconds to its cards and app, layout shift, bytes."""
        page = self._context.new_page()
        page.add_init_script(NOTE.replace("SELECTOR", repr(selector)))
        session, received = self._slow(page)
        page.goto(url)
        page.wait_for_selector(selector)
        page.wait_for_load_state("networkidle")
        if page.query_selector("#app"):
            page.wait_for_selector("#app:not([hidden])")
        noted: dict[str, float] = page.evaluate("window.noted")
        session.detach()
        page.close()
        return {**noted, "bytes": sum(received), "requests": len(received)}

    def close(self) -> None:
        """Forget everything."""
        self._context.close()

    def _slow(self, page: Page) -> tuple[CDPSession, list[float]]:
        session = self._context.new_cdp_session(page)
        received: list[float] = []

        def note(event: dict[str, Any]) -> None:
            if event["encodedDataLength"]:  # nothing comes of what is cached
                received.append(event["encodedDataLength"])

        session.on("Network.loadingFinished", note)
        session.send("Network.enable")
        rate = self._profile.megabits * 1e6 / 8
        throttle = {"downloadThroughput": rate, "uploadThroughput": rate, "offline": False}
        throttle["latency"] = self._profile.latency_ms
        session.send("Network.emulateNetworkConditions", throttle)
        session.send("Emulation.setCPUThrottlingRate", {"rate": self._profile.slowdown})
        return session, received


def main_thread_seconds(session: CDPSession) -> float:
    """Return how long a page's main thread has worked."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))
