"""What happened lately: the newest events of all databases, each in a line."""

from __future__ import annotations

from datetime import datetime

from dash import html
from dash.development.base_component import Component

from dash_app.model.event import Event
from dash_app.model.snapshot import Snapshot
from dash_app.page import ids
from dash_app.page.widgets import moment
from dash_app.words.events import event_text

MAX_LINES = 5


def lately(snapshot: Snapshot, started_at: datetime, now: datetime) -> Component:
    """Return the newest events; without any, since when there would have been some."""
    labels = {s.database.name: s.database.label for s in snapshot.databases}
    known = [event for event in snapshot.events if event.database in labels]
    lines = [line(event, labels[event.database], now) for event in known[:MAX_LINES]]
    since = moment(started_at, "clock", now)
    calm = html.P(["No events yet. Watching since ", since, "."], className="aside")
    return html.Section(
        [html.H2("Lately"), html.Ul(lines) if lines else calm], id=ids.LATELY, className="lately"
    )


def line(event: Event, label: str, now: datetime) -> Component:
    """Return an event with its time, under a label."""
    when = html.Span(moment(event.at, "clock", now), className="aside")
    told = event_text(event)
    if not label:
        return html.Li(html.P([html.Span(told), when]))
    return html.Li([html.P([html.Span(label, className="subject"), when]), told])
