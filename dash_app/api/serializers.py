"""Turn values of the model into the JSON documents of the API."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, overload

from dash_app import VERSION
from dash_app.history.event_queries import EventQuery
from dash_app.history.incidents import IncidentQuery
from dash_app.history.series import Series
from dash_app.model.database import Database, measure_units
from dash_app.model.event import Event
from dash_app.model.expectation import ExpectationReport, ExpectationState
from dash_app.model.host_facts import Disk, Holder
from dash_app.model.incident import Acknowledgement, Incident
from dash_app.model.integrity import Integrity
from dash_app.model.measure import MeasureReport
from dash_app.model.opener import Opener
from dash_app.model.refusal import Refusal
from dash_app.model.self_check import SelfReport
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.system.clock import CLOCK, STARTED_SECONDS
from dash_app.system.processes import memory_bytes
from dash_app.words import summaries
from dash_app.words.events import event_text
from dash_app.words.incidents import incident_sentence
from dash_app.words.problems import plain

if TYPE_CHECKING:
    from dash_app.api import incident_schemas, schemas, service_schemas


@overload
def rfc3339(time: datetime) -> str: ...
@overload
def rfc3339(time: None) -> None: ...
def rfc3339(time: datetime | None) -> str | None:
    """Return a time in UTC with milliseconds: 2026-11-23T15:00:05.120Z."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=1024)
def instant(at: int) -> str:
    """Return seconds since 1970 as 2026-11-23T15:00:05Z. Series of a chart share their times."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def status_document(snapshot: Snapshot) -> schemas.StatusDocument:
    """Return the document of `/api/db-status`."""
    return {
        "takenAt": rfc3339(snapshot.taken_at),
        "connected": snapshot.connected,
        "total": len(snapshot.databases),
        "level": snapshot.level,
        "headline": summaries.headline(snapshot, snapshot.taken_at),
        "databases": [database_document(status) for status in snapshot.databases],
        "patterns": [
            {
                "name": pattern.name,
                "path": pattern.path,
                "watched": pattern.watched,
                "unwatched": pattern.unwatched,
            }
            for pattern in snapshot.patterns
        ],
    }


def database_document(status: DatabaseStatus) -> schemas.Database:
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
        "verdict": plain(status.verdict),
        "error": _error(status),
        "findings": _findings(status),
        "integrity": _integrity(status.integrity),
        "measures": [_measure(report) for report in status.measures],
        "acknowledged": _acknowledgement(status.acknowledged),
        "watch": _watch(status),
        "lastGood": {"readAt": rfc3339(good.read_at), "totalRows": good.total_rows}
        if good and status.status == "error"
        else None,
        "rowCounts": {table: count.rows for table, count in tables.items()},
        "totalRows": reading.counted_rows,
        "totalComplete": reading.total_complete,
        "change": _change(status),
        "estimates": {
            table: {"kind": count.estimate, "countedAt": rfc3339(count.counted_at)}
            for table, count in tables.items()
            if count.estimate
        },
        "tableErrors": {t: count.error for t, count in tables.items() if count.error},
        "lastModified": rfc3339(reading.last_modified),
        "sizeBytes": reading.size_bytes,
        "walBytes": reading.wal_bytes,
        "journalMode": reading.journal_mode,
        "readAt": rfc3339(reading.read_at),
        "verifiedAt": rfc3339(reading.verified_at),
        "waitingFor": reading.wait_reason
        and {"reason": reading.wait_reason, "holder": reading.detail.get("holder")},
    }


def detail_document(
    status: DatabaseStatus, events: Sequence[Event], openers: Iterable[Opener] = ()
) -> schemas.DatabaseDocument:
    """Return the document of `/api/databases/<name>`."""
    reading, surroundings = status.reading, status.reading.surroundings
    return {
        **database_document(status),
        "walBacklogBytes": surroundings.backlog_bytes,
        "holders": None
        if surroundings.holders is None
        else list(map(_holder, surroundings.holders)),
        "openers": [_opener(opener) for opener in openers],
        "foreignEngine": surroundings.is_foreign,
        "disk": _disk(surroundings.disk),
        "schema": None if reading.objects is None else dict(reading.objects),
        "userVersion": reading.user_version,
        "applicationId": reading.application_id,
        "changeCounter": reading.change_counter,
        "freelistBytes": reading.free_bytes,
        "tableBytes": dict(status.integrity.table_bytes) if status.integrity else {},
        "events": [event_document(event) for event in events],
    }


def measures_document(snapshot: Snapshot, databases: Container[str]) -> schemas.MeasuresDocument:
    """Return the document of `/api/measures` for some databases."""
    return {
        "takenAt": rfc3339(snapshot.taken_at),
        "measures": [
            {"database": status.database.name, **_measure(report)}
            for status in snapshot.databases
            if status.database.name in databases
            for report in status.measures
        ],
    }


def service_document(
    snapshot: Snapshot | None,
    started_at: datetime,
    refused: Iterable[Refusal] = (),
    *,
    is_fresh: bool,
) -> service_schemas.ServiceDocument:
    """Return the document of `/api/service`: the state of Mission Control itself."""
    report = snapshot.self_report if snapshot else SelfReport()
    is_well = is_fresh and all(promise.is_kept for promise in report.promises)
    return {
        "level": "well" if is_well else "fault",
        "version": VERSION,
        "startedAt": rfc3339(started_at),
        "uptimeSeconds": int(CLOCK.steady_seconds() - STARTED_SECONDS),
        "memory": {
            "serviceBytes": memory_bytes("self"),
            "readerBytes": [memory_bytes(pid) for pid in report.reader_pids],
        },
        "ticks": {"done": report.ticks, "missed": report.ticks_missed},
        "guards": list(report.guards),
        "conflictsUnknown": [
            {"database": status.database.name, "reason": reason}
            for status in (snapshot.databases if snapshot else ())
            if (reason := status.reading.surroundings.conflicts_unknown)
        ],
        "sidecarsLeft": report.sidecars_left,
        "historyDisk": _disk(snapshot.history_disk if snapshot else None),
        "historyProblem": " ".join(snapshot.history_notes if snapshot else ()) or None,
        "refused": [_refusal(refusal) for refusal in refused],
        "promises": [
            {
                "name": promise.name,
                "measured": promise.measured,
                "most": promise.limit,
                "kept": promise.is_kept,
            }
            for promise in report.promises
        ],
    }


def _refusal(refusal: Refusal) -> service_schemas.Refusal:
    return {
        "kind": refusal.kind,
        "name": refusal.name,
        "address": refusal.address,
        "count": refusal.count,
        "lastAt": rfc3339(refusal.last_at),
    }


def _disk(disk: Disk | None) -> schemas.Disk | None:
    return None if disk is None else {"freeBytes": disk.free_bytes, "totalBytes": disk.total_bytes}


UNITS = {
    **dict.fromkeys(("rows", "inserted"), "rows"),
    **dict.fromkeys(("size_bytes", "wal_bytes", "table_bytes"), "bytes"),
}
"""The units of metrics, except measures."""


def history_document(
    series: Iterable[Series], databases: Iterable[Database]
) -> schemas.HistoryDocument:
    """Return the document of `/api/history`. The databases have the units of their measures."""
    units = measure_units(databases)
    return {
        "series": [
            {
                "database": line.database,
                "table": line.table,
                "metric": line.metric,
                "label": line.label,
                "unit": UNITS.get(line.metric) or units.get((line.database, line.metric)) or None,
                "points": [(instant(at), value) for at, value in line.points],
                "ranges": list(line.ranges),
            }
            for line in series
        ]
    }


def events_document(
    events: Sequence[Event], query: EventQuery, *, has_more: bool
) -> schemas.EventsDocument:
    """Return the document of `/api/events` for the result of a query."""
    next_ = str(events[-1].id) if events else None
    if query.since is not None:
        next_ = next_ or _as_parameter(query.since)
    elif not has_more:
        next_ = None
    return {"events": [event_document(event) for event in events], "next": next_}


def incidents_document(
    incidents: Sequence[Incident], query: IncidentQuery
) -> incident_schemas.IncidentsDocument:
    """Return the document of `/api/incidents` for the result of a query."""
    return {
        "incidents": [_incident(incident) for incident in incidents],
        "next": str(incidents[-1].id) if len(incidents) == query.limit else None,
    }


def event_document(event: Event) -> schemas.Event:
    """Return one event of `/api/events`."""
    return {
        "id": event.id,
        "at": rfc3339(event.at),
        "database": event.database,
        "kind": event.kind,
        "text": event_text(event),
        "before": event.before,
        "after": event.after,
        "endedAt": rfc3339(event.ended_at),
    }


def _as_parameter(since: int | datetime) -> str:
    return str(since) if isinstance(since, int) else since.isoformat().replace("+00:00", "Z")


def _change(status: DatabaseStatus) -> schemas.Change | None:
    if status.activity is None or status.change is None:
        return None
    return {"rows": status.change, "since": rfc3339(status.activity.since)}


def _error(status: DatabaseStatus) -> schemas.Fault | None:
    """Return the problem that keeps a database from being read; it has the code of the reading."""
    code = status.reading.code
    if code is None:
        return None
    problem = next(problem for problem in status.problems if not problem.is_danger)
    return {"code": code, "message": plain(problem.text), "remedy": problem.remedy}


def _findings(status: DatabaseStatus) -> list[schemas.Finding]:
    return [
        {
            "kind": problem.code,
            "level": problem.level,
            "since": rfc3339(problem.since),
            "text": plain(problem.text),
            "remedy": problem.remedy,
            "table": problem.table,
            "measure": problem.measure,
        }
        for problem in status.findings
    ]


def _measure(report: MeasureReport) -> schemas.Measure:
    measure = report.measure
    values = () if report.is_single else report.shown
    return {
        "name": measure.name,
        "label": measure.label,
        "unit": measure.unit or None,
        "value": report.number,
        "values": [{"label": value.label or "", "value": value.number} for value in values],
        "measuredAt": rfc3339(report.measured_at),
        "old": report.is_old,
        "level": report.level,
        "error": report.error and plain(report.error),
        "limits": {"min": measure.least, "max": measure.greatest, "equals": measure.equals}
        if measure.has_limits
        else None,
        "pinned": measure.is_pinned,
    }


def _integrity(integrity: Integrity | None) -> schemas.Integrity | None:
    if integrity is None:
        return None
    return {
        "state": integrity.state,
        "checkedAt": rfc3339(integrity.checked_at),
        # Two digits, so that the ETag of a status does not change at each tick.
        "checkedShare": int(integrity.checked_share * 100) / 100,
        "reason": integrity.reason,
        "damage": [
            {"table": damage.table, "pages": damage.pages, "foundAt": rfc3339(damage.found_at)}
            for damage in integrity.damage
        ],
    }


def _watch(status: DatabaseStatus) -> schemas.Watch | None:
    report = status.expectations or (ExpectationReport() if status.is_paused else None)
    if report is None:
        return None
    return {
        "state": report.state,
        "paused": status.is_paused,
        "dueAt": rfc3339(report.due_at),
        "file": _standing(report.own) if report.own else None,
        "tables": {table: _standing(state) for table, state in report.tables.items()},
    }


def _standing(state: ExpectationState) -> schemas.Standing:
    return {
        "state": state.state,
        "everySeconds": state.expect.every.total_seconds(),
        "graceSeconds": state.expect.grace.total_seconds(),
        "lastAt": rfc3339(state.last_at),
        "dueAt": rfc3339(state.due_at),
    }


def _incident(incident: Incident) -> incident_schemas.Incident:
    return {
        "id": incident.id or 0,
        "key": incident.key,
        "databases": list(incident.databases),
        "kind": incident.kind,
        "level": incident.level,
        "text": incident_sentence(incident),
        "remedy": incident.remedy,
        "since": rfc3339(incident.since),
        "endedAt": rfc3339(incident.ended_at),
        "acknowledged": _acknowledgement(incident.acknowledged),
        "evidence": incident.evidence.splitlines(),
        "messages": [
            {
                "kind": notification.kind,
                "title": notification.title,
                "madeAt": rfc3339(notification.made_at),
                "sentAt": rfc3339(notification.sent_at),
                "attempts": notification.attempts,
                "failure": notification.failure,
            }
            for notification in incident.notifications
        ],
    }


def _acknowledgement(known: Acknowledgement | None) -> schemas.Acknowledgement | None:
    if known is None:
        return None
    return {"by": known.by, "at": rfc3339(known.at), "until": rfc3339(known.until)}


def _opener(opener: Opener) -> schemas.Opener:
    return {
        "pid": opener.pid,
        "command": opener.command,
        "unit": opener.unit,
        "from": rfc3339(opener.since),
        "until": rfc3339(opener.until),
    }


def _holder(holder: Holder) -> schemas.Holder:
    return {
        "pid": holder.pid,
        "command": holder.command,
        "unit": holder.unit,
        "uses": list(holder.uses),
        "since": rfc3339(holder.since),
        "holdsLogBackSince": rfc3339(holder.pins_since),
    }
