"""Facts about a database that are not in its file: holders, WAL, disk, access rights, activity."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from dash_app.model.conflict import Conflict

Use = Literal["open", "read", "write", "checkpoint", "recover"]
"""What a process does with a database, as its locks show."""

DISK_LOW_SHARE, DISK_LOW_BYTES = 0.05, 500_000_000
DISK_AMPLE_BYTES = 10_000_000_000
"""A disk is low if less than 500 MB are free, or less than 5% and less than 10 GB."""

DISK_SHOWN_SHARE, DISK_SHOWN_BYTES = 0.1, 2_000_000_000


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a database open, as its locks show."""

    pid: int
    command: str
    uses: tuple[Use, ...]
    since: datetime
    """When it was first seen."""
    pins_since: datetime | None = None
    """When it was first seen to read an older state of the WAL, which keeps newer frames from being
    checkpointed; None if it reads the newest state."""
    unit: str | None = None
    """Its systemd unit or container; None if it has none, or it is unknown."""


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system of a file."""

    device: int
    free_bytes: int
    """What an ordinary user may still write."""
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
        """Whether less than 10% or 2 GB are free."""
        return self.used_share > 1 - DISK_SHOWN_SHARE or self.free_bytes < DISK_SHOWN_BYTES


@dataclass(frozen=True, slots=True)
class Access:
    """The owners of a database's files, and what denies access to them."""

    path: str
    """The resolved path of the main file."""
    owners: Mapping[str, int]
    """User ids by the suffix of each existing file: "" (main file), "-wal", "-shm", "-journal"."""
    blocked_by: str | None = None
    """The first folder or file on the way that may not be entered or read."""
    blocked_by_folder: bool = False
    is_mounted_alone: bool = False
    """Whether the main file itself is a mount, as in a container: files beside it are not seen."""


@dataclass(frozen=True, slots=True)
class WalGrowth:
    """A large WAL that has not been able to start over for some time."""

    since: datetime
    is_lasting: bool
    """Whether this has lasted for ten minutes."""
    generation: str
    """Changes when the WAL starts over."""
    is_checkpointed: bool | None
    """Whether part of it is checkpointed; None if unknown."""
    readers: tuple[str, ...] = ()
    """The processes that read it in the last ten minutes, such as "node (pid 812)"."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The facts about one database; None if unknown."""

    holders: tuple[Holder, ...] | None = None
    backlog_bytes: int | None = None
    """The part of the WAL that is not yet checkpointed."""
    disk: Disk | None = None
    access: Access | None = None
    is_foreign: bool = False
    """Whether an engine other than SQLite's own has the database open."""
    wal_growth: WalGrowth | None = None
    conflicts: tuple[Conflict, ...] = ()
    """Programs that are destroying it, as far as locks and inodes show."""
    conflicts_unknown: str | None = None
    """Why conflicts cannot be seen, in a few words; None if they can."""


@dataclass(frozen=True, slots=True)
class Activity:
    """The rows written in the last 24 hours."""

    hours: tuple[int | None, ...]
    """Rows written per hour, the current hour last; None if unknown or the hour was not watched."""
    rows_before: int | None
    """The row count at `since`."""
    since: datetime
    """A day ago, or the start of watching if that is later."""
    unknown_before: frozenset[str] = frozenset()
    """Tables that are missing from `rows_before` because their count was unknown then."""
    watched: tuple[bool, ...] = ()
    """Whether the database was watched at all in each of `hours`."""
    is_whole_day: bool = False
    """Whether `since` is a day ago, so that a change since then may be called one of 24 h."""
    last_hour: datetime | None = None
    """The start of the last of `hours`; None if there are none."""
    written: int = 0
    """Rows written since `since`, also while the database was not watched."""
