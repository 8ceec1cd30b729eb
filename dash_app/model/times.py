"""Times of the model, moved together when somebody sets the clock."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from datetime import datetime, timedelta
from typing import Any


def moved(value: Any, by: timedelta) -> Any:  # noqa: ANN401 - returns the type that it is given
    """Return a value of the model with all its times moved by as much as the clock was set."""
    if isinstance(value, datetime):
        return value + by
    if isinstance(value, tuple):
        return tuple(moved(one, by) for one in value)
    if isinstance(value, dict):
        return {key: moved(one, by) for key, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        changed = {field.name: moved(getattr(value, field.name), by) for field in fields(value)}
        return replace(value, **changed)
    return value
