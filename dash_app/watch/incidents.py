"""From what is amiss to why: findings and faults of one cause are one incident.

Pure functions over the model. An incident begins and ends with what it is made of; what comes back
soon after its end goes on as the same one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, get_args

from dash_app import words
from dash_app.incident import Incident
from dash_app.model import ABSENCES, SEVERITY, Code, worst
from dash_app.watch.troubles import SILENCE, Trouble, family, troubles_of
from dash_app.watch.writers import PROCESS, Seen, Writer, look, writers_gone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from dash_app.model import Database, Snapshot

ONE_BLOW = timedelta(minutes=1)
"""What begins in one database within so long is one cause: an update takes more than one look."""


@dataclass(frozen=True, slots=True)
class Course:
    """How far incidents have come: those that are open, or over for no longer than they may return.

    `homes` says to which of them each trouble belongs, by its mark, `marks` which troubles each of
    them ever had, and `seen` who had a database open; after a restart all are empty.
    """

    incidents: tuple[Incident, ...] = ()
    homes: Mapping[object, str] = field(default_factory=dict)
    marks: Mapping[str, frozenset[object]] = field(default_factory=dict)
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
    databases = [status.database for status in snapshot.databases]
    found, marks = {}, {}
    for key in dict.fromkeys(homes.values()):
        group = [one for one in troubles if homes[one.mark] == key]
        one = _incident(known.get(key), key, group, _writer_of(group, writers), databases)
        before, there = course.marks.get(key, frozenset()), {one.mark for one in group}
        found[key] = _as_wide(one, known[key]) if key in known and there < before else one
        marks[key] = before.union(there)
    over = [_over(one, snapshot) for key, one in known.items() if key not in found]
    incidents = sorted([*found.values(), *over], key=_rank)
    return Course(tuple(incidents), homes, marks, seen)


def _as_wide(one: Incident, known: Incident) -> Incident:
    """Return an incident of which a part is over: unless it got worse, it tells of all that it was.

    Its end would otherwise be told of the last table alone, and without the cause.
    """
    if SEVERITY.index(one.level) > SEVERITY.index(known.level):
        return one
    return replace(one, kind=known.kind, text=known.text, remedy=known.remedy)


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

        Silence is where nothing at all was written into its database since then.
        """
        name, written_at = trouble.database.name, trouble.written_at
        if trouble.is_silence and self.family == SILENCE:
            is_silent = written_at is None or written_at <= self.since + ONE_BLOW
            return name in self.databases and is_silent
        is_own = key.startswith((f"{name}:", f"{name}."))
        return is_own and abs(trouble.since - self.since) <= ONE_BLOW


def _homes(
    course: Course, troubles: Sequence[Trouble], writers: Mapping[str, str]
) -> dict[object, str]:
    """Return the key of the incident of each trouble, by its mark.

    One that is known stays where it is; a new one joins those of the same cause.
    """
    known = course.open
    homes = {
        one.mark: key for one in troubles if (key := course.homes.get(one.mark) or _at(one, known))
    }
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


def _at(trouble: Trouble, known: Iterable[Incident]) -> str | None:
    """Return the open incident that must be a trouble's, where a restart has forgotten it."""
    name = trouble.database.name
    for one in known:
        is_another_tables = one.key.startswith(f"{name}.") and one.key != trouble.key
        same_kind = family(trouble.kind) == family(one.kind)
        same_begin = not trouble.asks or abs(trouble.since - one.since) <= ONE_BLOW
        if name in one.databases and same_kind and same_begin and not is_another_tables:
            return one.key
    return None


def _cause(trouble: Trouble, writers: Mapping[str, str]) -> str:
    if trouble.is_silence:
        return writers.get(trouble.database.name, trouble.key)
    return trouble.key


def _writer_of(group: Iterable[Trouble], writers: Mapping[str, Writer]) -> Writer | None:
    names = (one.database.name for one in group if one.is_silence)
    return next((writers[name] for name in names if name in writers), None)


def _incident(
    known: Incident | None,
    key: str,
    group: Sequence[Trouble],
    writer: Writer | None,
    databases: Iterable[Database],
) -> Incident:
    """Return an incident as it is now: it keeps its begin, and whom it ever concerned."""
    gravest = max(group, key=lambda one: (SEVERITY.index(one.level), -one.since.timestamp()))
    concerned = {one.database.name for one in group} | set(known.databases if known else ())
    new = Incident(
        key=key,
        databases=tuple(one.name for one in databases if one.name in concerned),
        kind=gravest.kind,
        level=worst(one.level for one in group),
        text=_text(group, writer),
        remedy=words.process_remedy(writer.command)
        if writer and gravest.kind in SILENCE
        else gravest.remedy,
        since=min(one.since for one in group),
    )
    if known is None:
        return new
    if writer is None and key.startswith(PROCESS) and new.databases == known.databases:
        # Who had it open is not known over a restart.
        new = replace(new, text=known.text, remedy=known.remedy)
    same = (new.databases, new.kind, new.level) == (known.databases, known.kind, known.level)
    if same and known.ended_at is None and _letters(new.text) == _letters(known.text):
        return known
    return replace(
        new,
        since=min(new.since, known.since),
        acknowledged=known.acknowledged,
        id=known.id,
    )


def _letters(text: str) -> str:
    """Return a text without its numbers: that they moved on is no news."""
    return "".join(one for one in text if not one.isdigit())


def _text(group: Sequence[Trouble], writer: Writer | None) -> str:
    ranked = sorted(group, key=lambda one: SEVERITY.index(one.level), reverse=True)
    labels = list(dict.fromkeys(one.database.label for one in ranked))
    sentences = [one.text for one in ranked]
    folders = {one.folder for one in group}
    if len(labels) > 1 and len(folders) == 1 and (folder := folders.pop()):
        sentences = [words.folder_gone(folder)]
    if len(labels) > 1 and all(one.is_silence for one in group):
        sentences = [words.SILENT]
    if writer:
        gone = words.process_gone(writer.command, writer.pid, writer.until, labels)
        sentences = [sentences[0], gone, *sentences[1:]]
    return words.incident(labels, sentences)


def _over(known: Incident, snapshot: Snapshot) -> Incident:
    """Return an incident of which nothing is found any more: over, unless that can't be told."""
    if known.ended_at or (known.kind not in get_args(Code) and _is_untold(known, snapshot)):
        return known
    return replace(known, ended_at=snapshot.taken_at)


def _is_untold(incident: Incident, snapshot: Snapshot) -> bool:
    """Whether one of its databases can't be read now, while it is not known to be away."""
    return any(
        status.is_stale or (status.fault is not None and status.fault.code not in ABSENCES)
        for status in snapshot.databases
        if status.database.name in incident.databases
    )
