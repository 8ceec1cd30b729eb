"""The overview of many databases, and the one before the first database."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from dash_app import settings
from dash_app.model.database import Database
from dash_app.model.expectation import Rules
from dash_app.model.incident import Acknowledgement
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.page.database_list import STATES, select, state_of
from dash_app.page.overview import overview
from dash_app.page.url_query import parse, with_values
from dash_app.sampler import Sampler
from dash_app.web.app import create_server
from tests.factories import NOW, database, failed_reading, good_reading, judged_status
from tests.harness import write_config
from tests.page.helpers import tick_request, visible_text


def many(total: int) -> list[DatabaseStatus]:
    """Databases in each state: one corrupt, one never seen, one paused; the others are well."""
    statuses = [judged_status(good_reading(tasks=1), name=f"db-{n}") for n in range(total - 3)]
    paused = replace(statuses[0], database=database("garden", Rules(paused=True)))
    corrupt = judged_status(failed_reading("corrupt"), name="vault")
    missing = judged_status(failed_reading("file_missing"), name="new")
    return [*statuses, corrupt, missing, paused]


def drawn(statuses: Sequence[DatabaseStatus], search: str, folder: Path) -> str:
    """The HTML of the overview of these databases."""
    names = [(status.database.name, status.database.path) for status in statuses]
    loaded = settings.load(write_config(folder, names))
    return "".join(overview(Snapshot(NOW, tuple(statuses)), loaded, search, NOW, NOW).html)


def test_each_database_is_in_one_state() -> None:
    statuses = many(13)
    corrupt = statuses[-3]
    known = replace(corrupt, acknowledged=Acknowledgement("ann", NOW, None))
    undecided = judged_status(failed_reading("not_read_yet"))
    found = {state_of(status) for status in [*statuses, known, undecided]}
    assert found == set(STATES)
    assert (state_of(corrupt), state_of(known)) == ("needs_you", "acknowledged")


@pytest.mark.parametrize(
    ("search", "names"),
    [
        ("?name=VAU", ["vault"]),
        ("?name=db-1&state=well", ["db-1"]),
        ("?name=%20garden+", ["garden"]),
        ("?state=not_initialized&range=7d", ["new"]),
        ("?name=db-1&state=paused", []),
        ("?state=%3Cscript%3E&name=vault", ["vault"]),
    ],
)
def test_a_filter_selects_by_a_part_of_the_name_and_by_state(search: str, names: list[str]) -> None:
    found = select(many(13), search)
    assert [status.database.name for status in found] == names


def test_a_changed_query_keeps_its_other_parameters() -> None:
    search = "?range=7d&name=a%26b&state=well&unknown=1"
    assert with_values(search, state="paused") == "?range=7d&name=a%26b&state=paused"
    assert with_values("?state=well", state="") == "?"
    assert with_values("?name=\ud800") == "?name=%3F"
    assert parse("?name=a&name=b&name=") == {"name": "b"}


def test_up_to_twelve_databases_have_a_card_each(tmp_path: Path) -> None:
    html = drawn(many(12), "?state=well", tmp_path)
    assert html.count('class="card database') == 12
    assert "<form" not in html


def test_of_thirteen_those_in_trouble_have_a_card_above_the_list_of_all(tmp_path: Path) -> None:
    html = drawn(many(13), "?range=7d", tmp_path)
    assert html.count('class="card database') == 1
    assert html.index('id="card-vault"') < html.index("All databases") < html.index(">Db-0<")
    assert '<a href="#card-vault">Vault</a>' in html
    assert '<a href="/databases/new">New</a>' in html
    assert "All 13" in html
    assert 'href="?range=7d&amp;state=needs_you">Needs you 1<' in html
    assert "Acknowledged 0" not in html


def test_the_filter_is_escaped_and_says_if_nothing_matches(tmp_path: Path) -> None:
    html = drawn(many(13), '?name="><script>&range=7d', tmp_path)
    assert "<script>" not in html
    assert 'value="&quot;&gt;&lt;script&gt;"' in html
    (hidden,) = re.findall(r'<input [^>]*type="hidden"[^>]*>', html)
    assert 'name="range"' in hidden
    assert 'value="7d"' in hidden
    assert 'No database matches. <a href="?range=7d">Show all</a>' in html
    assert "All 0" in html


def test_troubles_are_cards_by_harm_and_rows_keep_the_configured_order(tmp_path: Path) -> None:
    newer = judged_status(failed_reading("corrupt"), name="attic")
    later = newer.problems[0].since + timedelta(minutes=5)
    newer = replace(newer, problems=(replace(newer.problems[0], since=later),))
    cards, rows = drawn([newer, *many(14)], "", tmp_path).split("All databases")
    assert re.findall(r'id="card-(\w+)"', cards) == ["vault", "attic"]
    assert rows.index(">Attic<") < rows.index(">Db-0<") < rows.index(">Vault<")
    assert "11 of 14 databases" in drawn(many(14), "?state=well", tmp_path)


class OneSnapshot:
    """A sampler whose snapshot stays."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def fresh(self) -> Snapshot:
        return self.snapshot

    def age_seconds(self, _snapshot: Snapshot) -> float:
        return 0.0


def test_a_tick_of_a_thousand_databases_is_small(tmp_path: Path) -> None:
    statuses = many(1000)
    names = [(status.database.name, status.database.path) for status in statuses]
    loaded = settings.load(write_config(tmp_path, names))
    sampler = OneSnapshot(Snapshot(NOW, tuple(statuses)))
    client = create_server(loaded, cast("Sampler", sampler), NOW).test_client()

    def tick(pulse: dict[str, Any]) -> Any:
        return client.post("/_dash-update-component", json=tick_request(pulse))

    pulse = tick({}).get_json()["response"]["snapshot"]["data"]
    assert len(tick(pulse).data) < 1000
    first = client.get("/?state=paused").data
    assert len(first) < 20_000
    assert b"Garden" in first


def test_before_the_first_database_the_page_shows_how_to_start(tmp_path: Path) -> None:
    missing = [judged_status(failed_reading("file_missing"), name=n) for n in ("email", "health")]
    loaded = settings.load(write_config(tmp_path, [], interval="30s"))
    facts = overview(Snapshot(NOW, tuple(missing)), loaded, "", NOW, NOW)
    text = visible_text(facts.before_charts)
    assert text.startswith("Nothing here yet")
    assert "No database found so far. Looking again every 30 s." in text
    assert "run discover --save" in text
    assert "clawd :" in text
    assert "email.db" in text
    assert "Recent events" not in text
    found = tuple(Database(f"db-{n}", f"Db {n}", tmp_path / f"{n}.db") for n in range(25))
    facts = overview(Snapshot(NOW, tuple(missing), found=found), loaded, "", NOW, NOW)
    text = visible_text(facts.before_charts)
    assert "25 databases found, none watched yet." in text
    assert f"Db 0 {tmp_path}/0.db" in text
    assert "and 20 more" in text
    assert "Db 19" in text
    assert "Db 20" not in text
    assert "and 5 more" in text
    empty = judged_status(failed_reading("file_empty"), name="email")
    facts = overview(Snapshot(NOW, (empty, missing[1])), loaded, "", NOW, NOW)
    assert "discover" not in visible_text(facts.before_charts)
    listed = settings.load(write_config(tmp_path, [("email", tmp_path / "email.db")]))
    facts = overview(Snapshot(NOW, (missing[0],)), listed, "", NOW, NOW)
    assert "discover" not in visible_text(facts.before_charts)
