"""Times in the JSON documents, by RFC 3339."""

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
    """Return seconds since 1970 as 2026-11-23T15:00:05Z. Series of a chart share their times."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
