"""A configured database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dash_app.model.expectation import Rules
from dash_app.model.measure import Measure

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


HISTORY_APPLICATION_ID = 0x4D434831
"""The application id of our own history file ("MCH1"), which is never watched."""


@dataclass(frozen=True, slots=True)
class Database:
    """A configured SQLite file."""

    name: str
    """Its name in URLs, JSON and commands."""
    label: str
    """Its name on the page and in notifications."""
    path: Path
    rules: Rules = field(default_factory=Rules, hash=False)
    is_page_checked: bool = True
    """Whether its pages are checked for damage in the background."""
    is_match: bool = False
    """Whether its file was found by a pattern of the configuration."""
    measures: tuple[Measure, ...] = ()


def measure_units(databases: Iterable[Database]) -> dict[tuple[str, str], str]:
    """Return the units of all measures by the name of the database and the metric."""
    return {
        (database.name, measure.metric): measure.unit
        for database in databases
        for measure in database.measures
    }
