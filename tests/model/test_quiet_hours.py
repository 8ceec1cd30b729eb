"""Quiet hours follow the clock of their zone, also on days when that clock changes."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.model.quiet_hours import NO_QUIET_HOURS, QuietHours, Span
from dash_app.settings.quiet_hours import DAYS, parse_quiet_hours

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
CLOCK_CHANGES = {
    "Europe/Paris": (date(2026, 3, 29), date(2026, 10, 25)),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
}
"""The days on which clocks go forward and back, between 01:00 and 03:00."""


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@st.composite
def quiet_texts(draw: st.DrawFn, zone: str) -> str:
    """Days, times or both in a zone, as configured."""
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
def quiet_around_a_clock_change(draw: st.DrawFn) -> tuple[QuietHours, datetime]:
    """Quiet hours in a zone, and a time around a change of its clocks."""
    zone = draw(st.sampled_from(sorted(CLOCK_CHANGES)))
    texts = draw(st.lists(quiet_texts(zone), max_size=3))
    try:
        found = parse_quiet_hours(texts)
    except ValueError:  # together they leave no active time
        found = parse_quiet_hours(texts[:1])
    change = draw(st.sampled_from(CLOCK_CHANGES[zone]))
    minutes = draw(st.integers(0, 3 * 24 * 60))
    return found, utc(change.isoformat()) - timedelta(days=2) + minutes * MINUTE


def is_quiet_on_the_clock(span: Span, at: datetime) -> bool:
    """Whether the local clock time is in the span, without any arithmetic on UTC."""
    local = at.astimezone(span.zone)
    minutes, day = local.hour * 60 + local.minute, local.weekday()
    today = day in span.days and span.begin <= minutes < span.end
    return today or ((day - 1) % 7 in span.days and minutes < span.end - 24 * 60)


@given(quiet_around_a_clock_change())
def test_quiet_hours_follow_the_clock_of_their_zone(case: tuple[QuietHours, datetime]) -> None:
    hours, begin = case
    for minutes in range(0, 3 * 24 * 60, 35):
        at = begin + minutes * MINUTE
        for span in hours.spans:
            local = at.astimezone(span.zone)
            if local.date() not in CLOCK_CHANGES[str(span.zone)] or not 1 <= local.hour <= 3:
                assert QuietHours((span,)).covers(at) == is_quiet_on_the_clock(span, at)
        assert hours.covers(at) == any(QuietHours((span,)).covers(at) for span in hours.spans)


@given(quiet_around_a_clock_change(), st.integers(0, 2000), st.integers(0, 2000))
def test_active_time_is_the_sum_of_all_active_minutes(
    case: tuple[QuietHours, datetime], first: int, second: int
) -> None:
    hours, begin = case
    middle, end = begin + first * MINUTE, begin + (first + second) * MINUTE
    minutes = sum(not hours.covers(begin + n * MINUTE) for n in range(first + second))
    assert hours.active_time(begin, end) == minutes * MINUTE
    assert hours.active_time(begin, middle) + hours.active_time(middle, end) == hours.active_time(
        begin, end
    )
    assert hours.active_time(end, begin) == timedelta(0)


@given(quiet_around_a_clock_change(), st.integers(1, 5000))
def test_adding_active_time_skips_quiet_time_only(
    case: tuple[QuietHours, datetime], minutes: int
) -> None:
    hours, begin = case
    end = hours.add_active_time(begin, minutes * MINUTE)
    assert hours.active_time(begin, end) == minutes * MINUTE
    assert hours.active_time(begin, end - MINUTE) == (minutes - 1) * MINUTE
    next_active = hours.next_active(begin)
    assert not hours.covers(next_active)
    assert hours.active_time(begin, next_active) == timedelta(0)


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
def test_a_span_starts_and_ends_on_the_clock_of_its_zone(text: str, begin: str, end: str) -> None:
    hours, since, until = parse_quiet_hours(text), utc(begin), utc(end)
    assert [hours.covers(since - MINUTE), hours.covers(since)] == [False, True]
    assert hours.next_active(since) == until
    assert hours.add_active_time(since, HOUR) == until + HOUR


def test_without_spans_no_time_is_quiet() -> None:
    assert parse_quiet_hours([]) == parse_quiet_hours("") == NO_QUIET_HOURS
    assert not NO_QUIET_HOURS.covers(utc("2026-11-23"))
    assert NO_QUIET_HOURS.add_active_time(utc("2026-11-23"), HOUR) == utc("2026-11-23 01:00")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (5, "write text or a list of texts"),
        (["22:00-07:00 UTC", 5], "write text or a list of texts"),
        ("22:00-07:00", "write days, times or both, and a time zone"),
        ("Europe/Paris", "write days, times or both, and a time zone"),
        ("22-7 Europe/Paris", "write days, times or both, and a time zone"),
        ("22:00-07:00 Europe/Pari", "unknown time zone Europe/Pari"),
        ("22:00-07:00 Europe", "unknown time zone Europe"),
        ("22:00-24:30 UTC", "times must be from 00:00 to 24:00"),
        ("22:60-23:00 UTC", "times must be from 00:00 to 24:00"),
        ("22:00-22:00 UTC", "start and end are the same"),
        ("24:00-07:00 UTC", "start and end are the same"),
        ("Sat-Son UTC", "write days as Mon, Tue, Wed, Thu, Fri, Sat, Sun, not Son"),
        ("Mon-Sun UTC", "the whole week would be quiet"),
        (["00:00-12:00 UTC", "12:00-24:00 UTC"], "the whole week would be quiet"),
    ],
)
def test_invalid_quiet_hours_are_rejected(value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_quiet_hours(value)


def test_the_first_day_is_monday() -> None:
    assert utc("2026-11-23").weekday() == DAYS.index("Mon")


def test_spans_that_began_are_whole_and_newest_first() -> None:
    hours = parse_quiet_hours(["Fri-Sat 22:00-02:00 Europe/Paris", "Sat 23:00-24:00 UTC"])
    found = hours.begun_before(utc("2026-10-24 23:30"), timedelta(days=7, hours=1))
    assert found == [
        (utc("2026-10-24 23:00"), utc("2026-10-25 00:00")),
        (utc("2026-10-24 20:00"), utc("2026-10-25 01:00")),  # 02:00 shows twice
        (utc("2026-10-23 20:00"), utc("2026-10-24 00:00")),
        (utc("2026-10-17 23:00"), utc("2026-10-18 00:00")),
    ]
    assert hours.begun_before(utc("2026-10-24 20:00"), HOUR) == []
