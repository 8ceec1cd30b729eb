"""Trends as small multiples: one panel per database or table, on a shared time axis.

Plotly draws bars and lines only. Labels, marks and gaps are HTML: they follow the theme, grow with
the text and are never cut. Figures are plain dicts, because Plotly's own classes cost 10 MB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from dash_app.page.markup import Parts
from dash_app.page.url_query import parse, with_values
from dash_app.page.widgets import and_more, aria, aside, data, middle_ellipsis
from dash_app.words import numbers

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


@dataclass(frozen=True, slots=True)
class Range:
    """How far back the charts reach; frequency and format of the times below, format of others."""

    key: str
    label: str
    reach: timedelta
    tick_frequency: str
    tick_format: str
    time_format: str


RANGES = (
    Range("1h", "1 h", timedelta(hours=1), "15min", "%H:%M", "%H:%M"),
    Range("6h", "6 h", timedelta(hours=6), "2h", "%H:%M", "%H:%M"),
    Range("24h", "24 h", timedelta(hours=24), "6h", "%H:%M", "%H:%M"),
    Range("7d", "7 d", timedelta(days=7), "2D", "%-d %b", "%-d %b, %H:%M"),
    Range("30d", "30 d", timedelta(days=30), "7D", "%-d %b", "%-d %b, %H:%M"),
    Range("1y", "1 y", timedelta(days=365), "QS", "%b", "%-d %b"),
)
DEFAULT_RANGE = RANGES[2]
COMPARED = {"7d", "30d"}
"""Ranges that are drawn together with the span before them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the charts show: rows written, or rows, and how far back. It is part of the URL."""

    range: Range
    is_rate: bool
    offered: tuple[Range, ...]
    """The ranges up to the shortest that holds the whole history."""

    search: str
    """The query of the URL; its other parts stay."""

    @classmethod
    def from_search(cls, search: str | None, age: timedelta = timedelta.max) -> Choice:
        """Parse a URL's query for a history of this age; anything unknown is the default."""
        query = parse(search)
        longest = next((option for option in RANGES if option.reach >= age), RANGES[-1])
        default = min(longest, DEFAULT_RANGE, key=lambda option: option.reach)
        chosen = next((option for option in RANGES if option.key == query.get("range")), default)
        end = max(longest.reach, chosen.reach)
        offered = tuple(option for option in RANGES if option.reach <= end)
        return cls(chosen, query.get("show") != "rows", offered, search or "")


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: its column of the trend frame, its title and its marks."""

    name: str
    label: str
    marks: tuple[Mark, ...] = ()
    note: tuple[Component | str, ...] = ()
    """The line that replaces a chart with nothing to draw."""

    since: datetime | None = None
    """When its database was first watched, if that is within the range."""


@dataclass(frozen=True)
class TimeAxis:
    """What charts share: instants in the reader's zone, which are points or the starts of bars."""

    choice: Choice
    instants: pd.DatetimeIndex
    step: timedelta
    """The time that one bar covers; zero for lines."""

    @classmethod
    def from_frame(cls, trends: pd.DataFrame, choice: Choice, zone: tzinfo) -> TimeAxis:
        """Return the axis of a trend frame."""
        instants = pd.DatetimeIndex(trends.index).tz_convert(zone)
        return cls(choice, instants, trends.attrs["step"] if choice.is_rate else timedelta(0))

    def share(self, instant: datetime) -> float:
        """Return how far along the axis an instant is, from 0 to 1, the end of the last bar."""
        start = self.instants[0].timestamp()
        end = (self.instants[-1] + BAR_SHARE * self.step).timestamp()
        return round((instant.timestamp() - start) / max(end - start, 1), 4)

    @cached_property
    def edges(self) -> list[float]:
        """How far along the axis the instants are, and its end."""
        return [*map(self.share, self.instants), 1.0]

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
        pairs = zip(starts[:-1], ends, strict=False)
        names = [start if start == end else f"{start} to {end}" for start, end in pairs]
        running = self.instants[-1].strftime("%-d %b" if self.step > numbers.A_DAY else "%H:%M")
        return [*names, f"since {running}"]

    @cached_property
    def ticks(self) -> list[tuple[float, str]]:
        """Places and texts of the labels below. A day's label is at its noon."""
        chosen, zone = self.choice.range, self.instants.tz
        start, end = (self.instants + self.step).tz_localize(None)[[0, -1]]
        inset = timedelta(0) if "%H" in chosen.tick_format else numbers.A_DAY / 2
        local = pd.date_range(start.normalize() + inset, end, freq=chosen.tick_frequency)
        times = local.tz_localize(zone, ambiguous="NaT", nonexistent="NaT").dropna()
        ticks = [(self.share(time), time.strftime(chosen.tick_format)) for time in times]
        return [tick for tick in ticks if 0.04 <= tick[0] <= 0.93]  # whole at both ends


@dataclass(frozen=True, slots=True)
class Curve:
    """The values of one panel: NA if nobody watched, or if a part of a sum is unknown."""

    values: pd.Series[int]
    axis: TimeAxis
    written: int
    """The rows written in the range, also while nobody watched."""

    meanwhile: Sequence[tuple[datetime, datetime, int]] = ()
    """Starts and ends of gaps, and how many rows came meanwhile."""

    @classmethod
    def from_frame(cls, trends: pd.DataFrame, name: str, axis: TimeAxis) -> Curve:
        """Return the curve of a trend frame's column; a gap if there is no such column."""
        missing = pd.Series(pd.NA, trends.index, dtype="Int64")
        written, meanwhile = (trends.attrs[key].get(name) for key in ("written", "meanwhile"))
        total = 0 if written is None or pd.isna(written) else int(written)
        return cls(trends.get(name, missing), axis, total, meanwhile or ())

    @property
    def known(self) -> pd.Series[int]:
        """The values that are known, without the running bar."""
        return (self.values.iloc[:-1] if self.axis.step else self.values).dropna()

    @property
    def is_whole(self) -> bool:
        """Whether it starts where the range does."""
        return bool(self.values.iloc[: 1 if self.axis.step else 2].notna().any())

    @property
    def bands(self) -> list[tuple[float, float]]:
        """The gaps that are wide enough to be seen, from where to where along the axis."""
        edges, reach = self.axis.edges, 0 if self.axis.step else 1
        gaps = [
            (edges[max(0, start - reach)], edges[end]) for start, end in self.runs(of_gaps=True)
        ]
        return [(start, end) for start, end in gaps if end - start >= MIN_SHARE]

    def runs(self, *, of_gaps: bool = False) -> Iterator[tuple[int, int]]:
        """Yield the first place of each run between gaps, or of each gap, and the place after."""
        is_gap = self.values.isna().tolist()
        for key, run in groupby(range(len(is_gap)), key=is_gap.__getitem__):
            places = list(run)
            if key == of_gaps:
                yield places[0], places[-1] + 1

    @property
    def facts(self) -> list[int | str | None]:
        """For each instant the rows, or the words for a gap; None if it was not watched."""
        facts: list[int | str | None] = [None if pd.isna(v) else int(v) for v in self.values]
        for start, end, rows in self.meanwhile:
            text = f"not watched, {numbers.plural(rows, 'row')} came" if rows else None
            for place, instant in enumerate(self.axis.instants):
                if facts[place] is None and start - self.axis.step < instant < end:
                    facts[place] = text
        return facts


def choice_links(choice: Choice) -> list[Component]:
    """Return two rows of links: what to show, and how far back. The page's script follows them."""
    modes = [
        _choice(choice, "Rows written", {"show": ""}, choice.is_rate),
        _choice(choice, "Rows", {"show": "rows"}, not choice.is_rate),
    ]
    ranges = [
        _choice(choice, option.label, {"range": option.key}, option == choice.range)
        for option in choice.offered
    ]
    return [Parts(*(html.Div(links, className="choices") for links in (modes, ranges)))]


def _choice(choice: Choice, label: str, query: dict[str, str], is_chosen: bool) -> Component:  # noqa: FBT001
    current = aria(current="true") if is_chosen else {}
    return html.A(label, href=with_values(choice.search, **query), className="choice", **current)


def draw_charts(
    panels: Sequence[Panel],
    trends: pd.DataFrame,
    before: pd.DataFrame | None,
    axis: TimeAxis,
    database: str | None,
) -> list[Component]:
    """Return a chart for each panel, from the trend frame's column of its name.

    `before` is the frame of the span before. Below the charts are a legend, their numbers as a
    table, and a link to them as CSV.
    """
    shown = [panel for panel in panels if not panel.note]
    curves = [Curve.from_frame(trends, panel.name, axis) for panel in shown]
    befores: list[Curve | None] = [None] * len(shown)
    if before is not None:
        earlier = TimeAxis.from_frame(before, axis.choice, UTC)
        whole = [Curve.from_frame(before, panel.name, earlier) for panel in shown]
        befores = [curve if curve.is_whole else None for curve in whole]
    drawn = [_panel(*each) for each in zip(count(), shown, curves, befores, strict=False)]
    query = {
        "format": "csv",
        "metric": "inserted" if axis.choice.is_rate else "rows",
        "from": (datetime.now(UTC) - axis.choice.range.reach).isoformat(timespec="seconds"),
        **({"database": database} if database else {}),
    }
    link = html.A("CSV", href=f"/api/history?{urlencode(query)}")
    formats = html.Div([as_table(shown, curves), link], className="formats")
    shared = data(edges=json.dumps(axis.edges), names=json.dumps(axis.names))
    return [*drawn, Parts(_below(panels, [formats], shared))]


def empty_charts(panels: Sequence[Panel]) -> list[Component]:
    """Return placeholders of the right size, until the charts come into view."""
    frame = html.Div(html.Div(className="plot"), className="frame")
    drawn = [
        html.Div([_head(panel.label), frame], className="panel")
        for panel in panels
        if not panel.note
    ]
    return [Parts(*drawn, _below(panels, [], {}))]


def as_table(panels: Sequence[Panel], curves: Sequence[Curve]) -> Component:
    """Return a folded table with one column per chart, newest first, of about 24 instants."""
    instants = curves[0].axis.instants if curves else pd.DatetimeIndex([])
    columns = [curve.facts for curve in curves]
    times = instants.strftime("%-d %b, %H:%M")
    lines = [
        html.Tr(
            [html.Th(times[at], scope="row"), *(html.Td(_cell(facts[at])) for facts in columns)]
        )
        for at in range(len(times) - 1, -1, -max(1, len(times) // MAX_TABLE_ROWS))
    ]
    head = html.Tr([html.Th("Time"), *(html.Th(panel.label, scope="col") for panel in panels)])
    table = html.Table([html.Thead(head), html.Tbody(lines)])
    return html.Details(
        [html.Summary("As a table"), html.Div(table, className="wide")], className="as-table"
    )


def _cell(fact: int | str | None) -> str:
    return numbers.number(fact) if isinstance(fact, int) else fact or "not watched"


def _panel(number: int, panel: Panel, curve: Curve, before: Curve | None) -> Component:
    rest = _at_rest(panel, curve, before)
    graph = dcc.Graph(
        id=ids.chart(number), figure=figure(curve, before), config=CONFIG, className="chart"
    )
    frame = html.Div(
        [Parts(*_labels(panel, curve, before)), graph],
        className="frame",
        role="img",
        **aria(label=f"{panel.label}: {''.join(rest)}"),
    )
    return html.Div([Parts(_head(panel.label, rest)), frame], className="panel")


def _head(label: str, rest: Sequence[str] = ()) -> Component:
    """Return name and value. The script writes what is under the finger into an own element."""
    pieces = [
        piece if place % 2 else html.Span(piece, className="fact")
        for place, piece in enumerate(rest)
    ]
    finger = html.Span(className="finger", **aria(hidden="true"))
    value = html.P([html.Span(pieces, className="rest"), finger], className="value")
    return html.Div([html.H3(middle_ellipsis(label)), value], className="panel-head")


def _at_rest(panel: Panel, curve: Curve, before: Curve | None) -> list[str]:
    """Return the newest value and the change over the range: facts, each followed by its words."""
    axis, chosen = curve.axis, curve.axis.choice.range
    if curve.values.isna().all():
        return ["not watched", f" in {chosen.label}"]
    span = f" in {chosen.label}"
    if panel.since:
        day_or_time = "%H:%M" if chosen.reach <= numbers.A_DAY else "%-d %b"
        span = f" since {panel.since.astimezone(axis.instants.tz).strftime(day_or_time)}"
    change = [_change(curve), span]
    if before:
        return [change[0], f"{span}, ", _change(before), " before"]
    newest = curve.values.iloc[-1]
    if pd.isna(newest) or (panel.since and panel.since > axis.instants[-1]):
        return change  # the running bar would say the same
    words = axis.names[-1] if axis.step else "rows"
    return [numbers.short_number(int(newest)), f" {words} · ", *change]


def _change(curve: Curve) -> str:
    if curve.axis.choice.is_rate:
        return f"+{numbers.short_number(curve.written)}" if curve.written else "none"
    return numbers.change(int(curve.known.iloc[-1] - curve.known.iloc[0]))


def _labels(panel: Panel, curve: Curve, before: Curve | None) -> list[Component]:
    """Return what is around and over a figure: ticks, hours, gaps, marks, and the finger."""
    low, high = _scale(curve, before)
    axis = curve.axis
    ticks = [html.Span(numbers.short_number(value)) for value in sorted({low, high})]
    hours = [html.Span(text, style=_at(share)) for share, text in axis.ticks]
    bands = [
        html.Span(className="band", style=_at(start) | {"right": f"{1 - end:.2%}"})
        for start, end in curve.bands
    ]
    marks = [
        html.Span(
            html.Span(className=f"sign {sign}"),
            className="rule",
            style=_at(axis.share(at)),
            **data(text=text, time=f"{at.astimezone(axis.instants.tz):%H:%M}"),
        )
        for at, sign, text in panel.marks
        if axis.share(at) >= 0
    ]
    finger = [html.Span(className="finger-bar"), html.Span(className="finger-line")]
    compared = "has-before" if before else ""
    top = {"top": str(high)} if axis.step else {}
    facts = data(facts=json.dumps(curve.facts), **top)
    return [
        html.Div(ticks, className="ticks"),
        html.Div(hours, className="instants"),
        html.Div([*bands, *marks, *finger], className=f"plot {compared}", **facts),
    ]


def _at(share: float) -> dict[str, str]:
    return {"left": f"{share:.2%}"}


def _below(panels: Sequence[Panel], formats: list[Component], shared: dict[str, Any]) -> Component:
    """Return what is below the charts: a legend of marks, the lines that replace charts, formats.

    The style sheet hides marks that do not occur.
    """
    legend = [html.Li([html.Span(className=f"sign {key}"), text]) for key, text in MARKS.items()]
    notes = [aside(f"{panel.label}: ", *panel.note) for panel in panels if panel.note]
    more = and_more(len(notes) - MAX_NOTES)
    parts = [html.H3("Marks"), html.Ul(legend), *notes[:MAX_NOTES], *more, *formats]
    return html.Div(parts, className="below", **shared)


def _scale(curve: Curve, before: Curve | None) -> tuple[int, int]:
    """Return the least and the greatest value of a figure; of rows written, 0 and the greatest.

    A running bar is not in the scale, unless nothing else was written.
    """
    values = [int(value) for shown in (curve, before) if shown for value in shown.known]
    if not curve.axis.choice.is_rate:
        return min(values, default=0), max(values, default=0)
    return 0, max(max(values, default=0) or int(curve.values.sum()), MIN_TOP)


def figure(curve: Curve, before: Curve | None = None) -> dict[str, Any]:
    """Return a Plotly figure: bars from zero, or a step line. Gaps stay open."""
    low, high = _scale(curve, before)
    margin = (high - low) / 100 or 1
    bars = curve.axis.choice.is_rate
    traces = _bars(curve, high) if bars else [_line(curve, *run) for run in curve.runs()]
    if before:
        traces += [_line(before, *run) | {"fill": "none"} | _ink(FAINT, 1) for run in before.runs()]
    hidden = {"visible": False, "fixedrange": True}
    layout = {
        "margin": dict.fromkeys("lrtb", 0),
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "barmode": "overlay",
        "xaxis": hidden | {"range": [0, 1]},
        "yaxis": hidden
        | {"range": [low if bars else low - margin, high if bars else high + margin]},
    }
    return {"data": traces, "layout": layout}


def _bars(curve: Curve, high: int) -> list[dict[str, Any]]:
    """Return the bars, the running bar, and the stubs of times without rows."""
    edges, last = curve.axis.edges, len(curve.values) - 1
    known = [(at, int(rows)) for at, rows in enumerate(curve.values) if not pd.isna(rows)]
    written = [(at, max(rows, high * ROW_SHARE)) for at, rows in known if rows]
    groups = [
        ([bar for bar in written if bar[0] < last], COLOUR, 1.0),
        ([bar for bar in written if bar[0] == last], COLOUR, 0.5),
        ([(at, high * STUB_SHARE) for at, rows in known if not rows], FAINT, 1.0),
    ]
    return [
        {
            "type": "bar",
            "x": [edges[at] for at, _ in bars],
            "y": [height for _, height in bars],
            "width": BAR_SHARE * (edges[1] - edges[0]),
            "offset": 0,
            "opacity": opacity,
            "marker": {"color": colour},
        }
        for bars, colour, opacity in groups
    ]


def _line(curve: Curve, first: int, end: int) -> dict[str, Any]:
    """Return the line from one gap to the next. The value of a bar lasts until the bar's end."""
    values = [int(value) for value in curve.values.iloc[first:end]]
    is_bars = bool(curve.axis.step)
    return {
        "type": "scatter",
        "mode": "lines" if is_bars or len(values) > 1 else "markers",
        "x": curve.axis.edges[first : end + is_bars],
        "y": values + values[-1:] * is_bars,
        "fill": "tozeroy",
        "fillcolor": COLOUR,
        "marker": {"size": 2, "color": COLOUR},
        **_ink(COLOUR, 1.5),
    }


def _ink(colour: str, width: float) -> dict[str, Any]:
    return {"line": {"shape": "hv", "width": width, "color": colour}}
