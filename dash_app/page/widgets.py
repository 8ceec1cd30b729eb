"""The small parts that cards, charts and headline are made of."""

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


AGED = timedelta(minutes=1)
"""An estimate says when its count was exact once that is longer ago."""

STATES: dict[str, tuple[Icon, str, str]] = {
    "new": ("waiting", "muted", "New"),
    "on_time": ("check", "muted", "On time"),
    "late": ("clock", "warn", "Late"),
    "down": ("cross", "bad", "Down"),
    "unknown": ("unknown", "idle", "Can't tell"),
    "paused": ("waiting", "idle", "Paused"),
}
"""Icon, colour and word of how a table stands to what is expected of it."""

BARS_HEIGHT, BAR_PITCH = 20, 5


def aria(**values: str) -> dict[str, Any]:
    """Return attributes with their prefix: `label` becomes `aria-label`."""
    return {f"aria-{name}": value for name, value in values.items()}


def data(**values: str) -> dict[str, Any]:
    """Return attributes with their prefix: `form` becomes `data-form`."""
    return {f"data-{name}": value for name, value in values.items()}


def icon(name: Icon) -> Component:
    """Return one of the five shapes; the words beside it carry the meaning."""
    return html.Span(className=f"icon icon-{name}", **aria(hidden="true"))


def moment(time: datetime, form: Form, now: datetime) -> Component:
    """Return a time that the reader's browser keeps up to date, in the reader's zone.

    ago: "7 s ago"; clock: "14:02"; length: "58 min". Until then it says so in UTC.
    """
    texts = {
        "ago": numbers.day(time) if now - time > numbers.A_WEEK else numbers.ago(now - time),
        "clock": numbers.clock(time, now),
        "length": numbers.age(now - time),
    }
    return html.Time(texts[form], dateTime=time.isoformat(), **data(form=form))


def bars(hours: Sequence[int | None] | None) -> Component:
    """Return 24 bars of rows written an hour, on a scale of their own; the words carry the fact.

    An hour without a write is a stub, one that nobody watched is nothing, the running one is pale.
    """
    watched = [value for value in hours or () if value is not None]
    known = list(hours or ()) if len(watched) > 1 or any(watched) else []
    most = max((value or 0 for value in known), default=0)
    drawn = [
        f'<path d="M{at * BAR_PITCH} {BARS_HEIGHT}v-{max(2, round(BARS_HEIGHT * value / most))}h3V'
        f'{BARS_HEIGHT}" opacity="{1 if at < len(known) - 1 else 0.5}"/>'
        for at, value in enumerate(known)
        if value
    ]
    stubs = [
        f'<path d="M{at * BAR_PITCH} {BARS_HEIGHT}v-2h3v2"/>'
        for at, value in enumerate(known)
        if value == 0
    ]
    return html.Span(
        [
            html.Span(className=name, style={"--shape": _picture("".join(paths))})
            for name, paths in (("written", drawn), ("silent", stubs))
        ],
        className="bars",
        **aria(hidden="true"),
    )


def _picture(paths: str) -> str:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 {BARS_HEIGHT}">{paths}</svg>'
    return f"url('data:image/svg+xml,{svg}')"


def prose(text: str) -> list[Component | str]:
    """Return a sentence with its `commands` as code that one tap selects."""
    return [
        html.Code(piece) if position % 2 else piece
        for position, piece in enumerate(text.split("`"))
        if piece
    ]


def middle_ellipsis(name: str) -> Component:
    """Return a name that is cut in its middle where it does not fit, whole for a screen reader."""
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
    if one.estimate != "about" or now - one.counted_at < AGED:
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
