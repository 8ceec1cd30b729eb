"""The server's own drawing: components as HTML, and two components that carry it to the browser.

The first response contains this HTML before any script has run, and each tick sends it again. As
components of Dash, every element would be an entry in its tree, which is searched at each change of
anything: 45 ms of a browser's time per tick. The browser's half is in assets/page.js.
"""

from html import escape
from typing import Any

from dash import html
from dash.development.base_component import Component

BOOTSTRAP_CLASSES = {"Card": "card", "CardBody": "card-body"}
"""The class of each dash-bootstrap-components element, which is a div."""

OTHERS = {*BOOTSTRAP_CLASSES, "Input", "Svg", "Path"}
"""Components that are not in `dash.html`."""

ATTRIBUTES = {
    "className": "class",
    "class_name": "class",
    "htmlFor": "for",
    **{name: name.lower() for name in ("autoComplete", "dateTime", "maxLength")},
}
"""The names in HTML of properties that have another name in Dash."""


class UnknownPartError(Exception):
    """A component or property that `draw` does not support."""


def draw(part: object) -> str:
    """Return the HTML of a component, a text, or a list of them. Raise UnknownPartError."""
    if part is None:
        return ""
    if isinstance(part, str | int):
        return escape(str(part))
    if isinstance(part, list | tuple):
        return "".join(map(draw, part))
    if not isinstance(part, Component):
        raise UnknownPartError(repr(part))
    json = part.to_plotly_json()
    kind, properties = json["type"], json["props"]
    tag = "div" if kind in BOOTSTRAP_CLASSES else kind.lower()
    if not (hasattr(html, kind) or kind in OTHERS):
        raise UnknownPartError(kind)
    attributes = "".join(
        f' {name}="{escape(str(value))}"' for name, value in _attributes(kind, properties).items()
    )
    content = draw(properties.get("children"))
    if tag == "code":
        content = content.replace("/", "/<wbr>")  # so that a long path breaks there
    return f"<{tag}{attributes}>{content}</{tag}>"


def _attributes(kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    attributes = {"class": BOOTSTRAP_CLASSES[kind]} if kind in BOOTSTRAP_CLASSES else {}
    for name, value in properties.items():
        if name == "children" or value is None:
            continue
        if name == "style":
            attributes[name] = ";".join(f"{key}:{text}" for key, text in value.items())
        elif isinstance(value, str):
            target = ATTRIBUTES.get(name, name)
            attributes[target] = f"{attributes[target]} {value}" if target in attributes else value
        else:
            raise UnknownPartError(f"{kind}.{name}")
    return attributes


class Own(Component):
    """A component that Dash has none for. Its properties are those that are given.

    The parts of a drawing have the namespace of `dash.html`: for each property of another one, Dash
    would search the disk for a module of its name.
    """

    _base_nodes: list[str] = []  # noqa: RUF012 - as Dash declares it
    _children_props: list[str] = []  # noqa: RUF012

    def __init__(self, kind: str, namespace: str = "mission_control", **properties: object) -> None:
        self._type, self._namespace = kind, namespace
        self._prop_names = self.available_properties = ["id", *properties]
        self._valid_wildcard_attributes = self.available_wildcard_properties = []
        super().__init__(**properties)  # type: ignore[no-untyped-call]


def plain(*parts: Component) -> Component:
    """Return parts of the page as plain elements."""
    return Own("Parts", html=draw(parts))
