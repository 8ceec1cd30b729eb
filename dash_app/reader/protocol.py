"""The messages between the service and its child: one JSON object per line."""

import json
import os
import sys
from typing import Any

from dash_app.model.encoding import encode

Message = dict[str, Any]

WORKERS = 4
"""Number of databases that a child reads at the same time. The parent asks for more workers if all
of them are stuck."""

OUT_OF_MEMORY = 71
"""Exit code of a child that reached `MAX_DATA_BYTES`."""

OVERDUE = 72
"""Exit code of a child in which a reading exceeded its deadline."""

STUCK = 73
"""Exit code of a process whose statement cannot be interrupted."""

MAX_DATA_BYTES = 256_000_000
"""Limit for a child's heap and stacks, which take 50 MB at rest and 90 MB with 2,000 tables. A file
of 24 kB can ask for 1 GB."""


def to_line(message: Message) -> bytes:
    """Encode a message as one line."""
    return encode(message).encode() + b"\n"


def send(message: Message) -> None:
    """Write a message to the parent. Exit if the parent is gone."""
    try:
        os.write(sys.stdout.fileno(), to_line(message))
    except OSError:
        os._exit(0)


def from_line(line: bytes | bytearray) -> Message:
    """Decode a line. Raise ValueError or TypeError if it is not a message."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise TypeError(line)
    return message
