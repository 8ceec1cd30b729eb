"""The contract's JSON documents, from values of the model."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dash_app import VERSION, words
from dash_app.selfcheck import memory_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dash_app.history.query import Series
    from dash_app.model import DatabaseStatus, Event, Finding, Snapshot, TableCount
    from dash_app.sampler import Sampler
    from dash_app.surroundings import Disk, Holder

Json = dict[str, Any]


def status_document(snapshot: Snapshot) -> Json:
    """Return the document of `/api/db-status`."""
    return {
        "takenAt": rfc3339(snapshot.taken_at),
        "connected": snapshot.connected,
        "total": len(snapshot.databases),
        "level": snapshot.level,
        "headline": words.headline(snapshot),
        "databases": [database_document(status) for status in snapshot.databases],
    }


def database_document(status: DatabaseStatus) -> Json:
    """Return one database of `/api/db-status`."""
    reading, good = status.reading, status.last_good
    tables = reading.tables
    return {
        "name": status.database.name,
        "label": status.database.label,
        "path": str(status.database.path),
        "status": status.status,
        "since": rfc3339(status.since),
        "level": status.level,
        "verdict": status.verdict,
        "error": status.fault and asdict(status.fault),
        "findings": [_finding(finding) for finding in status.findings],
        "lastGood": (
            good
            and status.status == "error"
            and {"readAt": rfc3339(good.read_at), "totalRows": good.total_rows}
        )
        or None,
        "rowCounts": {table: count.rows for table, count in tables.items()},
        "totalRows": reading.total_rows,
        "totalComplete": reading.total_complete,
        "change": _change(status),
        "estimates": {t: _estimate(count) for t, count in tables.items() if count.estimate},
        "tableErrors": {t: count.error for t, count in tables.items() if count.error},
        "lastModified": rfc3339(reading.last_modified),
        "sizeBytes": reading.size_bytes,
        "walBytes": reading.wal_bytes,
        "journalMode": reading.journal_mode,
        "readAt": rfc3339(reading.read_at),
        "verifiedAt": rfc3339(reading.verified_at),
    }


def detail_document(status: DatabaseStatus, events: Sequence[Event]) -> Json:
    """Return the document of `/api/databases/<name>`: all that is known of one database."""
    reading, around = status.reading, status.reading.surroundings
    return database_document(status) | {
        "walBacklogBytes": around.backlog_bytes,
        "holders": around.holders and [_holder(one) for one in around.holders],
        "disk": around.disk and disk_document(around.disk),
        "schema": reading.objects,
        "userVersion": reading.user_version,
        "applicationId": reading.application_id,
        "changeCounter": reading.change_counter,
        "freelistBytes": reading.free_bytes,
        "events": [event_document(event) for event in events],
    }


def service_document(sampler: Sampler, started_at: datetime) -> Json:
    """Return the document of `/api/service`: how we are, and whether our promises are kept."""
    check, promises = sampler.selfcheck, sampler.selfcheck.promises()
    disk = sampler.snapshot and sampler.snapshot.history_disk
    kept = all(promise.kept for promise in promises) and sampler.fresh() is not None
    return {
        "level": "well" if kept else "fault",
        "version": VERSION,
        "startedAt": rfc3339(started_at),
        "uptimeSeconds": int((datetime.now(UTC) - started_at).total_seconds()),
        "memory": {
            "serviceBytes": memory_bytes("self"),
            "readerBytes": [memory_bytes(pid) for pid in check.pids],
        },
        "ticks": {"done": check.ticks, "missed": check.ticks_missed},
        "guards": check.guards,
        "sidecarsLeft": check.sidecars_left,
        "historyDisk": disk and disk_document(disk),
        "promises": [{**asdict(promise), "kept": promise.kept} for promise in promises],
    }


def disk_document(disk: Disk) -> Json:
    """Return a file system's free and whole size."""
    return {"freeBytes": disk.free_bytes, "totalBytes": disk.total_bytes}


def history_document(series: Iterable[Series]) -> Json:
    """Return the document of `/api/history`."""
    return {
        "series": [
            {
                "database": one.database,
                "table": one.table,
                "metric": one.metric,
                "unit": one.unit,
                "points": [[_instant(at), value] for at, value in one.points],
                "ranges": one.ranges,
            }
            for one in series
        ]
    }


def events_document(events: Sequence[Event], most: int) -> Json:
    """Return the document of `/api/events`; `next` is the `before` that leads to older ones."""
    full = len(events) == most
    return {
        "events": [event_document(event) for event in events],
        "next": str(events[-1].id) if full else None,
    }


def event_document(event: Event) -> Json:
    """Return one event of `/api/events`."""
    return {
        "id": event.id,
        "at": rfc3339(event.at),
        "database": event.database,
        "kind": event.kind,
        "text": words.event(event),
        "before": event.before,
        "after": event.after,
        "endedAt": rfc3339(event.ended_at),
    }


def rfc3339(time: datetime | None) -> str | None:
    """Return a time in UTC with milliseconds: 2026-11-23T15:00:05.120Z."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instant(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _change(status: DatabaseStatus) -> Json | None:
    """Return how many rows more there are than at some time; null where that is unknown."""
    if status.activity is None or status.change is None:
        return None
    return {"rows": status.change, "since": rfc3339(status.activity.since)}


def _finding(finding: Finding) -> Json:
    return {
        "kind": finding.kind,
        "level": finding.level,
        "since": rfc3339(finding.since),
        "text": finding.text,
        "remedy": finding.remedy,
    }


def _holder(holder: Holder) -> Json:
    return {
        "pid": holder.pid,
        "command": holder.command,
        "uses": holder.uses,
        "since": rfc3339(holder.since),
        "holdsLogBackSince": rfc3339(holder.pins_since),
    }


def _estimate(count: TableCount) -> Json:
    return {"kind": count.estimate, "countedAt": rfc3339(count.counted_at)}
