"""Acknowledging in a real browser: on the card of a database, or of an incident of several."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.harness import Served, eventually, make_database, write_config

ANN = {"Tailscale-User-Login": "ann@example.com"}


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    names = ("notes", "email", "health", "content")
    folders = {"email": "agents", "health": "agents"}
    return {
        name: make_database(tmp_path / folders.get(name, "x") / f"{name}.db", tasks=9)
        for name in names
    }


@pytest.fixture
def served(tmp_path: Path, paths: dict[str, Path]) -> Iterator[Served]:
    config = write_config(tmp_path, paths.items(), server="trust_tailscale_identity = true")
    with Served(config) as served:
        yield served


def card(page: Page, name: str) -> Locator:
    return page.locator(f"#app #card-{name}")


def headline(page: Page) -> Locator:
    return page.locator("#app h1 span.when-fresh")


def test_a_state_is_acknowledged_on_its_card_and_a_past_change_ends(
    quiet_page: Page, served: Served, paths: dict[str, Path]
) -> None:
    quiet_page.set_extra_http_headers(ANN)
    quiet_page.goto(served.url)
    expect(headline(quiet_page)).to_have_text("All 4 well")
    notes, content = card(quiet_page, "notes"), card(quiet_page, "content")
    paths["notes"].unlink()
    opener = notes.locator("summary")
    expect(opener).to_have_text("Acknowledge", use_inner_text=True)
    assert opener.evaluate("button => button.offsetHeight") == 32

    opener.press("Enter")
    choices = notes.get_by_role("group", name="Acknowledge Notes for")
    expect(choices).to_be_visible()
    expect(opener).to_have_text("Acknowledge for", use_inner_text=True)
    choices.get_by_role("button", name="8 h").press("Escape")
    expect(choices).to_be_hidden()
    expect(opener).to_be_focused()
    opener.press("Enter")
    make_database(paths["content"].with_name("new.db"), letters=5).replace(paths["content"])
    expect(content.get_by_role("button", name="Acknowledge: Content")).to_be_visible()
    expect(choices).to_be_visible()  # no tick takes it back
    expect(quiet_page.get_by_text("Acknowledge for")).to_have_count(1)  # a past change has no times
    expect(headline(quiet_page)).to_have_text("2 of 4 need you")
    first = quiet_page.locator("#app .troubles a").first.inner_text().split()[0]
    expect(quiet_page).to_have_title(f"(2) {first} · Mission Control")

    choices.get_by_role("button", name="8 h").press("Enter")
    undo = notes.get_by_role("button", name="Undo")
    expect(undo).to_be_focused()
    expect(notes).to_contain_text("by ann@example.com · Undo")
    expect(notes.locator(".state.when-fresh")).to_have_text("Error")
    content.get_by_role("button", name="Acknowledge: Content").press("Enter")
    expect(content.get_by_role("button", name="Acknowledge")).to_have_count(0)
    expect(content.get_by_role("link", name="Content")).to_be_focused()
    expect(headline(quiet_page)).to_have_text("3 well, 1 acknowledged")
    expect(quiet_page).to_have_title("Mission Control")
    assert served.database("notes")["level"] == "fault"
    (open_,) = served.json("/api/incidents?open=true")["incidents"]
    assert open_["acknowledged"]["by"] == "ann@example.com"
    assert open_["acknowledged"]["until"] > open_["acknowledged"]["at"]

    # The focus moves on too if somebody else undoes it.
    quiet_page.goto(f"{served.url}/databases/notes")
    quiet_page.locator("#app").get_by_role("button", name="Undo").focus()
    other = quiet_page.context.new_page()
    other.goto(served.url)
    card(other, "notes").get_by_role("button", name="Undo").click()
    expect(quiet_page.locator("#app .acknowledge summary")).to_be_focused()
    assert served.json("/api/incidents?open=true")["incidents"][0]["acknowledged"] is None


def test_an_incident_of_several_databases_is_acknowledged_once_for_all(
    quiet_page: Page, served: Served, paths: dict[str, Path], tmp_path: Path
) -> None:
    agents = paths["email"].parent
    quiet_page.goto(served.url)
    expect(quiet_page.locator("#app .card.database")).to_have_count(4)
    expect(quiet_page.locator("#app #incidents")).to_be_empty()
    agents.rename(tmp_path / "away")
    incident = quiet_page.locator("#app .card.incident")
    expect(incident).to_contain_text("is gone.")
    quiet_page.get_by_role("link", name="Email and Health").click()
    expect(incident).to_be_in_viewport()
    for name in ("email", "health"):
        expect(card(quiet_page, name).locator(".acknowledge")).to_have_count(0)
    incident.locator("summary").click()
    incident.get_by_role("button", name="until it ends").click()
    expect(incident).to_contain_text("Acknowledged until it ends, by 127.0.0.1 · Undo")
    expect(headline(quiet_page)).to_have_text("2 well, 2 acknowledged")
    for name in ("email", "health"):  # what is acknowledged is said there too
        expect(card(quiet_page, name)).to_contain_text("Acknowledged until it ends, by 127.0.0.1")
        expect(card(quiet_page, name).get_by_role("button", name="Undo")).to_have_count(0)
    (tmp_path / "away").rename(agents)
    expect(incident).to_have_count(0)
    event = quiet_page.locator("#app #events li").first
    expect(event).to_contain_text("Over after")
    expect(event).to_contain_text("file gone since")
    assert eventually(lambda: served.json("/api/incidents?open=false")["incidents"])
