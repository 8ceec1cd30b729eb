"""Small parts that several sections of the page share."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

import pandas as pd
from dash import html
from dash.development.base_component import Component

from dash_app.page.url_query import with_values
from dash_app.words import numbers
from dash_app.words.integrity import Line
from dash_app.words.problems import Sentence

Icon = Literal["check", "waiting", "cross", "clock", "unknown"]
Form = Literal["ago", "clock", "stamp", "length"]


MAX_UNBROKEN = 12
"""Code of at most this length, such as `-journal`, never breaks into two lines."""

MAX_UNCUT, TAIL = 16, 8
"""A longer name than the first is shortened, and keeps the second number of letters at its end. The
style sheet knows the second too."""

SHOW_AGE_AFTER = timedelta(minutes=1)
"""Beyond this age, an estimate shows when its table was last counted exactly."""

STATES: dict[str, tuple[Icon, str, str]] = {
    "new": ("waiting", "muted", "New"),
    "on_time": ("check", "muted", "On time"),
    "late": ("clock", "warn", "Late"),
    "down": ("cross", "bad", "Down"),
    "unknown": ("unknown", "idle", "Can't tell"),
    "paused": ("waiting", "idle", "Paused"),
}
"""Icon, colour and word of each state of an expectation."""


def aria(**values: str) -> dict[str, Any]:
    """Prefix the names of attributes: `label` becomes `aria-label`."""
    return {f"aria-{name}": value for name, value in values.items()}


def data(**values: str) -> dict[str, Any]:
    """Prefix the names of attributes: `form` becomes `data-form`."""
    return {f"data-{name}": value for name, value in values.items()}


def icon(name: Icon) -> Component:
    """Return one of five shapes. Screen readers skip it: words beside it say the same."""
    return html.Span(className=f"icon icon-{name}", **aria(hidden="true"))


def moment(time: datetime, form: Form, now: datetime) -> Component:
    """Return a time that the page's script keeps up to date, in the reader's time zone.

    ago: "7 s ago"; clock: "14:02 on 12 Nov"; stamp: "12 Nov 14:02"; length: "58 min".
    Without scripts it is in UTC.
    """
    clock = numbers.clock(time, now)
    texts = {
        "ago": numbers.day_of(time, now)
        if now - time > numbers.A_WEEK
        else numbers.ago(now - time),
        "clock": clock,
        "stamp": " ".join(reversed(clock.split(" on "))),
        "length": numbers.age(now - time),
    }
    return html.Time(texts[form], dateTime=time.isoformat(), **data(form=form))


def choices(name: str, options: Mapping[str, str], chosen: str, search: str | None) -> html.Div:
    """Return links that set a parameter of the URL to each option. The page's script follows them.

    `options` has the texts by value. The other parameters stay.
    """
    links = [
        html.A(
            text,
            href=with_values(search, **{name: value}),
            className="choice",
            **(aria(current="true") if value == chosen else {}),
        )
        for value, text in options.items()
    ]
    return html.Div(links, className="choices")


def aside(*parts: Component | str) -> Component:
    """Return a paragraph in small grey type."""
    return html.P(list(parts), className="aside")


def muted(line: Line, now: datetime) -> Component:
    """Return a line on the page check with its age: No damage found, checked 6 h ago."""
    return aside(*with_age(line, now))


def with_age(line: Line, now: datetime) -> list[Component | str]:
    """Return the text of a line, and the age at its end, if it has one."""
    text, at = line
    return [*prose(text), " ", moment(at, "ago", now)] if at else prose(text)


def and_more(count: int) -> list[Component]:
    """Return how many are not shown, if any."""
    return [aside(f"and {numbers.number(count)} more")] if count > 0 else []


def since_when(
    time: datetime, now: datetime, *more: Component | str, has_length: bool = True
) -> Component:
    """Return since when and for how long a problem has lasted, unless a sentence says that."""
    parts: list[Component | str] = ["Since ", moment(time, "clock", now)]
    if has_length:
        parts += [" (", moment(time, "length", now), ")"]
    return aside(*parts, ".", *more)


def badge(shape: Icon, colour: str, text: Component | str, when: str = "") -> Component:
    """Return a badge. `when` is the class that shows it only with fresh or with stale facts."""
    return html.Span([icon(shape), text], className=f"state {colour} {when}".strip())


def unbroken(text: str) -> str:
    """Return a short text that never breaks into two lines: 24 h."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def prose(text: str) -> list[Component | str]:
    """Turn the `commands` in a sentence into code that one tap selects."""
    return [
        html.Code(piece, className="short" if len(piece) <= MAX_UNBROKEN else None)
        if position % 2
        else piece
        for position, piece in enumerate(text.split("`"))
        if piece
    ]


def sentence(parts: Sentence, now: datetime) -> list[Component | str]:
    """Return a sentence; the page's script keeps the durations in it up to date."""
    return [
        component
        for part in parts
        for component in (prose(part) if isinstance(part, str) else [moment(part, "length", now)])
    ]


def middle_ellipsis(name: str) -> Component:
    """Return a name that is shortened in its middle, or a short one at its end, if need be."""
    parts = [html.Span(name, className="head")]
    if len(name) > MAX_UNCUT:
        parts = [html.Span(name[:-TAIL], className="head"), html.Span(name[-TAIL:])]
    return html.Span(parts, className="cut", title=name)


def row_count(row: Any, now: datetime, number: Callable[[int], str]) -> Component:
    """Return the count in a row of a loader's frame, and how exact and how old it is."""
    if pd.isna(row.rows):
        reason = "unknown" if pd.isna(row.error) else f"unknown: {row.error}"
        return html.Td(reason, className="reason")
    sign = {"about": "≈", "at_most": "≤"}.get(row.estimate, "")
    rows = f"{sign}\N{NO-BREAK SPACE}{number(int(row.rows))}".strip()
    if row.estimate != "about" or now - row.counted_at < SHOW_AGE_AFTER:
        return html.Td(rows)
    return html.Td([f"{rows}, exact ", moment(row.counted_at, "ago", now)])


def expectation(row: Any, form: Form, now: datetime) -> list[Component]:
    """Return the state of the expectation in a row of a loader's frame, if there is one.

    Late: last 3 h ago; expected every hour
    """
    if pd.isna(row.state):
        return []
    shape, colour, word = STATES[row.state]
    if row.state == "paused":
        return [html.Span([icon(shape), word], className="expected idle")]
    is_unseen = pd.isna(row.written_at)
    last = ["nothing yet"] if is_unseen else ["last ", moment(row.written_at, form, now)]
    text = [f"{word}: ", *last, f"; expected {numbers.every(row.every)}"]
    if row.state == "unknown":
        text.append("; rows may come and go between readings")
    return [html.Span([icon(shape), html.Span(text)], className=f"expected {colour}")]
