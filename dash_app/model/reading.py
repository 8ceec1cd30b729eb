"""What one reading of one database found: tables, sizes, WAL, schema, or why it failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from dash_app.model.event import Facts
from dash_app.model.host_facts import Surroundings

EstimateKind = Literal["about", "at_most"]

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

ABSENCES: frozenset[Code] = frozenset({"file_missing", "folder_missing", "file_empty", "no_tables"})
"""Codes that are calm until the database was once read with tables, and a fault after that."""

UNDECIDED: frozenset[Code] = frozenset({"needs_extension", "not_read_yet"})
"""Codes of databases that may well be healthy: nothing can be told, and nobody has to act."""


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
