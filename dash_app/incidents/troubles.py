"""Whatever is amiss in a snapshot, finding or fault alike, each with the cause that it hints at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import get_args

from dash_app.model.database import Database
from dash_app.model.event import Absence
from dash_app.model.level import Level
from dash_app.model.problem import Finding
from dash_app.model.snapshot import DatabaseStatus, Snapshot

SILENCE = "down"
FAMILIES = {"late": SILENCE, "wal_large": "log_held", "wal_growing": "log_held"}
"""What becomes of a kind, or brings it about: both are one trouble."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A finding or a fault of one database.

    `mark` is the same as long as it is the same trouble, `key` names the cause that it would have
    alone. `written_at` is when the database was last, `folder` the one that is gone, if any.
    """

    database: Database
    kind: str
    level: Level
    since: datetime
    text: str
    remedy: str
    key: str
    mark: str
    asks: bool = False
    written_at: datetime | None = None
    folder: Path | None = None

    @property
    def is_silence(self) -> bool:
        """Whether something should be written and is not."""
        return family(self.kind) == SILENCE


def family(kind: str) -> str:
    """Return the kind that stands for all that are one trouble."""
    return FAMILIES.get(kind, kind)


def troubles_of(snapshot: Snapshot) -> list[Trouble]:
    """Return what is amiss, in configured order, worst first within a database.

    Of a paused database nothing is told.
    """
    watched = (one for one in snapshot.databases if not one.is_paused)
    return [one for status in watched for one in _troubles(status)]


def _troubles(status: DatabaseStatus) -> Iterator[Trouble]:
    findings, fault = status.findings, status.fault
    is_told = any(one.kind in get_args(Absence) for one in findings)
    if fault and status.status == "error" and not is_told and not status.reading.is_undecided:
        key = f"{status.database.name}:{fault.code}"
        yield Trouble(
            status.database,
            fault.code,
            "fault",
            status.since,
            fault.message,
            fault.remedy,
            key,
            key,
        )
    for finding in findings:
        yield _of_finding(status, finding)


def _of_finding(status: DatabaseStatus, finding: Finding) -> Trouble:
    return Trouble(
        status.database,
        finding.kind,
        finding.level,
        finding.since,
        finding.text,
        finding.remedy,
        _key(status, finding),
        _mark(status, finding),
        finding.asks,
        status.reading.last_modified,
        status.database.path.parent if _folder_is_gone(status, finding) else None,
    )


def _mark(status: DatabaseStatus, finding: Finding) -> str:
    """Return the same for a finding as long as it is the same; the next that asks is another."""
    kind = SILENCE if family(finding.kind) == SILENCE else finding.kind
    table = f".{finding.table}" if finding.table else ""
    since = f":{finding.since:%Y-%m-%dT%H:%M:%S}" if finding.asks else ""
    return f"{status.database.name}{table}:{kind}{since}"


def _key(status: DatabaseStatus, finding: Finding) -> str:
    kind, disk = family(finding.kind), status.reading.surroundings.disk
    if _folder_is_gone(status, finding):
        return f"folder:{status.database.path.parent}"
    if kind == "disk_low" and disk:
        return f"disk:{disk.device}"
    mark = _mark(status, finding)
    return mark if finding.asks else f"{mark.rpartition(':')[0]}:{kind}"


def _folder_is_gone(status: DatabaseStatus, finding: Finding) -> bool:
    fault = status.fault
    return finding.kind == "gone" and fault is not None and fault.code == "folder_missing"
