"""The configuration: a TOML file, validated into frozen settings.

No other package reads the configuration file, or environment variables other than those of systemd
and of terminals.
"""

import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationError

from dash_app.model.database import Database
from dash_app.model.match import Match, Pattern
from dash_app.settings.errors import explain, shorten
from dash_app.settings.measures import MeasureSettings
from dash_app.settings.schema import (
    AlertsSettings,
    DatabaseSettings,
    ExpectSettings,
    HistorySettings,
    IntegritySettings,
    MeasuresSettings,
    MetricsSettings,
    SamplerSettings,
    ServerSettings,
    TableSettings,
    WatchSettings,
)
from dash_app.settings.section import Section
from dash_app.settings.values import expand_home
from dash_app.system.text_file import read_text

DEFAULT_PATH = Path("~/.config/mission-control/config.toml")
CONFIG_VARIABLE = "MISSION_CONTROL_CONFIG"
DEFAULT_NAMES = ("coordination", "observability", "content", "email", "health")
RESERVED = ("fleet",)
MAX_DATABASES = 2000
"""A thousand take a second to read, and a page with more cards than this is not usable."""

LONG_KEY = re.compile(r"""(?<![\w"'-])(?:[\w"'-]++[ \t]*+\.[ \t]*+){50}""")
"""A dotted key of 50 parts. No setting has as many, and parsing time grows with their square."""

TABLES_HINT = (
    " Write each key and each [table] once, and [databases.tables.NAME] below the [[databases]]"
    " that has the table."
)
TOML_HINTS = {
    "Cannot (overwrite a value|declare)": TABLES_HINT,
    "Invalid value": ' Write text in straight quotes "", and true or false without.',
}
"""What to write instead, by what `tomllib` reports."""

NO_FILES: Mapping[str, int] = MappingProxyType({})
MIN_STALE_AFTER = timedelta(seconds=60)


class SettingsError(Exception):
    """Unusable settings. The text names each place, and what is allowed there."""


def _default_databases() -> tuple[DatabaseSettings, ...]:
    home = expand_home("~/clawd")
    return tuple(DatabaseSettings(name=name, path=home / f"{name}.db") for name in DEFAULT_NAMES)


def _check_names(databases: tuple[DatabaseSettings, ...]) -> tuple[DatabaseSettings, ...]:
    if not databases:
        raise ValueError("list at least one database, or leave the list out for the default five")
    if len(databases) > MAX_DATABASES:
        raise ValueError(f"list at most {MAX_DATABASES}")
    numbers = Counter(database.name for database in databases)
    if repeated := sorted(name for name, number in numbers.items() if number > 1):
        names = ", ".join(repeated)
        raise ValueError(f"each name must be unique; given twice: {names}. Join these entries")
    return databases


class Settings(Section):
    """All settings. `source` is the path of their file, which may not exist."""

    server: ServerSettings = ServerSettings()
    sampler: SamplerSettings = SamplerSettings()
    history: HistorySettings = Field(default_factory=HistorySettings)
    metrics: MetricsSettings = MetricsSettings()
    watch: WatchSettings = WatchSettings()
    integrity: IntegritySettings = IntegritySettings()
    measures: MeasuresSettings = MeasuresSettings()
    alerts: AlertsSettings = AlertsSettings()
    declared: Annotated[tuple[DatabaseSettings, ...], AfterValidator(_check_names)] = Field(
        default_factory=_default_databases, alias="databases"
    )
    source: Annotated[Path, Field(exclude=True)] = DEFAULT_PATH
    matches: Annotated[tuple[Match, ...], Field(exclude=True)] = ()
    """The files that patterns matched, in order of path. A file of settings has none."""
    unwatched: Annotated[Mapping[str, int], Field(exclude=True)] = {}
    """The number of files beyond the maximum, by the name of each entry that was searched."""

    def with_matches(
        self, matches: tuple[Match, ...], unwatched: Mapping[str, int] = NO_FILES
    ) -> Self:
        """Return the settings with other files that patterns matched."""
        return self.model_copy(update={"matches": matches, "unwatched": unwatched})

    @property
    def databases(self) -> tuple[Database, ...]:
        """The databases to watch, in configured order."""
        found = self.matches
        return tuple(one for declared in self.declared for one in declared.databases(found))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the databases to watch, then of those whose file no longer matches."""
        own = [database.name for database in self.databases]
        return tuple(dict.fromkeys([*own, *(match.name for match in self.matches)]))

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The patterns, in configured order."""
        watched = Counter(match.entry for match in self.matches if match.is_watched)
        return tuple(
            Pattern(one.name, one.pattern, watched[one.name], self.unwatched.get(one.name))
            for one in self.declared
            if one.pattern
        )

    @property
    def names_databases(self) -> bool:
        """Whether the file lists databases, and does not rely on the default five."""
        return "declared" in self.model_fields_set

    @property
    def fresh_for(self) -> timedelta:
        """The age up to which a snapshot is fresh: after it, three ticks were missed."""
        return 3 * self.sampler.interval

    @property
    def stale_after(self) -> timedelta:
        """The age after which a reading is stale."""
        return max(MIN_STALE_AFTER, self.fresh_for)


SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
} | {"databases": DatabaseSettings}
"""The tables that a file may contain."""

NESTED: dict[str, type[Section]] = {
    "databases.tables": TableSettings,
    "databases.measures": MeasureSettings,
    "expect": ExpectSettings,
}
"""The tables that the table of a database may contain."""

MAX_PROBLEMS = 20
"""Maximum number of problems reported: the file may belong to another program."""


def load(config: Path | None, server: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings of a file: `config`, $MISSION_CONTROL_CONFIG, or the default path.

    Only the default path may be missing. `server` overrides settings of [server]. Raise
    SettingsError.
    """
    path = source_path(config)
    data = _read(path, may_be_missing=not (config or os.environ.get(CONFIG_VARIABLE)))
    if server and isinstance(data.get("server", {}), dict):
        data["server"] = {**data.get("server", {}), **server}
    return parse(data, path)


def source_path(config: Path | None) -> Path:
    """Return the path of the file that `load` reads. Raise SettingsError if it is unknown."""
    value = os.environ.get(CONFIG_VARIABLE)
    return config or (_expand_home(Path(value)) if value else default_path())


def default_path() -> Path:
    """Return the default path. Raise SettingsError if the user has no home folder."""
    return _expand_home(DEFAULT_PATH)


def unread_configuration(source: Path) -> Path | None:
    """Return a configuration in $XDG_CONFIG_HOME, which is not read; None if there is none."""
    folder = os.environ.get("XDG_CONFIG_HOME")
    path = Path(folder, *DEFAULT_PATH.parts[-2:]) if folder else None
    if path is None or not path.is_file() or (source.exists() and path.samefile(source)):
        return None
    return path


def _read(path: Path, *, may_be_missing: bool) -> dict[str, Any]:
    try:
        text, _mode = read_text(path)
        if LONG_KEY.search(text):
            raise SettingsError(f"{path}: not valid TOML: a key has too many parts.")
        return tomllib.loads(text)
    except FileNotFoundError:
        if may_be_missing:
            return {}
        raise SettingsError(f"{path}: no such file. Use an existing file, or none.") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}.") from None
    except tomllib.TOMLDecodeError as error:
        hint = next((hint for text, hint in TOML_HINTS.items() if re.search(text, str(error))), "")
        raise SettingsError(f"{path}: not valid TOML: {error}.{hint}") from None
    except RecursionError:
        raise SettingsError(f"{path}: not valid TOML: brackets are nested too deeply.") from None
    except ValueError as error:  # from `read_text`, or from Python for a number of 5,000 digits
        reason = "a number has too many digits" if "digits" in str(error) else error
        raise SettingsError(f"{path}: cannot be used: {reason}.") from None


def parse(data: dict[str, Any], source: Path) -> Settings:
    """Return the settings of a parsed file. Relative paths are relative to its folder.

    Raise SettingsError with one line per problem.
    """
    for name, value in data.items():
        if name in RESERVED:
            raise SettingsError(f"{source}: [{name}] is reserved for a later version; remove it.")
        if name not in SECTIONS:
            shown = shorten(name)
            is_table = isinstance(value, dict | list)
            what = f"there is no [{shown}]" if is_table else f"`{shown}` is in no [table]"
            hint = TABLES_HINT if name == "tables" else ""
            allowed = ", ".join(SECTIONS)
            raise SettingsError(f"{source}: {what}. Tables: {allowed}.{hint}")
    try:
        settings = Settings.model_validate(
            {**data, "source": source}, context={"folder": source.absolute().parent}
        )
    except ValidationError as error:
        raise SettingsError("\n".join(_problems(error, source))) from None
    except ValueError as error:  # from a default, such as a path in a missing home folder
        raise SettingsError(f"{source}: {error}.") from None
    except RecursionError:
        raise SettingsError(f"{source}: brackets are nested too deeply.") from None
    _check_history_path(settings)
    _check_interval(settings)
    _check_ignored_tables(settings)
    return settings


def _problems(error: ValidationError, source: Path) -> Iterator[str]:
    problems = error.errors(include_url=False, include_context=False)
    lists = {problem["loc"][:-1] for problem in problems}
    # A list without its wrong elements is not too short.
    problems = [
        problem
        for problem in problems
        if problem["type"] != "too_short" or problem["loc"] not in lists
    ]
    for problem in problems[:MAX_PROBLEMS]:
        yield f"{source}: {explain(dict(problem), SECTIONS | NESTED)}"
    if len(problems) > MAX_PROBLEMS:
        yield f"{source}: and {len(problems) - MAX_PROBLEMS} more."


def _check_history_path(settings: Settings) -> None:
    history = os.path.normpath(settings.history.path)
    for database in settings.databases:
        # Compare text only: a file on a disk that hangs would keep the service from starting.
        if os.path.normpath(database.path) == history:
            text = f"[history] `path` is the file of database {database.name}: use another file."
            raise SettingsError(f"{settings.source}: {text}")


def _check_interval(settings: Settings) -> None:
    """Raise SettingsError if writes are expected more often than databases are read."""
    for number, database in enumerate(settings.declared, 1):
        places: dict[str, TableSettings] = {f"[[databases]] number {number}": database}
        for name, table in database.tables.items():
            places[f"[databases.tables.{name}] of database number {number}"] = table
        for place, rules in places.items():
            if rules.expect and rules.expect.every < settings.sampler.interval:
                text = f"{place} `expect.every` is shorter than [sampler] `interval`."
                raise SettingsError(f"{settings.source}: {text} Use a shorter interval.")


def _check_ignored_tables(settings: Settings) -> None:
    for number, database in enumerate(settings.declared, 1):
        for name in filter(database.rules.ignores, database.tables):
            place = f"[databases.tables.{shorten(name)}] of database number {number}"
            text = f"{place} has rules, but `ignore_tables` ignores that table: remove one of them."
            raise SettingsError(f"{settings.source}: {text}")


def _expand_home(path: Path) -> Path:
    try:
        return expand_home(str(path))
    except ValueError as error:
        raise SettingsError(f"{path}: {error}.") from None
