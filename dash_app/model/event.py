"""An event: a change of a database that is stored in the history."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Absence = Literal["gone", "emptied", "truncated"]

EventKind = Literal[
    Absence, "back", "replaced", "rolled_back", "schema_changed", "rows_dropped", "version_changed"
]

Facts = Mapping[str, Any]
"""JSON values by their names in the JSON documents."""


@dataclass(frozen=True, slots=True)
class Event:
    """A change of a database between two readings."""

    database: str
    kind: EventKind
    at: datetime
    before: Facts
    """The facts that changed, as they were."""
    after: Facts
    """The same facts, as they are since."""
    id: int | None = None
    """None until stored."""
    ended_at: datetime | None = None
    """When the change was undone or acknowledged; None if it was not, or needs neither."""
