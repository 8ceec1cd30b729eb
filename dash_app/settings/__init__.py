"""Settings from a TOML file, complete and frozen; wrong ones are refused with their place.

Nobody else reads the configuration file or the environment, but for what a service manager or a
terminal says.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from dash_app.model.database import Database
from dash_app.settings.alerts import AlertsSettings, WatchSettings
from dash_app.settings.base import Section
from dash_app.settings.errors import cut, explain
from dash_app.settings.expectations import ExpectSettings, TableSettings
from dash_app.settings.schema import (
    DatabaseSettings,
    HistorySettings,
    MetricsSettings,
    SamplerSettings,
    ServerSettings,
)
from dash_app.settings.values import expanded
from dash_app.system.text_file import read_text

DEFAULT_PATH = Path("~/.config/mission-control/config.toml")
DEFAULT_NAMES = ("coordination", "observability", "content", "email", "health")
RESERVED = ("fleet",)
MAX_DATABASES = 2000
"""A thousand are read in a second; no page of more cards than this is usable."""
LONG_KEY = re.compile(r"""(?<![\w"'-])(?:[\w"'-]++[ \t]*+\.[ \t]*+){50}""")
"""A dotted key of 50 parts, more than any setting has: parsing time grows with their square."""


class SettingsError(Exception):
    """Settings that cannot be used; the text says what is wrong, where, and what is allowed."""


def _default_databases() -> tuple[DatabaseSettings, ...]:
    home = expanded("~/clawd")
    return tuple(DatabaseSettings(name=name, path=home / f"{name}.db") for name in DEFAULT_NAMES)


def _unique(databases: tuple[DatabaseSettings, ...]) -> tuple[DatabaseSettings, ...]:
    if not databases:
        raise ValueError("name at least one database, or leave the list out for the usual five")
    if len(databases) > MAX_DATABASES:
        raise ValueError(f"name {MAX_DATABASES} at most")
    times = Counter(database.name for database in databases)
    twice = sorted(name for name, number in times.items() if number > 1)
    if twice:
        raise ValueError(f"each name may stand once; given twice: {', '.join(twice)}")
    return databases


class Settings(Section):
    """Everything that can be configured. `source` is the file it came from, if there was one."""

    server: ServerSettings = ServerSettings()
    sampler: SamplerSettings = SamplerSettings()
    history: HistorySettings = Field(default_factory=HistorySettings)
    metrics: MetricsSettings = MetricsSettings()
    watch: WatchSettings = WatchSettings()
    alerts: AlertsSettings = AlertsSettings()
    declared: Annotated[tuple[DatabaseSettings, ...], AfterValidator(_unique)] = Field(
        default_factory=_default_databases, alias="databases"
    )
    source: Annotated[Path, Field(exclude=True)] = DEFAULT_PATH

    @property
    def databases(self) -> tuple[Database, ...]:
        """The databases to watch, in configured order."""
        return tuple(declared.database() for declared in self.declared)

    @property
    def names_databases(self) -> bool:
        """Whether the file names databases, and does not leave it at the usual five."""
        return "declared" in self.model_fields_set

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
    "watch": WatchSettings,
    "alerts": AlertsSettings,
    "databases": DatabaseSettings,
}
"""The tables that a file may have."""

MAX_PROBLEMS = 20
"""Maximum number of problems reported: the file may be another program's."""

WITHIN: dict[str, type[Section]] = {"databases.tables": TableSettings, "expect": ExpectSettings}
"""The tables that the table of a database may have."""


def load(config: Path | None, server: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings of a file: the named one, or the default one if it exists.

    `server` holds what the command line says instead of [server]. Raises SettingsError.
    """
    chosen = config or _from_environment()
    path = default_path() if chosen is None else chosen
    data = _read(path, may_be_missing=chosen is None)
    if server and isinstance(data.get("server", {}), dict):
        data["server"] = {**data.get("server", {}), **server}
    return parse(data, path)


def default_path() -> Path:
    """Return where the configuration is looked for when nobody names a file.

    Raise SettingsError if the user has no home folder.
    """
    return _expanded(DEFAULT_PATH)


def unread_configuration(source: Path) -> Path | None:
    """Return the file in $XDG_CONFIG_HOME that a person may take for the configuration, if any."""
    folder = os.environ.get("XDG_CONFIG_HOME")
    path = Path(folder, *DEFAULT_PATH.parts[-2:]) if folder else None
    if path is None or not path.is_file() or (source.exists() and path.samefile(source)):
        return None
    return path


def _read(path: Path, *, may_be_missing: bool) -> dict[str, Any]:
    """Return the tables of a file; none if it is missing and may be. Raise SettingsError."""
    try:
        text, _mode = read_text(path)
        if LONG_KEY.search(text):
            raise SettingsError(f"{path}: not valid TOML: a key has too many parts.")
        return tomllib.loads(text)
    except FileNotFoundError:
        if may_be_missing:
            return {}
        text = f"{path}: no such file. Name one that exists, or leave it out."
        raise SettingsError(text) from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}.{_hint(str(error))}") from None
    except RecursionError:
        raise SettingsError(f"{path}: not valid TOML: brackets nest too deeply.") from None
    except ValueError as error:  # from `read_text`, or from Python for a number of 5,000 digits
        words = "a number has too many digits" if "digits" in str(error) else error
        raise SettingsError(f"{path}: cannot be used: {words}.") from None


def _hint(problem: str) -> str:
    """Return a hint for what people often write wrong."""
    if "Cannot overwrite a value" in problem or "Cannot declare" in problem:
        return (
            " Each [table] may stand once; [databases.tables.NAME] belongs below the [[databases]]"
            " that has the table."
        )
    return ""


def parse(data: dict[str, Any], source: Path) -> Settings:
    """Return the settings of a parsed file; relative paths are relative to it.

    Raises SettingsError, with a line for each thing that is wrong.
    """
    for name in data:
        if name in RESERVED:
            raise SettingsError(f"{source}: [{name}] is reserved for a later version; remove it.")
        if name not in SECTIONS:
            allowed = ", ".join(SECTIONS)
            raise SettingsError(f"{source}: there is no [{cut(name)}]. Allowed: {allowed}.")
    try:
        found = Settings.model_validate(
            {**data, "source": source}, context={"folder": source.absolute().parent}
        )
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        lines = [
            f"{source}: {explain(dict(problem), SECTIONS | WITHIN)}"
            for problem in problems[:MAX_PROBLEMS]
        ]
        if len(problems) > MAX_PROBLEMS:
            lines.append(f"{source}: and {len(problems) - MAX_PROBLEMS} more.")
        raise SettingsError("\n".join(lines)) from None
    except ValueError as error:  # from a default, such as a path in a missing home folder
        raise SettingsError(f"{source}: {error}.") from None
    except RecursionError:
        raise SettingsError(f"{source}: brackets nest too deeply.") from None
    for database in found.databases:
        # Compared as text: looking at a disk that hangs would keep the service from starting.
        if os.path.normpath(database.path) == os.path.normpath(found.history.path):
            text = f"[history] `path` is the database {database.name}: give it a file of its own."
            raise SettingsError(f"{source}: {text}")
    return _looking_often_enough(found)


def _looking_often_enough(found: Settings) -> Settings:
    """Return settings whose every expectation can be seen to be met. Raises SettingsError."""
    for number, one in enumerate(found.declared, 1):
        places: dict[str, TableSettings] = {f"[[databases]] number {number}": one}
        for name, table in one.tables.items():
            places[f"[databases.tables.{name}] of database number {number}"] = table
        for place, rules in places.items():
            if rules.expect and rules.expect.every < found.sampler.interval:
                text = f"{place} `expect.every`: [sampler] `interval` is longer; look more often."
                raise SettingsError(f"{found.source}: {text}")
    return found


def _from_environment() -> Path | None:
    value = os.environ.get("MISSION_CONTROL_CONFIG")
    return _expanded(Path(value)) if value else None


def _expanded(path: Path) -> Path:
    try:
        return expanded(str(path))
    except ValueError as error:
        raise SettingsError(f"{path}: {error}.") from None
