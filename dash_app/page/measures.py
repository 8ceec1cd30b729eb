"""Measures: the pinned ones on a card, and all of a database in its view."""

from collections.abc import Iterator
from datetime import datetime

from dash import html
from dash.development.base_component import Component

from dash_app.model.measure import MeasureReport, Value
from dash_app.model.snapshot import DatabaseStatus
from dash_app.page.url_query import with_values
from dash_app.page.widgets import Icon, aside, icon, moment, prose
from dash_app.words import numbers
from dash_app.words.measures import UNKNOWN, limits_text, value_text
from dash_app.words.numbers import MAX_NAMES

State = tuple[Icon, str, str]


def pinned_measures(status: DatabaseStatus, now: datetime) -> list[Component]:
    """Return the pinned measures of a card, a line each; nothing if there are none."""
    lines = [_line(report, status, now) for report in status.measures if report.measure.is_pinned]
    return [html.Dl(lines, className="measures")] if lines else []


def _line(report: MeasureReport, status: DatabaseStatus, now: datetime) -> Component:
    state = None if status.is_paused else _state(report)
    value = _in_brief(report, now)
    if report.measured_at and (report.is_old or status.status != "connected"):
        value += [", as of ", moment(report.measured_at, "clock", now)]
    term = html.Dt([html.Span(report.measure.label, className="label"), *_mark(state)])
    return html.Div([term, html.Dd(value)], className=state[1] if state else None)


def _in_brief(report: MeasureReport, now: datetime) -> list[Component | str]:
    """Return the first values in a line."""
    if not report.values:
        return [UNKNOWN]
    parts: list[Component | str] = []
    for value in report.ranked[:MAX_NAMES]:
        label = [] if value.label is None else [f"{value.label} "]
        parts += [*([", "] if parts else []), *label, _value(report, value, now)]
    more = len(report.values) - MAX_NAMES
    return [*parts, f", {numbers.number(more)} more"] if more > 0 else parts


def _value(report: MeasureReport, value: Value, now: datetime) -> Component | str:
    """Return a value with its unit; the page's script keeps an age up to date."""
    if value.time:
        return moment(value.time, "length", now)
    return value_text(value.number, report.measure.unit)


def _state(report: MeasureReport) -> State | None:
    """Return icon, colour and word for a measure that is not as it should be."""
    if report.out_of_range:
        is_fault = report.measure.level == "fault"
        return ("cross", "bad", "Out of range") if is_fault else ("clock", "warn", "Out of range")
    return ("clock", "warn", "Not renewed") if report.error else None


def _mark(state: State | None) -> list[Component]:
    if state is None:
        return []
    return [icon(state[0]), html.Span(state[2], className="visually-hidden")]


def measures_section(status: DatabaseStatus, search: str | None, now: datetime) -> list[Component]:
    """Return the section of a database's measures; nothing if it has none."""
    if not status.measures:
        return []
    columns = {"Measure": "", "Value": "", "Allowed": "wide-only", "Measured": "wide-only"}
    head = [html.Th(text, scope="col", className=name) for text, name in columns.items()]
    rows = [row for report in status.measures for row in _rows(report, search, now)]
    table = html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)], className="sortable measured")
    parts = html.Div([table, *_queries(status)])
    return [html.Section([html.H2("Measures"), parts], className="boxed")]


def _rows(report: MeasureReport, search: str | None, now: datetime) -> list[Component]:
    """Return the row of a measure and, if it has several values, one for each below it."""
    measure, state = report.measure, _state(report)
    limits = limits_text(measure)
    measured = moment(report.measured_at, "ago", now) if report.measured_at else "not yet"
    allowed = f"{limits[0].upper()}{limits[1:]} allowed, measured " if limits else "Measured "
    notes = [html.Span([allowed, measured], className="grew")]
    if report.error:
        error = html.Span(prose(report.error))
        notes.insert(0, html.Span([icon("clock"), error], className="expected warn"))
    link = html.A(measure.label, href=f"{with_values(search, show=measure.metric)}#trends")
    name = [link, *(_mark(state) if report.is_single else [])]
    value: Component | str = UNKNOWN
    if report.is_single:
        value = _value(report, report.values[0], now)
    elif report.values:
        value = numbers.plural(len(report.values), "value")
    cells = [
        html.Th([*name, html.Div(notes, className="note")], scope="row"),
        html.Td(value, className=state[1] if state and report.is_single else None),
        html.Td(limits, className="wide-only"),
        html.Td(measured, className="wide-only"),
    ]
    return [html.Tr(cells), *([] if report.is_single else _parts(report, now))]


def _parts(report: MeasureReport, now: datetime) -> Iterator[Component]:
    """Yield a row for each value of a measure that has several."""
    wrong = report.out_of_range
    for value in report.shown:
        state = _state(report) if value in wrong else None
        head = html.Th([value.label, *_mark(state)], scope="row", className="part")
        number = html.Td(_value(report, value, now), className=state[1] if state else None)
        yield html.Tr([head, number, *(html.Td(className="wide-only") for _ in range(2))])


def _queries(status: DatabaseStatus) -> list[Component]:
    """Return the queries of the measures, folded."""
    queries = [
        html.Div(
            [aside(f"{measure.label}, {numbers.every(measure.every)}"), html.Code(measure.sql)]
        )
        for measure in (report.measure for report in status.measures)
        if measure.sql
    ]
    return (
        [html.Details([html.Summary("Queries"), *queries], className="queries")] if queries else []
    )
