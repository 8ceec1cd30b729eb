"""On time, late or down, from the time that is covered and not quiet."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.model.expectation import (
    Expectation,
    Rules,
    TableRules,
    elapsed_and_due,
    state_after,
)
from dash_app.model.quiet_hours import NO_QUIET_HOURS, QuietHours, TimeRange
from dash_app.settings.quiet_hours import parse_quiet_hours

MINUTE = timedelta(minutes=1)
START = datetime(2026, 3, 28, 12, tzinfo=UTC)
"""Half a day before Paris sets its clocks forward."""

HOURLY = Expectation(60 * MINUTE, 10 * MINUTE)
NIGHTS = parse_quiet_hours("22:00-07:00 Europe/Paris")


def at(minutes: int) -> datetime:
    return START + minutes * MINUTE


@st.composite
def covered(draw: st.DrawFn) -> list[TimeRange]:
    """Ranges in order that do not touch: the time between them was not watched."""
    edges = draw(st.lists(st.integers(0, 2000), unique=True, max_size=12).map(sorted))
    return [(at(a), at(b)) for a, b in zip(edges[::2], edges[1::2], strict=False)]


@pytest.mark.parametrize(
    ("minutes", "state"),
    [(0, "on_time"), (60, "on_time"), (61, "late"), (70, "late"), (71, "down")],
)
def test_the_state_follows_from_the_elapsed_time(minutes: int, state: str) -> None:
    assert state_after(HOURLY, minutes * MINUTE, is_new=False) == state
    new = "new" if state == "on_time" else state
    assert state_after(HOURLY, minutes * MINUTE, is_new=True) == new


@given(covered(), st.integers(-100, 2000) | st.none(), st.sampled_from([NO_QUIET_HOURS, NIGHTS]))
def test_every_covered_minute_that_is_not_quiet_counts(
    ranges: list[TimeRange], since: int | None, hours: QuietHours
) -> None:
    expected = sum(
        any(begin <= at(n) < end for begin, end in ranges)
        and (since is None or n >= since)
        and not hours.covers(at(n))
        for n in range(2000)
    )
    begin = None if since is None else at(since)
    assert elapsed_and_due(hours, ranges, begin, MINUTE)[0] == expected * MINUTE


@given(covered(), st.integers(0, 2000), st.integers(1, 300))
def test_a_write_is_due_once_the_active_time_has_elapsed(
    ranges: list[TimeRange], since: int, minutes: int
) -> None:
    every = minutes * MINUTE
    now = max([end for _, end in ranges], default=at(since))
    _, due = elapsed_and_due(NIGHTS, [*ranges, (now, at(20_000))], at(since), every)
    assert due
    until_due = [(begin, min(end, due)) for begin, end in [*ranges, (now, at(20_000))]]
    assert elapsed_and_due(NIGHTS, until_due, at(since), every) == (every, due)
    elapsed, due_by_now = elapsed_and_due(NIGHTS, ranges, at(since), every)
    assert due_by_now == (due if elapsed >= every else None)


def test_a_table_without_rules_has_those_of_its_database() -> None:
    own = TableRules(min_rows=1)
    rules = Rules(max_drop_percent=20, paused=True, tables={"a": own})
    assert rules.for_table("a") is own
    assert rules.for_table("b") == TableRules(max_drop_percent=20, paused=True)
