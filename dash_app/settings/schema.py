"""The tables of a configuration file and their settings. Unknown settings are rejected."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from dash_app.model.database import Database
from dash_app.model.expectation import Expectation, Rules, TableRules
from dash_app.model.match import Match
from dash_app.model.naming import label
from dash_app.model.quiet_hours import NO_QUIET_HOURS
from dash_app.settings.measures import (
    MAX_MEASURES,
    MeasureSettings,
    check_measures,
    foreign_keys_measure,
)
from dash_app.settings.quiet_hours import QuietHoursSetting
from dash_app.settings.section import Section
from dash_app.settings.values import (
    MAX_INTEGER,
    Count,
    DatabasePath,
    Duration,
    Flag,
    HeartbeatFile,
    HistoryPath,
    Host,
    Label,
    NetworkName,
    Origin,
    PageLink,
    Percent,
    Port,
    ServedAddress,
    Size,
    TablePattern,
    TokenFile,
    UrlsFile,
    Users,
    between,
    duration,
    expand_home,
    expectation_table,
)

GRACE_SHARE = 0.25
"""The grace if none is given, as a share of `every`."""

T = TypeVar("T")
Names = Annotated[tuple[T, ...], Field(max_length=1000)]
"""A list with which every request is compared."""


class ServerSettings(Section):
    """Where the page is served, and who may use it."""

    addresses: Annotated[Names[ServedAddress], Field(min_length=1)] = ("loopback", "tailscale")
    port: Port = 3001
    allowed_hosts: Names[Host] = ()
    allowed_clients: Names[NetworkName] = ("loopback", "tailscale")
    allowed_origins: Names[Origin] = ()
    token_file: TokenFile = None
    trust_tailscale_identity: Flag = False
    allowed_users: Users = ()

    @property
    def authorization(self) -> str | None:
        """The Authorization header that carries the token; None without a token."""
        return f"Bearer {self.token_file.get_secret_value()}" if self.token_file else None


class SamplerSettings(Section):
    """How often databases are read, and how long reading may take."""

    interval: Annotated[Duration, between("1s", "1h")] = duration("5s")
    deadline: Annotated[Duration, between("500ms", "1m")] = duration("2s")
    table_budget: Annotated[Duration, between("10ms", "10s")] = duration("50ms")


class HistorySettings(Section):
    """Where our history is stored, and how much of it is kept. `max_size` is in bytes."""

    path: HistoryPath = Field(
        default_factory=lambda: expand_home("~/.local/state/mission-control/history.db")
    )
    every: Annotated[Duration, between("1s", "1d")] = duration("1m")
    retention: Annotated[Duration, between("1d", "4000d")] = duration("400d")
    max_size: Annotated[Size, Field(ge=1_000_000)] = 500_000_000


class MetricsSettings(Section):
    """How much `/metrics` exposes. `max_tables` applies to each database."""

    max_tables: Count = 200


class WatchSettings(Section):
    """The heartbeat, by which a monitor elsewhere notices that we stopped."""

    heartbeat_file: HeartbeatFile = None
    heartbeat_every: Annotated[Duration, between("1s", "1d")] = duration("1m")


class IntegritySettings(Section):
    """How often the pages of each database are checked for damage.

    `share` is what all checks together may take of one core, in percent.
    """

    share: Annotated[Percent, Field(ge=0.1)] = 1.0
    every: Annotated[Duration, between("1h", "366d")] = duration("1d")


class MeasuresSettings(Section):
    """`share` is what asking for all measures together may take of one core, in percent."""

    share: Annotated[Percent, Field(ge=0.1)] = 1.0


class AlertsSettings(Section):
    """When notifications of faults are sent. Without `urls_file` there are none."""

    urls_file: UrlsFile = None
    after: Annotated[Duration, between("0s", "1d")] = duration("1m")
    settle: Annotated[Duration, between("0s", "1d")] = duration("5m")
    remind: Annotated[Duration, between("0s", "366d")] = duration("1d")
    quiet: QuietHoursSetting = NO_QUIET_HOURS
    most_an_hour: Annotated[int, Field(ge=1, le=MAX_INTEGER, strict=True)] = 10
    link: PageLink = ""


class ExpectSettings(Section):
    """The expected time between writes, and a grace before it is a fault."""

    every: Annotated[Duration, between("1m", "366d")]
    grace: Annotated[Duration, between("0s", "366d")] | None = None


class TableSettings(Section):
    """The expectations of one table. `quiet` replaces that of its database."""

    expect: Annotated[ExpectSettings, BeforeValidator(expectation_table)] | None = None
    quiet: QuietHoursSetting | None = None
    paused: Flag = False
    min_rows: Count | None = None
    max_drop: Percent | None = None

    @property
    def expectation(self) -> Expectation | None:
        """The expected time between writes with its grace; None if no writes are expected."""
        if self.expect is None:
            return None
        every, grace = self.expect.every, self.expect.grace
        return Expectation(every, every * GRACE_SHARE if grace is None else grace)


class FileSettings(Section):
    """The file of a database, and its names; or a pattern, and what their names begin with."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$", max_length=200)]
    path: DatabasePath
    label: Label = ""

    @property
    def pattern(self) -> str | None:
        """Its path if that is a pattern; None if it is a file."""
        return None if isinstance(self.path, Path) else str(self.path)

    @property
    def prefix(self) -> str:
        """What the names of all databases of a pattern begin with."""
        return self.name if self.name.endswith(("-", "_")) else f"{self.name}-"


class DatabaseSettings(TableSettings, FileSettings):
    """A database and what is expected of it and its tables. Sizes are in bytes."""

    max_wal: Size | None = None
    max_size: Size | None = None
    min_free: Size | None = None
    integrity: Literal["on", "off"] = "on"
    replaced: Literal["unexpected", "expected"] = "unexpected"
    ignore_tables: Names[TablePattern] = ()
    tables: dict[str, TableSettings] = Field(default_factory=dict)
    foreign_keys: Flag = False
    measures: Annotated[
        tuple[MeasureSettings, ...], Field(max_length=MAX_MEASURES), AfterValidator(check_measures)
    ] = ()

    def databases(self, matches: Iterable[Match]) -> Iterator[Database]:
        """Yield the database; of a pattern, one per match that is watched, in their order."""
        own = self._database()
        if self.pattern is None:
            yield own
            return
        for match in matches:
            if match.entry == self.name and match.is_watched:
                text = f"{own.label} {match.name.removeprefix(self.prefix)}"
                yield replace(own, name=match.name, label=text, path=match.path, is_match=True)

    def _database(self) -> Database:
        """Return the database. Without a label, one is made from its name."""
        measures = tuple(settings.measure for settings in self.measures)
        if self.foreign_keys:
            measures += (foreign_keys_measure(),)
        return Database(
            self.name,
            self.label or label(self.name) or self.name,
            Path(self.path),
            self.rules,
            self.integrity == "on",
            measures=measures,
        )

    @property
    def rules(self) -> Rules:
        """The expectations of the database, and of its tables."""
        return Rules(
            expect=self.expectation,
            quiet=self.quiet or NO_QUIET_HOURS,
            paused=self.paused,
            min_rows=self.min_rows,
            max_drop_percent=self.max_drop,
            max_wal_bytes=self.max_wal,
            max_size_bytes=self.max_size,
            min_free_bytes=self.min_free,
            tables={name: self._table_rules(table) for name, table in self.tables.items()},
            ignored_tables=self.ignore_tables,
            expects_replacement=self.replaced == "expected",
        )

    def _table_rules(self, table: TableSettings) -> TableRules:
        return TableRules(
            expect=table.expectation,
            quiet=(self.quiet or NO_QUIET_HOURS) if table.quiet is None else table.quiet,
            paused=self.paused or table.paused,
            min_rows=table.min_rows,
            max_drop_percent=self.max_drop if table.max_drop is None else table.max_drop,
        )
