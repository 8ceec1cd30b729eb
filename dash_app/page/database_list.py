"""More than twelve databases: the filter, and a list with a row per database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dash_app.model.snapshot import DatabaseStatus
from dash_app.page import ids, url_query

MAX_CARDS = 12
"""Maximum number of databases that all have a card. Of more, only those in trouble have one."""

STATES = {
    "needs_you": "Needs you",
    "unknown": "Can't tell",
    "not_initialized": "Not initialized",
    "well": "Well",
    "paused": "Paused",
}
"""The states to filter by. Each database is in exactly one of them."""


def state_of(status: DatabaseStatus) -> str:
    """Return the key in STATES of a database."""
    if status.is_paused:
        return "paused"
    if status.needs_you:
        return "needs_you"
    if status.level == "unknown":
        return "unknown"
    return "not_initialized" if status.status == "not_initialized" else "well"


@dataclass(frozen=True, slots=True)
class Filter:
    """The databases to list, by a part of their name and by their state. It is part of the URL."""

    name: str
    state: str

    @classmethod
    def from_search(cls, search: str | None) -> Filter:
        """Parse a URL's query; an unknown state selects all."""
        query = url_query.parse(search)
        state = query.get("state", "")
        return cls(query.get("name", "").strip(), state if state in STATES else "")

    def select(self, statuses: Iterable[DatabaseStatus]) -> list[DatabaseStatus]:
        """Return the databases that it selects, in their order."""
        return [
            status
            for status in statuses
            if self.matches_name(status) and self.state in {"", state_of(status)}
        ]

    def matches_name(self, status: DatabaseStatus) -> bool:
        """Whether the label or the name of a database contains the text."""
        names = (status.database.label, status.database.name)
        return any(self.name.casefold() in name.casefold() for name in names)


def needs_you_url(databases: int) -> str:
    """Return the URL of all databases that need a person, out of this number of databases."""
    return f"/?state=needs_you#{ids.CARDS}" if databases > MAX_CARDS else f"#{ids.CARDS}"
