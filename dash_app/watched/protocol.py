"""Readings as JSON, one message a line, between the service and its airlock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from dash_app.model import Reading, TableCount
from dash_app.surroundings import Access, Disk, Holder, Surroundings, WalGrowth

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

TIMES = ("read_at", "verified_at", "last_modified", "file_modified", "wal_modified")
HOLDER_TIMES = ("since", "pins_since")
FIELDS: dict[type, frozenset[str]] = {
    kind: frozenset(field.name for field in fields(kind))
    for kind in (Reading, TableCount, Disk, Access)
}


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

    The history keeps messages over upgrades, and over the return to an older version: what is not
    known here is left out, and what was not known there is as by default.
    """
    tables = {name: _count(count) for name, count in message["tables"].items()}
    around = surroundings_from_message(message.get("surroundings", {}))
    known = _known(Reading, message)
    return Reading(**{**known, **_times(known, TIMES), "tables": tables, "surroundings": around})


def surroundings_from_message(message: Message) -> Surroundings:
    """Return the surroundings of a message that `to_message` made."""
    holders, disk, access = (message.get(name) for name in ("holders", "disk", "access"))
    growth = message.get("wal_growth")
    readers = tuple(growth["readers"]) if growth else ()
    return Surroundings(
        None if holders is None else tuple(map(_holder, holders)),
        message.get("backlog_bytes"),
        disk and Disk(**_known(Disk, disk)),
        access and Access(**_known(Access, access)),
        message.get("is_foreign", False),
        growth and WalGrowth(**{**growth, **_times(growth, ("since",)), "readers": readers}),
    )


def _known(kind: type, message: Message) -> Message:
    return {name: value for name, value in message.items() if name in FIELDS[kind]}


def _count(message: Message) -> TableCount:
    rowids = message.get("rowids")
    known, times = _known(TableCount, message), _times(message, ("counted_at",))
    return TableCount(**{**known, **times, "rowids": rowids and tuple(rowids)})


def _holder(message: Message) -> Holder:
    return Holder(**{**message, **_times(message, HOLDER_TIMES), "uses": tuple(message["uses"])})


def _times(message: Message, names: tuple[str, ...]) -> dict[str, datetime | None]:
    given = {name: message[name] for name in names if name in message}
    return {name: time and datetime.fromisoformat(time) for name, time in given.items()}
