"""Validate the page's callback requests. Dash would fail on malformed ones."""

import json
from collections.abc import Mapping
from typing import Any

CALLBACKS = "/_dash-update-component"
"""The path of callback requests."""

KEYS = {"output", "outputs", "inputs", "state", "changedPropIds", "parsedChangedPropsIds"}
"""The keys that Dash's renderer sends."""

MAX_TEXT_CHARACTERS = 2000
"""Maximum length of a text value. No URL of the page is as long."""

TYPES: dict[str, type] = {"n_intervals": int, "pathname": str, "search": str, "data": dict}
"""The type of a property's value, unless it is None."""


def input_id(body: bytes) -> str:
    """Return the id of the first input in the body of a request; "" if there is none."""
    try:
        return str(json.loads(body)["inputs"][0]["id"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


def is_valid(request: object, callback_map: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the page could have sent a request. `callback_map` is Dash's, by output."""
    if not isinstance(request, dict) or not request.keys() <= KEYS:
        return False
    output = request.get("output")
    if not isinstance(output, str) or output not in callback_map:
        return False
    callback = callback_map[output]
    names = {f"{declared['id']}.{declared['property']}" for declared in callback["inputs"]}
    return (
        _match(request.get("inputs", []), callback["inputs"])
        and _match(request.get("state", []), callback["state"])
        and request.get("outputs") == _outputs(output)
        and _are_among(request.get("changedPropIds", []), names)
        and _are_among(request.get("parsedChangedPropsIds", []), names)
    )


def _outputs(output: str) -> list[dict[str, str]]:
    """Return the outputs in an output's name: "..a.b...c.d.." contains a.b and c.d."""
    names = (name.rpartition(".") for name in output.strip(".").split("..."))
    return [{"id": component, "property": attribute} for component, _dot, attribute in names]


def _match(values: object, declared: list[dict[str, Any]]) -> bool:
    return (
        isinstance(values, list)
        and len(values) == len(declared)
        and all(map(_matches, values, declared))
    )


def _matches(given: object, declared: Mapping[str, Any]) -> bool:
    if not isinstance(given, dict) or not given.keys() <= {"id", "property", "value"}:
        return False
    component, attribute, value = declared["id"], declared["property"], given.get("value")
    if (given.get("id"), given.get("property")) != (component, attribute):
        return False
    expected = TYPES.get(attribute)
    if expected is None or value is None:
        return True
    is_too_long = isinstance(value, str) and len(value) > MAX_TEXT_CHARACTERS
    return type(value) is expected and not is_too_long


def _are_among(given: object, names: set[str]) -> bool:
    return isinstance(given, list) and all(isinstance(n, str) and n in names for n in given)
