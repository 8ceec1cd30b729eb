"""The card of a database: its badge, the order of its lines, and its edge."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dash_app import loader
from dash_app.model.event import Event
from dash_app.model.expectation import Rules
from dash_app.model.incident import Acknowledgement
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.page.cards import badge_parts, cards
from dash_app.page.markup import draw
from dash_app.rules.changes import next_state
from dash_app.rules.problems import problem_of
from tests.factories import EARLIER, NOW, database, failed_reading, good_reading, judged_status
from tests.page.helpers import card_text


def html(status: DatabaseStatus) -> str:
    snapshot = Snapshot(NOW, (status,))
    return draw(cards(snapshot.databases, (), loader.counts_frame(snapshot), NOW))


@pytest.mark.parametrize(
    ("key", "level", "badge"),
    [
        ("connected", "well", ("check", "ok", "Connected")),
        ("not_initialized", "notice", ("waiting", "warn", "Not initialized")),
        ("late", "notice", ("clock", "warn", "Late")),
        ("down", "fault", ("cross", "bad", "Down")),
        ("gone", "fault", ("cross", "bad", "Error")),
        ("corrupt", "fault", ("cross", "bad", "Error")),
        ("locked", "unknown", ("unknown", "idle", "Can't tell")),
        ("rows_dropped", "fault", ("cross", "bad", "Rows lost")),
        ("rolled_back", "fault", ("cross", "bad", "Older state")),
        ("truncated", "fault", ("cross", "bad", "Cut short")),
        ("log_held", "notice", ("clock", "warn", "Check")),
        ("few_rows", "fault", ("cross", "bad", "Check")),
        ("paused", "well", ("waiting", "idle", "Paused")),
    ],
)
def test_a_badge_has_one_of_a_few_words(key: str, level: str, badge: tuple[str, str, str]) -> None:
    assert badge_parts(key, level) == badge


def test_a_file_that_was_cut_short_has_its_own_badge() -> None:
    before = next_state(good_reading(tasks=126), None)
    status = judged_status(failed_reading("corrupt"), replace(before, absence="truncated"))
    problem = replace(status.problems[0], code="truncated")
    assert "Email Cut short" in card_text(replace(status, problems=(problem,)))


def test_an_unreadable_database_has_no_facts_and_its_last_rows_behind_since() -> None:
    before = next_state(good_reading(tasks=126), None)
    text = card_text(judged_status(failed_reading("file_missing"), before))
    assert "Since 15:00 UTC ( now ). Last seen: 126 rows. Move its" in text
    assert "Last write" not in text


def test_a_past_change_has_a_time_and_clock_times_replace_ages_in_trouble() -> None:
    lost = Event("email", "rows_dropped", EARLIER, {"rows": {"tasks": 126}}, {"rows": {"tasks": 9}})
    problem = problem_of(lost)
    assert problem is not None
    fine = judged_status(good_reading(tasks=9))
    text = card_text(replace(fine, problems=(problem,), level="fault"))
    assert "tasks 126 → 9. At 14:02 UTC ( 58 min ago )." in text
    assert "Last write 14:59 UTC 9 rows" in text
    assert "Last write 7 s ago" in card_text(fine)


def test_the_edge_means_that_a_database_needs_you() -> None:
    status = judged_status(failed_reading("corrupt"), next_state(good_reading(tasks=1), None))
    assert "is-fault needs-you" in html(status)
    seen = Acknowledgement("ann", NOW, NOW + timedelta(hours=8))
    assert "needs-you" not in (acknowledged := html(replace(status, acknowledged=seen)))
    assert "is-fault" in acknowledged
    assert "needs-you" not in html(judged_status(good_reading(tasks=1)))


def test_a_paused_card_says_so_where_others_have_their_cause() -> None:
    paused = replace(
        judged_status(good_reading(a=1)), database=database("email", Rules(paused=True))
    )
    assert '<p class="cause">Paused: no alerts.</p>' in html(paused)
