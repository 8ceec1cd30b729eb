"""Quiet hours by the clock of their zone, over the days on which that clock is set."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.model.quiet_hours import NEVER, Quiet, Span
from dash_app.settings.quiet_hours import DAYS, quiet

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
TURNS = {
    "Europe/Paris": (date(2026, 3, 29), date(2026, 10, 25)),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
}
"""The days on which clocks are set forward and back, at 01:00 to 03:00 on them."""


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@st.composite
def spans(draw: st.DrawFn, zone: str) -> str:
    """Days, times or both, of a zone."""
    days = draw(st.sampled_from(["", "Mon-Fri ", "Sat-Sun ", "Sun ", "Sat-Mon "]))
    begin, end = draw(
        st.lists(st.integers(0, 24 * 12 - 1), min_size=2, max_size=2, unique=True).map(
            lambda found: [n * 5 for n in found]
        )
    )
    times = f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02} "
    if days and draw(st.booleans()):
        times = ""
    return f"{days}{times}{zone}"


@st.composite
def quiet_around_a_turn(draw: st.DrawFn) -> tuple[Quiet, datetime]:
    """Quiet hours of a zone, and an instant some days before it sets its clocks."""
    zone = draw(st.sampled_from(sorted(TURNS)))
    texts = draw(st.lists(spans(zone), max_size=3))
    try:
        found = quiet(texts)
    except ValueError:  # they leave no time
        found = quiet(texts[:1])
    turn = draw(st.sampled_from(TURNS[zone]))
    minutes = draw(st.integers(0, 3 * 24 * 60))
    return found, utc(turn.isoformat()) - timedelta(days=2) + minutes * MINUTE


def is_quiet_by_the_clock(span: Span, at: datetime) -> bool:
    """Whether it is quiet, told from what a clock on the wall shows."""
    local = at.astimezone(span.zone)
    minutes, day = local.hour * 60 + local.minute, local.weekday()
    today = day in span.days and span.begin <= minutes < span.end
    return today or ((day - 1) % 7 in span.days and minutes < span.end - 24 * 60)


@given(quiet_around_a_turn())
def test_it_is_quiet_when_the_clock_of_the_zone_says_so(case: tuple[Quiet, datetime]) -> None:
    hours, begin = case
    for minutes in range(0, 3 * 24 * 60, 35):
        at = begin + minutes * MINUTE
        for span in hours.spans:
            local = at.astimezone(span.zone)
            if local.date() not in TURNS[str(span.zone)] or not 1 <= local.hour <= 3:
                assert Quiet((span,)).covers(at) == is_quiet_by_the_clock(span, at)
        assert hours.covers(at) == any(Quiet((span,)).covers(at) for span in hours.spans)


@given(quiet_around_a_turn(), st.integers(0, 2000), st.integers(0, 2000))
def test_time_that_is_not_quiet_is_every_minute_that_is_not(
    case: tuple[Quiet, datetime], first: int, second: int
) -> None:
    hours, begin = case
    middle, end = begin + first * MINUTE, begin + (first + second) * MINUTE
    minutes = sum(not hours.covers(begin + n * MINUTE) for n in range(first + second))
    assert hours.loud(begin, end) == minutes * MINUTE
    assert hours.loud(begin, middle) + hours.loud(middle, end) == hours.loud(begin, end)
    assert hours.loud(end, begin) == timedelta(0)


@given(quiet_around_a_turn(), st.integers(1, 5000))
def test_so_much_time_was_not_quiet_after_just_so_long(
    case: tuple[Quiet, datetime], minutes: int
) -> None:
    hours, begin = case
    end = hours.after(begin, minutes * MINUTE)
    assert hours.loud(begin, end) == minutes * MINUTE
    assert hours.loud(begin, end - MINUTE) == (minutes - 1) * MINUTE
    woken = hours.ends(begin)
    assert not hours.covers(woken)
    assert hours.loud(begin, woken) == timedelta(0)


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("22:00-07:00 Europe/Paris", "2026-03-27 21:00", "2026-03-28 06:00"),
        ("22:00-07:00 Europe/Paris", "2026-03-28 21:00", "2026-03-29 05:00"),
        ("22:00-07:00 Europe/Paris", "2026-10-24 20:00", "2026-10-25 06:00"),
        ("22:00-07:00 America/New_York", "2026-11-01 02:00", "2026-11-01 12:00"),
        ("01:30-02:30 Europe/Paris", "2026-03-29 00:30", "2026-03-29 01:30"),
        ("02:30-04:00 Europe/Paris", "2026-10-25 00:30", "2026-10-25 03:00"),
        ("01:00-02:30 Europe/Paris", "2026-10-24 23:00", "2026-10-25 01:30"),
        ("Sat-Sun UTC", "2026-11-21 00:00", "2026-11-23 00:00"),
        ("Fri-Mon UTC", "2026-11-20 00:00", "2026-11-24 00:00"),
        ("Sun Pacific/Kiritimati", "2026-11-21 10:00", "2026-11-22 10:00"),
        ("Sun 23:00-22:00 Etc/GMT+12", "2026-11-23 11:00", "2026-11-24 10:00"),
        ("Mon-Fri 18:00-24:00 UTC", "2026-11-20 18:00", "2026-11-21 00:00"),
    ],
)
def test_a_span_lasts_from_its_begin_to_its_end(text: str, begin: str, end: str) -> None:
    hours, since, until = quiet(text), utc(begin), utc(end)
    assert [hours.covers(since - MINUTE), hours.covers(since)] == [False, True]
    assert hours.ends(since) == until
    assert hours.after(since, HOUR) == until + HOUR


def test_no_quiet_hours_are_none() -> None:
    assert quiet([]) == quiet("") == NEVER
    assert not NEVER.covers(utc("2026-11-23"))
    assert NEVER.after(utc("2026-11-23"), HOUR) == utc("2026-11-23 01:00")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (5, "write a text or a list of texts"),
        (["22:00-07:00 UTC", 5], "write a text or a list of texts"),
        ("22:00-07:00", "write days or times and a zone"),
        ("Europe/Paris", "write days or times and a zone"),
        ("22-7 Europe/Paris", "write days or times and a zone"),
        ("22:00-07:00 Europe/Pari", "there is no zone Europe/Pari"),
        ("22:00-07:00 Europe", "there is no zone Europe"),
        ("22:00-24:30 UTC", "times go from 00:00 to 24:00"),
        ("22:60-23:00 UTC", "times go from 00:00 to 24:00"),
        ("22:00-22:00 UTC", "begin and end are the same"),
        ("24:00-07:00 UTC", "begin and end are the same"),
        ("Sat-Son UTC", "days are Mon, Tue, Wed, Thu, Fri, Sat, Sun, not Son"),
        ("Mon-Sun UTC", "leaves no time"),
        (["00:00-12:00 UTC", "12:00-24:00 UTC"], "leaves no time"),
    ],
)
def test_what_is_no_quiet_time_is_refused(value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        quiet(value)


def test_days_are_named_from_monday_on() -> None:
    assert utc("2026-11-23").weekday() == DAYS.index("Mon")
