"""Clients, hosts and users that were refused."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

REFUSALS = "mission_control.refusals"
"""Key of the WSGI environment for the `Refusals`, which `/api/service` shows."""

Kind = Literal["client", "host", "user", "token"]

REASONS: dict[Kind, tuple[str, str]] = {
    "client": ("client", "not in allowed_clients"),
    "host": ("host name", "not in allowed_hosts"),
    "user": ("user", "not in allowed_users"),
    "token": ("client", "without the token"),
}
"""What was refused, and why, as logs and `doctor` report it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A client, host or user that was refused at one of our addresses."""

    kind: Kind
    name: str
    address: str
    count: int
    last_at: datetime
