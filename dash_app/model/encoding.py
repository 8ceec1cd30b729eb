"""Encodes values of the model as JSON. Standard library only, since the reader uses it too."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime


def encode(value: object) -> str:
    """Encode a value as one line of JSON: dataclasses as objects, times in ISO format."""
    return json.dumps(value, default=_plain, separators=(",", ":"))


def shallow_dict(value: object) -> dict[str, object]:
    """Convert a dataclass to a dictionary of its fields, whose values stay as they are."""
    if not is_dataclass(value):
        raise TypeError(f"cannot encode {type(value).__name__}")
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return dict(value) if isinstance(value, Mapping) else shallow_dict(value)
