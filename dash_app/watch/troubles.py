"""Whatever is amiss in a snapshot, finding or fault alike, each with the cause that it hints at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, get_args

from dash_app.model import Absence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from dash_app.model import Database, DatabaseStatus, Finding, Level, Snapshot

SILENCE: frozenset[str] = frozenset({"late", "down"})
"""Kinds of what should be written and is not: the second is what the first becomes."""

STILL_WRITTEN = timedelta(minutes=1)
"""A file written so much later than its silent tables is written by somebody."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A finding or a fault of one database.

    `mark` is the same as long as it is the same trouble, `key` names the cause that it would have
    alone. `folder` is the one that is gone, where that is so.
    """

    database: Database
    kind: str
    level: Level
    since: datetime
    text: str
    remedy: str
    key: str
    mark: object
    asks: bool = False
    folder: Path | None = None


def troubles_of(snapshot: Snapshot) -> list[Trouble]:
    """Return what is amiss, in configured order, worst first within a database.

    Of a paused database nothing is told.
    """
    watched = (one for one in snapshot.databases if not one.database.rules.paused)
    return [one for status in watched for one in _troubles(status)]


def _troubles(status: DatabaseStatus) -> Iterator[Trouble]:
    findings, fault = status.findings, status.fault
    is_told = any(one.kind in get_args(Absence) for one in findings)
    if fault and status.status == "error" and not is_told:
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
    is_alone = _some_tables_alone(status)
    for finding in findings:
        yield _of_finding(status, finding, is_alone=is_alone)


def _of_finding(status: DatabaseStatus, finding: Finding, *, is_alone: bool) -> Trouble:
    is_silence = finding.kind in SILENCE
    kind = "down" if is_silence else finding.kind
    folder = status.database.path.parent if _folder_is_gone(status, finding) else None
    mark: tuple[object, ...] = (status.database.name, kind, finding.table)
    return Trouble(
        status.database,
        finding.kind,
        finding.level,
        finding.since,
        finding.text,
        finding.remedy,
        _key(status, finding, kind, own_table=is_alone or not is_silence),
        (*mark, finding.since) if finding.asks else mark,
        finding.asks,
        folder,
    )


def _key(status: DatabaseStatus, finding: Finding, kind: str, *, own_table: bool) -> str:
    name, disk = status.database.name, status.reading.surroundings.disk
    if _folder_is_gone(status, finding):
        return f"folder:{status.database.path.parent}"
    if kind == "disk_low" and disk:
        return f"disk:{disk.device}"
    if finding.asks:  # it stays until somebody says so: the next one is another
        return f"{name}:{kind}:{finding.since:%Y-%m-%dT%H:%M:%S}"
    if finding.table and own_table:
        return f"{name}.{finding.table}:{kind}"
    return f"{name}:{kind}"


def _folder_is_gone(status: DatabaseStatus, finding: Finding) -> bool:
    fault = status.fault
    return finding.kind == "gone" and fault is not None and fault.code == "folder_missing"


def _some_tables_alone(status: DatabaseStatus) -> bool:
    """Whether a database is still written, but for the tables that are silent."""
    silent = _silent(status.findings)
    written_at = status.reading.last_modified
    if written_at is None or not silent or any(one.table is None for one in silent):
        return False
    return written_at - max(one.since for one in silent) > STILL_WRITTEN


def _silent(findings: Iterable[Finding]) -> list[Finding]:
    return [one for one in findings if one.kind in SILENCE]
