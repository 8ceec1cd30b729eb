"""The overview of all databases: headline, cards, recent events and incidents."""

from datetime import datetime

from dash import html
from dash.development.base_component import Component

from dash_app import loader
from dash_app.model.snapshot import Snapshot
from dash_app.page import ids
from dash_app.page.cards import cards
from dash_app.page.headline import headline
from dash_app.page.incidents import incidents
from dash_app.page.layout import Facts
from dash_app.page.recent_events import recent_events


def overview(snapshot: Snapshot | None, started_at: datetime, now: datetime) -> Facts:
    """Arrange the facts of all databases. Without a snapshot there is only the headline."""
    grid: list[Component] = []
    if snapshot:
        grid = [
            *cards(snapshot.databases, snapshot.incidents, loader.counts_frame(snapshot), now),
            recent_events(snapshot, snapshot.events, started_at, now),
        ]
    databases = html.Section(
        [
            html.H2("Databases", className="visually-hidden"),
            html.Div(grid, id=ids.CARDS, className="cards"),
        ]
    )
    return Facts(
        [
            html.Section(headline(snapshot, now), id=ids.HEADLINE, className="headline"),
            html.Div([incidents(snapshot, now), databases], className="parts"),
        ]
    )
