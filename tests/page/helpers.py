"""The text of a part of the page, and the request of its tick."""

import re
from html import unescape
from typing import Any

from dash.development.base_component import Component

from dash_app import loader
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.page.cards import cards
from dash_app.page.markup import draw
from tests.factories import NOW

OUTPUTS = ("snapshot.data", "snapshot.facts")
TICK = f"..{'...'.join(OUTPUTS)}.."
"""Dash's name of the callback that updates the page."""


def tick_request(pulse: dict[str, Any]) -> dict[str, Any]:
    """Return the request that an open page with this pulse sends at a tick."""
    return {
        "output": TICK,
        "outputs": [
            dict(zip(("id", "property"), output.split("."), strict=True)) for output in OUTPUTS
        ],
        "inputs": [
            {"id": "tick", "property": "n_intervals", "value": 1},
            {"id": "url", "property": "search", "value": ""},
            {"id": "action", "property": "data", "value": None},
        ],
        "state": [
            {"id": "snapshot", "property": "data", "value": pulse},
            {"id": "url", "property": "pathname", "value": "/"},
        ],
        "changedPropIds": ["tick.n_intervals"],
    }


def visible_text(parts: Component | list[Component]) -> str:
    """Return the text of components, with each run of white space as one space."""
    html = draw(parts).replace("<wbr>", "")
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))).strip()


def card_text(status: DatabaseStatus) -> str:
    """Return the text of a database's card at `NOW`."""
    snapshot = Snapshot(NOW, (status,))
    return visible_text(cards(snapshot.databases, (), loader.counts_frame(snapshot), NOW))
