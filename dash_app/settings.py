"""Settings from a TOML file, complete and frozen; wrong ones are refused with their place.

Nobody else reads the configuration file or the environment, but for what a service manager or a
terminal says.
"""

from __future__ import annotations

import os
import re
import tomllib
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)

from dash_app.model import Database
from dash_app.settings_errors import explain

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PATH = Path("~/.config/mission-control/config.toml")
DEFAULT_NAMES = ("coordination", "observability", "content", "email", "health")
RESERVED = ("watch", "alerts", "fleet")

DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SIZE_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}


class SettingsError(Exception):
    """Settings that cannot be used; the text says what is wrong, where, and what is allowed."""


def _duration(value: object) -> timedelta:
    amount, unit = _quantity(value, DURATION_UNITS, '"250ms", "5s", "1m", "12h" or "400d"')
    return timedelta(seconds=amount * DURATION_UNITS[unit])


def _size(value: object) -> int:
    amount, unit = _quantity(value, SIZE_UNITS, '"500MB" or "2GB"')
    return int(amount * SIZE_UNITS[unit])


def _quantity(value: object, units: Mapping[str, float], examples: str) -> tuple[float, str]:
    match = (
        re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]+)", value) if isinstance(value, str) else None
    )
    if match is None or match[2] not in units:
        raise ValueError(f"write a number and a unit, such as {examples}")
    return float(match[1]), match[2]


def _path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("write a path in quotes")
    folder: Path = info.context["folder"] if info.context else Path.cwd()
    return folder / Path(value).expanduser()


def _token_file(value: object, info: ValidationInfo) -> Path | None:
    if value in {"", None}:
        return None
    path = _path(value, info)
    try:
        if path.read_text(encoding="utf-8").strip():
            return path
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read: {error}") from None
    raise ValueError("is empty: write the token into it")


def _address(value: str) -> str:
    return value if value in {"loopback", "tailscale"} else str(ip_address(value))


def _network(value: str) -> str:
    return value if value in {"loopback", "tailscale"} else str(ip_network(value))


def _users(value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    if value and not info.data.get("trust_tailscale_identity"):
        raise ValueError("who asks is known only with trust_tailscale_identity = true")
    return value


def _origin(value: str) -> str:
    if not re.fullmatch(r"https?://[a-z0-9.\[\]:-]+", value):
        raise ValueError('write a scheme and a host, such as "https://box.example.ts.net"')
    return value


def _between(least: timedelta, most: timedelta, words: str) -> AfterValidator:
    def check(value: timedelta) -> timedelta:
        if not least <= value <= most:
            raise ValueError(f"must lie between {words}")
        return value

    return AfterValidator(check)


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Size = Annotated[int, BeforeValidator(_size)]
ConfigPath = Annotated[Path, BeforeValidator(_path)]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]


class Section(BaseModel):
    """A table of the file: unknown keys are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(Section):
    """Where the page is served, and to whom."""

    addresses: tuple[Annotated[str, AfterValidator(_address)], ...] = ("loopback", "tailscale")
    port: Port = 3001
    allowed_hosts: tuple[str, ...] = ()
    allowed_clients: tuple[Annotated[str, AfterValidator(_network)], ...] = (
        "loopback",
        "tailscale",
    )
    allowed_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()
    token_file: Annotated[Path | None, BeforeValidator(_token_file)] = None
    trust_tailscale_identity: Annotated[bool, Field(strict=True)] = False
    allowed_users: Annotated[tuple[str, ...], AfterValidator(_users)] = ()


class SamplerSettings(Section):
    """How often and how long databases are read."""

    interval: Annotated[
        Duration, _between(timedelta(seconds=1), timedelta(hours=1), "1s and 1h")
    ] = timedelta(seconds=5)
    deadline: Annotated[
        Duration, _between(timedelta(seconds=0.5), timedelta(minutes=1), "500ms and 1m")
    ] = timedelta(seconds=2)
    table_budget: Annotated[
        Duration, _between(timedelta(seconds=0.01), timedelta(seconds=10), "10ms and 10s")
    ] = timedelta(seconds=0.05)


class HistorySettings(Section):
    """Where our own record lies, and how much of it is kept."""

    path: ConfigPath = Path("~/.local/state/mission-control/history.db").expanduser()
    every: Annotated[Duration, _between(timedelta(seconds=1), timedelta(days=1), "1s and 1d")] = (
        timedelta(minutes=1)
    )
    retention: Annotated[
        Duration, _between(timedelta(days=1), timedelta(days=4000), "1d and 4000d")
    ] = timedelta(days=400)
    max_size: Annotated[Size, Field(ge=1_000_000)] = 500_000_000


class MetricsSettings(Section):
    """How much `/metrics` tells."""

    max_tables: Annotated[int, Field(ge=0, strict=True)] = 200
    """Of each database: one with thousands costs the others nothing."""


class DatabaseSettings(Section):
    """One watched file."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")]
    path: ConfigPath
    label: str = ""

    def database(self) -> Database:
        """Return the database, with its name as the label where there is none."""
        label = self.label or self.name.replace("_", " ").replace("-", " ").capitalize()
        return Database(self.name, label, self.path)


def _default_databases() -> tuple[DatabaseSettings, ...]:
    home = Path.home() / "clawd"
    return tuple(DatabaseSettings(name=name, path=home / f"{name}.db") for name in DEFAULT_NAMES)


def _unique(databases: tuple[DatabaseSettings, ...]) -> tuple[DatabaseSettings, ...]:
    if not databases:
        raise ValueError("name at least one database, or leave the list out for the usual five")
    names = [database.name for database in databases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"each name may stand once; given twice: {', '.join(twice)}")
    return databases


class Settings(Section):
    """Everything that can be configured. `source` is the file it came from, if there was one."""

    server: ServerSettings = ServerSettings()
    sampler: SamplerSettings = SamplerSettings()
    history: HistorySettings = HistorySettings()
    metrics: MetricsSettings = MetricsSettings()
    declared: Annotated[tuple[DatabaseSettings, ...], AfterValidator(_unique)] = Field(
        default_factory=_default_databases, alias="databases"
    )
    source: Annotated[Path, Field(exclude=True)] = DEFAULT_PATH

    @property
    def databases(self) -> tuple[Database, ...]:
        """The databases to watch, in configured order."""
        return tuple(declared.database() for declared in self.declared)

    @property
    def fresh_for(self) -> timedelta:
        """The age from which a snapshot says nothing any more: three ticks were missed."""
        return 3 * self.sampler.interval

    @property
    def stale_after(self) -> timedelta:
        """The age from which a reading says nothing any more."""
        return max(timedelta(seconds=60), self.fresh_for)


SECTIONS: dict[str, type[Section]] = {
    "server": ServerSettings,
    "sampler": SamplerSettings,
    "history": HistorySettings,
    "metrics": MetricsSettings,
    "databases": DatabaseSettings,
}
"""The tables that a file may have."""


def load(config: Path | None, server: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings of a file: the named one, or the default one if it exists.

    `server` holds what the command line says instead of [server]. Raises SettingsError.
    """
    chosen = config or _from_environment()
    path = default_path() if chosen is None else chosen
    data = {} if chosen is None and not path.exists() else _read(path)
    if server:
        data["server"] = {**data.get("server", {}), **server}
    return parse(data, path)


def default_path() -> Path:
    """Return where the configuration is looked for when nobody names a file."""
    return DEFAULT_PATH.expanduser()


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        text = f"{path}: no such file. Name one that exists, or leave it out."
        raise SettingsError(text) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from error


def parse(data: dict[str, Any], source: Path) -> Settings:
    """Return the settings of a parsed file; relative paths are relative to it.

    Raises SettingsError, with a line for each thing that is wrong.
    """
    for name in data:
        if name in RESERVED:
            raise SettingsError(f"{source}: [{name}] is reserved for a later version; remove it.")
        if name not in SECTIONS:
            allowed = ", ".join(SECTIONS)
            raise SettingsError(f"{source}: there is no [{name}]. Allowed: {allowed}.")
    try:
        found = Settings.model_validate(
            {**data, "source": source}, context={"folder": source.absolute().parent}
        )
    except ValidationError as error:
        lines = [f"{source}: {explain(dict(problem), SECTIONS)}" for problem in error.errors()]
        raise SettingsError("\n".join(lines)) from None
    for database in found.databases:
        # Compared as text: a disk that hangs would keep whoever looks at it from starting.
        if os.path.normpath(database.path) == os.path.normpath(found.history.path):
            text = f"[history] `path` is the database {database.name}: give it a file of its own."
            raise SettingsError(f"{source}: {text}")
    return found


def _from_environment() -> Path | None:
    value = os.environ.get("MISSION_CONTROL_CONFIG")
    return Path(value).expanduser() if value else None
