"""Readings as JSON, one message a line, between the service and its airlock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, TypeVar

from dash_app.model.host_facts import Access, Disk, Holder, Surroundings, WalGrowth
from dash_app.model.reading import Reading, TableCount

Message = dict[str, Any]

WORKERS = 4
"""Databases that a child reads at a time, until the parent asks for more since these are stuck."""

OUT_OF_MEMORY = 71
"""Exit code of a child that reached `MAX_DATA_BYTES`."""

OVERDUE = 72
"""Exit code of a child in which a reading exceeded its deadline."""

MAX_DATA_BYTES = 256_000_000
"""Of a child's heap and stacks: 50 MB at rest, 90 MB with 2,000 tables. A file of 24 kB can ask for
1 GB."""

TIMES = frozenset(
    {
        *("read_at", "verified_at", "last_modified", "file_modified", "wal_modified"),
        *("counted_at", "since", "pins_since"),
    }
)
FIELDS: dict[type, frozenset[str]] = {
    kind: frozenset(field.name for field in fields(kind))
    for kind in (Reading, TableCount, Surroundings, Holder, Disk, Access, WalGrowth)
}

Value = TypeVar("Value")


def to_line(message: Message) -> bytes:
    """Return a message as one line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes | bytearray) -> Message:
    """Return the message of a line. Raises ValueError when it is none."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise TypeError(line)
    return message


def to_message(value: Any) -> Any:  # noqa: ANN401 - from any value of the model
    """Return a value of the model as JSON has it, a reading for instance; times in ISO format."""
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value):
        return {field.name: to_message(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: to_message(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return tuple(map(to_message, value))
    return value


def reading_from_message(message: Message) -> Reading:
    """Return the reading that `to_message` was given.

    Stored readings outlive upgrades and downgrades: unknown fields are ignored, and missing ones
    have their defaults.
    """
    tables = {name: _made(TableCount, count) for name, count in message["tables"].items()}
    around = surroundings_from_message(message.get("surroundings", {}))
    return _made(Reading, {**message, "tables": tables, "surroundings": around})


def surroundings_from_message(message: Message) -> Surroundings:
    """Return the surroundings that `to_message` was given."""
    made: Message = {
        name: message.get(name) and _made(kind, message[name])
        for name, kind in (("disk", Disk), ("access", Access), ("wal_growth", WalGrowth))
    }
    if (holders := message.get("holders")) is not None:
        made["holders"] = [_made(Holder, holder) for holder in holders]
    return _made(Surroundings, {**message, **made})


def _made(kind: type[Value], message: Message) -> Value:
    known = message.keys() & FIELDS[kind]
    return kind(**{name: _value(name, message[name]) for name in known})


def _value(name: str, value: Any) -> Any:  # noqa: ANN401 - of any field
    if name in TIMES and value is not None:
        return datetime.fromisoformat(value)
    return tuple(value) if isinstance(value, list) else value
