"""Decodes JSON into values of the model.

Stored values outlive upgrades and downgrades: unknown fields are ignored, and missing fields get
their defaults.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import TypeAdapter

Value = TypeVar("Value")

_adapters: dict[type[Any], TypeAdapter[Any]] = {}
"""Each takes about 3 ms to build and 0.1 MB, so they are built once, when first needed."""


def decode(kind: type[Value], text: str) -> Value:
    """Decode the JSON text of a value. Raise ValueError if it is not of this kind."""
    # pydantic's own JSON parser rejects lone surrogates, which a path that is not UTF-8 has.
    return decode_parsed(kind, json.loads(text))


def decode_parsed(kind: type[Value], parsed: object) -> Value:
    """Decode a value from parsed JSON. Raise ValueError if it is not of this kind."""
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    value: Value = _adapters[kind].validate_python(parsed)
    return value
