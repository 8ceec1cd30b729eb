"""Programs that use the files of a database in a way that destroys it, as seen from outside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

ConflictKind = Literal[
    "wal_split",
    "writer_unlocked",
    "wal_orphaned",
    "wal_removed",
    "wal_disagrees",
    "wal_stale",
    "engine_foreign",
]
"""wal_split: two generations of the WAL are in use. writer_unlocked: a writer without its locks.
wal_orphaned: writes into a deleted WAL. wal_removed: the WAL of a connected program is gone.
wal_disagrees: two writers at one WAL, or it was emptied. wal_stale: the WAL belongs to another main
file. engine_foreign: an engine that does not use SQLite's locks."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """One way in which a database is being destroyed, and by whom."""

    kind: ConflictKind
    since: datetime
    """When it was first seen."""
    pid: int | None = None
    """The process that uses the wrong files; None if no process is to blame."""
    command: str = ""
    """Its name, or that of the other engine."""
    unit: str | None = None
    """Its systemd unit or container; None if it has none, or it is unknown."""
    evidence: Mapping[str, str] = field(default_factory=dict)
    """Inodes, sizes, locks and pids that show it, in words for a person and for a report."""
    is_certain: bool = True
    """False for another engine as long as SQLite itself does not use the file."""
