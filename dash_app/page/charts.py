"""Trends as small multiples: a panel a database, each with its own scale, one time axis."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
from dash import dcc, html

from dash_app import words
from dash_app.page import ids
from dash_app.page.parts import aria, moment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, tzinfo

    from dash.development.base_component import Component

    from dash_app.model import Database

HEIGHT = 120
POINTS = 300
"""A panel is at most some 400 pixels wide."""

INK = "gray"
"""Plotly wants a colour; the style sheet gives the real one, so that it follows the theme."""

AXIS = {"fixedrange": True, "showgrid": False, "zeroline": False, "showline": False}
SPIKE = {
    "nticks": 4,
    "showspikes": True,
    "spikemode": "across",
    "spikethickness": 1,
    "spikedash": "solid",
    "spikecolor": INK,
}
CONFIG: Any = {
    "displayModeBar": False,
    "doubleClick": False,
    "scrollZoom": False,
    "responsive": True,
}


@dataclass(frozen=True, slots=True)
class Range:
    """A choice of how far back the charts reach."""

    key: str
    label: str
    reach: timedelta
    words: str
    tick: str


RANGES = (
    Range("1h", "1 h", timedelta(hours=1), "in the last hour", "%H:%M"),
    Range("6h", "6 h", timedelta(hours=6), "in the last 6 hours", "%H:%M"),
    Range("24h", "24 h", timedelta(hours=24), "in the last 24 hours", "%H:%M"),
    Range("7d", "7 d", timedelta(days=7), "in the last 7 days", "%-d %b"),
    Range("30d", "30 d", timedelta(days=30), "in the last 30 days", "%-d %b"),
    Range("1y", "1 y", timedelta(days=365), "in the last year", "%b %Y"),
)
DEFAULT_RANGE = RANGES[2]


def range_of(key: str) -> Range:
    """Return the range with a key; the default one for any other text."""
    return next((one for one in RANGES if one.key == key), DEFAULT_RANGE)


def choices(chosen: Range) -> list[Component]:
    """Return the ranges as links, which keep the choice in the URL."""
    return [
        dcc.Link(
            one.label,
            href=f"?range={one.key}",
            className="choice is-chosen" if one == chosen else "choice",
        )
        for one in RANGES
    ]


def panels(
    databases: tuple[Database, ...],
    trends: pd.DataFrame,
    since: Mapping[str, datetime],
    chosen: Range,
    zone: tzinfo,
) -> list[Component]:
    """Return a panel for each database from the trend frame's column of its name.

    `since` is when each database was first watched.
    """
    return [
        _panel(database, trends.get(database.name), since.get(database.name), chosen, zone)
        for database in databases
    ]


def empty_panels(databases: tuple[Database, ...]) -> list[Component]:
    """Return panels of the right size for the time until the charts are in view."""
    return [_framed(database, html.P(className="waiting")) for database in databases]


def figure(values: pd.Series[int], chosen: Range, zone: tzinfo) -> dict[str, Any]:
    """Return the figure of one panel: a step line, gaps left open, least and greatest as ticks."""
    index = pd.DatetimeIndex(values.index).tz_convert(zone)
    times = index.strftime("%Y-%m-%d %H:%M:%S").tolist()
    trace = {
        "type": "scatter",
        "mode": "lines",
        "x": times,
        "y": [None if pd.isna(value) else int(value) for value in values],
        "line": {"shape": "hv", "width": 1.5, "color": INK},
        "fill": "tozeroy",
        "fillcolor": INK,
        "connectgaps": False,
        "hovertemplate": "%{y:,} rows<br>%{x|%-d %b, %H:%M}<extra></extra>",
    }
    layout = {
        "height": HEIGHT,
        "margin": {"l": 48, "r": 4, "t": 8, "b": 20},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "dragmode": False,
        "hovermode": "x",
        "uirevision": chosen.key,
        "xaxis": AXIS | SPIKE | {"range": times[:: len(times) - 1], "tickformat": chosen.tick},
        "yaxis": AXIS | _row_axis(values.dropna()),
    }
    return {"data": [trace], "layout": layout}


def _row_axis(known: pd.Series[int]) -> dict[str, Any]:
    least, greatest = int(known.min()), int(known.max())
    margin = max((greatest - least) * 0.08, 0.5)
    ticks = sorted({least, greatest})
    return {
        "range": [least - margin, greatest + margin],
        "tickvals": ticks,
        "ticktext": [words.short_number(value) for value in ticks],
        "ticklabeloverflow": "allow",
        "showgrid": True,
        "gridcolor": INK,
    }


def _panel(
    database: Database,
    values: pd.Series[int] | None,
    since: datetime | None,
    chosen: Range,
    zone: tzinfo,
) -> Component:
    known = pd.Series(dtype="Int64") if values is None else values.dropna()
    if values is None or len(known) < 2:
        body = _waiting(since)
    else:
        graph = dcc.Graph(
            id=ids.chart(database.name),
            figure=figure(values, chosen, zone),
            config=CONFIG,
            className="chart",
            style={"height": f"{HEIGHT}px"},
        )
        body = html.Div(graph, role="img", **aria(label=_summary(database, known, chosen)))
    return _framed(database, body)


def _framed(database: Database, body: Component) -> Component:
    return html.Div([html.H3(database.label), body], className="panel")


def _waiting(since: datetime | None) -> Component:
    if since is None:
        return html.P("Not watched yet: nothing was read so far.", className="waiting")
    text: list[Component | str] = [
        "Watching since ",
        moment(since, "clock", since),
        ". The line starts with the next change.",
    ]
    return html.P(text, className="waiting")


def _summary(database: Database, known: pd.Series[int], chosen: Range) -> str:
    least, greatest = words.number(int(known.min())), words.number(int(known.max()))
    newest = words.plural(int(known.iloc[-1]), "row")
    return f"{database.label}: {newest} now, least {least}, greatest {greatest} {chosen.words}."
