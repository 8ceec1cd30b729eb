"""How bad things are, from "well" to "fault"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Level = Literal["well", "notice", "unknown", "fault"]

SEVERITY: tuple[Level, ...] = ("well", "notice", "unknown", "fault")
"""Levels from best to worst."""


def worst(levels: Iterable[Level]) -> Level:
    """Return the worst of some levels; "well" when there are none."""
    return max(levels, key=SEVERITY.index, default="well")
