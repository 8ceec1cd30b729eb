"""Times as the JSON documents write them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import overload


@overload
def rfc3339(time: datetime) -> str: ...
@overload
def rfc3339(time: None) -> None: ...
@overload
def rfc3339(time: datetime | None) -> str | None: ...
def rfc3339(time: datetime | None) -> str | None:
    """Return a time in UTC with milliseconds: 2026-11-23T15:00:05.120Z."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=1024)
def instant(at: int) -> str:
    """Return a time of the record: 2026-11-23T15:00:05Z. All series of a chart share theirs."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
