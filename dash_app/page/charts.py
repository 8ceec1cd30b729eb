"""Trends as small multiples: a panel per database, table or measure, on a shared time axis.

Plotly draws bars and lines only. Labels, marks and gaps are HTML: they follow the theme, grow with
the text and are never cut. Figures are plain dicts, because Plotly's own classes cost 10 MB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from itertools import count, groupby
from typing import Any
from urllib.parse import urlencode

import pandas as pd
from dash import dcc, html
from dash.development.base_component import Component

from dash_app.model.event import EventKind
from dash_app.page import ids
from dash_app.page.chart_choice import Choice
from dash_app.page.markup import plain
from dash_app.page.widgets import and_more, aria, aside, data, middle_ellipsis, unbroken
from dash_app.words import numbers
from dash_app.words.measures import SCALED_UNITS, change_text, value_text

MAX_POINTS, MAX_BARS = 300, 60
"""A panel is at most about 400 pixels wide."""

MAX_PANELS, MAX_TABLE_ROWS, MAX_NOTES = 12, 24, 6
MIN_SHARE = 0.025
"""The share of the range, 8 pixels, from which a gap is a band."""

MIN_TOP = 4
"""A scale of rows written ends here at least, so that a single row is no tower."""

ROW_SHARE, STUB_SHARE, BAR_SHARE = 0.04, 0.02, 0.7
"""The smallest bar and the stub of silence, of the height; the width of a bar, of its step."""

COLOUR, FAINT = "gray", "silver"
"""Plotly needs colours. The style sheet replaces them, so that they follow the theme."""

UNWATCHED, NO_VALUE = "not watched", "no value"
CONFIG: Any = {"staticPlot": True, "responsive": True}
CHANGES: tuple[EventKind, ...] = ("schema_changed", "version_changed")
"""Kinds of events that are marked as changes. The others are problems, and so incidents."""

MARKS = {
    "sign-fault": "a fault begins",
    "sign-change": "a change",
    "sign-gap": "not watched",
    "sign-before": "the time before",
}


Mark = tuple[datetime, str, str]
"""When something happened, its key in MARKS, and its words."""

Note = tuple[Component | str, ...]
"""The line that replaces a chart with nothing to draw."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: its column of the trend frame, its title and its marks."""

    name: str
    label: str
    marks: tuple[Mark, ...] = ()
    note: Note = ()
    since: datetime | None = None
    """When its database was first watched, if that is within the range."""
    unit: str | None = None
    """The unit of a measure; None for rows."""

    @property
    def kind(self) -> str:
        """The classes of its element."""
        return "panel" if self.unit is None else "panel of-measure"

    def text(self, value: float, *, is_tick: bool = False) -> str:
        """Return a value in words. A tick has no unit that stands behind a number."""
        if self.unit is None:
            return numbers.short_number(int(value))
        return value_text(value, "" if is_tick and self.unit not in SCALED_UNITS else self.unit)

    def change(self, value: float) -> str:
        """Return a difference in words: +24, −3 USD, no change."""
        return numbers.change(int(value)) if self.unit is None else change_text(value, self.unit)


class TimeAxis:
    """What the charts of a trend frame share: instants, which are points or the starts of bars.

    `step` is the time that one bar covers, zero for lines; `edges` say how far along the axis the
    instants are, and its end. `before` is the axis of the span before, if it is compared.
    """

    def __init__(
        self, trends: pd.DataFrame, choice: Choice, zone: tzinfo, before: TimeAxis | None = None
    ) -> None:
        self.trends, self.choice, self.zone, self.before = trends, choice, zone, before
        self.step: timedelta = trends.attrs["step"] if choice.is_rate else timedelta(0)
        self.gap = NO_VALUE if choice.is_measure else UNWATCHED
        self.instants = pd.DatetimeIndex(trends.index).tz_convert(zone)
        self._start = self.instants[0].timestamp()
        end = (self.instants[-1] + BAR_SHARE * self.step).timestamp()
        self._seconds = max(end - self._start, 1)
        self.edges = [*(round(self.share(instant), 4) for instant in self.instants), 1.0]

    def share(self, instant: datetime) -> float:
        """Return how far along the axis an instant is, from 0 to 1, the end of the last bar."""
        return min((instant.timestamp() - self._start) / self._seconds, 1)

    @cached_property
    def names(self) -> list[str]:
        """The instants in words, or the times that the bars cover."""
        if not self.step:
            return self.instants.strftime(self.choice.range.time_format).tolist()
        # Days are those of UTC. Their middle is on the same day in most zones.
        is_days = self.step >= numbers.A_DAY
        inset, form = (numbers.A_DAY / 2, "%-d %b") if is_days else (timedelta(0), "%H:%M")
        starts = (self.instants + inset).strftime(form)
        ends = (self.instants + self.step - inset).strftime(form)
        names = [a if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=True)]
        running = f"since {self.instants[-1].strftime(form)}"
        return [*names[:-1], "today" if self.step == numbers.A_DAY else running]

    @cached_property
    def ticks(self) -> list[tuple[float, str]]:
        """Places and texts of the labels below. A day's label is at its noon."""
        chosen = self.choice.range
        start, end = (self.instants + self.step).tz_localize(None)[[0, -1]]
        inset = timedelta(0) if "%H" in chosen.tick_format else numbers.A_DAY / 2
        local = pd.date_range(start.normalize() + inset, end, freq=chosen.tick_frequency)
        times = local.tz_localize(self.zone, ambiguous="NaT", nonexistent="NaT").dropna()
        ticks = [(self.share(time), time.strftime(chosen.tick_format)) for time in times]
        return [tick for tick in ticks if 0.04 <= tick[0] <= 0.93]  # whole at both ends

    def curve(self, name: str) -> Curve:
        """Return the curve of a column; a gap if there is no such column."""
        column = self.trends.get(name, pd.Series(pd.NA, self.trends.index, dtype="Int64"))
        facts: list[float | str] = column.to_numpy(dtype=object, na_value=self.gap).tolist()
        for start, end, rows in self.trends.attrs.get("meanwhile", {}).get(name, ()):
            words = f"{UNWATCHED}, {numbers.plural(rows, 'row')} came" if rows else UNWATCHED
            for place in range(*self.instants.searchsorted([start - self.step, end])):
                facts[place] = words if facts[place] == UNWATCHED else facts[place]
        before = self.before.curve(name) if self.before else None
        if before and not _known(before.facts[: 1 if self.step else 2]):
            before = None  # it was not watched from its start
        is_partial = bool(self.trends.attrs.get("uncounted", {}).get(name))
        written = self.trends.attrs.get("written", {}).get(name, 0)
        return Curve(self, facts, written, before, is_partial)


@dataclass(frozen=True)
class Curve:
    """The values of one panel."""

    axis: TimeAxis
    facts: list[float | str]
    """For each instant the value, or the words for a gap: not watched, or a part is unknown."""

    written: int
    """The rows written in the range, also while nobody watched."""

    before: Curve | None
    """The span before, if it is compared."""

    is_partial: bool = False
    """Whether a table that was never counted in the range is missing."""

    @property
    def known(self) -> list[float]:
        """The values that are known, without the running bar."""
        return _known(self.facts[:-1] if self.axis.step else self.facts)

    @property
    def measured_since(self) -> datetime | None:
        """When the first value of a measure was had, if that is within the range."""
        first, _ = next(self.runs())
        return self.axis.instants[first] if first and self.axis.choice.is_measure else None

    @cached_property
    def scale(self) -> tuple[float, float]:
        """The least and the greatest value; of rows written, 0 and the greatest.

        A running bar is not in the scale, unless nothing else was written.
        """
        values = self.known + (self.before.known if self.before else [])
        if not self.axis.step:
            return min(values, default=0), max(values, default=0)
        return 0, max(max(values, default=0) or sum(_known(self.facts)), MIN_TOP)

    def runs(self, *, of_gaps: bool = False) -> Iterator[tuple[int, int]]:
        """Yield the first place of each run of values, or of each gap, and its end."""
        places = range(len(self.facts))
        for is_gap, run in groupby(places, key=lambda at: isinstance(self.facts[at], str)):
            found = list(run)
            if is_gap == of_gaps:
                yield found[0], found[-1] + 1


def _known(facts: list[float | str]) -> list[float]:
    return [fact for fact in facts if not isinstance(fact, str)]


def draw_charts(
    panels: Sequence[Panel], axis: TimeAxis, database: str | None
) -> tuple[list[Component], Component]:
    """Return a chart for each panel, from the trend frame's column of its name; and what is below.

    Below the charts are a legend, their numbers as a table, and a link to them as CSV.
    """
    shown = [panel for panel in panels if not panel.note]
    curves = [axis.curve(panel.name) for panel in shown]
    drawn = [_panel(*each) for each in zip(count(), shown, curves, strict=False)]
    query = {
        "format": "csv",
        "metric": axis.choice.metric,
        "from": (datetime.now(UTC) - axis.choice.range.reach).isoformat(timespec="seconds"),
        **({"database": database} if database else {}),
    }
    link = [html.A("CSV", href=f"/api/history?{urlencode(query)}")] if query["metric"] else []
    formats = html.Div([as_table(shown, curves), *link], className="formats")
    shared = data(edges=json.dumps(axis.edges), names=json.dumps(axis.names))
    return drawn, _below(panels, [formats] if shown else [], shared, axis.gap)


def empty_charts(panels: Sequence[Panel]) -> tuple[list[Component], Component]:
    """Return placeholders for both, of the right size, until the charts come into view."""
    frame = html.Div(html.Div(className="plot"), className="frame")
    drawn = [
        html.Div([_head(panel.label), frame], className=panel.kind)
        for panel in panels
        if not panel.note
    ]
    return [plain(*drawn)], _below(panels, [], {})


def as_table(panels: Sequence[Panel], curves: Sequence[Curve]) -> Component:
    """Return a folded table with one column per chart, newest first, of about 24 instants."""
    times = curves[0].axis.instants.strftime("%-d %b, %H:%M") if curves else ()
    columns = [
        [fact if isinstance(fact, str) else _in_full(panel, fact) for fact in curve.facts]
        for panel, curve in zip(panels, curves, strict=True)
    ]
    lines = [
        html.Tr([html.Th(times[at], scope="row"), *(html.Td(column[at]) for column in columns)])
        for at in range(len(times) - 1, -1, -max(1, len(times) // MAX_TABLE_ROWS))
    ]
    head = html.Tr([html.Th("Time"), *(html.Th(panel.label, scope="col") for panel in panels)])
    table = html.Table([html.Thead(head), html.Tbody(lines)])
    return html.Details([html.Summary("As a table"), html.Div(table)], className="as-table")


def _in_full(panel: Panel, value: float) -> str:
    return numbers.number(int(value)) if panel.unit is None else panel.text(value)


def _panel(number: int, panel: Panel, curve: Curve) -> Component:
    rest = _at_rest(panel, curve)
    graph = dcc.Graph(id=ids.chart(number), figure=figure(curve), config=CONFIG, className="chart")
    frame = html.Div(
        [plain(*_labels(panel, curve)), graph],
        className="frame",
        role="img",
        **aria(label=f"{panel.label}: {''.join(rest)}"),
    )
    return html.Div([plain(_head(panel.label, rest)), frame], className=panel.kind)


def _head(label: str, rest: Sequence[str] = ()) -> Component:
    """Return name and value. The script writes what is under the finger into an own element."""
    pieces = [
        piece if place % 2 else html.Span(piece, className="fact")
        for place, piece in enumerate(rest)
    ]
    finger = html.Span(className="finger", **aria(hidden="true"))
    value = html.P([html.Span(pieces, className="rest"), finger], className="value")
    return html.Div([html.H3(middle_ellipsis(label)), value], className="panel-head")


def _at_rest(panel: Panel, curve: Curve) -> list[str]:
    """Return the newest value and the change over the range: facts, each followed by its words."""
    axis, chosen = curve.axis, curve.axis.choice.range
    span = f" in {unbroken(chosen.label)}"
    if not _known(curve.facts):
        return [axis.gap, span]
    if since := curve.measured_since or panel.since:
        day_or_time = "%H:%M" if chosen.reach <= numbers.A_DAY else "%-d %b"
        span = f" since {since.astimezone(axis.zone).strftime(day_or_time)}"
    span += " · counted tables only" if curve.is_partial else ""
    change = [_change(panel, curve), span]
    if curve.before:
        change = [change[0], f"{span}, ", _change(panel, curve.before), " before"]
    newest = curve.facts[-1]
    is_same = panel.since and panel.since > axis.instants[-1]  # the running bar as the range
    if isinstance(newest, str) or is_same or (curve.before and axis.step):
        return change
    noun = "" if panel.unit is not None else " row" if newest == 1 else " rows"
    words = f"{f' {axis.names[-1]}' if axis.step else noun} · "
    return [panel.text(newest), words, *change]


def _change(panel: Panel, curve: Curve) -> str:
    if curve.axis.choice.is_rate:
        return f"+{numbers.short_number(curve.written)}" if curve.written else "no rows"
    return panel.change(curve.known[-1] - curve.known[0])


def _labels(panel: Panel, curve: Curve) -> list[Component]:
    """Return what is around and over a figure: ticks, hours, gaps, marks, and the finger."""
    axis, edges, reach = curve.axis, curve.axis.edges, 0 if curve.axis.step else 1
    scale = curve.scale if _known(curve.facts) else ()
    texts = dict.fromkeys(panel.text(value, is_tick=True) for value in scale)
    ticks = [html.Span(text) for text in texts]
    hours = [html.Span(text, style=_at(share)) for share, text in axis.ticks]
    gaps = [(edges[max(0, first - reach)], edges[end]) for first, end in curve.runs(of_gaps=True)]
    bands = [
        html.Span(className="band", style=_at(start) | {"right": f"{1 - end:.2%}"})
        for start, end in gaps
        if end - start >= MIN_SHARE
    ]
    form = axis.choice.range.time_format
    marks = [
        html.Span(
            html.Span(className=f"sign {sign}"),
            className="rule",
            style=_at(axis.share(at)),
            **data(text=text, time=at.astimezone(axis.zone).strftime(form)),
        )
        for at, sign, text in panel.marks
        if axis.share(at) >= 0
    ]
    finger = [html.Span(className="finger-bar"), html.Span(className="finger-line")]
    compared = "has-before" if curve.before else ""
    top = {"top": str(curve.scale[1])} if axis.step else {}
    values = [
        None if isinstance(fact, str) else fact if panel.unit is None else panel.text(fact)
        for fact in curve.facts
    ]
    facts = data(facts=json.dumps(values, ensure_ascii=False), gap=axis.gap, **top)
    return [
        html.Div(ticks, className="ticks"),
        html.Div(hours, className="instants"),
        html.Div([*bands, *marks, *finger], className=f"plot {compared}", **facts),
    ]


def _at(share: float) -> dict[str, str]:
    return {"left": f"{share:.2%}"}


def _below(
    panels: Sequence[Panel],
    formats: list[Component],
    shared: dict[str, Any],
    gap: str = UNWATCHED,
) -> Component:
    """Return what is below the charts: a legend of marks, the lines that replace charts, formats.

    The style sheet hides marks that do not occur.
    """
    marks = MARKS | {"sign-gap": gap}
    legend = [html.Li([html.Span(className=f"sign {key}"), text]) for key, text in marks.items()]
    texts = {str(panel.note): panel.note for panel in panels if panel.note}
    labels = {key: [each.label for each in panels if str(each.note) == key] for key in texts}
    notes = [
        aside(html.Span(numbers.join_names(labels[key]), className="label"), ": ", *note)
        for key, note in texts.items()
    ]
    more = and_more(len(notes) - MAX_NOTES)
    parts = [html.H3("Marks"), html.Ul(legend), *notes[:MAX_NOTES], *more, *formats]
    return html.Div(parts, className="below", **shared)


def figure(curve: Curve) -> dict[str, Any]:
    """Return a Plotly figure: bars from zero, or a step line. Gaps stay open.

    Plotly draws lines over the bars of the same axes, so bars have axes of their own.
    """
    low, high = curve.scale
    bars = curve.axis.choice.is_rate
    margin = 0 if bars else (high - low) / 100 or 1
    traces = [_bars(curve)] if bars else _lines(curve, COLOUR, 1.5, "tozeroy")
    if before := curve.before:
        whole = replace(before, facts=before.facts[:-1]) if bars else before
        traces += _lines(whole, FAINT, 1, "none")
    scale = {"visible": False, "range": [low - margin, high + margin]}
    layout = {
        "margin": dict.fromkeys("lrtb", 0),
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "xaxis": {"visible": False, "range": [0, 1]},
        "yaxis": scale,
        "yaxis2": scale | {"overlaying": "y"},
    }
    return {"data": traces, "layout": layout}


def _bars(curve: Curve) -> dict[str, Any]:
    """Return the bars, of which the running one is pale, and the stubs of times without rows."""
    edges, (_, high) = curve.axis.edges, curve.scale
    known = [(at, rows) for at, rows in enumerate(curve.facts) if not isinstance(rows, str)]
    running = len(curve.facts) - 1
    return {
        "type": "bar",
        "yaxis": "y2",
        "x": [edges[at] for at, _ in known],
        "y": [max(rows, high * ROW_SHARE) if rows else high * STUB_SHARE for _, rows in known],
        "width": BAR_SHARE * (edges[1] - edges[0]),
        "offset": 0,
        "marker": {
            "color": [COLOUR if rows else FAINT for _, rows in known],
            "opacity": [0.5 if rows and at == running else 1 for at, rows in known],
        },
    }


def _lines(curve: Curve, colour: str, width: float, fill: str) -> list[dict[str, Any]]:
    """Return the lines between the gaps. The value of a bar lasts until the bar's end."""
    is_bars = bool(curve.axis.step)
    return [
        {
            "type": "scatter",
            "mode": "lines" if is_bars or end - first > 1 else "markers",
            "x": curve.axis.edges[first : end + is_bars],
            "y": curve.facts[first:end] + curve.facts[end - 1 : end] * is_bars,
            "fill": fill,
            "fillcolor": COLOUR,
            "marker": {"size": 2, "color": COLOUR},
            "line": {"shape": "hv", "width": width, "color": colour},
        }
        for first, end in curve.runs()
    ]
