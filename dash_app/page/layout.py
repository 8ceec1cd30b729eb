"""The frame of the page: HTML document, header, trends, footer, and the slots for the facts."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dash_app import VERSION
from dash_app.page import ids
from dash_app.page.assets import RECOVER, versioned
from dash_app.page.markup import Own, draw, plain
from dash_app.page.widgets import aria, data, icon

OTHER_FACES = {
    "Glance": "/glance",
    "JSON": "/api/db-status",
    "Metrics": "/metrics",
    "Self-check": "/api/service",
}
"""The same facts for small screens, scripts and monitoring."""

FRESHNESS = Path(__file__).with_name("freshness.css").read_text(encoding="utf-8")
"""Styles that switch between fresh and stale facts, in the HTML in case no other file arrives.

The first view turns grey by itself unless the app replaces it in time. If scripts are off, the page
reloads every 30 s, and turns grey only if that fails.
"""

INDEX = (
    versioned(Path(__file__).with_name("index.html").read_text(encoding="utf-8"))
    .replace("{%freshness%}", FRESHNESS)
    .replace("{%recover%}", RECOVER)
)

THEMES = {"system": "System", "dark": "Dark", "light": "Light"}


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a page, as the parts above and below the charts."""

    before_charts: list[Component]
    after_charts: list[Component] = field(default_factory=list)

    @property
    def html(self) -> list[str]:
        """The HTML of both halves."""
        return [draw(self.before_charts), draw(self.after_charts)]


def layout(
    facts: Facts,
    pulse: dict[str, Any],
    trends: tuple[str, list[Component], str],
    started_at: datetime,
) -> Component:
    """Return the whole page with the present facts. `trends` are as the page returns them."""
    return html.Div(
        [
            dcc.Location(id=ids.URL, refresh="callback-nav"),
            dcc.Interval(id=ids.TICK, interval=pulse["intervalMs"]),
            # They arrive as one, so that the page never calls facts new before it has drawn them.
            Own("Pulse", data=pulse, facts=facts.html, id=ids.SNAPSHOT),
            dcc.Store(id=ids.BROWSER),
            dcc.Store(id=ids.ACTION),
            plain(_header("", "")),
            html.Main(
                [
                    html.Div(id=ids.BEFORE_CHARTS, className="parts"),
                    _trends(*trends),
                    html.Div(id=ids.AFTER_CHARTS, className="parts"),
                ]
            ),
            plain(*_footer(started_at)),
        ]
    )


def first_view(facts: Facts, taken_at: datetime | None) -> str:
    """Return the page without charts as HTML. It is shown until the app replaces it."""
    as_of = f"as of {taken_at:%H:%M:%S} UTC" if taken_at else ""
    as_of_in_full = f"As of {taken_at:%-d %b %Y, %H:%M:%S} UTC" if taken_at else ""
    links = html.Footer(_links(), className="no-script")
    header = _header(as_of, as_of_in_full)
    return draw(html.Div([header, html.Main([*facts.before_charts, *facts.after_charts]), links]))


def _header(age: str, printed_age: str) -> Component:
    return html.Header(
        [
            html.Span(className="dot", **aria(hidden="true")),
            html.A("Mission Control", href="/", className="brand"),
            html.Span([icon("clock"), html.Span(age, id="age")], className="age"),
            html.Span(printed_age, id="printed-age", className="printed-age"),
        ]
    )


def _trends(links: str, charts: list[Component], below: str) -> Component:
    return html.Section(
        [
            html.Div(
                [html.H2("Trends"), Own("Parts", html=links, id=ids.RANGES)],
                className="section-head",
            ),
            plain(html.P(id="charts-late", className="aside")),
            html.Div(
                [
                    html.Div(charts, id=ids.PANELS, className="parts"),
                    Own("Parts", html=below, id=ids.BELOW_CHARTS),
                ],
                className="panels",
            ),
        ],
        className="trends",
        id="trends",
    )


def _footer(started_at: datetime) -> list[Component]:
    themes = [
        html.Button(label, type="button", className="choice", **data(theme=key))
        for key, label in THEMES.items()
    ]
    up = html.Time(dateTime=started_at.isoformat(), **data(form="length"))
    return [
        html.Footer(
            [
                html.Div(themes, className="choices", role="group", **aria(label="Colours")),
                html.P([f"Service {VERSION} up ", up, html.Span(id="zone")]),
                _links(),
            ]
        ),
        html.Div(id="announcer", className="visually-hidden", role="status"),
    ]


def _links() -> Component:
    links = [html.A(name, href=href) for name, href in OTHER_FACES.items()]
    return html.Nav(links, className="links", **aria(label="The same facts in other forms"))
