"""The tables of a configuration and their keys; unknown ones are refused, values never change."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from dash_app.model.database import Database
from dash_app.settings.base import Section
from dash_app.settings.expectations import RulesSettings
from dash_app.settings.values import (
    MAX_INTEGER,
    ConfigPath,
    Duration,
    Port,
    Size,
    address,
    between,
    expanded,
    host,
    network,
    one_line,
    origin,
    token,
    users,
)

MAX_NAMES = 1000
"""Maximum length of a list with which each request is compared."""


class ServerSettings(Section):
    """Where the page is served, and to whom."""

    addresses: Annotated[
        tuple[Annotated[str, AfterValidator(address)], ...],
        Field(min_length=1, max_length=MAX_NAMES),
    ] = ("loopback", "tailscale")
    port: Port = 3001
    allowed_hosts: Annotated[
        tuple[Annotated[str, AfterValidator(host)], ...], Field(max_length=MAX_NAMES)
    ] = ()
    allowed_clients: Annotated[
        tuple[Annotated[str, AfterValidator(network)], ...], Field(max_length=MAX_NAMES)
    ] = ("loopback", "tailscale")
    allowed_origins: Annotated[
        tuple[Annotated[str, AfterValidator(origin)], ...], Field(max_length=MAX_NAMES)
    ] = ()
    token_file: Annotated[SecretStr | None, BeforeValidator(token)] = None
    trust_tailscale_identity: Annotated[bool, Field(strict=True)] = False
    allowed_users: Annotated[tuple[str, ...], AfterValidator(users)] = ()

    @property
    def authorization(self) -> str | None:
        """The header value that carries the token; None without a token."""
        return f"Bearer {self.token_file.get_secret_value()}" if self.token_file else None


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


def _default_path() -> Path:
    return expanded("~/.local/state/mission-control/history.db")


class HistorySettings(Section):
    """Where our own record lies, and how much of it is kept."""

    path: ConfigPath = Field(default_factory=_default_path)
    every: Annotated[Duration, between(timedelta(seconds=1), timedelta(days=1), "1s and 1d")] = (
        timedelta(minutes=1)
    )
    retention: Annotated[
        Duration, between(timedelta(days=1), timedelta(days=4000), "1d and 4000d")
    ] = timedelta(days=400)
    max_size: Annotated[Size, Field(ge=1_000_000)] = 500_000_000


class MetricsSettings(Section):
    """How much `/metrics` tells."""

    max_tables: Annotated[int, Field(ge=0, le=MAX_INTEGER, strict=True)] = 200
    """Of each database: one with thousands costs the others nothing."""


class FileSettings(Section):
    """Where a watched file lies, and how it is called."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$", max_length=200)]
    path: ConfigPath
    label: Annotated[str, Field(max_length=200), AfterValidator(one_line)] = ""


class DatabaseSettings(RulesSettings, FileSettings):
    """One watched file, and what is expected of it."""

    def database(self) -> Database:
        """Return the database, with its name as the label where there is none."""
        label = self.label or self.name.replace("_", " ").replace("-", " ").capitalize()
        return Database(self.name, label, self.path, self.rules())
