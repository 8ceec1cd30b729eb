"""Readings as JSON, one message a line, between the service and its airlock."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from dash_app.model import Reading, TableCount
from dash_app.surroundings import Access, Disk, Holder, Surroundings

Message = dict[str, Any]
TIMES = ("read_at", "verified_at", "last_modified", "file_modified")
HOLDER_TIMES = ("since", "pins_since")


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
    for holder in message["surroundings"]["holders"] or ():
        _write_times(holder, HOLDER_TIMES)
    return message


def reading_from_message(message: Message) -> Reading:
    """Return the reading that `reading_to_message` was given."""
    tables = {name: _count(count) for name, count in message["tables"].items()}
    around = surroundings_from_message(message["surroundings"])
    return Reading(
        **{**message, **_times(message, TIMES), "tables": tables, "surroundings": around}
    )


def surroundings_from_message(message: Message) -> Surroundings:
    """Return the surroundings of a message that `reading_to_message` made."""
    holders, disk, access = message["holders"], message["disk"], message["access"]
    return Surroundings(
        None if holders is None else tuple(map(_holder, holders)),
        message["backlog_bytes"],
        disk and Disk(**disk),
        access and Access(**access),
    )


def _count(message: Message) -> TableCount:
    rowids = message["rowids"]
    times = _times(message, ("counted_at",))
    return TableCount(**{**message, **times, "rowids": rowids and tuple(rowids)})


def _holder(message: Message) -> Holder:
    return Holder(**{**message, **_times(message, HOLDER_TIMES), "uses": tuple(message["uses"])})


def _write_times(message: Message, names: tuple[str, ...]) -> None:
    for name in names:
        message[name] = message[name] and message[name].isoformat()


def _times(message: Message, names: tuple[str, ...]) -> dict[str, datetime | None]:
    return {name: message[name] and datetime.fromisoformat(message[name]) for name in names}
