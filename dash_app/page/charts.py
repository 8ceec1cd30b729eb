"""Trends as small multiples: a panel a database, or a table, each with its own scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any
from urllib.parse import urlencode

import pandas as pd
from dash import dcc, html
from dash.development.base_component import Component

from dash_app.model.event import Event
from dash_app.page import ids
from dash_app.page.chart_choice import RANGES, View
from dash_app.page.custom_components import Parts
from dash_app.page.figures import HEIGHT, NARROWEST, TimeAxis, figure, span_of
from dash_app.page.widgets import aria, middle_ellipsis, moment
from dash_app.words import numbers

POINTS = 300
"""A panel is at most some 400 pixels wide."""

MAX_BARS, MAX_PANELS, MAX_TABLE_ROWS = 60, 12, 24

CONFIG: Any = {
    "displayModeBar": False,
    "doubleClick": False,
    "scrollZoom": False,
    "responsive": True,
}


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: the name and label of what it shows, and since when that is watched."""

    name: str
    label: str
    since: datetime | None
    events: tuple[Event, ...] = ()


def choices(view: View) -> list[Component]:
    """Return what to show and how far back as links, which keep the choice in the URL."""
    modes = [("Rows", replace(view, is_rate=False)), ("Rows written", replace(view, is_rate=True))]
    ranges = [(one.label, replace(view, chosen=one)) for one in RANGES]
    return [
        html.Div(
            [
                dcc.Link(
                    label,
                    href=other.search,
                    className="choice is-chosen" if other == view else "choice",
                )
                for label, other in row
            ],
            className="choices",
        )
        for row in (modes, ranges)
    ]


def panels(
    wanted: Sequence[Panel], trends: pd.DataFrame, view: View, zone: tzinfo
) -> list[Component]:
    """Return a chart for each panel from the trend frame's column of its name."""
    axis = TimeAxis.of(trends.index, view, zone)
    return [
        _panel(number, panel, trends.get(panel.name), axis) for number, panel in enumerate(wanted)
    ]


def csv_link(view: View, database: str | None, now: datetime) -> Component:
    """Return a link to the numbers of the charts for a spreadsheet."""
    query = {
        "format": "csv",
        "metric": "inserted" if view.is_rate else "rows",
        "from": (now - view.chosen.reach).isoformat(timespec="seconds"),
        **({"database": database} if database else {}),
    }
    return html.A("CSV", href=f"/api/history?{urlencode(query)}")


def elsewhere(*parts: Component) -> Component:
    """Return where else the numbers of the charts stand."""
    return Parts([html.Div(list(parts), className="elsewhere")])


def as_table(wanted: Sequence[Panel], trends: pd.DataFrame, zone: tzinfo) -> Component:
    """Return the same numbers as a folded table: some times, newest first, a column a chart."""
    shown = trends.iloc[:: -max(1, len(trends) // MAX_TABLE_ROWS)]
    times = pd.DatetimeIndex(shown.index).tz_convert(zone).strftime("%-d %b, %H:%M")
    columns = [shown.get(panel.name) for panel in wanted]
    lines = [
        html.Tr([html.Th(time, scope="row"), *(html.Td(_cell(column, at)) for column in columns)])
        for at, time in enumerate(times)
    ]
    head = html.Tr([html.Th("Time"), *(html.Th(panel.label, scope="col") for panel in wanted)])
    table = html.Table([html.Thead(head), html.Tbody(lines)])
    return html.Details(
        [html.Summary("As a table"), html.Div(table, className="wide")], className="as-table"
    )


def _cell(column: pd.Series[int] | None, at: int) -> str:
    if column is None or pd.isna(column.iloc[at]):
        return "not watched"
    return numbers.number(int(column.iloc[at]))


def empty_panels(labels: Sequence[str]) -> list[Component]:
    """Return panels of the right size for the time until the charts are in view."""
    return [Parts([_without_chart(label, html.P(className="waiting")) for label in labels])]


def _panel(number: int, panel: Panel, values: pd.Series[int] | None, axis: TimeAxis) -> Component:
    view = axis.view
    known = pd.Series(dtype="Int64") if values is None else values.dropna()
    if values is None or len(known) < 2 or not _is_wide(known, view):
        return Parts([_without_chart(panel.label, _waiting(_begin(panel.since, values)))])
    graph = dcc.Graph(
        id=ids.chart(number),
        figure=figure(values, axis, panel.events),
        config=CONFIG,
        className="chart",
        style={"height": f"{HEIGHT}px"},
    )
    label = _summary(panel.label, known, view)
    chart = html.Div(graph, role="img", **aria(label=label))
    return html.Div([Parts([_title(panel.label)]), chart], className="panel")


def _begin(since: datetime | None, values: pd.Series[int] | None) -> datetime | None:
    """Return since when the numbers are watched: those of a new table later than its database."""
    if since is None or values is None or values.isna().all() or since >= values.index[0]:
        return since
    begin: datetime = values.dropna().index[0].to_pydatetime()
    return begin


def _is_wide(known: pd.Series[int], view: View) -> bool:
    return view.is_rate or bool(known.index[-1] - known.index[0] >= NARROWEST * view.chosen.reach)


def _without_chart(label: str, body: Component) -> Component:
    return html.Div([_title(label), body], className="panel")


def _title(label: str) -> Component:
    return html.H3(middle_ellipsis(label))


def _waiting(since: datetime | None) -> Component:
    if since is None:
        return html.P("Not watched yet: nothing was read so far.", className="waiting")
    text: list[Component | str] = [
        "Watching since ",
        moment(since, "clock", since),
        ". The line grows from there.",
    ]
    return html.P(text, className="waiting")


def _summary(label: str, known: pd.Series[int], view: View) -> str:
    least, greatest = numbers.number(int(known.min())), numbers.number(int(known.max()))
    newest = numbers.plural(int(known.iloc[-1]), "row")
    if view.is_rate:
        written = numbers.plural(int(known.sum()), "row")
        span = span_of(pd.DatetimeIndex(known.index))
        return f"{label}: {written} written {view.chosen.words}, at most {greatest} {span}."
    return f"{label}: {newest} now, least {least}, greatest {greatest} {view.chosen.words}."
