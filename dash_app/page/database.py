"""The view of one database: its problem, facts, tables, events, storage, holders and schema."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from dash_app.model.expectation import Rules
from dash_app.model.incident import Incident
from dash_app.model.opener import Opener
from dash_app.model.snapshot import DatabaseStatus
from dash_app.page import ids
from dash_app.page.cards import problem_lines, status_badge, time_form
from dash_app.page.headline import lines
from dash_app.page.incidents import evidence
from dash_app.page.integrity import integrity_section, weekly_growth
from dash_app.page.layout import Facts
from dash_app.page.measures import measures_section
from dash_app.page.openers import openers_section
from dash_app.page.sparkline import sparkline
from dash_app.page.url_query import parse, with_values
from dash_app.page.widgets import (
    Form,
    and_more,
    aria,
    aside,
    expectation,
    icon,
    middle_ellipsis,
    moment,
    prose,
    row_count,
    unbroken,
)
from dash_app.words import numbers, summaries
from dash_app.words.problems import disk_line, full_in

Text = Component | str | list[Component | str]
Pair = tuple[Text, Text]
"""A label and a value."""

PREFIX = "/databases/"
COLUMNS = {
    "table": "Table",
    "rows": "Rows",
    "change": "In 24 h",
    "per_hour": "Rows/h",
    "grew_at": "Last growth",
}
"""The columns of the table frame that are shown, with their headings; each can be sorted by."""

WIDE_ONLY = {"per_hour", "grew_at"}
"""Columns that a phone does not show. There, the last growth is in the second line of a table."""

BARS_HEIGHT, HOURS = 48, range(21, -1, -3)
"""Height of the bars in px, and the hours below them by their age."""

MAX_ROWS = 500
MAX_SCHEMAS = 100


@dataclass(frozen=True, slots=True)
class Details:
    """What the view shows: status, incidents, the loader's table frame, an earlier size, events.

    `size_before` is a size of the file in bytes and when it had that size, about a day ago;
    `bytes_before` the same of tables and indexes by name, about a week ago.
    """

    status: DatabaseStatus
    incidents: Sequence[Incident]
    tables: pd.DataFrame
    size_before: tuple[int, datetime] | None
    events: Component
    bytes_before: Mapping[str, tuple[int, datetime]] = field(default_factory=dict)
    openers: Sequence[Opener] = ()
    """The newest openers, newest first."""
    interval: timedelta = timedelta(seconds=5)
    """The time between two looks."""


def view(details: Details, search: str | None, now: datetime, incidents: Component) -> Facts:
    """Return the facts of one database, its tables sorted as the URL's query says, or by rows."""
    status = details.status
    facts = [*_facts(status, now), *_day(details, now)]
    verdict = [
        *([] if status.problems or facts else [aside(status.verdict)]),
        *problem_lines(status, now),
        *_next_write(status, now),
    ]
    head = html.Section(
        [
            html.P(html.A("All databases", href="/"), className="back"),
            html.Div(
                [html.H1(status.database.label), status_badge(status, now)],
                className="section-head",
            ),
            lines(*verdict[:2]),
            *verdict[2:],
        ],
        id=ids.HEADLINE,
        className="headline",
    )
    sections = [
        incidents,
        *measures_section(status, search, now),
        html.Section(_tables(details, search, now), className="boxed"),
    ]
    return Facts(
        [
            head,
            *([html.Div(facts, className="box")] if facts else []),
            html.Div(sections, className="parts"),
        ],
        [html.Div(_beside(details, now), className="beside"), *_folded(details, now)],
    )


def _beside(details: Details, now: datetime) -> list[Component]:
    """Return events, storage, openers and the page check."""
    status = details.status
    is_read = status.status == "connected"
    beside = [details.events, html.Section([html.H2("Storage"), _storage(details, now)])]
    if is_read or details.openers:
        beside.append(openers_section(status, details.openers, details.interval, now))
    if is_read and status.integrity:
        growth = weekly_growth(status.integrity, details.bytes_before, now)
        note = summaries.reset_bug_note(status.reading)
        beside.append(integrity_section(status.integrity, growth, note, now))
    return beside


def _folded(details: Details, now: datetime) -> list[Component]:
    schema = [_schema(details.status)] if details.status.reading.objects else []
    return [*evidence(details.incidents, details.status.database.name, now), *schema]


def _next_write(status: DatabaseStatus, now: datetime) -> list[Component]:
    own = status.expectations.own if status.expectations else None
    if own is None or own.due_at is None or own.due_at < now:
        return []
    every = numbers.every(own.expect.every)
    return [aside("Next write by ", moment(own.due_at, "clock", now), f"; expected {every}.")]


def _facts(status: DatabaseStatus, now: datetime) -> list[Component]:
    """Return up to four facts, without the unknown ones."""
    reading = status.reading
    rows, label = reading.counted_rows, "Rows" if reading.total_complete else "Rows counted"
    size, wal = reading.size_bytes, reading.wal_bytes
    written_at, activity = reading.last_modified, status.activity
    pairs: list[Pair] = []
    if written_at:
        pairs.append(("Last write", moment(written_at, time_form(status), now)))
    if rows is not None:
        pairs.append((label, f"{summaries.about(reading)}{numbers.number(rows)}"))
    if activity and status.change is not None:
        since: Text = ["Since ", moment(activity.since, "clock", now)]
        period = "In 24 h" if activity.is_whole_day else since
        pairs.append((period, numbers.change(status.change)))
    if size is not None:
        label, sizes = ("Size + WAL", (size, wal)) if wal else ("Size", (size,))
        pairs.append((label, " + ".join(unbroken(numbers.size(each)) for each in sizes)))
    return [_pairs(pairs, "four")] if pairs else []


def _day(details: Details, now: datetime) -> list[Component]:
    """Return the drawing of the last day, with each third hour below it."""
    day, drawing = (
        details.status.activity,
        sparkline(details.status, details.incidents, BARS_HEIGHT),
    )
    if not (drawing and day and day.last_hour):
        return []
    hours = (day.last_hour - timedelta(hours=ago) for ago in HOURS)
    labels = [html.Span(moment(hour, "clock", now)) for hour in hours]
    return [*drawing, html.Div(labels, className="hours", **aria(hidden="true"))]


def _tables(details: Details, search: str | None, now: datetime) -> list[Component]:
    """Return the sorted table of tables, empty ones folded; nothing if there are none.

    Each heading links to the URL that sorts by it.
    """
    tables, form, day = details.tables, time_form(details.status), details.status.activity
    columns = COLUMNS if day and day.is_whole_day else COLUMNS | {"change": "Change"}
    if tables.empty:
        return []
    sort = parse(search).get("sort")
    key = sort if sort in COLUMNS else "rows"
    ordered = tables.sort_values(
        [key, "table"], ascending=[key == "table", True], na_position="first"
    ).head(MAX_ROWS)
    is_empty = ordered["rows"].eq(0).fillna(False) & ~ordered["is_overdue"]
    head = html.Thead(html.Tr([_heading(*each, key, search) for each in columns.items()]))
    rules = details.status.database.rules
    shown, empty = (
        html.Tbody([_table(row, form, now, rules) for row in rows.itertuples(index=False)])
        for rows in (ordered[~is_empty], ordered[is_empty])
    )
    parts: list[Component] = [html.Table([head, shown], className="sortable")]
    if count := int(is_empty.sum()):
        summary = html.Summary(numbers.plural(count, "empty table"))
        parts.append(html.Details([summary, html.Table(empty, className="sortable")]))
    return [html.H2("Tables"), html.Div([*parts, *and_more(len(tables) - MAX_ROWS)])]


def _heading(name: str, text: str, sorted_by: str, search: str | None) -> Component:
    direction = "ascending" if name == "table" else "descending"
    return html.Th(
        html.A(text, href=with_values(search, sort=name)),
        scope="col",
        className="wide-only" if name in WIDE_ONLY else "",
        **aria(sort=direction if name == sorted_by else "none"),
    )


def _table(row: Any, form: Form, now: datetime, rules: Rules) -> Component:
    grew = "not seen" if pd.isna(row.grew_at) else moment(row.grew_at, form, now)
    note = expectation(row, form, now) or [html.Span(_last_growth(grew), className="grew")]
    if rules.ignores(row.table):
        note = [html.Span([icon("waiting"), "Ignored"], className="expected idle")]
    rows = "unknown" if pd.isna(row.change) else numbers.change(int(row.change))
    return html.Tr(
        [
            html.Th([middle_ellipsis(row.table), html.Div(note, className="note")], scope="row"),
            row_count(row, now, numbers.number),
            html.Td(rows),
            html.Td(_rate(row.per_hour), className="wide-only"),
            html.Td(grew, className="wide-only"),
        ]
    )


def _last_growth(grew: Component | str) -> list[Component | str]:
    """Return the last growth for a phone, which has no column of it."""
    return ["No growth seen"] if grew == "not seen" else ["Last growth ", grew]


def _rate(per_hour: float) -> str:
    if pd.isna(per_hour):
        return "unknown"
    return "under 1" if 0 < per_hour < 1 else numbers.number(int(per_hour))


def _storage(details: Details, now: datetime) -> Component:
    reading, host = details.status.reading, details.status.reading.surroundings
    sizes = {
        "File": reading.size_bytes,
        "Free inside": reading.free_bytes,
        "WAL": reading.wal_bytes,
        "WAL not yet checkpointed": host.backlog_bytes,
    }
    texts = {name: numbers.size(size) for name, size in sizes.items() if size}
    per_day = _growth_per_day(details, now)
    if per_day:
        texts["File"] += f", {numbers.size_change(per_day)} a day"
    if host.disk:
        full = full_in(host.disk, per_day or 0, _fastest(details, now))
        texts["Disk"] = f"{disk_line(host.disk).removeprefix('Disk ')}{full}"
    path = html.Code(str(details.status.database.path))
    whole = html.Div([html.Span("Path", className="aside"), path])
    pairs = [(name, prose(text)) for name, text in texts.items()]
    return html.Div([_pairs(pairs, "list"), whole])


def _growth_per_day(details: Details, now: datetime) -> int | None:
    size = details.status.reading.size_bytes
    if details.size_before is None or size is None:
        return None
    before, since = details.size_before
    days = (now - since) / numbers.A_DAY
    return round((size - before) / days) if days >= 1 / 24 else None


def _fastest(details: Details, now: datetime) -> str | None:
    """Return the table that grows fastest, with its indexes; None if no growth is known."""
    integrity = details.status.integrity
    growth = weekly_growth(integrity, details.bytes_before, now) if integrity else {}
    fastest = max(growth, key=lambda table: growth[table], default=None)
    return fastest if fastest is not None and growth[fastest] > 0 else None


def _schema(status: DatabaseStatus) -> Component:
    """Return the columns of each table, folded. The content of rows is never shown."""
    objects = status.reading.objects or {}
    tables = sorted(name.removeprefix("table ") for name in objects if name.startswith("table "))
    summary = html.Summary(f"Schema, {numbers.plural(len(tables), 'table')}")
    folded = [_columns(name, objects) for name in tables[:MAX_SCHEMAS]]
    more = and_more(len(tables) - MAX_SCHEMAS)
    return html.Section(html.Details([summary, *folded, *more], className="schemas"))


def _columns(table: str, objects: Mapping[str, str]) -> Component:
    prefix = f"column {table}."
    lines = [
        html.Tr([html.Th(name.removeprefix(prefix), scope="row"), html.Td(kind)])
        for name, kind in objects.items()
        if name.startswith(prefix)
    ]
    return html.Details([html.Summary(table), html.Table(html.Tbody(lines))], className="schema")


def _pairs(pairs: Iterable[Pair], name: str) -> Component:
    parts = [
        html.Div([html.Span(label, className="aside"), html.Span(value)]) for label, value in pairs
    ]
    return html.Div(parts, className=f"pairs {name}")
