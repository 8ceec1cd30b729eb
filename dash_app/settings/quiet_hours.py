"""Parse quiet hours, such as "22:00-07:00 Europe/Paris"."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import PlainValidator

from dash_app.model.quiet_hours import QuietHours, Span

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EXAMPLES = '"22:00-07:00 Europe/Paris", "Sat-Sun Europe/Paris" or "Mon-Fri 18:00-24:00 UTC"'
SPAN = re.compile(
    r"(?:(?P<first>[A-Z][a-z]{2})(?:-(?P<last>[A-Z][a-z]{2}))?\s+)?"
    r"(?:(?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d)\s+)?(?P<zone>[A-Za-z][\w+/-]*)"
)
MAX_SPANS = 50
"""Maximum number of spans, since each reading goes through all of them."""

A_WEEK = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 12, tzinfo=UTC)


def parse_quiet_hours(value: object) -> QuietHours:
    """Return quiet hours from a string or a list of strings; an empty string adds none.

    Raise ValueError with what to write instead.
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"write text or a list of texts, such as {EXAMPLES}")
    if len(texts) > MAX_SPANS:
        raise ValueError(f"write at most {MAX_SPANS}")
    quiet = QuietHours(tuple(_span(text) for text in texts if text))
    if quiet.active_time(*A_WEEK) == timedelta(0):
        raise ValueError("the whole week would be quiet")
    return quiet


def _span(text: str) -> Span:
    match = SPAN.fullmatch(text.strip())
    if match is None or (match["first"] is None and match["begin"] is None):
        raise ValueError(f"write days, times or both, and a time zone, such as {EXAMPLES}")
    begin, end = _minutes(match["begin"] or "00:00"), _minutes(match["end"] or "24:00")
    if begin in {end, 24 * 60}:
        raise ValueError("start and end are the same")
    zone = _zone(match["zone"])
    return Span(_days(match["first"], match["last"]), begin, end + 24 * 60 * (end < begin), zone)


def _days(first: str | None, last: str | None) -> frozenset[int]:
    if first is None:
        return frozenset(range(7))
    unknown = {first, last or first}.difference(DAYS)
    if unknown:
        raise ValueError(f"write days as {', '.join(DAYS)}, not {', '.join(sorted(unknown))}")
    begin, end = DAYS.index(first), DAYS.index(last or first)
    return frozenset((begin + n) % 7 for n in range((end - begin) % 7 + 1))


def _minutes(text: str) -> int:
    hours, minutes = int(text[:2]), int(text[3:])
    if minutes > 59 or hours * 60 + minutes > 24 * 60:
        raise ValueError("times must be from 00:00 to 24:00")
    return hours * 60 + minutes


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name}: use a name such as Europe/Paris") from None


QuietHoursSetting = Annotated[QuietHours, PlainValidator(parse_quiet_hours)]
