"""Small parts that several sections of the page share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import pandas as pd
from dash import html
from dash.development.base_component import Component

from dash_app.words import numbers

Icon = Literal["check", "waiting", "cross", "clock", "unknown"]
Form = Literal["ago", "clock", "length"]


EXACT_FOR = timedelta(minutes=1)
"""An estimate older than this shows when its table was last counted exactly."""

STATES: dict[str, tuple[Icon, str, str]] = {
    "new": ("waiting", "muted", "New"),
    "on_time": ("check", "muted", "On time"),
    "late": ("clock", "warn", "Late"),
    "down": ("cross", "bad", "Down"),
    "unknown": ("unknown", "idle", "Can't tell"),
    "paused": ("waiting", "idle", "Paused"),
}
"""Icon, colour and word of each state of an expectation."""

BARS_HEIGHT, BAR_PITCH = 20, 5


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

    ago: "7 s ago"; clock: "14:02"; length: "58 min". Without scripts it is in UTC.
    """
    texts = {
        "ago": numbers.day(time) if now - time > numbers.A_WEEK else numbers.ago(now - time),
        "clock": numbers.clock(time, now),
        "length": numbers.age(now - time),
    }
    return html.Time(texts[form], dateTime=time.isoformat(), **data(form=form))


def bars(hours: Sequence[int | None] | None) -> Component:
    """Return 24 bars of rows written, one per hour, hidden from screen readers.

    The highest bar has the full height. An hour without a write is a stub, an hour that was not
    watched is empty, the current hour is pale.
    """
    watched = [rows for rows in hours or () if rows is not None]
    known = list(hours or ()) if len(watched) > 1 or any(watched) else []
    highest = max((rows or 0 for rows in known), default=0)
    written = [
        f'<path d="M{at * BAR_PITCH} {BARS_HEIGHT}v-{max(2, round(BARS_HEIGHT * rows / highest))}'
        f'h3V{BARS_HEIGHT}" opacity="{1 if at < len(known) - 1 else 0.5}"/>'
        for at, rows in enumerate(known)
        if rows
    ]
    silent = [
        f'<path d="M{at * BAR_PITCH} {BARS_HEIGHT}v-2h3v2"/>'
        for at, rows in enumerate(known)
        if rows == 0
    ]
    shapes = {"written": "".join(written), "silent": "".join(silent)}
    return html.Span(
        [
            html.Span(className=name, style={"--shape": _svg(shape)})
            for name, shape in shapes.items()
        ],
        className="bars",
        **aria(hidden="true"),
    )


def _svg(paths: str) -> str:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 {BARS_HEIGHT}">{paths}</svg>'
    return f"url('data:image/svg+xml,{svg}')"


def prose(text: str) -> list[Component | str]:
    """Turn the `commands` in a sentence into code that one tap selects."""
    return [
        html.Code(piece) if position % 2 else piece
        for position, piece in enumerate(text.split("`"))
        if piece
    ]


def middle_ellipsis(name: str) -> Component:
    """Return a name that is shortened in its middle if it does not fit."""
    tail = name[-8:] if len(name) > 16 else ""
    head = name[: len(name) - len(tail)]
    return html.Span(
        [html.Span(head, className="head"), html.Span(tail, className="tail")],
        className="cut",
        title=name,
    )


def count(one: Any, now: datetime, number: Callable[[int], str]) -> Component:
    """Return a table's count of a row of the loader's frame, and how sure and how old it is."""
    if pd.isna(one.rows):
        return html.Td(f"unknown: {one.error}", className="reason")
    mark = {"about": "≈ ", "at_most": "≤ "}.get(one.estimate, "")
    rows = f"{mark}{number(int(one.rows))}"
    if one.estimate != "about" or now - one.counted_at < EXACT_FOR:
        return html.Td(rows)
    return html.Td([f"{rows}, exact ", moment(one.counted_at, "ago", now)])


def expected(one: Any, now: datetime) -> list[Component]:
    """Return how the table of a row of the loader's frame stands to what is expected of it, if so.

    Late: expected every 1 h, last 3 h ago
    """
    if pd.isna(one.state):
        return []
    shape, colour, word = STATES[one.state]
    if one.state == "paused":
        return [html.Span([icon(shape), word], className="expected expected-idle")]
    never = pd.isna(one.written_at)
    last = ["nothing seen yet"] if never else ["last ", moment(one.written_at, "ago", now)]
    told = [icon(shape), f"{word}: expected every {one.every}, ", *last]
    if one.state == "unknown":
        told.append("; rows may come and go between readings")
    return [html.Span(told, className=f"expected expected-{colour}")]
