"""Components of our own: the facts as plain elements, which change in place, and the pulse.

Their other half stands in assets/page.js. As components of Dash, each element would have an entry
in its tree that is looked up at every change of anything: 45 ms of a browser's time at each tick.
"""

from __future__ import annotations

from typing import Any

from dash.development.base_component import Component


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
    """Draws `parts`, components of the kinds that `markup.draw` knows; a callback may set them."""

    _type = "Parts"

    def __init__(self, parts: list[Component], id: str | None = None) -> None:  # noqa: A002
        """Take what to draw at first, and the id that a callback knows it by."""
        super().__init__(parts=parts, id=id)


class Pulse(_Own):
    """Draws nothing: hands `data`, what the browser keeps time by, to the page's script."""

    _type = "Pulse"

    def __init__(self, data: dict[str, Any], id: str) -> None:  # noqa: A002
        """Take the first pulse, and the id that callbacks know it by."""
        super().__init__(data=data, id=id)
