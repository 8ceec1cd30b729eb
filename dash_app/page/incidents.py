"""Incidents: open ones as cards, and those that ended."""

from collections.abc import Container, Iterable
from datetime import datetime, timedelta

import dash_bootstrap_components as dbc
from dash import html
from dash.development.base_component import Component

from dash_app.model.incident import Incident
from dash_app.model.snapshot import Snapshot
from dash_app.page import ids
from dash_app.page.cards import badge_parts
from dash_app.page.recent_events import ended_incident
from dash_app.page.widgets import and_more, aria, aside, badge, data, moment, prose, since_when
from dash_app.words import numbers
from dash_app.words.incidents import labels_and_cause, sent_line, unsent_line

MAX_OPEN, MAX_ENDED = 9, 10

ACKNOWLEDGE = "Acknowledge for"
DURATIONS: dict[str, tuple[str, timedelta | None]] = {
    "1h": ("1 h", timedelta(hours=1)),
    "8h": ("8 h", timedelta(hours=8)),
    "24h": ("24 h", timedelta(hours=24)),
    "end": ("until it ends", None),
}
"""For how long a person may acknowledge an incident; None until it ends."""


def select_incidents(
    incidents: Iterable[Incident], now: datetime, database: str | None = None
) -> list[Incident]:
    """Return the incidents that a page shows: open ones, worst first, then recently ended ones."""
    own = [incident for incident in incidents if database in {None, *incident.databases}]
    open_ = [incident for incident in own if not incident.ended_at]
    ended = [
        incident
        for incident in own
        if incident.ended_at and now - incident.ended_at < numbers.A_WEEK
    ]
    return [*open_, *ended[:MAX_ENDED]]


def incidents(snapshot: Snapshot | None, now: datetime, database: str | None = None) -> Component:
    """Return the section of incidents, of one database or of all; empty if there are none.

    A remedy that a database's card already shows is not repeated.
    """
    shown = select_incidents(snapshot.incidents, now, database) if snapshot else []
    statuses = snapshot.databases if snapshot else ()
    remedies = {problem.remedy for status in statuses for problem in status.problems[:1]}
    open_ = [incident for incident in shown if not incident.ended_at]
    ended = [incident for incident in shown if incident.ended_at]
    cards = [_card(incident, remedies, now) for incident in open_[:MAX_OPEN]]
    summary = html.Summary(f"{numbers.plural(len(ended), 'incident')} ended in the last 7 days")
    lines = html.Ul([ended_incident(incident, now) for incident in ended])
    parts = [
        html.H2("Incidents"),
        html.Div(cards, className="cards"),
        *and_more(len(open_) - MAX_OPEN),
        *([html.Details([summary, lines], className="events ended")] if ended else []),
    ]
    return html.Section(parts if shown else [], id=ids.INCIDENTS, className="incidents")


def _card(incident: Incident, shown_remedies: Container[str], now: datetime) -> Component:
    labels, cause = labels_and_cause(incident)
    remedy, state = incident.remedy, badge(*badge_parts(incident.kind, incident.level))
    lines = [
        html.Div([html.H3(labels, className="names"), state], className="card-head"),
        html.P(prose(cause), className="cause"),
        since_when(incident.since, now),
        *([] if remedy in shown_remedies else [html.P(prose(remedy), className="remedy")]),
        *_notifications(incident, now),
        *_acknowledgement(incident, labels, now),
    ]
    whole: Component = dbc.Card(
        dbc.CardBody(lines),
        id=ids.incident(incident),
        class_name=f"database incident is-{incident.level}",
    )
    return whole


def _acknowledgement(incident: Incident, labels: str, now: datetime) -> list[Component]:
    """Return who acknowledged an incident, or the buttons that do."""
    acknowledged = incident.acknowledged
    if acknowledged and acknowledged.holds(now):
        until = moment(acknowledged.until, "clock", now) if acknowledged.until else "it ends"
        text = html.Span([f"Acknowledged by {acknowledged.by} until ", until])
        withdraw = _button(incident, "withdraw", "Withdraw")
        return [html.Div([text, withdraw], className="acknowledge")]
    if incident.id is None:
        return []
    buttons = [_button(incident, key, text) for key, (text, _) in DURATIONS.items()]
    return [
        html.Div(
            [html.Span(ACKNOWLEDGE, className="aside"), *buttons],
            className="acknowledge",
            role="group",
            **aria(label=f"{labels}: {ACKNOWLEDGE}"),
        )
    ]


def _button(incident: Incident, duration: str, text: str) -> Component:
    attributes = data(incident=str(incident.id), duration=duration)
    return html.Button(text, type="button", className="action", **attributes)


def _notifications(incident: Incident, now: datetime) -> list[Component]:
    lines: list[Component] = []
    if sent := sent_line(incident):
        sent_at = (notification.sent_at for notification in incident.notifications)
        last = max(time for time in sent_at if time)
        lines.append(aside(f"{sent}, last at ", moment(last, "clock", now)))
    if unsent := unsent_line(incident):
        lines.append(aside(unsent))
    return lines
