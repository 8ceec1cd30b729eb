"""The view of one database: what its card says, and all that there is no room for on a card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from dash_app.model.event import Event
from dash_app.model.snapshot import DatabaseStatus
from dash_app.page import ids
from dash_app.page.cards import badge, trouble
from dash_app.page.incidents import event_line
from dash_app.page.layout import Facts
from dash_app.page.widgets import aria, count, expected, middle_ellipsis, moment
from dash_app.words import numbers, summaries
from dash_app.words.problems import disk_line, full_in

Pair = tuple[str, Component | str]

PREFIX = "/databases/"
SORTS = {
    "table": "Table",
    "rows": "Rows",
    "change": "24 h",
    "per_hour": "Rows/h",
    "grew_at": "Grew",
}
"""The columns of the tables, any of which may be sorted by."""

WIDE_ONLY = {"per_hour", "grew_at"}
"""What a phone has no room for as a column; when a table grew stands below its name there."""

MAX_ROWS = 500
MAX_SCHEMAS = 100


@dataclass(frozen=True, slots=True)
class Known:
    """What the view shows: a database, its row of the status frame, its tables and its events."""

    status: DatabaseStatus
    row: Any
    tables: pd.DataFrame
    size_before: tuple[int, datetime] | None
    events: Sequence[Event]


def view(known: Known, sort: str, now: datetime, incidents: Component) -> Facts:
    """Return the facts of one database; `sort` is a key of SORTS."""
    is_read = known.status.status == "connected"
    head = html.Section(
        [
            html.P(html.A("All databases", href="/"), className="back"),
            html.Div([html.H1(known.row.label), badge(known.row, now)], className="section-head"),
            *([] if pd.isna(known.row.cause) else trouble(known.row, now)),
            *(html.P(note, className="aside") for note in summaries.notes(known.status)),
            *_expected_write(known.status, now),
            _pairs(_facts(known, now), "four"),
        ],
        id=ids.HEADLINE,
        className="headline",
    )
    return Facts(
        [head, html.Div([incidents, _tables_section(known, sort, now)], className="parts")],
        [
            html.Section(
                [html.H2("Recent events"), _events(known.events, now)], className="events"
            ),
            html.Section([html.H2("Storage"), _pairs(_storage(known, now), "list")]),
            *([_holders(known.status, now), _schema(known.status)] if is_read else []),
        ],
    )


def _expected_write(status: DatabaseStatus, now: datetime) -> list[Component]:
    """Return by when the file will be written, if that is expected and yet to come."""
    own = status.watch.own if status.watch else None
    if own is None or own.due_at is None or own.due_at < now:
        return []
    told = f"A write is expected every {numbers.exact_duration(own.expect.every)}, the next by "
    return [html.P([told, moment(own.due_at, "clock", now)], className="aside")]


def _facts(known: Known, now: datetime) -> list[Pair]:
    """Return four facts, without those that are unknown."""
    row, reading, good = known.row, known.status.reading, known.status.last_good
    size, wal, change = reading.size_bytes, reading.wal_bytes, known.status.change
    rows, label = reading.counted_rows, "Rows" if reading.total_complete else "Rows counted"
    if rows is None and good:
        rows, label = good.total_rows, "Rows when last read"
    pairs: list[tuple[str, Component | str | None]] = [
        ("Last write", None if pd.isna(row.last_modified) else _ago(row.last_modified, now)),
        (label, None if rows is None else numbers.number(rows)),
        ("In 24 h", None if change is None else numbers.change(change)),
        (
            "Size + WAL",
            None if size is None else f"{numbers.size(size)} + {numbers.size(wal or 0)}",
        ),
    ]
    return [(name, value) for name, value in pairs if value is not None]


def _tables_section(known: Known, sort: str, now: datetime) -> Component:
    has_any = len(known.tables) > 0
    return html.Section([html.H2("Tables"), _tables(known.tables, sort, now)] if has_any else [])


def _tables(tables: pd.DataFrame, sort: str, now: datetime) -> Component:
    """Return the tables sorted; a tap on a heading sorts by it, which the URL keeps."""
    key = sort if sort in SORTS else "rows"
    ordered = tables.sort_values(
        [key, "table"], ascending=[key == "table", True], na_position="first"
    )
    head = [
        html.Th(
            html.A(word, href=f"?sort={name}"),
            scope="col",
            className="wide-only" if name in WIDE_ONLY else "",
            **aria(
                sort=("ascending" if name == "table" else "descending") if name == key else "none"
            ),
        )
        for name, word in SORTS.items()
    ]
    lines = [_table(one, now) for one in ordered.head(MAX_ROWS).itertuples(index=False)]
    rest = len(ordered) - MAX_ROWS
    more = [html.P(f"and {numbers.number(rest)} more", className="aside")] if rest > 0 else []
    table = html.Table([html.Thead(html.Tr(head)), html.Tbody(lines)], className="sortable")
    return html.Div([html.Div(table, className="wide"), *more])


def _table(one: Any, now: datetime) -> Component:
    told = expected(one, now)
    grew = ["Not seen to grow"] if pd.isna(one.grew_at) else ["Grew ", _ago(one.grew_at, now)]
    return html.Tr(
        [
            html.Th(
                [
                    middle_ellipsis(str(one.table)),
                    *(told or [html.Span(grew, className="grew")]),
                ],
                scope="row",
            ),
            count(one, now, numbers.number),
            html.Td("unknown" if pd.isna(one.change) else numbers.change(int(one.change))),
            html.Td(_rate(one.per_hour), className="wide-only"),
            html.Td(
                "not seen" if pd.isna(one.grew_at) else _ago(one.grew_at, now),
                className="wide-only",
            ),
        ]
    )


def _rate(per_hour: float) -> str:
    if pd.isna(per_hour):
        return "unknown"
    return "under 1" if 0 < per_hour < 1 else numbers.number(int(per_hour))


def _storage(known: Known, now: datetime) -> list[Pair]:
    reading, around = known.status.reading, known.status.reading.surroundings
    pairs: list[Pair] = [("Path", html.Code(numbers.short_path(known.status.database.path)))]
    sizes = {
        "File": reading.size_bytes,
        "Of it unused": reading.free_bytes,
        "WAL": reading.wal_bytes,
        "Not checkpointed": around.backlog_bytes,
    }
    pairs += [(name, numbers.size(value)) for name, value in sizes.items() if value is not None]
    per_day = _growth_per_day(known, now)
    if per_day is not None:
        pairs.append(("Growth", f"{numbers.size(max(per_day, 0))} a day"))
    if around.disk:
        full = full_in(around.disk, per_day or 0)
        pairs.append(("Disk", f"{disk_line(around.disk).removeprefix('Disk ')}{full}"))
    return pairs


def _growth_per_day(known: Known, now: datetime) -> int | None:
    size = known.status.reading.size_bytes
    if known.size_before is None or size is None:
        return None
    before, since = known.size_before
    seconds = (now - since).total_seconds()
    return round((size - before) * 86_400 / seconds) if seconds >= 3600 else None


def _holders(status: DatabaseStatus, now: datetime) -> Component:
    holders = status.reading.surroundings.holders
    lines = [
        html.Li(
            [
                html.Span(f"{one.command} (pid {one.pid})", className="subject"),
                f", {', '.join(one.uses)}, since ",
                moment(one.since, "clock", now),
                " at least",
                *([", holds the log back"] if one.pins_since else []),
            ]
        )
        for one in holders or ()
    ]
    nobody = "It can't be told here." if holders is None else "No other program has it open."
    told = html.Ul(lines, className="plain") if lines else html.P(nobody, className="aside")
    is_foreign = status.reading.surroundings.is_foreign
    engine = [html.P(summaries.FOREIGN_ENGINE, className="aside")] if is_foreign else []
    return html.Section([html.H2("Open by"), told, *engine])


def _events(events: Iterable[Event], now: datetime) -> Component:
    lines = [event_line(event, "", now) for event in events]
    return html.Ul(lines) if lines else html.P("No events yet.", className="aside")


def _schema(status: DatabaseStatus) -> Component:
    """Return each table's columns, folded; no row content is ever shown."""
    objects = status.reading.objects or {}
    tables = sorted(name.removeprefix("table ") for name in objects if name.startswith("table "))
    rest = len(tables) - MAX_SCHEMAS
    more = [html.P(f"and {numbers.number(rest)} more", className="aside")] if rest > 0 else []
    summary = html.Summary(f"Schema, {numbers.plural(len(tables), 'table')}")
    folded = [_columns(name, objects) for name in tables[:MAX_SCHEMAS]]
    return html.Section(html.Details([summary, *folded, *more], className="schemas"))


def _columns(table: str, objects: Mapping[str, str]) -> Component:
    start = f"column {table}."
    columns = [
        (name[len(start) :], kind) for name, kind in objects.items() if name.startswith(start)
    ]
    lines = [html.Tr([html.Th(name, scope="row"), html.Td(kind)]) for name, kind in columns]
    return html.Details([html.Summary(table), html.Table(html.Tbody(lines))], className="schema")


def _pairs(pairs: Iterable[Pair], name: str) -> Component:
    parts = [
        html.Div([html.Span(word, className="aside"), html.Span(value)]) for word, value in pairs
    ]
    return html.Div(parts, className=f"pairs {name}")


def _ago(at: datetime, now: datetime) -> Component | str:
    return "unknown" if pd.isna(at) else moment(at, "ago", now)
