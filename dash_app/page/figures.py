"""One chart as Plotly draws it: figures are dicts, since Plotly's own classes cost 10 MB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import groupby
from typing import Any

import pandas as pd

from dash_app.model.event import Event
from dash_app.page.chart_choice import View
from dash_app.words import numbers

HEIGHT = 120
MIN_MARGIN_PIXELS, DIGIT_PIXELS = 52, 7
"""Minimum space left of a chart for its numbers, and the width of a digit."""

INK = "gray"
"""Plotly wants a colour; the style sheet gives the real one, so that it follows the theme."""

AXIS = {"fixedrange": True, "showgrid": False, "zeroline": False, "showline": False}
SPIKE = {
    "nticks": 3,
    "showspikes": True,
    "spikemode": "across",
    "spikethickness": 1,
    "spikedash": "solid",
    "spikecolor": INK,
}
LINE: dict[str, Any] = {
    "type": "scatter",
    "mode": "lines",
    "line": {"shape": "hv", "width": 1.5, "color": INK},
    "fill": "tozeroy",
    "fillcolor": INK,
    "connectgaps": False,
}
BARS: dict[str, Any] = {"type": "bar", "marker": {"color": INK}, "offset": 0}
GRAVE = {"gone", "emptied", "truncated", "rolled_back", "rows_dropped"}
NARROWEST = 0.03
"""Less of the range, 8 pixels, is nothing to see."""

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """What the figures of a page share: the choice of what is shown, and the instants of its frame.

    `times` are those in the reader's zone, as Plotly takes them: made once, not once a figure.
    """

    view: View
    zone: tzinfo
    times: list[str]

    @classmethod
    def of(cls, instants: pd.Index[Any], view: View, zone: tzinfo) -> TimeAxis:
        """Return the axis of a trend frame's index."""
        times = pd.DatetimeIndex(instants).tz_convert(zone).strftime(TIME_FORMAT)
        return cls(view, zone, times.tolist())


def figure(values: pd.Series[int], axis: TimeAxis, events: Sequence[Event] = ()) -> dict[str, Any]:
    """Return the figure of one panel: a step line, or bars from zero; gaps left open."""
    view, zone, times = axis.view, axis.zone, axis.times
    marked = [event for event in events if event.at >= values.index[0]]
    unit = f"rows {span_of(pd.DatetimeIndex(values.index))}" if view.is_rate else "rows"
    trace = {
        **(BARS if view.is_rate else LINE),
        "x": times,
        "y": [None if pd.isna(value) else int(value) for value in values],
        "hovertemplate": f"%{{y:,}} {unit}<br>%{{x|%-d %b, %H:%M}}<extra></extra>",
    }
    vertical = _axis(values.dropna(), is_rate=view.is_rate)
    margin = max(MIN_MARGIN_PIXELS, 10 + DIGIT_PIXELS * max(map(len, vertical["ticktext"])))
    layout = {
        "height": HEIGHT,
        "margin": {"l": margin, "r": 4, "t": 14, "b": 20},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "dragmode": False,
        "hovermode": "x",
        "bargap": 0.2,
        "uirevision": view.search,
        "shapes": [*_gaps(values, times), *(_mark(event, zone) for event in marked)],
        "annotations": [_sign(event, zone) for event in marked],
        "xaxis": AXIS | SPIKE | {"range": [times[0], times[-1]], "tickformat": view.chosen.tick},
        "yaxis": AXIS | vertical,
    }
    return {"data": [trace], "layout": layout}


def _gaps(values: pd.Series[int], times: list[str]) -> list[dict[str, Any]]:
    """Return a band over each time that nobody watched, if it is wide enough to be seen."""
    gaps, least = [], max(2, round(NARROWEST * len(values)))
    for is_gap, run in groupby(range(len(values)), key=values.isna().to_numpy().__getitem__):
        places = list(run)
        if is_gap and len(places) >= least:
            x0, x1 = times[max(0, places[0] - 1)], times[places[-1]]
            band = {"type": "rect", "x0": x0, "x1": x1, "y0": 0, "y1": 1, "yref": "paper"}
            gaps.append(band | {"layer": "below", "fillcolor": INK, "line": {"width": 0}})
    return gaps


def _sign(event: Event, zone: tzinfo) -> dict[str, Any]:
    """Return the sign on top of an event's rule: a cross for what is a fault, else a dot."""
    text = "✕" if event.kind in GRAVE else "•"
    at = event.at.astimezone(zone).strftime(TIME_FORMAT)
    place = {"x": at, "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False}
    return place | {"text": text, "font": {"size": 10, "color": INK}}


def _mark(event: Event, zone: tzinfo) -> dict[str, Any]:
    at = event.at.astimezone(zone).strftime(TIME_FORMAT)
    line = {"color": INK, "width": 1, "dash": "dash"}
    return {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _axis(known: pd.Series[int], *, is_rate: bool) -> dict[str, Any]:
    """Return an axis with two ticks: least and greatest, or, for rates, zero and greatest."""
    least, greatest = 0 if is_rate else int(known.min()), int(known.max())
    margin = max((greatest - least) * 0.08, 0.5)
    ticks = sorted({least, greatest})
    return {
        "range": [least - (0 if is_rate else margin), greatest + margin],
        "tickvals": ticks,
        "ticktext": [numbers.short_number(value) for value in ticks],
        "ticklabeloverflow": "allow",
        "ticklabelstandoff": 4,
        "showgrid": True,
        "gridcolor": INK,
    }


def span_of(index: pd.DatetimeIndex) -> str:
    """Return what one bar counts: in an hour, in a day, in 7 days."""
    hours = round((index[1] - index[0]).total_seconds() / 3600) if len(index) > 1 else 1
    if hours < 24:
        return "in an hour" if hours == 1 else f"in {hours} h"
    return "in a day" if hours == 24 else f"in {hours // 24} days"
