"""All faces show expectations alike: card, view, headline, glance, status, API, metrics."""

from collections.abc import Mapping
from datetime import timedelta

from click import unstyle
from dash import html

from dash_app import loader
from dash_app.api.serializers import status_document
from dash_app.cli.service_status import snapshot_from
from dash_app.cli.status import lines
from dash_app.model.expectation import (
    Expectation,
    ExpectationReport,
    ExpectationState,
    Rules,
    State,
    TableRules,
)
from dash_app.model.snapshot import DatabaseState, DatabaseStatus, Snapshot
from dash_app.page import database as view
from dash_app.page.cards import card
from dash_app.page.headline import headline
from dash_app.page.markup import draw
from dash_app.rules.judge import Evidence, judge
from dash_app.words import summaries
from dash_app.words.problems import MAX_NOTES, current_parts, plain, spoken
from dash_app.words.summaries import glance_text, status_line
from tests.factories import NOW, WORDING, database, good_reading
from tests.metrics.helpers import exposed, value
from tests.page.helpers import card_text, visible_text

HOUR = timedelta(hours=1)
HOURLY = Expectation(HOUR, HOUR / 6)
PAUSED = Rules(paused=True)


def hourly(state: State, hours: float | None) -> ExpectationState:
    """An hourly expectation that was met last a number of hours ago."""
    if hours is None:
        return ExpectationState(state, HOURLY, None, None if state == "paused" else NOW)
    return ExpectationState(state, HOURLY, NOW - hours * HOUR, NOW - (hours - 1) * HOUR)


def status(
    name: str,
    own: ExpectationState | None = None,
    tables: Mapping[str, ExpectationState] | None = None,
    rules: Rules | None = None,
) -> DatabaseStatus:
    """A database with these expectations; a table has as many rows as its name has letters."""
    tables = tables or {}
    rules = rules or Rules(tables=dict.fromkeys(tables, TableRules(HOURLY)))
    report = ExpectationReport(own, tables) if own or tables else None
    rows = {table: len(table) for table in tables or ["notes"]}
    reading = good_reading(**{**rows, "empty": 0})
    state = DatabaseState("connected", None, NOW, None)
    return judge(Evidence(database(name, rules), reading, state, expectations=report), WORDING)


def test_a_silent_table_is_first_on_its_card() -> None:
    tables = {
        "messages": hourly("on_time", 0.5),
        "log": hourly("down", 3),
        "a": hourly("late", 1.1),
    }
    text = card_text(status("email", tables=tables))
    assert text.startswith(
        "Email Down As of 15:00 UTC log : nothing for 3 h ; expected every hour."
    )
    assert "expected every hour. Since 13:00 UTC . Check" in text  # one duration is enough
    assert "Also overdue: a." in text
    assert text[text.index("Rows of each table") :] == (
        "Rows of each table of email log Down 3 a Late 1 messages 8 1 empty table"
    )


def test_a_silent_empty_table_is_not_folded_away() -> None:
    text = card_text(status("email", tables={"empty": hourly("late", None)}))
    assert "Email Late" in text
    assert text.endswith("empty Late 0")


def test_many_silent_tables_are_a_few_lines_and_a_count() -> None:
    text = card_text(status("email", tables={f"t{n}": hourly("down", 3) for n in range(60)}))
    assert text.count("expected every hour") == 1
    assert text.count("Down") == 1 + 6
    assert "Also overdue: t1, t2, t3 and 56 more." in text
    rules = Rules(tables={f"t{n}": TableRules(min_rows=1) for n in range(9)})
    text = card_text(status("email", rules=rules))
    assert text.count("no such table") == 1 + MAX_NOTES
    assert "And 3 more." in text


def test_a_paused_database_is_shown_as_paused_and_needs_nobody() -> None:
    rules = Rules(HOURLY, paused=True)
    paused = status("email", hourly("paused", None), rules=rules)
    fine = status("health", hourly("on_time", 0.5))
    snapshot = Snapshot(NOW, (paused, fine))
    assert card_text(paused).startswith("Email Paused As of 15:00 UTC Paused: no alerts.")
    assert snapshot.level == "well"
    assert visible_text(headline(snapshot, NOW)).startswith("1 well, 1 paused Can't tell")
    assert glance_text(snapshot, NOW).splitlines()[1].startswith("paused  Email   ")
    printed = [unstyle(line) for line in lines(snapshot, NOW, is_fresh=True)]
    assert printed[1].startswith("paused  Email   Paused: no alerts. Last write")
    assert summaries.headline(Snapshot(NOW, (paused, status("b", rules=PAUSED))), NOW) == "2 paused"


def test_the_worst_database_is_first_on_every_face() -> None:
    silent = status("email", hourly("down", 3), {"log": hourly("late", 1.1)})
    snapshot = Snapshot(NOW, (status("health"), silent))
    text = visible_text(headline(snapshot, NOW))
    assert text.startswith("Email is down, 2 h Can't tell 1 other well · last write")
    assert (
        glance_text(snapshot, NOW)
        .splitlines()[1]
        .startswith("DOWN  Email   No write for 3 h; expected every hour. Since 13:00 UTC. Also")
    )
    (_, line, *remedies, _) = map(unstyle, lines(snapshot, NOW, is_fresh=True))
    assert line.startswith("DOWN  Email   No write for 3 h; expected every hour. Since 13:00 UTC. ")
    assert "Also overdue: log. Last write 14:59 UTC. 3 rows." in line
    assert len(remedies) == 2


def test_a_stored_sentence_has_a_clock_time_and_a_shown_one_a_duration() -> None:
    silent = status("email", hourly("down", 3), {"log": hourly("late", None)})
    first, second = silent.problems
    assert first.text == silent.verdict == "No write since 12:00 UTC; expected every hour."
    assert spoken(current_parts(first), NOW) == "No write for 3 h; expected every hour."
    assert spoken(current_parts(first), NOW + HOUR) == "No write for 4 h; expected every hour."
    assert (
        spoken(current_parts(second), NOW)
        == plain(second.text)
        == "log: nothing yet; expected every hour."
    )
    shown = draw(card(silent, [], [], NOW))
    assert 'No write for <time datetime="2026-11-23T12:00:00+00:00" data-form="length">' in shown


def test_a_service_of_any_version_gets_true_sentences() -> None:
    """Of the document of a service, `status` shows durations too, and unknown texts as they are."""
    tables = {"log": hourly("down", 3)}
    snapshot = Snapshot(NOW, (status("email", hourly("late", 1.5), tables),))
    document = status_document(snapshot)
    (line,) = (status_line(s, NOW + HOUR) for s in snapshot_from(document).databases)
    assert line.startswith("log: nothing for 4 h; expected every hour. Since 13:00 UTC. No write")
    assert "No write for 2 h; expected every hour." in line
    document["databases"][0]["findings"][0]["text"] = "log is a bit late."
    (line,) = (status_line(s, NOW + HOUR) for s in snapshot_from(document).databases)
    assert line.startswith("log is a bit late. Since 13:00 UTC")


def test_the_database_view_shows_when_the_next_write_is_due() -> None:
    email = status("email", hourly("on_time", 0.5), {"log": hourly("paused", None)})
    snapshot = Snapshot(NOW, (email,))
    tables = loader.counts_frame(snapshot).assign(change=None, per_hour=None, grew_at=None)
    facts = view.view(
        view.Details(email, (), tables, None, html.Section()), "rows", NOW, html.Section()
    )
    text = visible_text(facts.before_charts)
    assert "Next write by 15:30 UTC ; expected every hour." in text
    assert "log Paused" in text


def test_document_and_metrics_have_the_states() -> None:
    email = status("email", hourly("on_time", 0.5), {"log": hourly("down", 3)})
    document = status_document(Snapshot(NOW, (email, status("b"), status("c", rules=PAUSED))))
    first, second, third = (database["watch"] for database in document["databases"])
    assert first is not None
    assert (first["state"], first["paused"]) == ("down", False)
    assert first["dueAt"] == "2026-11-23T13:00:00.000Z"
    assert first["file"] == {
        "state": "on_time",
        "everySeconds": 3600.0,
        "graceSeconds": 600.0,
        "lastAt": "2026-11-23T14:30:00.000Z",
        "dueAt": "2026-11-23T15:30:00.000Z",
    }
    assert second is None
    assert third == {"state": "paused", "paused": True, "dueAt": None, "file": None, "tables": {}}
    assert document["databases"][0]["findings"][0]["table"] == "log"
    samples = exposed(email)
    states = {"": "on_time", "log": "down"}
    for table, state in states.items():
        for other in ("on_time", "down", "paused"):
            name, labels = "expectation_state", {"table": table, "state": other}
            assert value(samples, name, database="email", **labels) == float(other == state)
    due = value(samples, "expectation_due_timestamp_seconds", database="email", table="log")
    assert due == (NOW - 2 * HOUR).timestamp()
