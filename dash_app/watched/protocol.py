"""Readings as JSON, one message a line, between the service and its airlock."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from dash_app.model import Reading, TableCount

Message = dict[str, Any]
TIMES = ("read_at", "verified_at", "last_modified")


def to_line(message: Message) -> bytes:
    """Return a message as one line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes) -> Message:
    """Return the message of a line. Raises ValueError when it is none."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise TypeError(line)
    return message


def reading_to_message(reading: Reading) -> Message:
    """Return a reading with its times in ISO format."""
    message = asdict(reading)
    for name in TIMES:
        message[name] = message[name] and message[name].isoformat()
    for count in message["tables"].values():
        count["counted_at"] = count["counted_at"].isoformat()
    return message


def reading_from_message(message: Message) -> Reading:
    """Return the reading that `reading_to_message` was given."""
    times = {name: _time(message[name]) for name in TIMES}
    tables = {
        name: TableCount(**{**count, "counted_at": _time(count["counted_at"])})
        for name, count in message["tables"].items()
    }
    return Reading(**{**message, **times, "tables": tables})


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
