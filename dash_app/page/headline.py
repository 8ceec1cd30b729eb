"""The answer before all else: is everything well, and if not, which and since when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dash import html
from dash.development.base_component import Component

from dash_app.model.incident import Incident
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.page import ids
from dash_app.page.widgets import moment
from dash_app.rules.problems import problem_since, ranked
from dash_app.words import summaries
from dash_app.words.history import history_disk
from dash_app.words.incidents import labels_and_cause

MAX_LINKS = 3


def headline(snapshot: Snapshot | None, now: datetime) -> list[Component]:
    """Return the headline, a link for each of the worst troubles, and how many are connected.

    The databases of one incident share a link.
    """
    if snapshot is None:
        return [html.H1("Can't tell"), html.P("Nothing was read yet.", className="aside")]
    links = _links(
        snapshot, [one for one in snapshot.open_incidents if len(one.databases) != 1], now
    )
    rest = len(links) - MAX_LINKS
    connected = f"{snapshot.connected}/{len(snapshot.databases)} databases connected"
    return [
        html.H1(
            [
                html.Span(summaries.headline(snapshot), className="when-fresh"),
                html.Span("Can't tell", className="when-stale"),
            ]
        ),
        *(html.P(link, className="fault") for link in links[:MAX_LINKS]),
        *([html.P(disk, className="aside")] if (disk := history_disk(snapshot)) else []),
        *(html.P(note, className="aside") for note in snapshot.history_notes),
        html.P(f"and {rest} more · {connected}" if rest > 0 else connected, className="aside"),
    ]


def _links(snapshot: Snapshot, shared: Sequence[Incident], now: datetime) -> list[Component]:
    """Return a link for each trouble by the cause that it has, worst first; our own last."""
    links: dict[str, Component] = {}
    for status in ranked(snapshot):
        if not status.needs_you:
            continue
        cause = next((one for one in shared if _is_why(one, status)), None)
        if cause:
            links.setdefault(cause.key, _link_of(cause, now))
        else:
            database, brief = status.database, summaries.in_brief(status)
            place, since = ids.card(database.name), problem_since(status)
            links[database.name] = _link(f"{database.label}: {brief}", since, place, now)
    ours = {one.key: _link_of(one, now) for one in shared if not one.databases}
    return list((links | ours).values())


def _link_of(incident: Incident, now: datetime) -> Component:
    whom, _ = labels_and_cause(incident)
    told = f"{whom}: {summaries.kind_in_brief(incident.kind)}"
    return _link(told, incident.since, ids.incident(incident), now)


def _link(told: str, since: datetime, place: str, now: datetime) -> Component:
    return html.A([f"{told} since ", moment(since, "clock", now)], href=f"#{place}")


def _is_why(incident: Incident, status: DatabaseStatus) -> bool:
    """Whether an incident is the cause of the first problem of a database."""
    codes = {problem.code for problem in status.problems[:1]}
    return status.database.name in incident.databases and incident.kind in codes
