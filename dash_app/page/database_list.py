"""More than twelve databases: the filter, and a list with a row per database."""

from collections.abc import Container, Iterable, Sequence
from datetime import datetime
from math import ceil
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dash_app.model.incident import Incident
from dash_app.model.snapshot import DatabaseStatus
from dash_app.page import ids, url_query
from dash_app.page.cards import badge_parts, status_badge
from dash_app.page.sparkline import sparkline
from dash_app.page.widgets import aria, choices, icon, moment
from dash_app.words import numbers, summaries

MAX_CARDS = 12
"""Maximum number of databases that all have a card. Of more, only those in trouble have one."""

MAX_LISTS = 3
"""Number of lists beside each other on a wide screen."""

PULSE_HEIGHT = 18
BY_NAME = "Filter by name"
STATES = {
    "needs_you": "Needs you",
    "acknowledged": "Acknowledged",
    "unknown": "Can't tell",
    "not_initialized": "Not initialized",
    "well": "Well",
    "paused": "Paused",
}
"""The states to filter by. Each database is in exactly one of them."""


def state_of(status: DatabaseStatus) -> str:
    """Return the key in STATES of a database."""
    return "needs_you" if status.needs_you else summaries.state(status).replace(" ", "_")


def select(statuses: Iterable[DatabaseStatus], search: str | None) -> list[DatabaseStatus]:
    """Return the databases that a URL's query selects, by a part of their name and by state.

    An unknown state selects all.
    """
    query = url_query.parse(search)
    part, state = query.get("name", "").strip().casefold(), query.get("state")
    return [
        status
        for status in statuses
        if part in f"{status.database.label}\n{status.database.name}".casefold()
        and (state not in STATES or state == state_of(status))
    ]


def filter_controls(statuses: Iterable[DatabaseStatus], search: str | None) -> Component:
    """Return a field for the name, and a link with a number per state that occurs.

    Both work without scripts, and keep the other parameters of the URL.
    """
    query = {"name": ""} | url_query.parse(search)
    chosen = query["state"] if query.get("state") in STATES else ""
    found = [state_of(s) for s in select(statuses, url_query.with_values(search, state=""))]
    counts = {"": len(found)} | {state: found.count(state) for state in STATES}
    texts = {
        state: f"{STATES.get(state, 'All')} {numbers.number(count)}"
        for state, count in counts.items()
        if count or state in {"", chosen}
    }
    text: dict[str, Any] = {"id": ids.FILTER, "type": "search", "placeholder": BY_NAME}
    text |= {"maxLength": "100", "autoComplete": "off"}
    inputs = [
        dcc.Input(name=name, value=value, **(text if name == "name" else {"type": "hidden"}))
        for name, value in query.items()
    ]
    label = html.Label(BY_NAME, htmlFor=ids.FILTER, className="visually-hidden")
    form = html.Form([label, *inputs], method="get", role="search")
    nav = html.Nav(choices("state", texts, chosen, search), **aria(label="State"))
    return html.Div([form, nav], className="filter")


def database_list(
    statuses: Sequence[DatabaseStatus],
    incidents: Sequence[Incident],
    carded: Container[str],
    now: datetime,
) -> Component:
    """Return a row per database, in lists that are read downwards.

    A row leads to the card of its database, or to its view if it has none.
    """
    rows = [_row(status, incidents, carded, now) for status in statuses]
    length = ceil(len(rows) / MAX_LISTS)
    names = [
        html.Span("24 h", className="pulse"),
        html.Span("Change", className="change"),
        html.Span("Last write"),
    ]
    head = html.P(names, className="columns", **aria(hidden="true"))
    lists = [html.Ul(rows[at : at + length]) for at in range(0, len(rows), length)]
    return html.Div([html.Div([head, part]) for part in lists], className="lists")


def _row(
    status: DatabaseStatus, incidents: Sequence[Incident], carded: Container[str], now: datetime
) -> Component:
    name, key = status.database.name, summaries.badge(status)
    shape, _, word = badge_parts(key, status.level)
    target = f"#{ids.card(name)}" if name in carded else f"/databases/{name}"
    head = [icon(shape), html.A(status.database.label, href=target)]
    if key != "connected" or status.is_stale:
        return html.Li([*head, status_badge(status, now)])
    written_at = status.reading.last_modified
    change = "" if status.change is None else numbers.change(status.change)
    facts = [
        html.Span(word, className="visually-hidden"),
        html.Span(sparkline(status, incidents, PULSE_HEIGHT), className="pulse"),
        html.Span(change, className="change"),
        moment(written_at, "length", now) if written_at else html.Span("unknown"),
    ]
    return html.Li(head + facts)
