"""Clients, hosts and users that were refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

REFUSALS = "mission_control.refusals"
"""Key of the WSGI environment: the `Refusals`, for the application to show."""

Kind = Literal["client", "host", "user", "token"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A client, host or user that was refused at one of our addresses."""

    kind: Kind
    name: str
    address: str
    count: int
    last_at: datetime
    logged_at_seconds: float
