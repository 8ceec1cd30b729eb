"""The card of a database: badge, first problem, facts and tables."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

import dash_bootstrap_components as dbc
import pandas as pd
from dash import html
from dash.development.base_component import Component

from dash_app.model.incident import Incident
from dash_app.model.problem import DANGERS, HARM, Problem
from dash_app.model.snapshot import DatabaseStatus
from dash_app.page import ids
from dash_app.page.acknowledging import database_controls
from dash_app.page.measures import pinned_measures
from dash_app.page.sparkline import UNREADABLE, sparkline
from dash_app.page.widgets import (
    STATES,
    Form,
    Icon,
    aria,
    aside,
    badge,
    icon,
    middle_ellipsis,
    moment,
    muted,
    prose,
    row_count,
    sentence,
    since_when,
)
from dash_app.words import numbers, summaries
from dash_app.words.incidents import closed, openers_of
from dash_app.words.integrity import check_line
from dash_app.words.problems import current_parts, kind_in_brief, moment_word

MAX_TABLES = 6

BADGES: dict[str, tuple[Icon, str, str]] = {
    "connected": ("check", "ok", "Connected"),
    "not_initialized": ("waiting", "warn", "Not initialized"),
    "error": ("cross", "bad", "Error"),
    "paused": ("waiting", "idle", "Paused"),
    "undecided": ("unknown", "idle", "Can't tell"),
}
"""Icon, colour and text of each badge that does not name a problem."""

IN_DANGER = DANGERS - {"engine_foreign"}
NAMED = {"late", "down", "rows_dropped", "rolled_back", "truncated", "pages_damaged", *IN_DANGER}
"""Codes of problems that a badge names; it says "Check" for all others."""


def cards(
    statuses: Iterable[DatabaseStatus],
    incidents: Sequence[Incident],
    counts: pd.DataFrame,
    now: datetime,
) -> list[Component]:
    """Return a card for each database, with its tables of the loader's counts frame.

    The frame is traversed once, because selecting the rows of each card with pandas took four
    fifths of a page's time.
    """
    groups = groupby(counts.itertuples(index=False), key=attrgetter("database"))
    tables = {database: list(rows) for database, rows in groups}
    return [
        card(status, incidents, tables.get(status.database.name, []), now) for status in statuses
    ]


def card(
    status: DatabaseStatus, incidents: Sequence[Incident], tables: list[Any], now: datetime
) -> Component:
    """Return the card of a database. Page check, measures and tables are folded on a phone."""
    database = status.database
    lines = problem_lines(status, now)
    if status.status == "connected":
        lines.append(_facts(status, now))
    lines += sparkline(status, incidents)
    check = check_line(status)
    more = [
        *([muted(check, now)] if check else []),
        *pinned_measures(status, now),
        *_tables(database.name, tables, now),
    ]
    if more:
        lines.append(html.Div(more, id=ids.more(database.name), className="more"))
    whole: Component = dbc.Card(
        dbc.CardBody([_head(status, now, foldable=bool(more)), *lines]),
        id=ids.card(database.name),
        class_name=f"database is-{status.level}{' needs-you' if status.needs_you else ''}",
    )
    return whole


def _head(status: DatabaseStatus, now: datetime, *, foldable: bool) -> Component:
    name, label = status.database.name, status.database.label
    fold = html.Button(
        className="fold",
        type="button",
        **aria(expanded="false", controls=ids.more(name), label=f"Details of {label}"),
    )
    return html.Div(
        [
            html.H3(html.A(middle_ellipsis(label), href=f"/databases/{name}"), className="name"),
            status_badge(status, now),
            *([fold] if foldable else []),
        ],
        className="card-head",
    )


def status_badge(status: DatabaseStatus, now: datetime) -> Component:
    """Return the badge of a database, and "As of 14:02" in its place if the reading is stale."""
    shown, verified_at = summaries.badge(status), status.reading.verified_at
    if status.is_stale:
        return _as_of(verified_at, now)
    return fading_badge(shown, status.level, verified_at, now)


def fading_badge(key: str, level: str, at: datetime, now: datetime) -> Component:
    """Return a badge, which "As of 14:02" replaces if the server stops answering."""
    fresh = badge(*badge_parts(key, level), "when-fresh")
    return html.Span([fresh, _as_of(at, now, "when-stale")])


def _as_of(at: datetime, now: datetime, when: str = "") -> Component:
    return badge("unknown", "idle", html.Span(["As of ", moment(at, "clock", now)]), when)


def badge_parts(key: str, level: str) -> tuple[Icon, str, str]:
    """Return icon, colour and text of a badge: a key of BADGES, or a problem's code."""
    if key in UNREADABLE - NAMED:
        key = "error" if level == "fault" else "undecided"
    if key in BADGES:
        return BADGES[key]
    text = kind_in_brief(key).capitalize() if key in NAMED else "Check"
    return ("cross", "bad", text) if level == "fault" else ("clock", "warn", text)


def problem_lines(status: DatabaseStatus, now: datetime) -> list[Component]:
    """Return the first problem of a database, since when, its remedy, notes, and its controls."""
    lines: list[Component] = []
    if status.problems:
        problem = status.problems[0]
        cause = current_parts(problem)
        lines.append(html.P(sentence(cause, now), className="cause"))
        if word := moment_word(problem):
            at, ago = (moment(problem.since, form, now) for form in ("clock", "ago"))
            lines.append(aside(f"{word} ", at, " (", ago, ").", *_openers(status, problem, now)))
        elif status.status != "not_initialized":
            seen = [*_last_seen(status, problem, now), *_openers(status, problem, now)]
            lines.append(since_when(problem.since, now, *seen, has_length=len(cause) == 1))
        lines.append(html.P(prose(problem.remedy), className="remedy"))
    for note in summaries.notes(status):
        name = "cause" if status.is_paused and not lines else "aside"
        lines.append(html.P(sentence(note, now), className=name))
    lines += database_controls(status, now)
    return lines


def _last_seen(status: DatabaseStatus, problem: Problem, now: datetime) -> list[Component | str]:
    """Return the rows last seen, unless the cause names them, and when, if in another minute."""
    good = status.last_good
    rows = numbers.plural(good.total_rows, "row") if good else ""
    if status.status != "error" or good is None or rows in problem.text:
        return []
    is_same = numbers.clock(good.read_at, now) == numbers.clock(problem.since, now)
    at: list[Component | str] = [] if is_same else [" at ", moment(good.read_at, "clock", now)]
    return [f" Last seen: {rows}", *at, "."]


def _openers(status: DatabaseStatus, problem: Problem, now: datetime) -> list[Component | str]:
    """Return the process that closed a silent database, or those that had a harmed one open."""
    if problem.is_silence and (writer := status.stopped_writer):
        return [f" {closed(writer)} ", moment(writer.until, "clock", now), "."]
    if not any(problem.code in codes for codes in HARM):
        return []
    incidents = (one for one in status.incidents if problem.id in one.problem_ids)
    return [f" {text}" for one in incidents if (text := openers_of(one))]


def time_form(status: DatabaseStatus) -> Form:
    """Return the form of times: in trouble, one looks for a clock time in a log."""
    return "clock" if status.problems or status.is_stale else "ago"


def _facts(status: DatabaseStatus, now: datetime) -> Component:
    """Return the last write, the rows and their change."""
    written_at, rows = status.reading.last_modified, summaries.rows_of(status.reading)
    last_write = moment(written_at, time_form(status), now) if written_at else "unknown"
    return html.P(
        [
            html.Span(["Last write ", last_write]),
            html.Span([html.Span(rows, className="rows"), " ", *_change(status, now)]),
        ],
        className="facts",
    )


def _change(status: DatabaseStatus, now: datetime) -> list[Component | str]:
    """Return the change of the rows in the 24 hours that are drawn below, or in less if any."""
    if status.change is None or status.activity is None:
        return []
    text = numbers.change(status.change)
    if status.activity.is_whole_day:
        return [text, html.Span(" in 24 h", className="visually-hidden")]
    return [f"{text} since ", moment(status.activity.since, "clock", now)] if status.change else []


def _tables(database: str, tables: list[Any], now: datetime) -> list[Component]:
    """Return the first tables, and the others and the empty ones as a number."""
    if not tables:
        return []
    shown = [row for row in tables if row.is_overdue or pd.isna(row.rows) or row.rows]
    lines = [_table(row, now) for row in shown[:MAX_TABLES]]
    rest, empty = len(shown) - MAX_TABLES, len(tables) - len(shown)
    notes: list[Component | str] = []
    if rest > 0:
        notes.append(html.A(f"and {numbers.number(rest)} more", href=f"/databases/{database}"))
    if empty:
        notes.append(f"{' · ' if notes else ''}{numbers.plural(empty, 'empty table')}")
    caption = html.Caption(f"Rows of each table of {database}", className="visually-hidden")
    parts = [html.Table([caption, html.Tbody(lines)]), *([aside(*notes)] if notes else [])]
    return [html.Div(parts, className="tables")]


def _table(row: Any, now: datetime) -> Component:
    name: list[Component] = [middle_ellipsis(row.table)]
    colour = None
    if row.is_overdue:  # the card's sentences say the rest
        shape, colour, word = STATES[row.state]
        name += [icon(shape), html.Span(word, className="visually-hidden")]
    head = html.Th(html.Div(name), scope="row", className=colour)
    return html.Tr([head, row_count(row, now, numbers.short_number)])
