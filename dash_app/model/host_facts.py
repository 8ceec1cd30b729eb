"""Facts about a database that are not in its file: its holders, WAL, disk and access rights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Use = Literal["open", "read", "write", "checkpoint", "recover"]
"""What a process does with a database, as its locks show."""

DISK_LOW_SHARE, DISK_LOW_BYTES = 0.05, 500_000_000
DISK_AMPLE_BYTES = 10_000_000_000
"""A disk is low below the free share or below the free bytes. The share does not apply if at least
`DISK_AMPLE_BYTES` are free."""

DISK_SHOWN_SHARE, DISK_SHOWN_BYTES = 0.1, 2_000_000_000


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a database open, as its locks show.

    `since` is when it was first seen. `pins_since` is when it was first seen to read an older state
    of the WAL, which keeps newer frames from being checkpointed; None if it does not.
    """

    pid: int
    command: str
    uses: tuple[Use, ...]
    since: datetime
    pins_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system of a file. `free_bytes` is what an ordinary user may still write."""

    device: int
    free_bytes: int
    total_bytes: int

    @property
    def used_share(self) -> float:
        """The used share, from 0 to 1."""
        return 1 - self.free_bytes / self.total_bytes

    @property
    def is_low(self) -> bool:
        """Whether writers may soon run out of space."""
        nearly = self.used_share > 1 - DISK_LOW_SHARE and self.free_bytes < DISK_AMPLE_BYTES
        return nearly or self.free_bytes < DISK_LOW_BYTES

    @property
    def is_worth_showing(self) -> bool:
        """Whether it is full enough to show."""
        return self.used_share > 1 - DISK_SHOWN_SHARE or self.free_bytes < DISK_SHOWN_BYTES


@dataclass(frozen=True, slots=True)
class Access:
    """The owners of a database's files, and what denies access to them.

    `path` is the resolved path of the main file. `owners` maps the suffixes of the existing files
    ("" for the main file, "-wal", "-shm", "-journal") to user ids. `blocked_by` is the first folder
    or file on the way that may not be entered or read.
    """

    path: str
    owners: Mapping[str, int]
    blocked_by: str | None = None
    blocked_by_folder: bool = False


@dataclass(frozen=True, slots=True)
class WalGrowth:
    """A large WAL that has not been able to start over since a time of day.

    `is_lasting` is whether that has lasted for ten minutes. `generation` changes when the WAL
    starts over. `is_checkpointed` is whether part of it is checkpointed; None if unknown. `readers`
    are the processes that read it in the last ten minutes.
    """

    since: datetime
    is_lasting: bool
    generation: str
    is_checkpointed: bool | None
    readers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All facts of this module about one database; None for those that are unknown.

    `backlog_bytes` is the part of the WAL that is not yet checkpointed. `is_foreign` is whether an
    engine other than SQLite's own has the database open, as its locks and side files show.
    """

    holders: tuple[Holder, ...] | None = None
    backlog_bytes: int | None = None
    disk: Disk | None = None
    access: Access | None = None
    is_foreign: bool = False
    wal_growth: WalGrowth | None = None


@dataclass(frozen=True, slots=True)
class Activity:
    """Rows written in each of the last 24 hours, the current hour last; None if not watched.

    `rows_before` is the row count at `since`, which is a day ago or the start of watching.
    `unknown_before` are the tables that are missing from it, because their count was unknown then.
    """

    hours: tuple[int | None, ...]
    rows_before: int | None
    since: datetime
    unknown_before: frozenset[str] = frozenset()
