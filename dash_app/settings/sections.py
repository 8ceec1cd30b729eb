"""The tables of a configuration and their keys; unknown ones are refused, values never change."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from dash_app.model import Database
from dash_app.settings.base import Section
from dash_app.settings.expected import RulesSettings
from dash_app.settings.values import (
    ConfigPath,
    Duration,
    Port,
    Size,
    address,
    between,
    file_with_token,
    network,
    origin,
    users,
)


class ServerSettings(Section):
    """Where the page is served, and to whom."""

    addresses: tuple[Annotated[str, AfterValidator(address)], ...] = ("loopback", "tailscale")
    port: Port = 3001
    allowed_hosts: tuple[str, ...] = ()
    allowed_clients: tuple[Annotated[str, AfterValidator(network)], ...] = (
        "loopback",
        "tailscale",
    )
    allowed_origins: tuple[Annotated[str, AfterValidator(origin)], ...] = ()
    token_file: Annotated[Path | None, BeforeValidator(file_with_token)] = None
    trust_tailscale_identity: Annotated[bool, Field(strict=True)] = False
    allowed_users: Annotated[tuple[str, ...], AfterValidator(users)] = ()


class SamplerSettings(Section):
    """How often and how long databases are read."""

    interval: Annotated[
        Duration, between(timedelta(seconds=1), timedelta(hours=1), "1s and 1h")
    ] = timedelta(seconds=5)
    deadline: Annotated[
        Duration, between(timedelta(seconds=0.5), timedelta(minutes=1), "500ms and 1m")
    ] = timedelta(seconds=2)
    table_budget: Annotated[
        Duration, between(timedelta(seconds=0.01), timedelta(seconds=10), "10ms and 10s")
    ] = timedelta(seconds=0.05)


class HistorySettings(Section):
    """Where our own record lies, and how much of it is kept."""

    path: ConfigPath = Path("~/.local/state/mission-control/history.db").expanduser()
    every: Annotated[Duration, between(timedelta(seconds=1), timedelta(days=1), "1s and 1d")] = (
        timedelta(minutes=1)
    )
    retention: Annotated[
        Duration, between(timedelta(days=1), timedelta(days=4000), "1d and 4000d")
    ] = timedelta(days=400)
    max_size: Annotated[Size, Field(ge=1_000_000)] = 500_000_000


class MetricsSettings(Section):
    """How much `/metrics` tells."""

    max_tables: Annotated[int, Field(ge=0, strict=True)] = 200
    """Of each database: one with thousands costs the others nothing."""


class FileSettings(Section):
    """Where a watched file lies, and how it is called."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")]
    path: ConfigPath
    label: str = ""


class DatabaseSettings(RulesSettings, FileSettings):
    """One watched file, and what is expected of it."""

    def database(self) -> Database:
        """Return the database, with its name as the label where there is none."""
        label = self.label or self.name.replace("_", " ").replace("-", " ").capitalize()
        return Database(self.name, label, self.path, self.rules())
