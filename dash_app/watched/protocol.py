"""Readings as JSON, one message a line, between the service and its airlock."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
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


def reading_to_message(reading: Reading) -> Message:
    """Return a reading with its times in ISO format."""
    message = asdict(reading)
    _write_times(message, TIMES)
    for count in message["tables"].values():
        _write_times(count, ("counted_at",))
    if growth := message["surroundings"]["wal_growth"]:
        _write_times(growth, ("since",))
    for holder in message["surroundings"]["holders"] or ():
        _write_times(holder, HOLDER_TIMES)
    return message


def reading_from_message(message: Message) -> Reading:
    """Return the reading that `reading_to_message` was given.

    The history keeps messages over upgrades, and over the return to an older version: what is not
    known here is left out, and what was not known there is as by default.
    """
    tables = {name: _count(count) for name, count in message["tables"].items()}
    around = surroundings_from_message(message.get("surroundings", {}))
    known = _known(Reading, message)
    return Reading(**{**known, **_times(known, TIMES), "tables": tables, "surroundings": around})


def surroundings_from_message(message: Message) -> Surroundings:
    """Return the surroundings of a message that `reading_to_message` made."""
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


def _write_times(message: Message, names: tuple[str, ...]) -> None:
    for name in names:
        message[name] = message[name] and message[name].isoformat()


def _times(message: Message, names: tuple[str, ...]) -> dict[str, datetime | None]:
    given = {name: message[name] for name in names if name in message}
    return {name: time and datetime.fromisoformat(time) for name, time in given.items()}
