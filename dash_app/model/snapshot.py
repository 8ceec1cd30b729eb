"""The state of all databases at one instant, as all faces show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import inf
from types import MappingProxyType
from typing import Literal

from dash_app.model.database import Database
from dash_app.model.event import Absence, Event
from dash_app.model.expectation import ExpectationReport
from dash_app.model.host_facts import Activity, Disk
from dash_app.model.incident import Acknowledgement, Incident
from dash_app.model.integrity import Integrity
from dash_app.model.match import Pattern
from dash_app.model.measure import MeasureReport
from dash_app.model.opener import Opener
from dash_app.model.problem import Level, Problem, harm_rank, worst, worst_first
from dash_app.model.reading import Code, LastGood, Reading
from dash_app.model.self_check import SelfReport

Status = Literal["connected", "not_initialized", "error"]


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """What a restart must not forget about the database at one path."""

    status: Status
    code: Code | None
    since: datetime
    """When this status and code began."""
    last_good: LastGood | None
    absence: Absence | None = None
    """The event that took its tables away, if they are gone."""
    baseline: Reading | None = None
    """The last reading with tables, with the newest exact count of each table.

    The next reading is compared with it.
    """


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """One database as all faces show it."""

    database: Database
    reading: Reading
    status: Status
    since: datetime
    """When its status began."""
    level: Level
    verdict: str
    """One sentence: its first problem, or its rows."""
    last_good: LastGood | None
    problems: tuple[Problem, ...] = ()
    """Programs that destroy it, then what keeps it from being read, then others, worst first.

    A paused database has only what keeps it from being read.
    """
    is_stale: bool = False
    """Whether the reading is too old to say anything."""
    activity: Activity | None = None
    """None until the history was read."""
    expectations: ExpectationReport | None = None
    """How it compares with its expectations; None if it has none."""
    integrity: Integrity | None = None
    """What the page check found; None if nothing is known yet."""
    measures: tuple[MeasureReport, ...] = ()
    """Its measures, in configured order."""
    incidents: tuple[Incident, ...] = ()
    """The open incidents that include one of its problems."""
    stopped_writer: Opener | None = None
    """The process whose end explains its silence; None if it is not silent, or unknown."""
    acknowledged: Acknowledgement | None = None
    """That of its worst problem, if all problems that need a person are acknowledged."""

    @property
    def change(self) -> int | None:
        """The number of rows added since `activity.since`, negative if removed; None if unknown.

        It is known only if the same tables were uncounted then as now, and not while programs see
        different rows.
        """
        if self.activity is None or self.activity.unknown_before != self.reading.unknown_tables:
            return None
        if "one_generation" in self.reading.detail:
            return None
        before, rows = self.activity.rows_before, self.reading.counted_rows
        return None if before is None or rows is None else rows - before

    @property
    def findings(self) -> list[Problem]:
        """All problems except the reading's error.

        If the tables of a database went away, its first problem is a finding: gone, emptied or
        truncated.
        """
        return [problem for problem in self.problems if problem.code != self.reading.code]

    @property
    def pressing(self) -> list[Problem]:
        """The problems that a person should look at, worst first; none if it is paused.

        An error needs nobody unless it is a fault: the database may not exist yet. Nor does a
        problem of which nothing is certain.
        """
        known = () if self.is_paused else self.problems
        return worst_first(
            problem
            for problem in known
            if problem.level == "fault"
            or (problem.level == "notice" and problem.code != self.reading.code)
        )

    @property
    def needs_you(self) -> bool:
        """Whether a person should look at it, and has not acknowledged all of its problems."""
        is_minor = all(problem.level == "unknown" for problem in self.findings)
        is_well = self.is_paused or (self.level != "fault" and is_minor)
        return not (is_well or self.acknowledged)

    @property
    def is_paused(self) -> bool:
        """Whether its problems are not reported."""
        return self.database.rules.paused


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Everything that is known at one instant. Snapshots differ even if they say the same."""

    taken_at: datetime
    databases: tuple[DatabaseStatus, ...]
    """The databases in configured order."""
    events: tuple[Event, ...] = ()
    """The newest 20 events, newest first."""
    history_disk: Disk | None = None
    incidents: tuple[Incident, ...] = ()
    """Open incidents, worst first, then those that ended recently, newest first."""
    history_notes: tuple[str, ...] = ()
    """Sentences on why the history is paused or had to start again."""
    recorded_at: datetime | None = None
    """When the newest points were stored in the history, since this process started."""
    gaps: tuple[tuple[datetime, datetime, int], ...] = ()
    """The times of more than 10 min in the last 7 days that nobody watched, newest first: start,
    end, and the rows written meanwhile."""
    undisturbed_since: datetime | None = None
    """When watching began, or resumed after more than an hour, or the last stored fault ended."""
    patterns: tuple[Pattern, ...] = ()
    """The configured patterns, in configured order."""
    found: tuple[Database, ...] = ()
    """Databases that are not watched, found by one search at a start without a configuration."""
    self_report: SelfReport = field(default_factory=SelfReport)
    taken_at_seconds: float = 0.0
    """`taken_at` on the steady clock."""

    @property
    def connected(self) -> int:
        """The number of databases that can be read."""
        return sum(status.status == "connected" for status in self.databases)

    @property
    def open_incidents(self) -> list[Incident]:
        """The incidents that are open, worst first."""
        return [incident for incident in self.incidents if not incident.ended_at]

    @property
    def well_since(self) -> datetime | None:
        """Since when no database has had a fault; None if one has, or if it is unknown."""
        ends = [one.fault[1] for one in self.incidents if one.databases and one.fault]
        known = [end for end in [self.undisturbed_since, *ends] if end]
        return max(known) if len(known) > len(ends) else None

    def with_incidents(
        self, incidents: tuple[Incident, ...], stopped: Mapping[str, Opener] = MappingProxyType({})
    ) -> Snapshot:
        """Return the snapshot with its incidents, and each status with those of its problems.

        `stopped` are the processes whose end explains the silence of databases, by their names.
        No acknowledgement covers a past change, which it would end.
        """
        causes = {id_: one for one in incidents if not one.ended_at for id_ in one.problem_ids}
        statuses = []
        for status in self.databases:
            found = {problem: causes.get(problem.id) for problem in status.pressing}
            known = [
                cause.acknowledgement(self.taken_at)
                if cause and not problem.needs_acknowledgement
                else None
                for problem, cause in found.items()
            ]
            acknowledged = known[0] if all(known) and known else None
            own = tuple(dict.fromkeys(filter(None, found.values())))
            writer = stopped.get(status.database.name)
            statuses.append(
                replace(status, incidents=own, acknowledged=acknowledged, stopped_writer=writer)
            )
        return replace(self, databases=tuple(statuses), incidents=incidents)

    def status_of(self, name: str) -> DatabaseStatus:
        """Return the status of a database. Raise StopIteration if there is none of this name."""
        return next(status for status in self.databases if status.database.name == name)

    @property
    def level(self) -> Level:
        """The worst level of any database."""
        return worst(status.level for status in self.databases)

    @property
    def shown_level(self) -> Level:
        """The worst level of any database, where an acknowledged one is a notice at most."""
        return worst("notice" if status.acknowledged else status.level for status in self.databases)

    @property
    def worst_first(self) -> list[DatabaseStatus]:
        """The databases that need a person, then the others, each by the harm and its start."""

        def rank(status: DatabaseStatus) -> tuple[bool, tuple[int, int], float]:
            worst_one = [(p.code, p.since.timestamp()) for p in status.pressing[:1]]
            code, since = worst_one[0] if worst_one else ("", inf)
            return not status.needs_you, harm_rank(status.level, code), since

        return sorted(self.databases, key=rank)

    @property
    def needing(self) -> list[DatabaseStatus]:
        """The databases that need a person, worst first."""
        return [status for status in self.worst_first if status.needs_you]


NewestSnapshot = Callable[[], Snapshot | None]
"""Returns the newest published snapshot; None before the first one."""
