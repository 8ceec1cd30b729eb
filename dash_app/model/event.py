"""A change of a database that is worth remembering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Absence = Literal["gone", "emptied", "truncated"]

EventKind = Literal[
    Absence, "back", "replaced", "rolled_back", "schema_changed", "rows_dropped", "version_changed"
]

Facts = Mapping[str, Any]
"""Facts by their name in the JSON documents, which hold nothing but JSON."""


@dataclass(frozen=True, slots=True)
class Event:
    """A change worth remembering: what differed, before and after.

    `id` is None until stored. `ended_at` is when what it found amiss was undone or acknowledged.
    """

    database: str
    kind: EventKind
    at: datetime
    before: Facts
    after: Facts
    id: int | None = None
    ended_at: datetime | None = None
