"""The open incidents that no card of a database shows."""

from collections.abc import Container, Iterable
from datetime import datetime

import dash_bootstrap_components as dbc
from dash import html
from dash.development.base_component import Component

from dash_app.model.incident import Incident
from dash_app.model.snapshot import Snapshot
from dash_app.page import ids
from dash_app.page.acknowledging import controls
from dash_app.page.cards import fading_badge
from dash_app.page.widgets import and_more, aside, moment, prose, since_when
from dash_app.words.incidents import evidence_of, labels_and_cause, openers_of

MAX_SHOWN = 9


def incidents(snapshot: Snapshot, now: datetime, database: str | None = None) -> Component:
    """Return the section of incidents that several databases share, or that concern none.

    It is empty if there are none, or none of a given database. Other incidents are on the cards of
    their databases. A remedy that a card already shows is not repeated.
    """
    remedies = {problem.remedy for status in snapshot.databases for problem in status.problems[:1]}
    cards = [
        _card(incident, remedies, snapshot.taken_at, now)
        for incident in snapshot.open_incidents
        if len(incident.databases) != 1 and database in {None, *incident.databases}
    ]
    parts = [
        html.H2("Incidents"),
        html.Div(cards[:MAX_SHOWN], className="cards"),
        *and_more(len(cards) - MAX_SHOWN),
    ]
    return html.Section(parts if cards else [], id=ids.INCIDENTS, className="incidents")


def evidence(incidents: Iterable[Incident], database: str, now: datetime) -> list[Component]:
    """Return what showed the dangers of a database, folded; it is kept after they ended."""
    items = [
        html.Li([html.P(moment(incident.since, "stamp", now)), *map(aside, evidence_of(incident))])
        for incident in incidents
        if database in incident.databases and evidence_of(incident)
    ]
    summary = html.Summary("Evidence of danger")
    folded = html.Details([summary, html.Ul(items, className="plain")], className="schemas")
    return [html.Section(folded)] if items else []


def _card(
    incident: Incident, shown_remedies: Container[str], taken_at: datetime, now: datetime
) -> Component:
    labels, cause = labels_and_cause(incident)
    remedy, state = incident.remedy, fading_badge(incident.kind, incident.level, taken_at, now)
    lines = [
        html.Div([html.H3(labels, className="names"), state], className="card-head"),
        html.P(prose(cause), className="cause"),
        since_when(incident.since, now, *(f" {text}" for text in [openers_of(incident)] if text)),
        *([] if remedy in shown_remedies else [html.P(prose(remedy), className="remedy")]),
        *controls(labels, [incident], now),
    ]
    needs_you = "" if incident.acknowledgement(now) else " needs-you"
    whole: Component = dbc.Card(
        dbc.CardBody(lines),
        id=ids.incident(incident),
        class_name=f"database incident is-{incident.level}{needs_you}",
    )
    return whole
