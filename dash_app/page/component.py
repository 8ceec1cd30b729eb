"""A component of our own: the facts as plain elements, which change in place.

Its other half stands in assets/page.js. As components of Dash, each element would have an entry in
its tree that is looked up at every change of anything: 45 ms of a browser's time at each tick.
"""

from __future__ import annotations

from dash.development.base_component import Component


class Parts(Component):
    """Draws `parts`, components of those kinds that `markup.draw` knows, in a block named `id`."""

    _namespace = "mission_control"
    _type = "Parts"
    _base_nodes: list[str] = []  # noqa: RUF012 - as Dash declares it
    _children_props: list[str] = []  # noqa: RUF012

    def __init__(self, id: str, parts: list[Component]) -> None:  # noqa: A002 - as Dash names it
        """Take what to draw at first."""
        self._prop_names = self.available_properties = ["id", "parts"]
        self._valid_wildcard_attributes = self.available_wildcard_properties = []
        super().__init__(id=id, parts=parts)  # type: ignore[no-untyped-call]
