"""Trends as small multiples: one panel per database or table, each with its own scale.

Figures are plain dicts, because Plotly's own classes cost 10 MB of memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import groupby
from typing import Any
from urllib.parse import parse_qs, urlencode

import pandas as pd
from dash import dcc, html
from dash.development.base_component import Component

from dash_app.model.event import Event
from dash_app.page import ids
from dash_app.page.markup import Parts
from dash_app.page.widgets import aria, middle_ellipsis, moment
from dash_app.words import numbers

MAX_POINTS, MAX_BARS = 300, 60
"""A panel is at most about 400 pixels wide."""

MAX_PANELS, MAX_TABLE_ROWS = 12, 24
HEIGHT = 120
MIN_MARGIN_PIXELS, DIGIT_PIXELS = 52, 7
"""Minimum space on the left for the numbers, and the width of a digit."""

MIN_SHARE = 0.03
"""A line or gap that covers less of the range, 8 pixels, cannot be seen."""

COLOUR = "gray"
"""Plotly needs a colour. The style sheet replaces it, so that it follows the theme."""

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
FAULT_EVENTS = {"gone", "emptied", "truncated", "rolled_back", "rows_dropped"}

CONFIG: Any = {
    "displayModeBar": False,
    "doubleClick": False,
    "scrollZoom": False,
    "responsive": True,
}
AXIS = {"fixedrange": True, "showgrid": False, "zeroline": False, "showline": False}
SPIKE = {
    "nticks": 3,
    "showspikes": True,
    "spikemode": "across",
    "spikethickness": 1,
    "spikedash": "solid",
    "spikecolor": COLOUR,
}
LINE: dict[str, Any] = {
    "type": "scatter",
    "mode": "lines",
    "line": {"shape": "hv", "width": 1.5, "color": COLOUR},
    "fill": "tozeroy",
    "fillcolor": COLOUR,
    "connectgaps": False,
}
BARS: dict[str, Any] = {"type": "bar", "marker": {"color": COLOUR}, "offset": 0}


@dataclass(frozen=True, slots=True)
class Range:
    """How far back the charts reach, in words, and the format of the times below them."""

    key: str
    label: str
    reach: timedelta
    words: str
    tick_format: str


RANGES = (
    Range("1h", "1 h", timedelta(hours=1), "in the last hour", "%H:%M"),
    Range("6h", "6 h", timedelta(hours=6), "in the last 6 hours", "%H:%M"),
    Range("24h", "24 h", timedelta(hours=24), "in the last 24 hours", "%H:%M"),
    Range("7d", "7 d", timedelta(days=7), "in the last 7 days", "%-d %b"),
    Range("30d", "30 d", timedelta(days=30), "in the last 30 days", "%-d %b"),
    Range("1y", "1 y", timedelta(days=365), "in the last year", "%b %Y"),
)
DEFAULT_RANGE = RANGES[2]


@dataclass(frozen=True, slots=True)
class Choice:
    """What the charts show: rows, or rows written, and how far back. It is part of the URL."""

    range: Range
    is_rate: bool

    @classmethod
    def from_search(cls, search: str | None) -> Choice:
        """Parse a URL's query; anything unknown is the default."""
        query = parse_qs((search or "").lstrip("?"))
        key = query.get("range", [""])[0]
        chosen = next((option for option in RANGES if option.key == key), DEFAULT_RANGE)
        return cls(chosen, query.get("show", [""])[0] == "rate")

    @property
    def search(self) -> str:
        """The query of the URL with this choice."""
        return f"?range={self.range.key}{'&show=rate' if self.is_rate else ''}"


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: its column of the trend frame, its title, since when it is watched, its events."""

    name: str
    label: str
    since: datetime | None
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """What the figures of a page share. `times` are the frame's instants in the reader's zone.

    They are formatted once for all figures.
    """

    choice: Choice
    zone: tzinfo
    times: list[str]

    @classmethod
    def from_index(cls, instants: pd.Index[Any], choice: Choice, zone: tzinfo) -> TimeAxis:
        """Format the index of a trend frame."""
        times = pd.DatetimeIndex(instants).tz_convert(zone).strftime(TIME_FORMAT)
        return cls(choice, zone, times.tolist())


def choice_links(choice: Choice) -> list[Component]:
    """Return two rows of links: what to show, and how far back."""
    modes = [
        ("Rows", replace(choice, is_rate=False)),
        ("Rows written", replace(choice, is_rate=True)),
    ]
    ranges = [(option.label, replace(choice, range=option)) for option in RANGES]
    return [
        html.Div(
            [
                dcc.Link(
                    label,
                    href=other.search,
                    className="choice is-chosen" if other == choice else "choice",
                )
                for label, other in row
            ],
            className="choices",
        )
        for row in (modes, ranges)
    ]


def draw_charts(
    panels: Sequence[Panel],
    trends: pd.DataFrame,
    choice: Choice,
    zone: tzinfo,
    database: str | None,
) -> list[Component]:
    """Return a chart for each panel, from the trend frame's column of its name.

    Below them are their numbers as a table, and a link to them as CSV.
    """
    axis = TimeAxis.from_index(trends.index, choice, zone)
    drawn = [
        _chart(number, panel, trends.get(panel.name), axis) for number, panel in enumerate(panels)
    ]
    query = {
        "format": "csv",
        "metric": "inserted" if choice.is_rate else "rows",
        "from": (datetime.now(UTC) - choice.range.reach).isoformat(timespec="seconds"),
        **({"database": database} if database else {}),
    }
    link = html.A("CSV", href=f"/api/history?{urlencode(query)}")
    return [*drawn, Parts(html.Div([as_table(panels, trends, zone), link], className="formats"))]


def empty_charts(labels: Sequence[str]) -> list[Component]:
    """Return placeholders of the right size, until the charts come into view."""
    return [Parts(*(_without_chart(label, html.P(className="waiting")) for label in labels))]


def as_table(panels: Sequence[Panel], trends: pd.DataFrame, zone: tzinfo) -> Component:
    """Return a folded table with one column per chart, newest first, of about 24 instants."""
    shown = trends.iloc[:: -max(1, len(trends) // MAX_TABLE_ROWS)]
    times = pd.DatetimeIndex(shown.index).tz_convert(zone).strftime("%-d %b, %H:%M")
    columns = [shown.get(panel.name) for panel in panels]
    lines = [
        html.Tr([html.Th(time, scope="row"), *(html.Td(_cell(column, at)) for column in columns)])
        for at, time in enumerate(times)
    ]
    head = html.Tr([html.Th("Time"), *(html.Th(panel.label, scope="col") for panel in panels)])
    table = html.Table([html.Thead(head), html.Tbody(lines)])
    return html.Details(
        [html.Summary("As a table"), html.Div(table, className="wide")], className="as-table"
    )


def _cell(column: pd.Series[int] | None, at: int) -> str:
    if column is None or pd.isna(column.iloc[at]):
        return "not watched"
    return numbers.number(int(column.iloc[at]))


def _chart(number: int, panel: Panel, values: pd.Series[int] | None, axis: TimeAxis) -> Component:
    known = pd.Series(dtype="Int64") if values is None else values.dropna()
    is_wide = len(known) > 1 and (
        axis.choice.is_rate
        or known.index[-1] - known.index[0] >= MIN_SHARE * axis.choice.range.reach
    )
    if values is None or not is_wide:
        return Parts(_without_chart(panel.label, _waiting(_watched_since(panel.since, values))))
    graph = dcc.Graph(
        id=ids.chart(number),
        figure=figure(values, axis, panel.events),
        config=CONFIG,
        className="chart",
        style={"height": f"{HEIGHT}px"},
    )
    label = _summary(panel.label, known, axis.choice)
    image = html.Div(graph, role="img", **aria(label=label))
    return html.Div([Parts(html.H3(middle_ellipsis(panel.label))), image], className="panel")


def _watched_since(since: datetime | None, values: pd.Series[int] | None) -> datetime | None:
    """Return the first known instant of a table that is newer than its database."""
    if since is None or values is None or values.isna().all() or since >= values.index[0]:
        return since
    first: datetime = values.dropna().index[0].to_pydatetime()
    return first


def _without_chart(label: str, body: Component) -> Component:
    return html.Div([html.H3(middle_ellipsis(label)), body], className="panel")


def _waiting(since: datetime | None) -> Component:
    if since is None:
        return html.P("Nothing read yet.", className="waiting")
    begun = moment(since, "clock", since)
    return html.P(["Watching since ", begun, ". The line grows from there."], className="waiting")


def _summary(label: str, known: pd.Series[int], choice: Choice) -> str:
    low, high = numbers.number(int(known.min())), numbers.number(int(known.max()))
    if choice.is_rate:
        written = numbers.plural(int(known.sum()), "row")
        per_bar = bar_unit(pd.DatetimeIndex(known.index))
        return f"{label}: {written} written {choice.range.words}, at most {high} {per_bar}."
    newest = numbers.plural(int(known.iloc[-1]), "row")
    return f"{label}: {newest} now, between {low} and {high} {choice.range.words}."


def figure(values: pd.Series[int], axis: TimeAxis, events: Sequence[Event] = ()) -> dict[str, Any]:
    """Return a Plotly figure: a step line, or bars from zero. Gaps stay open."""
    choice, zone, times = axis.choice, axis.zone, axis.times
    shown = [event for event in events if event.at >= values.index[0]]
    unit = f"rows {bar_unit(pd.DatetimeIndex(values.index))}" if choice.is_rate else "rows"
    trace = {
        **(BARS if choice.is_rate else LINE),
        "x": times,
        "y": [None if pd.isna(value) else int(value) for value in values],
        "hovertemplate": f"%{{y:,}} {unit}<br>%{{x|%-d %b, %H:%M}}<extra></extra>",
    }
    vertical = _value_axis(values.dropna(), is_rate=choice.is_rate)
    margin = max(MIN_MARGIN_PIXELS, 10 + DIGIT_PIXELS * max(map(len, vertical["ticktext"])))
    horizontal = {"range": [times[0], times[-1]], "tickformat": choice.range.tick_format}
    layout = {
        "height": HEIGHT,
        "margin": {"l": margin, "r": 4, "t": 14, "b": 20},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "dragmode": False,
        "hovermode": "x",
        "bargap": 0.2,
        "uirevision": choice.search,
        "shapes": [*_gap_bands(values, times), *(_event_rule(event, zone) for event in shown)],
        "annotations": [_event_sign(event, zone) for event in shown],
        "xaxis": AXIS | SPIKE | horizontal,
        "yaxis": AXIS | vertical,
    }
    return {"data": [trace], "layout": layout}


def _gap_bands(values: pd.Series[int], times: list[str]) -> list[dict[str, Any]]:
    bands, min_length = [], max(2, round(MIN_SHARE * len(values)))
    for is_gap, run in groupby(range(len(values)), key=values.isna().to_numpy().__getitem__):
        places = list(run)
        if is_gap and len(places) >= min_length:
            x0, x1 = times[max(0, places[0] - 1)], times[places[-1]]
            band = {"type": "rect", "x0": x0, "x1": x1, "y0": 0, "y1": 1, "yref": "paper"}
            bands.append(band | {"layer": "below", "fillcolor": COLOUR, "line": {"width": 0}})
    return bands


def _event_sign(event: Event, zone: tzinfo) -> dict[str, Any]:
    text = "✕" if event.kind in FAULT_EVENTS else "•"
    at = event.at.astimezone(zone).strftime(TIME_FORMAT)
    place = {"x": at, "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False}
    return place | {"text": text, "font": {"size": 10, "color": COLOUR}}


def _event_rule(event: Event, zone: tzinfo) -> dict[str, Any]:
    at = event.at.astimezone(zone).strftime(TIME_FORMAT)
    line = {"color": COLOUR, "width": 1, "dash": "dash"}
    return {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _value_axis(known: pd.Series[int], *, is_rate: bool) -> dict[str, Any]:
    """Return an axis with two ticks: minimum and maximum, or zero and maximum for rows written."""
    low, high = 0 if is_rate else int(known.min()), int(known.max())
    margin = max((high - low) * 0.08, 0.5)
    ticks = sorted({low, high})
    return {
        "range": [low - (0 if is_rate else margin), high + margin],
        "tickvals": ticks,
        "ticktext": [numbers.short_number(value) for value in ticks],
        "ticklabeloverflow": "allow",
        "ticklabelstandoff": 4,
        "showgrid": True,
        "gridcolor": COLOUR,
    }


def bar_unit(index: pd.DatetimeIndex) -> str:
    """Return the time that one bar covers: "per hour", "per day", "per 7 days"."""
    hours = round((index[1] - index[0]).total_seconds() / 3600) if len(index) > 1 else 1
    if hours < 24:
        return "per hour" if hours == 1 else f"per {hours} h"
    return "per day" if hours == 24 else f"per {hours // 24} days"
