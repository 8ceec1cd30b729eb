"""The ids of components that callbacks or our scripts speak to."""

URL = "url"
TICK = "tick"
SNAPSHOT = "snapshot"
RECORD = "record"
READER = "reader"
TOP = "top"
PARTS = "parts"
AFTER = "after"
BOTTOM = "bottom"
HEADLINE = "headline"
CARDS = "cards"
SEEN = "seen"
LATELY = "lately"
RANGES = "ranges"
PANELS = "panels"


def card(name: str) -> str:
    """Return the id of a database's card, which the headline links to."""
    return f"card-{name}"


def tables(name: str) -> str:
    """Return the id of the tables of a database's card."""
    return f"tables-{name}"


def chart(number: int) -> str:
    """Return the id of a chart by its place; names of tables may hold anything."""
    return f"chart-{number}"
