"""A process that had a database open, for as long as ticks saw it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Opener:
    """A process that had a database open. Visits between two ticks are not seen."""

    pid: int
    command: str
    unit: str | None
    """Its systemd unit or container; None if it has none, or it is unknown."""
    since: datetime
    until: datetime
    """When it was last seen to have it open."""
    missed_at: datetime | None = None
    """When it was first seen not to have it open any longer; None while it has."""
