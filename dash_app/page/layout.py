"""The frame of the page: header, headline, cards, trends, footer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dash import dcc, html

from dash_app import VERSION
from dash_app.page import ids
from dash_app.page.parts import aria, data, icon

if TYPE_CHECKING:
    from datetime import datetime

    from dash.development.base_component import Component

INDEX = """<!DOCTYPE html>
<html lang="en" data-bs-theme="dark">
<head>
{%metas%}
<title>{%title%}</title>
<meta name="theme-color" media="(prefers-color-scheme: dark)" content="#09090b">
<meta name="theme-color" media="(prefers-color-scheme: light)" content="#f4f4f5">
<link rel="icon" id="icon" type="image/svg+xml" href="/assets/icons/state-unknown.svg">
<script src="/assets/theme.js"></script>
{%css%}
</head>
<body>
{%app_entry%}
{%config%}
{%scripts%}
{%renderer%}
</body>
</html>
"""

THEMES = {"system": "System", "dark": "Dark", "light": "Light"}


def layout(
    headline: list[Component],
    cards: list[Component],
    pulse: dict[str, Any],
    interval_seconds: float,
    started_at: datetime,
) -> Component:
    """Return the whole page around a headline and cards that are true now."""
    return html.Div(
        [
            dcc.Location(id=ids.URL, refresh="callback-nav"),
            dcc.Interval(id=ids.TICK, interval=round(interval_seconds * 1000)),
            dcc.Store(id=ids.SNAPSHOT, data=pulse),
            dcc.Store(id=ids.READER),
            _header(),
            html.Div(html.P(id="notice"), className="notice"),
            html.Main(
                [
                    html.Section(headline, id=ids.HEADLINE, className="headline"),
                    html.Section(
                        [
                            html.H2("Databases", className="visually-hidden"),
                            html.Div(cards, id=ids.CARDS, className="cards"),
                        ]
                    ),
                    _trends(),
                ]
            ),
            _footer(started_at),
            html.Div(id="announcer", className="visually-hidden", role="status"),
        ]
    )


def _header() -> Component:
    return html.Header(
        [
            html.Span(className="dot", **aria(hidden="true")),
            html.A("Mission Control", href="/", className="brand"),
            html.Span([icon("clock"), html.Span(id="age")], className="age"),
        ]
    )


def _trends() -> Component:
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Rows over time"),
                    html.Nav(id=ids.RANGES, className="choices", **aria(label="Range")),
                ],
                className="section-head",
            ),
            html.Div(id=ids.PANELS, className="panels"),
        ],
        className="trends",
        id="trends",
    )


def _footer(started_at: datetime) -> Component:
    themes = [
        html.Button(label, type="button", className="choice", **data(theme=key))
        for key, label in THEMES.items()
    ]
    up = html.Time(dateTime=started_at.isoformat(), **data(form="length"))
    return html.Footer(
        [
            html.Div(themes, className="choices", role="group", **aria(label="Colours")),
            html.P(
                [
                    f"Mission Control {VERSION}. Service up ",
                    up,
                    ". ",
                    html.Span(id="zone"),
                ]
            ),
            html.P(html.A("The same facts as JSON", href="/api/db-status")),
        ]
    )
