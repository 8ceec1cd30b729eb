"""The headline: whether all databases are well, and links to the problems if not."""

from datetime import datetime

from dash import html
from dash.development.base_component import Component

from dash_app.model.incident import Incident
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.page import ids
from dash_app.page.widgets import aside, moment
from dash_app.words import summaries
from dash_app.words.history import history_disk
from dash_app.words.incidents import labels_and_cause

MAX_LINKS = 3


def headline(snapshot: Snapshot | None, now: datetime) -> list[Component]:
    """Return the headline, links to the worst problems, and how many databases are connected."""
    if snapshot is None:
        return [html.H1("Can't tell"), lines(aside("Nothing read yet."))]
    links = _links(snapshot, now)
    rest = len(links) - MAX_LINKS
    connected = f"{snapshot.connected}/{len(snapshot.databases)} databases connected"
    disk = history_disk(snapshot)
    return [
        html.H1(
            [
                html.Span(summaries.headline(snapshot), className="when-fresh"),
                html.Span("Can't tell", className="when-stale"),
            ]
        ),
        lines(
            *(html.P(link, className="fault") for link in links[:MAX_LINKS]),
            *([aside(disk)] if disk else []),
            *map(aside, snapshot.history_notes),
            aside(f"and {rest} more · {connected}" if rest > 0 else connected),
        ),
    ]


def lines(*parts: Component) -> Component:
    """Return the lines under a headline, and the place of the notice that may hide them.

    The notice as it stands here appears if the app does not replace the first view.
    """
    notice = html.P(
        ["Part of this page has not arrived. ", html.A("Reload", href="")],
        id=ids.NOTICE,
        className="notice when-left",
    )
    return html.Div([html.Div(list(parts)), notice], className="lines")


def _links(snapshot: Snapshot, now: datetime) -> list[Component]:
    """Return one link per problem, worst first; databases with one incident share a link.

    Incidents of Mission Control itself come last.
    """
    incidents = [incident for incident in snapshot.open_incidents if len(incident.databases) != 1]
    links: dict[str, Component] = {}
    for status in snapshot.worst_first:
        if not status.needs_you:
            continue
        shared = next((incident for incident in incidents if _explains(incident, status)), None)
        if shared:
            links.setdefault(shared.key, _incident_link(shared, now))
        else:
            database = status.database
            text = f"{database.label}: {summaries.kind_in_brief(status.problems[0].code)}"
            links[database.name] = _link(text, status.problem_since, ids.card(database.name), now)
    own = {
        incident.key: _incident_link(incident, now)
        for incident in incidents
        if not incident.databases
    }
    return list((links | own).values())


def _explains(incident: Incident, status: DatabaseStatus) -> bool:
    """Whether an incident is the cause of the first problem of a database."""
    codes = {problem.code for problem in status.problems[:1]}
    return status.database.name in incident.databases and incident.kind in codes


def _incident_link(incident: Incident, now: datetime) -> Component:
    labels, _ = labels_and_cause(incident)
    text = f"{labels}: {summaries.kind_in_brief(incident.kind)}"
    return _link(text, incident.since, ids.incident(incident), now)


def _link(text: str, since: datetime, target: str, now: datetime) -> Component:
    return html.A([f"{text} since ", moment(since, "clock", now)], href=f"#{target}")
