"""The ids of components that callbacks, scripts or links refer to."""

from dash_app.model.incident import Incident

URL = "url"
TICK = "tick"
SNAPSHOT = "snapshot"
BROWSER = "browser"
ACTION = "action"
BEFORE_CHARTS = "before-charts"
AFTER_CHARTS = "after-charts"
HEADLINE = "headline"
NOTICE = "notice"
CARDS = "cards"
FILTER = "filter"
EVENTS = "events"
RANGES = "ranges"
PANELS = "panels"
BELOW_CHARTS = "below-charts"
INCIDENTS = "incidents"


def card(database: str) -> str:
    """Return the id of a database's card."""
    return f"card-{database}"


def incident(shown: Incident) -> str:
    """Return the id of an incident's card."""
    return f"incident-{shown.id}"


def more(database: str) -> str:
    """Return the id of the part of a database's card that is folded on a phone."""
    return f"more-{database}"


def chart(number: int) -> str:
    """Return the id of a chart by its position, because a table's name may contain anything."""
    return f"chart-{number}"
