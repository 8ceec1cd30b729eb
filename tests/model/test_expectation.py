"""On time, late or down: by what was watched and not quiet, whatever the clock does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.model.expectation import Expectation, Rules, TableRules, counted, due_at, state_of
from dash_app.model.quiet_hours import NEVER, Quiet, TimeRange
from dash_app.settings.quiet_hours import quiet

MINUTE = timedelta(minutes=1)
START = datetime(2026, 3, 28, 12, tzinfo=UTC)
"""Half a day before Paris sets its clocks forward."""

HOURLY = Expectation(60 * MINUTE, 10 * MINUTE)
NIGHTS = quiet("22:00-07:00 Europe/Paris")


def at(minutes: int) -> datetime:
    return START + minutes * MINUTE


@st.composite
def watched(draw: st.DrawFn) -> list[TimeRange]:
    """Spans in order, apart from each other: what lies between was not watched."""
    edges = draw(st.lists(st.integers(0, 2000), unique=True, max_size=12).map(sorted))
    return [(at(a), at(b)) for a, b in zip(edges[::2], edges[1::2], strict=False)]


@pytest.mark.parametrize(
    ("minutes", "state"),
    [(0, "on_time"), (60, "on_time"), (61, "late"), (70, "late"), (71, "down")],
)
def test_a_state_is_told_from_the_time_that_counts(minutes: int, state: str) -> None:
    assert state_of(HOURLY, minutes * MINUTE, is_new=False) == state
    new = "new" if state == "on_time" else state
    assert state_of(HOURLY, minutes * MINUTE, is_new=True) == new


@given(watched(), st.integers(-100, 2000) | st.none(), st.sampled_from([NEVER, NIGHTS]))
def test_each_minute_counts_that_was_watched_and_not_quiet(
    spans: list[TimeRange], since: int | None, hours: Quiet
) -> None:
    expected = sum(
        any(begin <= at(n) < end for begin, end in spans)
        and (since is None or n >= since)
        and not hours.covers(at(n))
        for n in range(2000)
    )
    begin = None if since is None else at(since)
    assert counted(hours, spans, begin) == expected * MINUTE


@given(watched(), st.integers(0, 2000), st.integers(1, 300))
def test_it_is_due_when_so_much_time_counts(
    spans: list[TimeRange], since: int, minutes: int
) -> None:
    now = max([end for _, end in spans], default=at(since))
    due = due_at(NIGHTS, spans, at(since), now, minutes * MINUTE)
    went_on = [*spans, (now, at(20_000))]
    until = [(begin, min(end, due)) for begin, end in went_on]
    assert counted(NIGHTS, until, at(since)) == minutes * MINUTE


def test_a_table_has_the_rules_of_its_database_where_it_has_none() -> None:
    own = TableRules(min_rows=1)
    rules = Rules(max_drop_percent=20, paused=True, tables={"a": own})
    assert rules.of("a") is own
    assert rules.of("b") == TableRules(max_drop_percent=20, paused=True)
