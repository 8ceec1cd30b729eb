"""What a person reads of a part of the page."""

import re
from html import unescape

from dash.development.base_component import Component

from dash_app import loader
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.page.cards import cards
from dash_app.page.markup import draw
from tests.factories import NOW


def visible_text(parts: Component | list[Component]) -> str:
    """Return the text of components, with each run of white space as one space."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", draw(parts)))).strip()


def card_text(status: DatabaseStatus) -> str:
    """Return the text of a database's card at `NOW`."""
    snapshot = Snapshot(NOW, (status,))
    return visible_text(cards(snapshot.databases, loader.counts_frame(snapshot), NOW))
