"""The answer before all else: is everything well, and if not, which and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import html

from dash_app import words
from dash_app.model import SEVERITY
from dash_app.page import ids
from dash_app.page.parts import moment

if TYPE_CHECKING:
    from datetime import datetime

    from dash.development.base_component import Component

    from dash_app.model import DatabaseStatus, Snapshot

MOST_LINKS = 3


def headline(snapshot: Snapshot | None, now: datetime) -> list[Component]:
    """Return the headline, a link for each of the worst troubles, and how many are connected."""
    if snapshot is None:
        return [html.H1("Can't tell"), html.P("Nothing was read yet.", className="aside")]
    needing = sorted(
        (status for status in snapshot.databases if status.needs_you),
        key=lambda status: SEVERITY.index(status.level),
        reverse=True,
    )
    rest = len(needing) - MOST_LINKS
    connected = f"{snapshot.connected}/{len(snapshot.databases)} databases connected"
    return [
        html.H1(
            [
                html.Span(words.headline(snapshot), className="when-fresh"),
                html.Span("Can't tell", className="when-stale"),
            ]
        ),
        *(html.P(_link(status, now), className="fault") for status in needing[:MOST_LINKS]),
        *([html.P(disk, className="aside")] if (disk := words.history_disk(snapshot)) else []),
        html.P(f"and {rest} more · {connected}" if rest > 0 else connected, className="aside"),
    ]


def _link(status: DatabaseStatus, now: datetime) -> Component:
    since = status.since if status.fault else status.findings[0].since
    return html.A(
        [f"{status.database.label}: {words.in_brief(status)} since ", moment(since, "clock", now)],
        href=f"#{ids.card(status.database.name)}",
    )
