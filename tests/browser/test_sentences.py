"""Sentences that stay true while they are shown, and times that stay where they were."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.harness import Served, make_database
from tests.rules.helpers import expecting, pretend_watched_for

RULES = """expect = {{every = "1h", grace = "10m"}}
[[databases]]
name = "small"
path = "{path}"
min_rows = 9_000
"""

AGED_58_SECONDS = """(time) => {
  time.setAttribute("datetime", new Date(Date.now() - 58_000).toISOString());
}"""


def test_a_sentence_follows_the_time_and_since_does_not(page: Page, tmp_path: Path) -> None:
    config = expecting(tmp_path, RULES.format(path=make_database(tmp_path / "small.db", tasks=742)))
    written_at = datetime.fromtimestamp((tmp_path / "email.db").stat().st_mtime, UTC)
    small, silent = page.locator("#card-small"), page.locator("#card-email .cause")
    with Served(config) as served:
        page.goto(served.url)
        expect(small.locator(".cause")).to_have_text("742 rows; expected at least 9,000.")
        since = small.locator("time[data-form=length]").get_attribute("datetime")
        pretend_watched_for(served, tmp_path, timedelta(hours=3))  # restarts the service
        page.reload()
        expect(silent).to_have_text("No write for 3 h; expected every hour.")
        expect(small.locator("time[data-form=length]")).to_have_attribute("datetime", f"{since}")
        (stored,) = served.json("/api/incidents?database=email")["incidents"]
        text = f"Email: No write since {written_at:%H:%M} UTC; expected every hour."
        assert stored["text"] == text
        expect(page.locator("#first-view")).to_have_count(0)  # its elements are replaced
        # A duration that the server never draws: only the page's own clock reaches it.
        silent.locator("time").evaluate(AGED_58_SECONDS)
        expect(silent).to_have_text("No write for 1 min; expected every hour.")
