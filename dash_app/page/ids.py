"""The ids of components that callbacks or our scripts speak to."""

from __future__ import annotations

from dash_app.model.incident import Incident

URL = "url"
TICK = "tick"
SNAPSHOT = "snapshot"
RECORD = "record"
READER = "reader"
PARTS = "parts"
AFTER = "after"
HEADLINE = "headline"
CARDS = "cards"
SEEN = "seen"
LATELY = "lately"
RANGES = "ranges"
PANELS = "panels"
INCIDENTS = "incidents"


def card(name: str) -> str:
    """Return the id of a database's card, which the headline links to."""
    return f"card-{name}"


def incident(one: Incident) -> str:
    """Return the id of an incident, which the headline links to."""
    return f"incident-{one.id}"


def tables(name: str) -> str:
    """Return the id of the tables of a database's card."""
    return f"tables-{name}"


def chart(number: int) -> str:
    """Return the id of a chart by its place; names of tables may hold anything."""
    return f"chart-{number}"
