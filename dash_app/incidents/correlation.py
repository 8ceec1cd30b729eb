"""Group problems into incidents: problems with one cause are one incident.

Pure functions. An incident starts and ends with its problems. A cause that returns soon after the
end of its incident continues that incident.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_args

from dash_app.incidents.openers import Openers, open_at, stopped_writers, update_openers
from dash_app.model.incident import Incident
from dash_app.model.opener import Opener
from dash_app.model.problem import (
    DANGER,
    DANGERS,
    SEVERITY,
    Problem,
    family,
    harm_rank,
    worst,
    worst_first,
)
from dash_app.model.reading import ABSENCES, Code
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.words import incidents as words

SAME_CAUSE_WINDOW = timedelta(minutes=1)
"""Problems of one database that start this close together have one cause.

One update of a program may take more than one tick.
"""

MAX_EVIDENCE_LINES = 20
"""A process that is restarted again and again yields another line each time."""

WITHOUT_CONFLICTS = frozenset({"not_read_yet", "not_responding", "reader_crashed", "wal_elsewhere"})
"""Codes of readings that do not show whether a danger is over: those that are not from the reader,
and a WAL that may have been deleted before a restart of ours."""

Statuses = Mapping[str, DatabaseStatus]
"""The databases of a snapshot by name."""


@dataclass(frozen=True, slots=True)
class IncidentState:
    """The incidents that are open or may still be continued, and the processes seen so far."""

    incidents: tuple[Incident, ...] = ()
    openers: Openers = field(default_factory=dict)
    writers: Mapping[str, Opener] = field(default_factory=dict)
    """The process whose end explains the silence of a database, by its name."""

    @property
    def open(self) -> tuple[Incident, ...]:
        """The incidents that have not ended."""
        return tuple(incident for incident in self.incidents if incident.ended_at is None)


def correlate(
    state: IncidentState,
    snapshot: Snapshot,
    settle: timedelta,
    own_problems: Iterable[Problem] = (),
) -> IncidentState:
    """Return the incidents after a snapshot: open ones first, worst first, then by their start.

    `own_problems` are those of Mission Control itself. An incident whose cause returns within
    `settle` of its end is continued.
    """
    now = snapshot.taken_at
    statuses = {status.database.name: status for status in snapshot.databases}
    known = {
        incident.key: incident
        for incident in state.incidents
        if incident.ended_at is None or now - incident.ended_at <= settle
    }
    openers = update_openers(state.openers, snapshot)
    pressing = (problem for status in snapshot.databases for problem in status.pressing)
    problems = [*pressing, *own_problems]
    writers = stopped_writers(openers, statuses, problems)
    keys = _assign_incidents(state.open, problems, statuses, writers)
    unreadable = frozenset(name for name, status in statuses.items() if _is_unreadable(status))
    current = {}
    for key in dict.fromkeys(keys.values()):
        group = [problem for problem in problems if keys[problem.id] == key]
        incident = _incident(key, group, statuses, writers).clamp_to(now)
        if key in known:
            incident = _merge(known[key], incident, group, unreadable, now)
        else:
            incident = _with_openers(incident, openers)
        current[key] = incident
    ended = [
        _end(incident, statuses, unreadable, now)
        for key, incident in known.items()
        if key not in current
    ]
    ranked = tuple(sorted([*current.values(), *ended], key=_rank))
    return IncidentState(ranked, openers, writers)


def _with_openers(incident: Incident, openers: Openers) -> Incident:
    """Return a new incident with the processes that had its databases open when it began.

    Damaged pages are older than their discovery.
    """
    if incident.kind == "pages_damaged":
        return incident
    found = [o for name in incident.databases for o in open_at(openers[name], incident.since)]
    return replace(incident, evidence=_evidence(incident.evidence, words.open_then(found)))


def _rank(incident: Incident) -> tuple[bool, tuple[int, int], datetime]:
    return incident.ended_at is not None, harm_rank(incident.level, incident.kind), incident.since


def _assign_incidents(
    known: Sequence[Incident],
    problems: Sequence[Problem],
    statuses: Statuses,
    writers: Mapping[str, Opener],
) -> dict[str, str]:
    """Return the key of the incident of each problem, by the problem's id.

    A known problem stays in its incident. A new one joins the incident with the same cause.
    """
    before = {id_: incident.key for incident in known for id_ in incident.problem_ids}
    keys = {problem.id: before[problem.id] for problem in problems if problem.id in before}
    causes = {problem.id: _cause(problem, statuses, writers) for problem in problems}
    by_cause = {causes[id_]: key for id_, key in reversed(keys.items())}
    incidents = {incident.key: incident for incident in known}
    for problem in sorted(problems, key=lambda problem: problem.since):
        if problem.id in keys:
            continue
        cause = causes[problem.id]
        related = (k for k, other in incidents.items() if _includes(other, problem, statuses))
        key = by_cause.get(cause) or next(related, cause)
        keys[problem.id] = by_cause[cause] = key
        incidents.setdefault(key, _incident(key, [problem], statuses, writers))
    return keys


def _includes(incident: Incident, problem: Problem, statuses: Statuses) -> bool:
    """Whether a new problem belongs to an incident, by its time.

    Silence joins other silence if its database was not written since the start. It starts when a
    write is due, so it never joins anything else by its time. Danger is always an incident of its
    own, because it is notified at once.
    """
    if problem.database is None or DANGER in {family(problem.code), family(incident.kind)}:
        return False
    is_silent = family(incident.kind) == "down"
    if problem.is_silence or is_silent:
        written_at = statuses[problem.database].reading.last_modified
        is_unwritten = written_at is None or written_at <= incident.since + SAME_CAUSE_WINDOW
        both = problem.is_silence and is_silent
        return both and is_unwritten and problem.database in incident.databases
    is_own = _database_of(incident.key) == problem.database and problem.code != "disk_low"
    return is_own and abs(problem.since - incident.since) <= SAME_CAUSE_WINDOW


def _cause(problem: Problem, statuses: Statuses, writers: Mapping[str, Opener]) -> str:
    """Return the key that an incident of this problem alone has."""
    status = statuses.get(problem.database or "")
    disk = status.reading.surroundings.disk if status else None
    if problem.is_silence and (writer := writers.get(problem.database or "")):
        return f"process:{writer.pid}"
    if folder := _missing_folder(problem, statuses):
        return f"folder:{folder}"
    if problem.code == "disk_low" and disk:
        return f"disk:{disk.device}"
    if problem.needs_acknowledgement or status is None:
        return problem.id
    return f"{problem.subject}:{family(problem.code)}"


def _evidence(*texts: str) -> str:
    """Return the lines of all texts, but of those that begin alike only the first.

    Later ones differ in the sizes of files.
    """
    lines: dict[str, str] = {}
    for line in "\n".join(filter(None, texts)).splitlines():
        lines.setdefault(line.partition(": ")[0], line)
    return "\n".join([*lines.values()][:MAX_EVIDENCE_LINES])


def _missing_folder(problem: Problem, statuses: Statuses) -> Path | None:
    """Return the first missing folder above a database that is gone with it."""
    status = statuses.get(problem.database or "")
    if problem.code != "gone" or status is None or status.reading.code != "folder_missing":
        return None
    return Path(status.reading.detail.get("missing", status.database.path.parent))


def _incident(
    key: str, group: Sequence[Problem], statuses: Statuses, writers: Mapping[str, Opener]
) -> Incident:
    first = worst_first(group)[0]
    silent = (problem.database or "" for problem in group if problem.is_silence)
    writer = next((writers[name] for name in silent if name in writers), None)
    names = {problem.database for problem in group}
    remedy = words.process_remedy(writer.command) if writer and first.is_silence else first.remedy
    return Incident(
        key=key,
        databases=tuple(name for name in statuses if name in names),
        kind=first.code,
        level=worst(problem.level for problem in group),
        text=_text(group, statuses, writer),
        remedy=remedy,
        since=min(problem.since for problem in group),
        evidence=_evidence(*(problem.evidence for problem in group)),
        problem_ids=tuple(problem.id for problem in group),
    )


def _merge(
    known: Incident,
    new: Incident,
    group: Iterable[Problem],
    unreadable: Container[str],
    now: datetime,
) -> Incident:
    """Return a known incident as it is now.

    It keeps its databases, its start unless a new problem began earlier, and its text and remedy
    while parts of it end, so that its end is reported with its cause. A problem that is new or
    worse replaces text and remedy, and so does the end of the kind of problem that they describe.
    Otherwise the text follows the numbers of its problems. Silence has none, and the process that
    ended may be forgotten. An incident that became worse needs another acknowledgement.
    """
    is_whole = {problem.id for problem in group}.issuperset(known.problem_ids)
    is_current = is_whole and family(new.kind) != "down"
    new_starts = [problem.since for problem in group if problem.id not in known.problem_ids]
    is_worse = SEVERITY.index(new.level) > SEVERITY.index(known.level)
    is_readable = _database_of(known.key) not in unreadable
    is_other = family(known.kind) != family(new.kind) and is_readable
    unchecked = [id_ for id_ in known.problem_ids if _database_of(id_) in unreadable]
    is_fault, was_fault = new.level == "fault", known.level == "fault"
    return replace(
        new if is_worse or new_starts or is_other or is_current else known,
        databases=tuple(dict.fromkeys([*known.databases, *new.databases])),
        level=new.level,
        since=min([known.since, *new_starts]),
        ended_at=None,
        fault_since=now if is_fault and not known.fault else known.fault_since,
        fault_until=now if was_fault and not is_fault else known.fault_until,
        acknowledged=None if is_worse else known.acknowledged,
        evidence=_evidence(known.evidence, new.evidence),
        problem_ids=tuple(dict.fromkeys([*new.problem_ids, *unchecked])),
        id=known.id,
    )


def _database_of(key: str) -> str:
    """Return the database that the key of an incident, or the id of a problem, begins with."""
    return re.split("[.:]", key, maxsplit=1)[0]


def _text(group: Sequence[Problem], statuses: Statuses, writer: Opener | None) -> str:
    ranked = worst_first(group)
    names = (problem.database for problem in ranked)
    all_labels = (statuses[name].database.label if name else words.OUR_LABEL for name in names)
    labels = list(dict.fromkeys(all_labels))
    sentences = [problem.text for problem in ranked]
    folders = {_missing_folder(problem, statuses) for problem in group}
    if len(labels) > 1 and len(folders) == 1 and (folder := folders.pop()):
        sentences = [words.folder_gone(folder)]
    if len(labels) > 1 and all(problem.is_silence for problem in group):
        sentences = [words.WRITES_STOPPED]
    if writer:
        since = min(problem.since for problem in group)
        gone = words.process_gone(writer, labels, since)
        sentences = [sentences[0], gone, *sentences[1:]]
    return words.incident_text(labels, sentences)


def _end(
    incident: Incident, statuses: Statuses, unreadable: Container[str], now: datetime
) -> Incident:
    """End an incident without problems, unless its databases cannot be checked now.

    An error ends as soon as another one takes its place; before the first reading it is unknown
    whether it goes on. Danger is seen without reading the database; the first reading after a
    restart only suspects it.
    """
    readings = [statuses[name].reading for name in incident.databases if name in statuses]
    codes = {reading.code for reading in readings}
    if incident.kind in get_args(Code):
        is_unchecked = "not_read_yet" in codes
    elif incident.kind in DANGERS:
        is_suspected = any("one_generation" in reading.detail for reading in readings)
        is_unchecked = is_suspected or not codes.isdisjoint(WITHOUT_CONFLICTS)
    else:
        is_unchecked = any(name in unreadable for name in incident.databases)
    if incident.ended_at or is_unchecked:
        return incident
    text = incident.text
    if incident.databases and not readings:
        text = f"{text} {words.NOT_WATCHED}"
    return replace(incident, text=text, ended_at=now)


def _is_unreadable(status: DatabaseStatus) -> bool:
    """Whether a database cannot be read now, for another reason than that it is gone."""
    code = status.reading.code
    return status.is_stale or (code is not None and code not in ABSENCES)
