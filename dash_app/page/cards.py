"""A database's card: a pure function from its rows of the loader's frames to components."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

import dash_bootstrap_components as dbc
import pandas as pd
from dash import html
from dash.development.base_component import Component

from dash_app.page import ids
from dash_app.page.widgets import (
    Icon,
    aria,
    bars,
    count,
    data,
    expected,
    icon,
    middle_ellipsis,
    moment,
    prose,
)
from dash_app.words import numbers, summaries

MAX_TABLES = 6

BADGES: dict[str, tuple[Icon, str, str]] = {
    "connected": ("check", "ok", "Connected"),
    "not_initialized": ("waiting", "warn", "Not Initialized"),
    "error": ("cross", "bad", "Error"),
    "paused": ("waiting", "idle", "Paused"),
    "undecided": ("unknown", "idle", "Can't Tell"),
}
"""Icon, colour and word of each status, and of a database of which nothing is told."""


def cards(statuses: pd.DataFrame, counts: pd.DataFrame, now: datetime) -> list[Component]:
    """Return a card for each row of the status frame, with its tables of the counts frame.

    Each frame is gone through once: choosing rows of a frame for each card took four fifths of a
    page's time.
    """
    tables = groupby(counts.itertuples(index=False), key=attrgetter("database"))
    of = {database: list(rows) for database, rows in tables}
    return [card(row, of.get(row.name, []), now) for row in statuses.itertuples(index=False)]


def card(row: Any, counts: list[Any], now: datetime) -> Component:
    """Return one card: badge, what is true, and the tables, which a phone folds."""
    lines = [] if pd.isna(row.cause) else trouble(row, now)
    lines += [html.P(note, className="aside") for note in row.notes]
    if row.status == "connected":
        lines += _facts(row, now)
    tables = [_tables(row.name, counts, now)] if counts else []
    head = _head(row, now, foldable=bool(tables))
    whole: Component = dbc.Card(
        dbc.CardBody([head, *lines, *tables]),
        id=ids.card(row.name),
        class_name=f"database is-{row.level}",
    )
    return whole


def _head(row: Any, now: datetime, *, foldable: bool) -> Component:
    fold = html.Button(
        className="fold",
        type="button",
        **aria(expanded="false", controls=ids.tables(row.name), label=f"Tables of {row.label}"),
    )
    return html.Div(
        [
            html.H3(html.A(row.label, href=f"/databases/{row.name}"), className="name"),
            badge(row, now),
            *([fold] if foldable else []),
        ],
        className="card-head",
    )


def badge(row: Any, now: datetime) -> Component:
    """Return the one badge of a card, and in its place "As of 14:02" when the reading is stale.

    The page turns to the second by itself when it stops hearing from the server.
    """
    shape, colour, word = badge_of(row.badge, row.level)
    stale = [icon("unknown"), html.Span(["As of ", moment(row.verified_at, "clock", now)])]
    aged = html.Span(stale, className="state state-idle when-stale")
    if row.level == "unknown" and row.badge != "undecided":
        return html.Span(stale, className="state state-idle")
    fresh = html.Span([icon(shape), word], className=f"state state-{colour} when-fresh")
    return html.Span([fresh, aged])


def badge_of(key: Any, level: str) -> tuple[Icon, str, str]:
    """Return icon, colour and word of a status or of the kind of a finding."""
    if key in BADGES:
        return BADGES[key]
    word = summaries.kind_in_brief(key).capitalize()
    return ("cross", "bad", word) if level == "fault" else ("clock", "warn", word)


def _facts(row: Any, now: datetime) -> list[Component]:
    unknown = pd.isna(row.last_modified)
    last_write = "unknown" if unknown else moment(row.last_modified, "ago", now)
    return [
        html.P(
            [
                html.Span(["Last write ", last_write]),
                html.Span(_rows(row), className="rows"),
            ],
            className="facts",
        ),
        html.P([html.Span(_change(row, now)), bars(row.hours)], className="facts"),
    ]


def _rows(row: Any) -> str:
    """Return the number of rows on a card, "counted" if tables are missing in it."""
    if pd.isna(row.total_rows):
        return "rows unknown"
    rows = numbers.plural(int(row.total_rows), "row")
    return rows if row.total_complete else f"{rows} counted"


def _change(row: Any, now: datetime) -> list[Component | str]:
    if pd.isna(row.change):
        since = row.since if pd.isna(row.change_since) else row.change_since
        return ["Watching since ", moment(since, "clock", now)]
    change = numbers.change(int(row.change))
    if numbers.is_one_day(row.change_since, now):
        return [f"{change} in 24 h"]
    return [f"{change} since ", moment(row.change_since, "clock", now)]


def trouble(row: Any, now: datetime) -> list[Component]:
    """Return what is amiss, since when, what to do, and what was there last."""
    began, length = moment(row.since, "clock", now), moment(row.since, "length", now)
    lines: list[Component] = [html.P(prose(row.cause), className="cause")]
    if row.status != "not_initialized":
        lines.append(html.P(["Since ", began, " (", length, ")"], className="aside"))
    lines.append(html.P(prose(row.remedy), className="remedy"))
    if row.asks:
        lines.append(_acknowledge_button(row))
    if row.status == "error" and not pd.isna(row.last_good_rows):
        rows = numbers.plural(int(row.last_good_rows), "row")
        seen_at = moment(row.last_good_at, "clock", now)
        lines.append(html.P([f"Last seen: {rows} at ", seen_at], className="aside"))
    return lines


def _acknowledge_button(row: Any) -> Component:
    attributes = data(acknowledge=row.name) | aria(label=f"Acknowledge: {row.label}")
    return html.Button("Acknowledge", type="button", className="action", **attributes)


def _overdue(one: Any, now: datetime) -> list[Component]:
    """Return what was expected of a table and did not come; the rest stands in its own view."""
    return expected(one, now) if one.is_silent else []


def _is_empty(one: Any) -> bool:
    return not one.is_silent and not pd.isna(one.rows) and one.rows == 0


def _tables(name: str, counts: list[Any], now: datetime) -> Component:
    """Return the tables: trouble first, then by rows; empty ones and the rest in a line."""
    filled = [one for one in counts if not _is_empty(one)]
    lines = [
        html.Tr(
            [
                html.Th([middle_ellipsis(str(one.table)), *_overdue(one, now)], scope="row"),
                count(one, now, numbers.short_number),
            ]
        )
        for one in filled[:MAX_TABLES]
    ]
    rest = len(filled) - MAX_TABLES
    more = html.A(f"and {numbers.number(rest)} more", href=f"/databases/{name}")
    notes: list[Component | str] = [more] if rest > 0 else []
    if len(counts) > len(filled):
        notes.append(numbers.plural(len(counts) - len(filled), "empty table"))
    caption = html.Caption(f"Rows of each table of {name}", className="visually-hidden")
    return html.Div(
        [
            html.Table([caption, html.Tbody(lines)]),
            *(html.P(note, className="aside") for note in notes),
        ],
        id=ids.tables(name),
        className="tables",
    )
