"""Shift all times of a value after the clock was set."""

from dataclasses import fields, is_dataclass, replace
from datetime import datetime, timedelta
from typing import Any


def shift_times(value: Any, by: timedelta) -> Any:  # noqa: ANN401 - the type of `value`
    """Return a value of the model with all times in it shifted, so that durations stay."""
    if isinstance(value, datetime):
        return value + by
    if isinstance(value, tuple):
        return tuple(shift_times(item, by) for item in value)
    if isinstance(value, dict):
        return {key: shift_times(item, by) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            field.name: shift_times(getattr(value, field.name), by) for field in fields(value)
        }
        return replace(value, **changed)
    return value
