"""Incidents in a real browser: acknowledged, withdrawn, and an event once ended."""

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.harness import Served, eventually, make_database, write_config


def test_a_tap_acknowledges_an_incident_and_another_withdraws_it(
    quiet_page: Page, tmp_path: Path
) -> None:
    agents = tmp_path / "agents"
    names = ("email", "health")
    paths = [(name, make_database(agents / f"{name}.db", tasks=9)) for name in names]
    config = write_config(tmp_path, paths, server="trust_tailscale_identity = true")
    quiet_page.set_extra_http_headers({"Tailscale-User-Login": "ann@example.com"})
    with Served(config) as served:
        quiet_page.goto(served.url)
        expect(quiet_page.locator("#app .card.database")).to_have_count(2)
        expect(quiet_page.locator("#app #incidents")).to_be_empty()
        agents.rename(tmp_path / "away")
        card = quiet_page.locator("#app .card.incident")
        expect(card).to_contain_text("is gone.")
        quiet_page.get_by_role("link", name="Email and Health: file gone").click()
        expect(card).to_be_in_viewport()
        card.get_by_role("button", name="8 h").click()
        expect(card).to_contain_text("Acknowledged by ann@example.com until")
        (one,) = served.json("/api/incidents")["incidents"]
        assert one["acknowledged"]["by"] == "ann@example.com"
        assert one["acknowledged"]["until"] > one["acknowledged"]["at"]
        quiet_page.goto(f"{served.url}/databases/health")
        card.get_by_role("button", name="Withdraw").click()
        expect(card.get_by_role("group")).to_contain_text("Acknowledge for")
        assert served.json("/api/incidents")["incidents"][0]["acknowledged"] is None
        (tmp_path / "away").rename(agents)
        expect(card).to_have_count(0)
        event = quiet_page.locator("#app #events li").first
        expect(event).to_contain_text("Over after")
        expect(event).to_contain_text("file gone since")
        assert eventually(lambda: served.json("/api/incidents?open=false")["incidents"])
