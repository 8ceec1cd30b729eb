"""The frame of the page: header, headline, cards, trends, footer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dash_app.page import ids
from dash_app.page.assets import RECOVER, versioned
from dash_app.page.charts import empty_panels
from dash_app.page.custom_components import Parts, Pulse
from dash_app.page.markup import draw
from dash_app.page.widgets import aria, data, icon
from dash_app.settings import Settings

ELSEWHERE = {
    "Glance": "/glance",
    "JSON": "/api/db-status",
    "Metrics": "/metrics",
    "Self-check": "/api/service",
}
"""The same facts for other readers."""

FRESHNESS = """\
.when-stale.when-stale { display: none }
[data-freshness="stale"] .when-stale.when-stale { display: inline-flex }
[data-freshness="stale"] .when-fresh { display: none }
[data-freshness="aging"] h1 .when-stale.when-stale { display: inline }
[data-freshness="aging"] h1 .when-fresh { display: none }
html { --follows: 20s }
@media (scripting: none) { html { --follows: 90s } }
#first-view h1, #first-view .card-head > span { position: relative }
#first-view .when-stale.when-stale { display: inline-flex; position: absolute; top: 0; right: 0 }
#first-view h1 .when-stale.when-stale { right: auto; left: 0 }
#first-view .when-stale, .when-left { visibility: hidden }
#first-view .when-stale, .when-left { animation: appear 0s var(--follows) forwards }
#first-view .when-fresh { animation: vanish 0s var(--follows) forwards }
#first-view .dot { animation: fade 0s var(--follows) forwards }
@keyframes appear { to { visibility: visible } }
@keyframes vanish { to { visibility: hidden } }
@keyframes fade { to { background: gray } }
"""
"""Styles that switch between fresh and stale facts even if no other file arrives.

Without any script, the first view turns grey after a while unless the app replaces it. If scripts
are off, the page reloads every 30 s, and turns grey only if that fails.
"""

INDEX = (
    versioned("""<!DOCTYPE html>
<html lang="en" translate="no" class="notranslate" data-bs-theme="dark" data-level="{%level%}">
<head>
{%metas%}
<meta name="google" content="notranslate">
<title>{%title%}</title>
<meta name="theme-color" media="(prefers-color-scheme: dark)" content="#09090b">
<meta name="theme-color" media="(prefers-color-scheme: light)" content="#f4f4f5">
<link rel="icon" id="icon" type="image/svg+xml" href="/assets/icons/state-unknown.svg">
<link rel="manifest" href="/assets/manifest.webmanifest">
<link rel="apple-touch-icon" href="/assets/icons/app-180.png">
<noscript><meta http-equiv="refresh" content="30"></noscript>
<style>{%freshness%}</style>
<script>{%recover%}</script>
<script src="/assets/theme.js"></script>
{%css%}
<script src="/assets/start.js" defer></script>
</head>
<body>
<div id="first-view">{%first_view%}</div>
<div id="app" hidden>{%app_entry%}</div>
{%config%}
<template id="scripts">
{%scripts%}
{%renderer%}
</template>
</body>
</html>
""")
    .replace("{%freshness%}", FRESHNESS)
    .replace("{%recover%}", RECOVER)
)

THEMES = {"system": "System", "dark": "Dark", "light": "Light"}


@dataclass(frozen=True, slots=True)
class Content:
    """What changes on the page: facts to draw, and the pulse that the browser keeps time by.

    The charts stand after the first two facts.
    """

    facts: list[Component]
    pulse: dict[str, Any]

    @property
    def html(self) -> list[str]:
        """The facts as HTML: the part before the charts, and the part after them."""
        return [draw(self.facts[:2]), draw(self.facts[2:])]


def facts(
    headline: list[Component], cards: list[Component], incidents: Component
) -> list[Component]:
    """Return the parts of the page that show facts: headline, grid of cards, and incidents."""
    parts: list[Component] = [
        html.Section(headline, id=ids.HEADLINE, className="headline"),
        html.Div(
            [
                html.Section(
                    [
                        html.H2("Databases", className="visually-hidden"),
                        html.Div(cards, id=ids.CARDS, className="cards"),
                    ]
                ),
                incidents,
            ],
            className="parts",
        ),
    ]
    return parts


def layout(
    content: Content, trends: Sequence[str], settings: Settings, started_at: datetime
) -> Component:
    """Return the whole page around what is true now, and room for trends of these labels."""
    interval_seconds = settings.sampler.interval.total_seconds()
    return html.Div(
        [
            dcc.Location(id=ids.URL, refresh="callback-nav"),
            dcc.Interval(id=ids.TICK, interval=round(interval_seconds * 1000)),
            Pulse(content.pulse, content.html, ids.SNAPSHOT),
            dcc.Store(id=ids.RECORD),
            dcc.Store(id=ids.READER),
            dcc.Store(id=ids.SEEN),
            Parts(_top("", "", html.P(id="notice"))),
            html.Main(
                [
                    html.Div(id=ids.PARTS, className="parts"),
                    _trends(trends),
                    html.Div(id=ids.AFTER, className="parts"),
                ]
            ),
            Parts(_bottom(started_at)),
        ]
    )


def first_view(content: Content, taken_at: datetime | None) -> str:
    """Return the top of the page as HTML: what stands until the app takes its place."""
    as_of = f"as of {taken_at:%H:%M:%S} UTC" if taken_at else ""
    paper = f"As of {taken_at:%-d %b %Y, %H:%M:%S} UTC" if taken_at else ""
    links = html.Footer(_links(), className="no-script")
    stands = f"It stands {as_of}. " if taken_at else ""
    reload = html.A("Reload", href="")
    notice = html.P(["Part of this page has not arrived. ", stands, reload], className="when-left")
    top = _top(as_of, paper, notice)
    return draw(html.Div([*top, html.Main(content.facts), links]))


def _top(age: str, paper: str, notice: Component) -> list[Component]:
    return [
        html.Header(
            [
                html.Span(className="dot", **aria(hidden="true")),
                html.A("Mission Control", href="/", className="brand"),
                html.Span([icon("clock"), html.Span(age, id="age")], className="age"),
                html.Span(paper, id="paper", className="paper"),
            ]
        ),
        html.Div(notice, className="notice"),
    ]


def _trends(labels: Sequence[str]) -> Component:
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Trends"),
                    html.Nav(id=ids.RANGES, **aria(label="What the charts show")),
                ],
                className="section-head",
            ),
            html.Div(empty_panels(labels), id=ids.PANELS, className="panels"),
        ],
        className="trends",
        id="trends",
    )


def _bottom(started_at: datetime) -> list[Component]:
    themes = [
        html.Button(label, type="button", className="choice", **data(theme=key))
        for key, label in THEMES.items()
    ]
    up = html.Time(dateTime=started_at.isoformat(), **data(form="length"))
    return [
        html.Footer(
            [
                html.Div(themes, className="choices", role="group", **aria(label="Colours")),
                html.P(["Service up ", up, ". ", html.Span(id="zone")]),
                _links(),
            ]
        ),
        html.Div(id="announcer", className="visually-hidden", role="status"),
    ]


def _links() -> Component:
    """Return links to the same facts elsewhere."""
    links = [html.A(name, href=href) for name, href in ELSEWHERE.items()]
    return html.Nav(links, className="links", **aria(label="The same facts elsewhere"))
