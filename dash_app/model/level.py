"""How much a database needs a person, from "well" to "fault"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Level = Literal["well", "notice", "unknown", "fault"]

SEVERITY: tuple[Level, ...] = ("well", "notice", "unknown", "fault")
"""Levels from best to worst."""


def worst(levels: Iterable[Level]) -> Level:
    """Return the worst level; "well" if there is none."""
    return max(levels, key=SEVERITY.index, default="well")
