"""The snapshot of a running service, rebuilt from its document of `/api/db-status`.

Only what a line of `status` shows is rebuilt. The service may be a newer version: a level that is
unknown here counts as a fault, other unknown values are kept.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from dash_app.api.schemas import Database as DatabaseDocument
from dash_app.api.schemas import Finding, StatusDocument
from dash_app.api.schemas import Integrity as IntegrityDocument
from dash_app.api.schemas import Measure as MeasureDocument
from dash_app.model.database import Database
from dash_app.model.expectation import OVERDUE, Rules
from dash_app.model.host_facts import Activity
from dash_app.model.incident import Acknowledgement
from dash_app.model.integrity import Damage, Integrity
from dash_app.model.match import Pattern
from dash_app.model.measure import AGE, Measure, MeasureReport, Value
from dash_app.model.problem import SEVERITY, Level, Problem, ProblemCode, danger_first
from dash_app.model.reading import LastGood, Reading, TableCount
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.words.numbers import is_one_day

instant = datetime.fromisoformat


def snapshot_from(document: StatusDocument) -> Snapshot:
    """Return a document as a snapshot. Raise KeyError, TypeError or ValueError if it is not one."""
    taken_at = instant(document["takenAt"])
    statuses = tuple(_status(database, taken_at) for database in document["databases"])
    patterns = tuple(
        Pattern(one["name"], one["path"], one["watched"], one["unwatched"])
        for one in document.get("patterns", [])  # older services have none
    )
    return Snapshot(taken_at, statuses, patterns=patterns)


def _status(document: DatabaseDocument, taken_at: datetime) -> DatabaseStatus:
    level, reading, change = _level(document["level"]), _reading(document), document["change"]
    good, watch = document["lastGood"], document.get("watch")  # older services have no `watch`
    known = document.get("acknowledged")  # older services have none
    measures = tuple(map(_measure, document.get("measures", [])))  # older services have none
    problems = danger_first(_problems(document, measures, taken_at))
    is_uncertain = any(finding["level"] == "unknown" for finding in document["findings"])
    activity = None
    if change and reading.counted_rows is not None:
        before, since = reading.counted_rows - change["rows"], instant(change["since"])
        is_whole_day = is_one_day(since, reading.verified_at)
        activity = Activity((), before, since, reading.unknown_tables, is_whole_day=is_whole_day)
    return DatabaseStatus(
        database=Database(
            document["name"],
            document["label"],
            Path(document["path"]),
            Rules(paused=bool(watch and watch["paused"])),
        ),
        reading=reading,
        status=document["status"],
        since=instant(document["since"]),
        level=level,
        verdict=document["verdict"],
        last_good=good and LastGood(instant(good["readAt"]), good["totalRows"], 0),
        problems=tuple(problems),
        is_stale=level == "unknown" and not (reading.is_undecided or is_uncertain),
        activity=activity,
        integrity=_integrity(document.get("integrity")),
        measures=measures,
        acknowledged=known
        and Acknowledgement(known["by"], instant(known["at"]), _instant(known["until"])),
    )


def _integrity(found: IntegrityDocument | None) -> Integrity | None:
    if found is None:  # older services have none
        return None
    return Integrity(
        found["state"],
        _instant(found["checkedAt"]),
        found["checkedShare"],
        found["reason"],
        tuple(
            Damage(one["table"], one["pages"], instant(one["foundAt"])) for one in found["damage"]
        ),
    )


def _measure(document: MeasureDocument) -> MeasureReport:
    unit, is_pinned = document["unit"] or "", document["pinned"]
    values = tuple(Value(one["label"], one["value"]) for one in document["values"])
    return MeasureReport(
        Measure(document["name"], document["label"], timedelta(), unit=unit, is_pinned=is_pinned),
        values or (Value(None, document["value"]),),
        _instant(document["measuredAt"]),
        _level(document["level"]),
        document["error"],
        is_old=document["old"],
    )


def _problems(
    document: DatabaseDocument, measures: Sequence[MeasureReport], taken_at: datetime
) -> Iterator[Problem]:
    if error := document["error"]:
        level, since = _level(document["level"]), instant(document["since"])
        yield Problem(error["code"], level, since, error["message"], error["remedy"])
    for finding in document["findings"]:
        yield Problem(
            cast("ProblemCode", finding["kind"]),
            _level(finding["level"]),
            instant(finding["since"]),
            finding["text"],
            finding["remedy"],
            table=finding.get("table"),
            text_since=_last_write(document, finding) or _oldest(measures, finding, taken_at),
            measure=finding.get("measure"),
        )


def _oldest(
    measures: Sequence[MeasureReport], finding: Finding, taken_at: datetime
) -> datetime | None:
    """Return the time whose age is out of range, if a finding is that."""
    name = finding.get("measure")
    found = next((one for one in measures if one.measure.name == name), None)
    if found is None or found.measure.unit != AGE:
        return None
    ages = [value.number for value in found.values if value.number is not None]
    return taken_at - timedelta(seconds=max(ages)) if ages else None


def _last_write(document: DatabaseDocument, finding: Finding) -> datetime | None:
    """Return the write after which silence began, if a finding is silence."""
    table, watch = finding.get("table"), document.get("watch")
    state = watch and (watch["tables"].get(table) if table else watch["file"])
    return _instant(state["lastAt"]) if state and finding["kind"] in OVERDUE else None


def _reading(document: DatabaseDocument) -> Reading:
    verified_at = instant(document["verifiedAt"])
    code = document["error"]["code"] if document["error"] else None
    # A lock decides nothing until it has lasted for a minute.
    is_new_lock = code == "locked" and document["level"] == "unknown"
    tables = {}
    for table, rows in document["rowCounts"].items():
        estimate = document["estimates"].get(table)
        tables[table] = TableCount(rows, verified_at, estimate["kind"] if estimate else None)
    return Reading(
        instant(document["readAt"]),
        verified_at,
        code=code,
        detail={"is_new": ""} if is_new_lock else {},
        tables=tables,
        last_modified=_instant(document["lastModified"]),
    )


def _instant(text: str | None) -> datetime | None:
    return instant(text) if text else None


def _level(level: Level) -> Level:
    return level if level in SEVERITY else "fault"
