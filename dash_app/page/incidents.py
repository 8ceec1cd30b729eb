"""The incidents that are open, as cards."""

from collections.abc import Container
from datetime import datetime, timedelta

import dash_bootstrap_components as dbc
from dash import html
from dash.development.base_component import Component

from dash_app.model.incident import Incident
from dash_app.model.snapshot import Snapshot
from dash_app.page import ids
from dash_app.page.cards import fading_badge
from dash_app.page.widgets import and_more, aria, aside, data, moment, prose, since_when
from dash_app.words.incidents import labels_and_cause, sent_line, unsent_line

MAX_OPEN = 9

ACKNOWLEDGE = "Acknowledge for"
DURATIONS: dict[str, tuple[str, timedelta | None]] = {
    "1h": ("1 h", timedelta(hours=1)),
    "8h": ("8 h", timedelta(hours=8)),
    "24h": ("24 h", timedelta(hours=24)),
    "end": ("until it ends", None),
}
"""For how long a person may acknowledge an incident; None until it ends."""


def incidents(snapshot: Snapshot | None, now: datetime, database: str | None = None) -> Component:
    """Return the section of open incidents, of one database or of all; empty if there are none.

    A remedy that a database's card already shows is not repeated.
    """
    shown = [
        incident
        for incident in (snapshot.open_incidents if snapshot else ())
        if database in {None, *incident.databases}
    ]
    statuses = snapshot.databases if snapshot else ()
    remedies = {problem.remedy for status in statuses for problem in status.problems[:1]}
    taken_at = snapshot.taken_at if snapshot else now
    cards = [_card(incident, remedies, taken_at, now) for incident in shown[:MAX_OPEN]]
    parts = [
        html.H2("Incidents"),
        html.Div(cards, className="cards"),
        *and_more(len(shown) - MAX_OPEN),
    ]
    return html.Section(parts if shown else [], id=ids.INCIDENTS, className="incidents")


def _card(
    incident: Incident, shown_remedies: Container[str], taken_at: datetime, now: datetime
) -> Component:
    labels, cause = labels_and_cause(incident)
    remedy, state = incident.remedy, fading_badge(incident.kind, incident.level, taken_at, now)
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
