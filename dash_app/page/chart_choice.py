"""What of the charts is shown: rows or rows written, and how far back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import parse_qs


@dataclass(frozen=True, slots=True)
class Range:
    """A choice of how far back the charts reach."""

    key: str
    label: str
    reach: timedelta
    words: str
    tick: str


RANGES = (
    Range("1h", "1 h", timedelta(hours=1), "in the last hour", "%H:%M"),
    Range("6h", "6 h", timedelta(hours=6), "in the last 6 hours", "%H:%M"),
    Range("24h", "24 h", timedelta(hours=24), "in the last 24 hours", "%H:%M"),
    Range("7d", "7 d", timedelta(days=7), "in the last 7 days", "%-d %b"),
    Range("30d", "30 d", timedelta(days=30), "in the last 30 days", "%-d %b"),
    Range("1y", "1 y", timedelta(days=365), "in the last year", "%b %Y"),
)
DEFAULT_RANGE = RANGES[2]


def range_of(key: str) -> Range:
    """Return the range with a key; the default one for any other text."""
    return next((one for one in RANGES if one.key == key), DEFAULT_RANGE)


@dataclass(frozen=True, slots=True)
class View:
    """What of the charts is shown: a choice that stands in the URL."""

    chosen: Range
    is_rate: bool

    @classmethod
    def of(cls, search: str | None) -> View:
        """Return the view that a URL's query names; the usual one for anything else."""
        query = parse_qs((search or "").lstrip("?"))
        named = query.get("range", [""])[0]
        return cls(range_of(named), query.get("show", [""])[0] == "rate")

    @property
    def search(self) -> str:
        """The query of the URL that leads to it."""
        return f"?range={self.chosen.key}{'&show=rate' if self.is_rate else ''}"
