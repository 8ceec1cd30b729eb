"""A configured database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dash_app.model.expectation import Rules

if TYPE_CHECKING:
    from pathlib import Path


HISTORY_APPLICATION_ID = 0x4D434831
"""Marks our own history file ("MCH1"), so that nobody takes it for a database to watch."""


@dataclass(frozen=True, slots=True)
class Database:
    """A configured SQLite file: its name in URLs, its label on the page, its path.

    `rules` is what a person expects of it.
    """

    name: str
    label: str
    path: Path
    rules: Rules = field(default_factory=Rules, hash=False)
