"""Recent events: changes of the databases, and incidents that ended."""

from datetime import datetime

from dash import html
from dash.development.base_component import Component

from dash_app.model.event import Event
from dash_app.model.incident import Incident
from dash_app.model.snapshot import Snapshot
from dash_app.page import ids
from dash_app.page.widgets import aside, moment
from dash_app.words import events, numbers
from dash_app.words.incidents import labels_and_cause, sent_line, unsent_line

MAX_EVENTS = 5


def ended_incident(incident: Incident, now: datetime) -> Component:
    """Return an incident that is over, with its length and its notifications."""
    labels, cause = labels_and_cause(incident)
    length = numbers.age((incident.ended_at or now) - incident.since)
    ended = ", ended at once" if length == "now" else f", ended after {length}"
    when = html.Span([moment(incident.since, "clock", now), ended], className="aside")
    notifications = [f"{line}." for line in (sent_line(incident), unsent_line(incident)) if line]
    text = " ".join([cause, *notifications])
    return html.Li([html.P([html.Span(labels, className="subject"), when]), text])


def recent_events(snapshot: Snapshot, started_at: datetime, now: datetime) -> Component:
    """Return the newest events of all databases, or since when there have been none."""
    labels = {s.database.name: s.database.label for s in snapshot.databases}
    known = [event for event in snapshot.events if event.database in labels]
    lines = [event_line(event, labels[event.database], now) for event in known[:MAX_EVENTS]]
    since = moment(started_at, "clock", now)
    none = aside("No events yet. Watching since ", since, ".")
    parts = [html.H2("Recent events"), html.Ul(lines) if lines else none]
    return html.Section(parts, id=ids.EVENTS, className="events")


def event_line(event: Event, label: str, now: datetime) -> Component:
    """Return an event with its time, below a label if there is one."""
    when = html.Span(moment(event.at, "clock", now), className="aside")
    text = events.event_text(event)
    if not label:
        return html.Li(html.P([html.Span(text), when]))
    return html.Li([html.P([html.Span(label, className="subject"), when]), text])
