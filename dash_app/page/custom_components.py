"""Components of our own: the facts as plain elements, which change in place, and the pulse.

Their other half stands in assets/page.js. As components of Dash, each element would have an entry
in its tree that is looked up at every change of anything: 45 ms of a browser's time at each tick.
"""

from __future__ import annotations

from typing import Any

from dash.development.base_component import Component

from dash_app.page.markup import draw


class _Own(Component):
    _namespace = "mission_control"
    _base_nodes: list[str] = []  # noqa: RUF012 - as Dash declares it
    _children_props: list[str] = []  # noqa: RUF012

    def __init__(self, **properties: object) -> None:
        self._prop_names = self.available_properties = ["id", *properties]
        self._valid_wildcard_attributes = self.available_wildcard_properties = []
        given = {name: value for name, value in properties.items() if value is not None}
        super().__init__(**given)  # type: ignore[no-untyped-call]


class Parts(_Own):
    """Shows parts of the page as plain elements; a callback may set their `html`."""

    _type = "Parts"

    def __init__(self, parts: list[Component], id: str | None = None) -> None:  # noqa: A002
        """Take the parts, of kinds that `markup.draw` knows, and the id for callbacks."""
        super().__init__(html=draw(parts), id=id)


class Pulse(_Own):
    """Hands `data`, which the browser keeps time by, and `facts` to the page's script, which draws.

    Both arrive together, so that the page never takes facts for new that it has not drawn.
    """

    _type = "Pulse"

    def __init__(self, data: dict[str, Any], facts: list[str], id: str) -> None:  # noqa: A002
        """Take the first pulse, the HTML before and after the charts, and the id for callbacks."""
        super().__init__(data=data, facts=facts, id=id)
