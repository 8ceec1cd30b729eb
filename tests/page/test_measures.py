"""Measures on a card and in the view of a database."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from dash_app import loader
from dash_app.model.expectation import Rules
from dash_app.model.measure import Answer, Failure, Measure, Value
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.page.cards import cards
from dash_app.page.markup import draw
from dash_app.page.measures import measures_section
from dash_app.page.page import version_of
from dash_app.rules.measures import measure_reports
from dash_app.words.summaries import glance_text
from tests.factories import EARLIER, NOW, database, failed_reading, good_reading, judged_status
from tests.page.helpers import card_text, visible_text

MINUTE = timedelta(minutes=1)


def measure(name: str, label: str, **fields: Any) -> Measure:
    """A measure that is asked each minute."""
    return Measure(name, label, MINUTE, **{"sql": f"SELECT {name}", **fields})


OPEN = measure("open", "Open tasks", greatest=50, is_pinned=True)
BY_STATUS = measure("by_status", "Tasks by status", is_pinned=True)
NEWEST = measure("newest", "Newest task", unit="age", is_pinned=True)
COST = measure("cost", "Cost", unit="USD", least=1, greatest=5, level="notice")
STATUSES = (Value("done", 7), Value("open", 63), Value("held", 2), Value("failed", None))


def answered(*values: Value, failure: Failure | None = None) -> Answer:
    """An answer of 58 minutes ago."""
    return Answer(values, EARLIER, failure)


def status(answers: Sequence[tuple[Measure, Answer]], **fields: Any) -> DatabaseStatus:
    """A well database with these measures."""
    watched = replace(database(), measures=tuple(measure for measure, _ in answers))
    by_name = {measure.name: answer for measure, answer in answers}
    reports = measure_reports(watched, by_name, fields.pop("now", NOW))
    own = judged_status(fields.pop("reading", good_reading(tasks=1)))
    return replace(own, **{"database": watched, "measures": reports, **fields})


def card_html(shown: DatabaseStatus) -> str:
    snapshot = Snapshot(NOW, (shown,))
    return draw(cards(snapshot.databases, (), loader.counts_frame(snapshot), NOW))


WELL = (
    (OPEN, answered(Value(None, 12))),
    (BY_STATUS, answered(*STATUSES)),
    (NEWEST, answered(Value(None, EARLIER.timestamp()))),
    (COST, answered(Value(None, 3.5))),
)


def test_pinned_measures_stand_on_the_card() -> None:
    text = card_text(status(WELL))
    assert "Open tasks 12 Tasks by status open 63, done 7, held 2, 1 more" in text
    assert text.index("1 more Newest task 58 min") < text.index("email tasks 1")
    assert "measures" not in card_html(status(WELL[3:]))


def test_a_value_out_of_range_has_a_mark_and_comes_first() -> None:
    html = card_html(status([(replace(BY_STATUS, least=5), answered(*STATUSES))]))
    assert '<div class="bad"><dt><span class="label">Tasks by status</span>' in html
    assert (
        'icon-cross" aria-hidden="true"></span><span class="visually-hidden">Out of range' in html
    )
    assert "<dd>held 2, open 63, done 7, 1 more</dd>" in html
    mild = replace(OPEN, level="notice")
    assert "icon-clock" in card_html(status([(mild, answered(Value(None, 63)))]))
    paused = replace(database("email", Rules(paused=True)), measures=(OPEN,))
    assert "Out of" not in card_html(status([(OPEN, answered(Value(None, 63)))], database=paused))


def test_a_value_that_could_not_be_renewed_has_its_time() -> None:
    failed = Failure("sql", NOW, {"text": "no such column: x", "tables": "tasks"})
    text = card_text(status([(OPEN, answered(Value(None, 12), failure=failed))]))
    assert "Open tasks Not renewed 12, as of 14:02 UTC" in text
    assert "Open tasks unknown" in card_text(status([(OPEN, Answer())]))
    gone = status(WELL[:1], reading=failed_reading("file_missing"), status="error")
    assert "Open tasks 12, as of 14:02 UTC" in card_text(gone)


def section(shown: DatabaseStatus) -> str:
    return visible_text(measures_section(shown, "", NOW))


def test_the_view_shows_all_measures_with_limit_age_and_error() -> None:
    text = section(status(WELL))
    assert "Open tasks At most 50 allowed, measured 58 min ago 12 at most 50 58 min ago" in text
    assert "Tasks by status Measured 58 min ago 4 values 58 min ago done 7 open 63" in text
    assert "failed unknown Newest task" in text
    assert "3.5 USD 1 USD to 5 USD 58 min ago Queries Open tasks, every minute SELECT open" in text
    failed = Answer(failure=Failure("slow", EARLIER, {"ms": "40", "scans": "tasks"}))
    assert (
        "Cost Its query takes longer than 40 ms and reads all of tasks. "
        "1 USD to 5 USD allowed, measured not yet unknown" in section(status([(COST, failed)]))
    )
    assert measures_section(status([]), "", NOW) == []


def test_of_many_values_the_greatest_are_shown_and_the_others_as_one() -> None:
    many = answered(*(Value(f"v{number}", number) for number in range(20)))
    text = section(status([(BY_STATUS, many)]))
    assert "20 values" in text
    assert "v7 7 " not in text
    assert text.index("v8 8 ") < text.index("v19 19 ") < text.index("others 28 ")


def test_a_link_shows_the_chart_of_a_measure() -> None:
    html = draw(measures_section(status(WELL[:1]), "?range=7d", NOW))
    assert 'href="?range=7d&amp;show=measure%3Aopen#trends"' in html


def test_labels_and_queries_are_escaped() -> None:
    nasty = replace(OPEN, label="<b>x", sql="SELECT '</code><script>'")
    shown = status([(nasty, answered(Value(None, 1)))])
    assert "<script>" not in card_html(shown) + draw(measures_section(shown, "", NOW))


def test_the_version_changes_with_a_value_and_not_with_the_age_of_a_time() -> None:
    def version(answers: Sequence[tuple[Measure, Answer]], **more: Any) -> int:
        return version_of(Snapshot(NOW, (status(answers, **more),)), "email")

    assert version(WELL) == version(WELL, now=NOW + MINUTE)
    assert version(WELL) != version([(OPEN, answered(Value(None, 13))), *WELL[1:]])
    assert version(WELL) != version([*WELL[:3], (COST, answered(Value(None, 4)))])
    failing = Failure("sql", NOW, {"text": "x"})
    assert version(WELL[:1]) != version([(OPEN, answered(Value(None, 12), failure=failing))])


def test_the_glance_has_the_pinned_measures() -> None:
    text = glance_text(Snapshot(NOW, (status(WELL),)), NOW)
    assert "Open tasks: 12. Tasks by status: " in text
    assert "Cost" not in text
