"""The vocabulary: frozen values that every other part passes on, and pure functions over them.

No I/O, and nothing beyond the standard library: the airlock's child process imports this too.
All times are aware datetimes in UTC; all sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from dash_app.model.expectation import ExpectationReport, Rules
from dash_app.model.host_facts import Activity, Disk, Surroundings
from dash_app.model.incident import Entry, Incident
from dash_app.model.incident import Level as Level  # noqa: PLC0414 - part of the vocabulary here

if TYPE_CHECKING:
    from pathlib import Path

Status = Literal["connected", "not_initialized", "error"]
EstimateKind = Literal["about", "at_most"]
Absence = Literal["gone", "emptied", "truncated"]
EventKind = Literal[
    Absence, "back", "replaced", "rolled_back", "schema_changed", "rows_dropped", "version_changed"
]
Unexpected = Literal[
    "late", "down", "few_rows", "no_such_table", "wal_large", "file_large", "disk_low"
]
FindingKind = Literal[
    Absence, "rows_dropped", "rolled_back", "replaced", "log_held", "wal_growing", Unexpected
]
Facts = Mapping[str, Any]
"""Facts by their name in the JSON documents, which hold nothing but JSON."""

Code = Literal[
    "file_missing",
    "folder_missing",
    "file_empty",
    "no_tables",
    "not_a_file",
    "permission_denied",
    "read_only_folder",
    "needs_recovery",
    "locked",
    "wal_elsewhere",
    "not_a_database",
    "unsupported",
    "corrupt",
    "cannot_read",
    "needs_extension",
    "io_error",
    "not_responding",
    "not_read_yet",
    "reader_crashed",
]

WaitReason = Literal["lock", "writes"]
"""Why a reading could not be made: a write lock without a gap, or changes during each attempt."""

HOUSEKEEPING = ("sqlite_stat", "_litestream_")
"""How the names of tables begin that SQLite and replicators keep for themselves: `ANALYZE` writes
sqlite_stat1 and sqlite_stat4; Litestream writes _litestream_seq at any time."""

HISTORY_APPLICATION_ID = 0x4D434831
"""Marks our own history file ("MCH1"), so that nobody takes it for a database to watch."""

ABSENCES: frozenset[Code] = frozenset({"file_missing", "folder_missing", "file_empty", "no_tables"})
"""Codes that are calm until the database was once read with tables, and a fault after that."""

UNDECIDED: frozenset[Code] = frozenset({"needs_extension", "not_read_yet"})
"""Codes of databases that may well be healthy: nothing can be told, and nobody has to act."""

SEVERITY: tuple[Level, ...] = ("well", "notice", "unknown", "fault")
"""Levels from best to worst."""


@dataclass(frozen=True, slots=True)
class Database:
    """A configured SQLite file: its name in URLs, its label on the page, its path.

    `rules` is what a person expects of it.
    """

    name: str
    label: str
    path: Path
    rules: Rules = field(default_factory=Rules, hash=False)


@dataclass(frozen=True, slots=True)
class TableCount:
    """Rows of one table.

    `rows` is None when the count is not to be had; `error` then says why. `estimate` is None for
    an exact count. `counted_at` is when the number was true. `rowids` are the least and greatest
    one, where the table has any.
    """

    rows: int | None
    counted_at: datetime
    estimate: EstimateKind | None = None
    error: str | None = None
    rowids: tuple[int, int] | None = None

    @property
    def is_exact(self) -> bool:
        """Whether the number is known, and no estimate."""
        return self.rows is not None and self.estimate is None

    @property
    def is_known(self) -> bool:
        """Whether the number is one of rows, and not only how many there may be at most."""
        return self.rows is not None and self.estimate != "at_most"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look at one database found.

    `code` is None when it could be read. `detail` holds the facts that the words for a code need;
    with no code, those of why this reading, which was good when it was made, could not be renewed.
    `read_at` is when the file was opened, `verified_at` when it was last seen unchanged since.
    `last_modified` is the latest write to main file, WAL or journal. `journal_mode` is "wal", or
    "delete" for any rollback journal: which kind is a property of the writer's connection and not
    of the file. `file` is the device and inode of the main file, `file_modified` the last write to
    it alone. `objects` maps "table tasks" or "column tasks.owner" to a normalised definition; None
    where the schema could not be read. `free_bytes` is what the file holds but does not use.
    `change_counter` and `sequences` only ever move forward in one database. `sqlite_version` is
    that of who wrote the main file last, as 3040001 for 3.40.1. `roots` maps each table to the page
    where its B-tree begins, which stays the same when the table is renamed. `trail` is recent
    history that only a baseline has; see `losses`.

    What tells a write of content from other writes; see `writes`: `content_commit` is the newest
    commit in the WAL that wrote more than `HOUSEKEEPING`, None if there is none. `wal_modified` is
    the last write to the WAL alone. `schema_version` counts changes of the schema and `VACUUM`;
    `statistics` is a checksum of what `ANALYZE` wrote.
    """

    read_at: datetime
    verified_at: datetime
    code: Code | None = None
    detail: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, TableCount] = field(default_factory=dict)
    last_modified: datetime | None = None
    size_bytes: int | None = None
    wal_bytes: int | None = None
    journal_mode: str | None = None
    file: str | None = None
    file_modified: datetime | None = None
    change_counter: int | None = None
    sqlite_version: int | None = None
    user_version: int | None = None
    application_id: int | None = None
    free_bytes: int | None = None
    objects: Mapping[str, str] | None = None
    sequences: Mapping[str, int] = field(default_factory=dict)
    roots: Mapping[str, int] = field(default_factory=dict)
    trail: Facts = field(default_factory=dict)
    content_commit: str | None = None
    wal_modified: datetime | None = None
    schema_version: int | None = None
    statistics: int | None = None
    surroundings: Surroundings = field(default_factory=Surroundings)

    @property
    def wait_reason(self) -> WaitReason | None:
        """Why a newer reading could not be made, if that was tried."""
        reasons: tuple[WaitReason, ...] = ("lock", "writes")
        return next((reason for reason in reasons if reason in self.detail), None)

    @property
    def is_undecided(self) -> bool:
        """Whether it does not show if anything is wrong.

        So for a database without any earlier reading that has been locked for less than 60 s.
        """
        return self.code in UNDECIDED or "is_new" in self.detail

    @property
    def total_rows(self) -> int | None:
        """Sum of the rows that are known; None without a reading of tables."""
        if self.code is not None:
            return None
        return sum(count.rows or 0 for count in self.tables.values() if count.is_known)

    @property
    def counted_rows(self) -> int | None:
        """The same, but None also while there are tables and none of them is counted yet."""
        return None if len(self.unknown_tables) == len(self.tables) > 0 else self.total_rows

    @property
    def unknown_tables(self) -> frozenset[str]:
        """Names of the tables whose count is not known."""
        return frozenset(name for name, count in self.tables.items() if not count.is_known)

    @property
    def total_complete(self) -> bool:
        """Whether every table's count is known."""
        return self.code is None and all(count.is_known for count in self.tables.values())


@dataclass(frozen=True, slots=True)
class LastGood:
    """The last reading with tables: when, how many rows, in how many tables."""

    read_at: datetime
    total_rows: int
    tables: int


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """What outlives a restart about one database at one path.

    `since` is when its present status and code began, `absence` the event that took its tables
    away, and `baseline` what the next reading is compared with: the last one with tables, with
    the newest exact count of each.
    """

    status: Status
    code: Code | None
    since: datetime
    last_good: LastGood | None
    absence: Absence | None = None
    baseline: Reading | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A change worth remembering: what differed, before and after.

    `id` is None until stored. `ended_at` is when what it found amiss was undone or acknowledged.
    """

    database: str
    kind: EventKind
    at: datetime
    before: Facts
    after: Facts
    id: int | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a database is not connected: a code for programs, a cause and one remedy for people."""

    code: Code
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that does not hold now: since when, in one sentence, and what to do.

    One that `asks` stays until its cause is undone or a person acknowledges it; `table` is its own.
    """

    kind: FindingKind
    level: Level
    since: datetime
    text: str
    remedy: str
    asks: bool = False
    table: str | None = None


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """One database as every face shows it; findings worst first.

    `is_stale` is whether its reading is too old to say anything, `watch` how it stands to what is
    expected of it.
    """

    database: Database
    reading: Reading
    status: Status
    since: datetime
    level: Level
    verdict: str
    fault: Fault | None
    last_good: LastGood | None
    findings: tuple[Finding, ...] = ()
    is_stale: bool = False
    activity: Activity | None = None
    watch: ExpectationReport | None = None

    @property
    def change(self) -> int | None:
        """How many rows more there are than there were; None where that is unknown.

        Tables whose count was unknown then and is unknown now are in neither number.
        """
        if self.activity is None or self.activity.unknown_before != self.reading.unknown_tables:
            return None
        before, rows = self.activity.rows_before, self.reading.counted_rows
        return None if before is None or rows is None else rows - before

    @property
    def needs_you(self) -> bool:
        """Whether a person should look at it, who did not say that nothing is to be told of it."""
        return not self.is_paused and (self.level == "fault" or bool(self.findings))

    @property
    def is_paused(self) -> bool:
        """Whether nothing is to be told of it."""
        return self.database.rules.paused


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The newest reading of each database, in configured order; the newest events, newest first.

    `incidents` are open ones, worst first, then those that ended lately, newest first;
    `history_notes` are sentences on our own record, if it stands still or had to begin again.
    """

    taken_at: datetime
    databases: tuple[DatabaseStatus, ...]
    events: tuple[Event, ...] = ()
    history_disk: Disk | None = None
    incidents: tuple[Entry, ...] = ()
    history_notes: tuple[str, ...] = ()

    @property
    def connected(self) -> int:
        """How many databases can be read."""
        return sum(status.status == "connected" for status in self.databases)

    @property
    def open_incidents(self) -> list[Incident]:
        """The incidents that are open, worst first."""
        return [one.incident for one in self.incidents if not one.incident.ended_at]

    def of(self, name: str) -> DatabaseStatus:
        """Return the status of a database by its name. Raises StopIteration."""
        return next(status for status in self.databases if status.database.name == name)

    @property
    def level(self) -> Level:
        """The worst level of any database."""
        return worst(status.level for status in self.databases)


def worst(levels: Iterable[Level]) -> Level:
    """Return the worst of some levels; "well" when there are none."""
    return max(levels, key=SEVERITY.index, default="well")
