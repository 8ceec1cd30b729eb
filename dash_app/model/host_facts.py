"""What is around a database's content: who has it open, its log, its disk, its last day.

Frozen values like those of the model, which carries them in each reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Use = Literal["open", "read", "write", "checkpoint", "recover"]
"""What a process does with a database, as far as its locks tell."""

DISK_LOW_SHARE, DISK_LOW_BYTES = 0.05, 500_000_000
DISK_AMPLE_BYTES = 10_000_000_000
"""With so much free, even a twentieth of a large disk is no reason to worry."""

DISK_LINE_SHARE, DISK_LINE_BYTES = 0.1, 2_000_000_000


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a database open, known by its locks.

    `since` is when it was first seen. `pins_since` is since when at least it reads a state of the
    log that newer frames cannot be checkpointed past; None when it holds nothing back.
    """

    pid: int
    command: str
    uses: tuple[Use, ...]
    since: datetime
    pins_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system under a file; `free_bytes` is what an ordinary user may still write."""

    device: int
    free_bytes: int
    total_bytes: int

    @property
    def used_share(self) -> float:
        """How much is taken, from 0 to 1."""
        return 1 - self.free_bytes / self.total_bytes

    @property
    def is_low(self) -> bool:
        """Whether a writer may soon find no room."""
        nearly = self.used_share > 1 - DISK_LOW_SHARE and self.free_bytes < DISK_AMPLE_BYTES
        return nearly or self.free_bytes < DISK_LOW_BYTES

    @property
    def is_worth_a_line(self) -> bool:
        """Whether a person would want to know how full it is."""
        return self.used_share > 1 - DISK_LINE_SHARE or self.free_bytes < DISK_LINE_BYTES


@dataclass(frozen=True, slots=True)
class Access:
    """Whose a database's files are, and what shuts us out.

    `path` is the main file's, resolved; the others lie beside it. `owners` maps what is there, ""
    for the main file and "-wal" and the like for the others, to user ids. `closed` is the first
    thing on the way that we may not enter or read: a folder, or one of the files.
    """

    path: str
    owners: Mapping[str, int]
    closed: str | None = None
    closed_is_folder: bool = False


@dataclass(frozen=True, slots=True)
class WalGrowth:
    """A write-ahead log that is large and could not start over since a time of day.

    `is_lasting` is whether that has gone on for ten minutes. Its `generation` changes once it
    starts over. `is_checkpointed` is whether a part of it is, None if that is not known. `readers`
    were seen to read it in the last ten minutes.
    """

    since: datetime
    is_lasting: bool
    generation: str
    is_checkpointed: bool | None
    readers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is around a database's content; None for what could not be told.

    `backlog_bytes` is the part of the log that is not yet checkpointed. `is_foreign` is whether an
    engine that is not SQLite's own has it open, as far as its locks and side files show.
    """

    holders: tuple[Holder, ...] | None = None
    backlog_bytes: int | None = None
    disk: Disk | None = None
    access: Access | None = None
    is_foreign: bool = False
    wal_growth: WalGrowth | None = None


@dataclass(frozen=True, slots=True)
class Activity:
    """What was written lately: rows in each of 24 hours, the running one last, None if not watched.

    `rows_before` is how many rows there were at `since`, which is a day ago or when we began.
    `unknown_before` names the tables that are not in it, since their count was unknown then.
    """

    hours: tuple[int | None, ...]
    rows_before: int | None
    since: datetime
    unknown_before: frozenset[str] = frozenset()
