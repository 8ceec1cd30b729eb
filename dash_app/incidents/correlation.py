"""From what is amiss to why: findings and faults of one cause are one incident.

Pure functions over the model. An incident begins and ends with what it is made of; what comes back
soon after its end goes on as the same one.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import get_args

from dash_app.incidents.stopped_processes import Seen, Writer, look, writers_gone
from dash_app.incidents.troubles import SILENCE, Trouble, family, troubles_of
from dash_app.model.incident import Incident
from dash_app.model.level import SEVERITY, worst
from dash_app.model.reading import ABSENCES, Code
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.words.incidents import (
    SILENT,
    folder_gone,
    incident_text,
    process_gone,
    process_remedy,
)

DATABASE = re.compile("[.:]")
"""What ends its name in the mark of a trouble."""

ONE_BLOW = timedelta(minutes=1)
"""What begins in one database within so long is one cause: an update takes more than one look."""


@dataclass(frozen=True, slots=True)
class Course:
    """How far incidents have come: those that are open, or over for no longer than they may return.

    `seen` is who had a database open; after a restart nobody is known.
    """

    incidents: tuple[Incident, ...] = ()
    seen: Seen = field(default_factory=dict)

    @property
    def open(self) -> tuple[Incident, ...]:
        """Those that are not over."""
        return tuple(one for one in self.incidents if one.ended_at is None)


def follow(
    course: Course, snapshot: Snapshot, settle: timedelta, others: Iterable[Trouble] = ()
) -> Course:
    """Return the course after a snapshot; its incidents worst first, then by their begin.

    `others` are troubles of ourselves, and of no database. What is back within `settle` of its end
    is the same incident.
    """
    now = snapshot.taken_at
    recent = [
        one for one in course.incidents if one.ended_at is None or now - one.ended_at <= settle
    ]
    known = {one.key: one for one in recent}
    seen = look(course.seen, snapshot)
    troubles = [*troubles_of(snapshot), *others]
    writers = writers_gone(seen, snapshot, troubles)
    homes = _homes(course, troubles, {name: one.key for name, one in writers.items()})
    names = [status.database.name for status in snapshot.databases]
    untold = frozenset(one.database.name for one in snapshot.databases if _is_untold(one))
    found = {}
    for key in dict.fromkeys(homes.values()):
        group = [one for one in troubles if homes[one.mark] == key]
        new = _incident(key, group, _writer_of(group, writers), names).up_to(now)
        found[key] = _grown(known[key], new, group, untold) if key in known else new
    unread = frozenset(one.database.name for one in snapshot.databases if _is_unread(one))
    over = [_over(one, untold, unread, now) for key, one in known.items() if key not in found]
    incidents = sorted([*found.values(), *over], key=_rank)
    return Course(tuple(incidents), seen)


def _rank(one: Incident) -> tuple[bool, int, datetime]:
    return one.ended_at is not None, -SEVERITY.index(one.level), one.since


@dataclass(frozen=True, slots=True)
class _Begin:
    """With what an incident began."""

    databases: tuple[str, ...]
    since: datetime
    family: str

    def is_of(self, trouble: Trouble, key: str) -> bool:
        """Whether a trouble that is new is more of the same.

        Silence is where nothing at all was written into its database since then; it comes by its
        own time, and so is no part of another blow.
        """
        name, written_at = trouble.database.name, trouble.written_at
        if trouble.is_silence or self.family == SILENCE:
            is_silent = written_at is None or written_at <= self.since + ONE_BLOW
            both = trouble.is_silence and self.family == SILENCE
            return both and is_silent and name in self.databases
        is_own = key.startswith((f"{name}:", f"{name}."))
        return is_own and abs(trouble.since - self.since) <= ONE_BLOW


def _homes(
    course: Course, troubles: Sequence[Trouble], writers: Mapping[str, str]
) -> dict[str, str]:
    """Return the key of the incident of each trouble, by its mark.

    One that is known stays where it is; a new one joins those of the same cause.
    """
    known = course.open
    before = {mark: one.key for one in known for mark in one.troubles}
    homes = {one.mark: before[one.mark] for one in troubles if one.mark in before}
    causes = {one.mark: _cause(one, writers) for one in troubles}
    of_cause = {causes[mark]: key for mark, key in reversed(homes.items())}
    begun = {one.key: _Begin(one.databases, one.since, family(one.kind)) for one in known}
    for one in sorted(troubles, key=lambda trouble: trouble.since):
        if one.mark in homes:
            continue
        cause = causes[one.mark]
        blow = next((key for key, begin in begun.items() if begin.is_of(one, key)), None)
        key = of_cause.get(cause) or blow or cause
        homes[one.mark] = of_cause[cause] = key
        begun.setdefault(key, _Begin((one.database.name,), one.since, family(one.kind)))
    return homes


def _cause(trouble: Trouble, writers: Mapping[str, str]) -> str:
    if trouble.is_silence:
        return writers.get(trouble.database.name, trouble.key)
    return trouble.key


def _writer_of(group: Iterable[Trouble], writers: Mapping[str, Writer]) -> Writer | None:
    names = (one.database.name for one in group if one.is_silence)
    return next((writers[name] for name in names if name in writers), None)


def _incident(
    key: str, group: Sequence[Trouble], writer: Writer | None, names: Iterable[str]
) -> Incident:
    gravest = _ranked(group)[0]
    by_process = writer if gravest.is_silence else None
    concerned = {one.database.name for one in group}
    return Incident(
        key=key,
        databases=tuple(name for name in names if name in concerned),
        kind=gravest.kind,
        level=worst(one.level for one in group),
        text=_text(group, writer),
        remedy=process_remedy(by_process.command) if by_process else gravest.remedy,
        since=min(one.since for one in group),
        troubles=tuple(one.mark for one in group),
    )


def _grown(
    known: Incident, new: Incident, group: Iterable[Trouble], untold: Container[str]
) -> Incident:
    """Return an open incident as it is now.

    It keeps its databases, its start unless a new problem began earlier, and its text and remedy
    while parts of it end, so that its end is reported with its cause. A problem that is new or
    worse changes them, and so does the end of the kind of problem that they are about. An incident
    that became worse needs another acknowledgement.
    """
    begins = [one.since for one in group if one.mark not in known.troubles]
    is_worse = SEVERITY.index(new.level) > SEVERITY.index(known.level)
    is_other = family(known.kind) != family(new.kind) and DATABASE.split(known.key)[0] not in untold
    is_new = bool(set(new.troubles) - set(known.troubles))
    told = new if is_worse or is_new or is_other else known
    kept = [one for one in known.troubles if DATABASE.split(one)[0] in untold]
    return replace(
        told,
        databases=tuple(dict.fromkeys([*known.databases, *new.databases])),
        level=new.level,
        since=min([known.since, *begins]),
        ended_at=None,
        acknowledged=None if is_worse else known.acknowledged,
        troubles=tuple(dict.fromkeys([*new.troubles, *kept])),
        id=known.id,
    )


def _ranked(group: Iterable[Trouble]) -> list[Trouble]:
    """Return problems, worst first; the first one gives the first sentence and the remedy."""
    return sorted(group, key=lambda one: SEVERITY.index(one.level), reverse=True)


def _text(group: Sequence[Trouble], writer: Writer | None) -> str:
    ranked = _ranked(group)
    labels = list(dict.fromkeys(one.database.label for one in ranked))
    sentences = [one.text for one in ranked]
    folders = {one.folder for one in group}
    if len(labels) > 1 and len(folders) == 1 and (folder := folders.pop()):
        sentences = [folder_gone(folder)]
    if len(labels) > 1 and all(one.is_silence for one in group):
        sentences = [SILENT]
    if writer:
        gone = process_gone(writer.command, writer.pid, writer.until, labels)
        sentences = [sentences[0], gone, *sentences[1:]]
    return incident_text(labels, sentences)


def _over(
    known: Incident, untold: Container[str], unread: Container[str], now: datetime
) -> Incident:
    """Return an incident of which nothing is found any more: over, unless that can't be told."""
    is_untold = any(name in untold for name in known.databases)
    is_unread = any(name in unread for name in known.databases)
    if known.ended_at or is_unread or (is_untold and known.kind not in get_args(Code)):
        return known
    return replace(known, ended_at=now)


def _is_unread(status: DatabaseStatus) -> bool:
    """Whether nothing is known of a database yet, not even whether its fault goes on."""
    return status.fault is not None and status.fault.code == "not_read_yet"


def _is_untold(status: DatabaseStatus) -> bool:
    """Whether a database can't be read now, while it is not known to be away."""
    return status.is_stale or (status.fault is not None and status.fault.code not in ABSENCES)
