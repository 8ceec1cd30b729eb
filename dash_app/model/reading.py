"""A reading: the result of one read of one database."""

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
"""Why no newer reading could be made: a lasting write lock, or writes during each attempt."""

HOUSEKEEPING = ("sqlite_stat", "_litestream_")
"""Name prefixes of the tables that SQLite and replicators keep for themselves.

`ANALYZE` writes sqlite_stat1 and sqlite_stat4; Litestream writes _litestream_seq at any time.
"""

ABSENCES: frozenset[Code] = frozenset({"file_missing", "folder_missing", "file_empty", "no_tables"})
"""Codes that are a fault only if the database was once read with tables."""

GONE: frozenset[Code] = frozenset({"file_missing", "folder_missing", "not_a_file"})
"""Codes of a file that is gone, or in whose place is a folder or the like."""

UNDECIDED: frozenset[Code] = frozenset({"needs_extension", "not_read_yet"})
"""Codes of databases that may be healthy. Nobody has to act."""


PACKED_ROWS = 1000
"""Unused rowids that a packed table may have, whatever its size."""


def format_version(version: int) -> str:
    """Format an SQLite version number: 3.40.1 for 3040001."""
    return f"{version // 1_000_000}.{version // 1_000 % 1_000}.{version % 1_000}"


RESET_BUG = ((3_007_000, 3_044_006), (3_045_000, 3_050_007), (3_051_000, 3_051_003))
"""Ranges of SQLite versions, the end excluded, that may damage a database if two programs write or
checkpoint while the WAL restarts (sqlite.org/wal.html, "The WAL-Reset Bug")."""


def has_reset_bug(version: int) -> bool:
    """Whether a version of SQLite (3040001 for 3.40.1) has the WAL-reset bug, by its number."""
    return any(first <= version < fixed for first, fixed in RESET_BUG)


@dataclass(frozen=True, slots=True)
class TableCount:
    """The number of rows of one table."""

    rows: int | None
    """None if it could not be counted."""
    counted_at: datetime
    """When the number was true."""
    estimate: EstimateKind | None = None
    """None for an exact count."""
    error: str | None = None
    """Why it could not be counted."""
    rowids: tuple[int, int] | None = None
    """The smallest and the largest rowid, if the table has rowids and rows."""

    @property
    def is_exact(self) -> bool:
        """Whether the number was counted, not estimated."""
        return self.rows is not None and self.estimate is None

    @property
    def is_known(self) -> bool:
        """Whether there is a number that is not only an upper bound."""
        return self.rows is not None and self.estimate != "at_most"

    @property
    def is_packed(self) -> bool:
        """Whether most rowids are in use, as with sequence numbers, unlike times or hashes."""
        first, last = self.rowids or (0, 0)
        return last - first < 2 * (self.rows or 0) + PACKED_ROWS


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of one read of one database."""

    read_at: datetime
    """When the file was opened."""
    verified_at: datetime
    """When the file was last found unchanged since."""
    code: Code | None = None
    """Why it could not be read; None if it could."""
    detail: Mapping[str, str] = field(default_factory=dict)
    """Facts for the sentence about the code; without a code, why a good reading was not renewed."""
    tables: Mapping[str, TableCount] = field(default_factory=dict)
    last_modified: datetime | None = None
    """The latest write to main file, WAL or journal. `rules.judge` narrows it to content."""
    size_bytes: int | None = None
    wal_bytes: int | None = None
    journal_mode: str | None = None
    """`wal`, or `delete` for any rollback journal: its kind belongs to the writer's connection."""
    file: str | None = None
    """Device and inode of the main file."""
    file_modified: datetime | None = None
    """The last write to the main file alone."""
    change_counter: int | None = None
    """Only ever increases in one database."""
    sqlite_version: int | None = None
    """The version that last wrote the main file: 3040001 for 3.40.1."""
    user_version: int | None = None
    application_id: int | None = None
    free_bytes: int | None = None
    """The unused part of the main file."""
    objects: Mapping[str, str] | None = None
    """Normalized definitions by `table tasks` or `column tasks.owner`; None if unreadable."""
    sequences: Mapping[str, int] = field(default_factory=dict)
    """The newest AUTOINCREMENT value of each table; only ever increases in one database."""
    roots: Mapping[str, int] = field(default_factory=dict)
    """The root page of each table's B-tree, which stays when the table is renamed."""
    trail: Facts = field(default_factory=dict)
    """Recent history that only a baseline has; see `rules.losses`."""
    content_commit: str | None = None
    """The newest commit in the WAL that wrote more than `HOUSEKEEPING`; see `rules.writes`."""
    wal_modified: datetime | None = None
    """The last write to the WAL alone."""
    schema_version: int | None = None
    """Counts schema changes and `VACUUM`."""
    previous_name: str | None = None
    """The name that the previous file has now, if it lies beside this one, unchanged."""
    lacks_bytes: bool = False
    """Whether the file ends before its last page does, which no WAL or journal explains."""
    statistics: int | None = None
    """A checksum of the tables that `ANALYZE` writes."""
    surroundings: Surroundings = field(default_factory=Surroundings)

    @property
    def buggy_version(self) -> str | None:
        """The version that last wrote it, if it has the WAL-reset bug and the database a WAL."""
        is_exposed = self.journal_mode == "wal" and not self.surroundings.is_foreign
        version = self.sqlite_version or 0
        return format_version(version) if is_exposed and has_reset_bug(version) else None

    @property
    def wait_reason(self) -> WaitReason | None:
        """Why a newer reading could not be made, if it was attempted."""
        reasons: tuple[WaitReason, ...] = ("lock", "writes")
        return next((reason for reason in reasons if reason in self.detail), None)

    @property
    def is_undecided(self) -> bool:
        """Whether it cannot say if anything is wrong.

        A lock that blocks the very first reading counts as undecided for its first 60 s.
        """
        return self.code in UNDECIDED or "is_new" in self.detail

    @property
    def total_rows(self) -> int | None:
        """The sum of all known counts; None if the database could not be read."""
        if self.code is not None:
            return None
        return sum(count.rows or 0 for count in self.tables.values() if count.is_known)

    @property
    def counted_rows(self) -> int | None:
        """The same, but also None if there are tables and none of them is counted."""
        return None if len(self.unknown_tables) == len(self.tables) > 0 else self.total_rows

    @property
    def unknown_tables(self) -> frozenset[str]:
        """Names of the tables without a known count."""
        return frozenset(name for name, count in self.tables.items() if not count.is_known)

    @property
    def total_complete(self) -> bool:
        """Whether every table's count is known."""
        return self.code is None and all(count.is_known for count in self.tables.values())


def rows_inserted(before: Reading, after: Reading, table: str) -> int:
    """Return the number of rows written into a table between two readings; a lower bound.

    It includes rows deleted since. Deletions hide insertions from a row count, but not from rowids
    that are given out in sequence: AUTOINCREMENT promises that, and packed rowids show it.
    """
    name = table if table in before.tables else _former_name(before, after, table)
    was, now = before.tables.get(name), after.tables.get(table)
    if now is None or not now.is_known:
        return 0
    if was is None or not was.is_known:
        return 0 if was else now.rows or 0
    net = (now.rows or 0) - (was.rows or 0)
    if name in before.sequences and table in after.sequences:
        return max(net, after.sequences[table] - before.sequences[name], 0)
    if not was.rowids or not now.rowids or not now.is_packed:
        return max(net, 0)
    return max(net, now.rowids[1] - was.rowids[1], 0)


def _former_name(before: Reading, after: Reading, table: str) -> str:
    """Return the name of the table that had the first page of a new one: a renamed table keeps it.

    If a new table reuses the page of a dropped one, fewer of its rows count.
    """
    names = {page: name for name, page in before.roots.items()}
    page = after.roots.get(table, 0) if before.file == after.file else 0
    return names.get(page, table)


@dataclass(frozen=True, slots=True)
class LastGood:
    """The last reading with tables."""

    read_at: datetime
    total_rows: int
    tables: int
    """The number of tables."""
