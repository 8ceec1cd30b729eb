"""Decode JSON into values of the model.

Stored values outlive upgrades and downgrades: unknown fields are ignored, missing fields get their
defaults, and a kind or code that only a later version knows is kept as it is.
"""

import json
from typing import Any, TypeVar

from pydantic import TypeAdapter
from pydantic_core import SchemaValidator

Value = TypeVar("Value")

_validators: dict[type[Any], SchemaValidator] = {}
"""Built when first needed, which takes about 4 ms and 0.1 MB each."""


def decode(kind: type[Value], text: str) -> Value:
    """Decode the JSON text of a value. Raise ValueError if it is not of this kind."""
    # pydantic's own JSON parser rejects lone surrogates, which a path that is not UTF-8 has.
    return decode_parsed(kind, json.loads(text))


def decode_parsed(kind: type[Value], parsed: object) -> Value:
    """Decode a value from parsed JSON. Raise ValueError if it is not of this kind."""
    if kind not in _validators:
        _validators[kind] = SchemaValidator(_with_open_literals(TypeAdapter(kind).core_schema))
    value: Value = _validators[kind].validate_python(parsed)
    return value


def _with_open_literals(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Accept any text in place of a literal."""
    if isinstance(schema, dict):
        if schema.get("type") == "literal":
            return {"type": "str"}
        return {name: _with_open_literals(part) for name, part in schema.items()}
    return [*map(_with_open_literals, schema)] if isinstance(schema, list) else schema
