"""What is wrong with a database now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from dash_app.model.event import Absence
from dash_app.model.level import Level
from dash_app.model.reading import Code

Unexpected = Literal[
    "late", "down", "few_rows", "no_such_table", "wal_large", "file_large", "disk_low"
]

FindingKind = Literal[
    Absence, "rows_dropped", "rolled_back", "replaced", "log_held", "wal_growing", Unexpected
]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a database is not connected: a code for programs, a cause and one remedy for people."""

    code: Code
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that does not hold now: since when, in one sentence, and what to do.

    One that `asks` stays until its cause is undone or a person acknowledges it; `table` is its own.
    """

    kind: FindingKind
    level: Level
    since: datetime
    text: str
    remedy: str
    asks: bool = False
    table: str | None = None
