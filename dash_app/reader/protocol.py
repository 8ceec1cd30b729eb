"""Readings as JSON, one message a line, between the service and its airlock."""

from __future__ import annotations

import json
from typing import Any

from dash_app.model.encoding import encode

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


def to_line(message: Message) -> bytes:
    """Return a message as one line."""
    return encode(message).encode() + b"\n"


def from_line(line: bytes | bytearray) -> Message:
    """Return the message of a line. Raises ValueError when it is none."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise TypeError(line)
    return message
