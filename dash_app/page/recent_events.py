"""Recent events: what changed, incidents that ended, and time that nobody watched.

What lasts is on the card of its database alone, and nothing is shown twice: an absence is the event
"back" once it is over, or the incident that several databases share; a change that a person
acknowledged is its event.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import get_args

from dash import html
from dash.development.base_component import Component

from dash_app.model.event import Absence, Event, EventKind
from dash_app.model.incident import Incident
from dash_app.model.snapshot import Snapshot
from dash_app.page import ids
from dash_app.page.widgets import aside, moment
from dash_app.words.events import came_meanwhile, event_text
from dash_app.words.incidents import ending, labels_and_cause, openers_of

MAX_NEWEST, MAX_LINES = 5, 25

Line = tuple[datetime, str, list[Component | str]]
"""Its time, the label of the databases concerned, and its text."""


def recent_events(
    snapshot: Snapshot,
    events: Iterable[Event],
    started_at: datetime,
    now: datetime,
    database: str | None = None,
) -> Component:
    """Return the newest events of one database, or of all, and earlier ones folded.

    If there are none, say since when they are watched.
    """
    concerned = [one for one in snapshot.incidents if database in {None, *one.databases}]
    ended = [one for one in concerned if one.ended_at]
    lines = [*_event_lines(snapshot, events, ended), *_incident_lines(ended, now)]
    lines += _gap_lines(snapshot, now, has_rows=database is None)
    lines.sort(key=lambda line: line[0], reverse=True)
    if database:
        lines = _with_openers(lines[:MAX_LINES], ended)
    items = [_item(line, now, has_subject=database is None) for line in lines[:MAX_LINES]]
    parts: list[Component] = [html.Ul(items[:MAX_NEWEST])]
    if not items:
        none = "No events yet" if ended == concerned else "No other events yet"
        parts = [aside(f"{none}. Watching since ", moment(started_at, "clock", now), ".")]
    if earlier := items[MAX_NEWEST:]:
        summary = html.Summary("Earlier events and incidents")
        parts.append(html.Details([summary, html.Ul(earlier)]))
    section = [html.H2("Recent events"), html.Div(parts)]
    return html.Section(section, id=ids.EVENTS, className="events")


def _event_lines(
    snapshot: Snapshot, events: Iterable[Event], ended: Iterable[Incident]
) -> Iterator[Line]:
    labels = {status.database.name: status.database.label for status in snapshot.databases}
    lasting = {
        (problem.database, problem.since)
        for status in snapshot.databases
        for problem in status.problems
        if problem.needs_acknowledgement
    }
    for event in events:
        is_shared = event.kind == "back" and any(
            event.database in incident.databases
            and len(incident.databases) > 1
            and incident.since <= event.at <= (incident.ended_at or event.at)
            for incident in ended
        )
        is_on_card = event.kind in get_args(Absence) or (event.database, event.at) in lasting
        if event.database in labels and not is_shared and not is_on_card:
            yield event.at, labels[event.database], [event_text(event)]


def _incident_lines(ended: Iterable[Incident], now: datetime) -> Iterator[Line]:
    for incident in ended:
        if incident.kind not in get_args(EventKind) or len(incident.databases) > 1:
            start = [] if incident.kind == "late" else [moment(incident.since, "clock", now)]
            at, subject = incident.ended_at or now, labels_and_cause(incident)[0]
            yield at, subject, [ending(incident), " ", *start]


def _with_openers(lines: Iterable[Line], ended: Iterable[Incident]) -> list[Line]:
    """Add who had a database open when it changed, or when an incident began."""
    known = {time: openers_of(one) for one in ended for time in (one.since, one.ended_at)}
    return [
        (at, subject, [*text, ". ", openers] if (openers := known.get(at)) else text)
        for at, subject, text in lines
    ]


def _gap_lines(snapshot: Snapshot, now: datetime, *, has_rows: bool) -> Iterator[Line]:
    """Yield the time without watching; the rows that came meanwhile are those of all databases."""
    for start, end, rows in snapshot.gaps:
        times = moment(start, "clock", now), " to ", moment(end, "clock", now)
        came = came_meanwhile(rows) if has_rows else ""
        yield end, "All databases", ["Not watched from ", *times, came]


def _item(line: Line, now: datetime, *, has_subject: bool) -> Component:
    at, subject, text = line
    when, words = html.Span(moment(at, "stamp", now), className="aside"), html.Span(text)
    if not has_subject:
        return html.Li(html.P([words, when]))
    return html.Li([html.P([html.Span(subject, className="subject"), when]), words])
