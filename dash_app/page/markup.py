"""Draw components as HTML: for the first response, before any script has run, and at each tick."""

from __future__ import annotations

from html import escape
from typing import Any

from dash.development.base_component import Component

TAGS = {
    **{
        name: name.lower()
        for name in ("A", "Button", "Caption", "Code", "Details", "Div", "Footer")
    },
    **{name: name.lower() for name in ("H1", "H2", "H3", "Header", "Li", "Main", "Nav", "P")},
    **{name: name.lower() for name in ("Section", "Span", "Summary", "Time", "Ul")},
    **{name: name.lower() for name in ("Table", "Tbody", "Td", "Th", "Thead", "Tr")},
    "Card": "div",
    "CardBody": "div",
}
BOOTSTRAP_CLASSES = {"Card": "card", "CardBody": "card-body"}
ATTRIBUTES = {
    "className": "class",
    "class_name": "class",
    "dateTime": "datetime",
    **{name: name for name in ("href", "id", "role", "scope", "title", "type")},
}


class UnknownPartError(Exception):
    """A component or property that this drawing does not know."""


def draw(part: object) -> str:
    """Return the HTML of a component, a text, or a list of them. Raises UnknownPartError."""
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
    if kind not in TAGS:
        raise UnknownPartError(kind)
    attributes = "".join(
        f' {name}="{escape(str(value))}"' for name, value in _attributes(kind, properties).items()
    )
    return f"<{TAGS[kind]}{attributes}>{draw(properties.get('children'))}</{TAGS[kind]}>"


def _attributes(kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    attributes = {"class": BOOTSTRAP_CLASSES[kind]} if kind in BOOTSTRAP_CLASSES else {}
    for name, value in properties.items():
        if name == "children" or value is None:
            continue
        if name.startswith(("aria-", "data-")):
            attributes[name] = value
        elif name == "style":
            attributes[name] = ";".join(f"{key}:{text}" for key, text in value.items())
        elif name in ATTRIBUTES:
            target = ATTRIBUTES[name]
            attributes[target] = f"{attributes.get(target, '')} {value}".strip()
        else:
            raise UnknownPartError(f"{kind}.{name}")
    return attributes
