"""Numbers, sizes, ages, names and paths as people read them."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from dash_app.system.users import home

A_DAY, A_WEEK = timedelta(days=1), timedelta(days=7)
ALMOST_A_DAY = timedelta(hours=23, minutes=50)
ALMOST_A_YEAR = timedelta(days=300)
"""Further away, a day without its year could be taken for that of another one."""

MAX_NAMES = 3
"""Maximum number of names listed; the others are counted."""


def number(value: int) -> str:
    """Return a count with thousands separators: 10,640."""
    return f"{value:,}"


def short_number(value: int) -> str:
    """Return a count, from 10 million on in millions: 12.4 M."""
    return f"{value / 1e6:,.1f} M" if value >= 10_000_000 else number(value)


def change(value: int) -> str:
    """Return a difference with its sign: +24, −3, no change."""
    if value == 0:
        return "no change"
    return f"{'+' if value > 0 else '−'}{abs(value):,}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: 1 row, 0 rows, 12.4 M rows."""
    return f"{short_number(count)} {noun}{'' if count == 1 else 's'}"


def size(size_bytes: int) -> str:
    """Return a size in powers of 1000: 41 kB, 1.2 GB."""
    value, unit = float(size_bytes), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, bigger
    digits = 1 if unit not in {"B", "kB"} and value < 10 else 0
    return f"{value:.{digits}f} {unit}"


def size_change(value: int) -> str:
    """Return a difference of sizes with its sign: +210 MB, −3 kB, no change."""
    return f"{'+' if value > 0 else '−'}{size(abs(value))}" if value else "no change"


def age(elapsed: timedelta) -> str:
    """Return a duration in one unit, rounded down: now, 7 s, 3 min, 2 h, 4 d."""
    seconds = int(elapsed.total_seconds())
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s" if seconds >= 2 else "now"


def every(length: timedelta) -> str:
    """Return a configured interval without rounding: every minute, every 5 min, every 36 h."""
    seconds = round(length.total_seconds())
    for unit_seconds, unit, one in (
        (86_400, "d", "day"),
        (3_600, "h", "hour"),
        (60, "min", "minute"),
    ):
        if seconds % unit_seconds == 0:
            count = seconds // unit_seconds
            return f"every {one if count == 1 else f'{count} {unit}'}"
    return f"every {seconds} s"


def ago(elapsed: timedelta) -> str:
    """Return the age of an event: now, 7 s ago."""
    text = age(elapsed)
    return text if text == "now" else f"{text} ago"


def after(length: timedelta) -> str:
    """Return when something ended: after a moment, after 7 s."""
    text = age(length)
    return f"after {'a moment' if text == 'now' else text}"


def day(time: datetime) -> str:
    """Return a day: 12 Nov."""
    return f"{time.day} {time:%b}"


def day_of(time: datetime, now: datetime) -> str:
    """Return a day, with its year if it is not near: 12 Nov, 12 Nov 2024."""
    return f"{day(time)} {time.year}" if abs(now - time) > ALMOST_A_YEAR else day(time)


def clock(time: datetime, now: datetime) -> str:
    """Return a UTC time, as precise as its distance needs: 14:02 UTC, 14:02 UTC on 12 Nov, 12 Nov.

    It may be in the future.
    """
    if abs(now - time) > A_WEEK:
        return day_of(time, now)
    return moment(time) if abs(now - time) > A_DAY else f"{time:%H:%M} UTC"


def moment(time: datetime) -> str:
    """Return a UTC time with its day, for sentences that are stored: 14:02 UTC on 12 Nov."""
    return f"{time:%H:%M} UTC on {day(time)}"


def is_one_day(since: datetime, now: datetime) -> bool:
    """Whether a change since then may be shown as the change in 24 h."""
    return now - since > ALMOST_A_DAY


def truncate(text: str, max_characters: int) -> str:
    """Return a text in one line; if it is longer than allowed, "…" replaces its end."""
    head = text[: 4 * max_characters]
    line = one_line(head)
    if len(text) > len(head):
        line = line.ljust(max_characters + 1, "…")
    return line if len(line) <= max_characters else f"{line[: max_characters - 1].rstrip()}…"


def one_line(text: str) -> str:
    """Return a text in one line, with single spaces for whitespace and control characters.

    Invisible characters that change how others are shown, such as those that reverse the direction
    of text, are removed, except joiners of emoji.
    """
    categories = ((character, unicodedata.category(character)) for character in text)
    shown = (
        " " if category == "Cc" else character
        for character, category in categories
        if category not in {"Cf", "Cs"} or character == "\u200d"
    )
    return " ".join("".join(shown).split())


def first_of(texts: Sequence[str], maximum: int, more: str = "{} more") -> list[str]:
    """Return the first texts and, if there are others, their number in the words of `more`."""
    rest = len(texts) - maximum
    return [*texts[:maximum], more.format(number(rest))] if rest > 0 else list(texts)


def join_names(names: Sequence[str]) -> str:
    """Return names as a list: Email; Email and Content; A, B, C and 2 more."""
    shown = first_of(names, MAX_NAMES)
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def short_path(path: Path) -> str:
    """Return a path with `~` for the home folder."""
    own = home()
    return f"~/{path.relative_to(own)}" if own and path.is_relative_to(own) else str(path)
