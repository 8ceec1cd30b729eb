"""Check requests of the page's callbacks: Dash would fail on malformed ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

KEYS = {"output", "outputs", "inputs", "state", "changedPropIds", "parsedChangedPropsIds"}
"""The keys that Dash's renderer sends."""

MAX_TEXT_CHARACTERS = 2000
"""Maximum length of a text: more than that of any URL of the page."""

TYPES: dict[str, type] = {"n_intervals": int, "pathname": str, "search": str, "data": dict}
"""The type of a property that is not None."""

TEXTS = {"record.data"}
"""Properties of which the data is a text."""


def input_of(body: bytes) -> str:
    """Return the id of the first input in the body of a callback; "" if there is none."""
    try:
        return str(json.loads(body)["inputs"][0]["id"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


class Callbacks:
    """The callbacks of the page."""

    def __init__(self, callback_map: Mapping[str, Mapping[str, Any]]) -> None:
        """Set Dash's own table of callbacks, by output."""
        self._callbacks = callback_map

    def accept(self, request: object) -> bool:
        """Return whether the page could have sent a request."""
        if not isinstance(request, dict) or not request.keys() <= KEYS:
            return False
        output = request.get("output")
        if not isinstance(output, str) or output not in self._callbacks:
            return False
        callback = self._callbacks[output]
        inputs, state = request.get("inputs", []), request.get("state", [])
        followed = {f"{one['id']}.{one['property']}" for one in callback["inputs"]}
        return (
            _holds(inputs, callback["inputs"])
            and _holds(state, callback["state"])
            and request.get("outputs") == _outputs(output)
            and _are_among(request.get("changedPropIds", []), followed)
            and _are_among(request.get("parsedChangedPropsIds", []), followed)
        )


def _outputs(output: str) -> list[dict[str, str]]:
    """Return the outputs as the page names them: "..a.b...c.d.." is two."""
    names = (one.rpartition(".") for one in output.strip(".").split("..."))
    return [{"id": name, "property": what} for name, _dot, what in names]


def _holds(given: object, declared: list[dict[str, Any]]) -> bool:
    """Return whether a list has the declared inputs in their order, with values that fit."""
    return (
        isinstance(given, list)
        and len(given) == len(declared)
        and all(_fits(one, wanted) for one, wanted in zip(given, declared, strict=True))
    )


def _fits(given: object, declared: Mapping[str, Any]) -> bool:
    if not isinstance(given, dict) or not given.keys() <= {"id", "property", "value"}:
        return False
    name, what, value = declared["id"], declared["property"], given.get("value")
    if (given.get("id"), given.get("property")) != (name, what):
        return False
    kind = str if f"{name}.{what}" in TEXTS else TYPES.get(what)
    if kind is None or value is None:
        return True
    if isinstance(value, str) and len(value) > MAX_TEXT_CHARACTERS:
        return False
    return type(value) is kind


def _are_among(given: object, names: set[str]) -> bool:
    return isinstance(given, list) and all(isinstance(n, str) and n in names for n in given)
