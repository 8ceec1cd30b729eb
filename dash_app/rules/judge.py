"""Judge a reading: the problems of a database, its level and its one sentence. Pure functions."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain

from dash_app.model.database import Database
from dash_app.model.event import Event
from dash_app.model.expectation import ExpectationReport
from dash_app.model.host_facts import Activity
from dash_app.model.integrity import Integrity
from dash_app.model.measure import Answer, MeasureReport
from dash_app.model.problem import Level, Problem, danger_first, worst, worst_first
from dash_app.model.reading import Reading
from dash_app.model.snapshot import DatabaseState, DatabaseStatus, Status
from dash_app.rules.changes import refine_code, with_device_of
from dash_app.rules.measures import measure_problems, measure_reports
from dash_app.rules.problems import (
    conflict_problems,
    damage_problems,
    limit_problems,
    problem_of,
    wal_problems,
    with_earlier_growth,
)
from dash_app.rules.writes import last_write
from dash_app.words.errors import WordingContext, explain_error
from dash_app.words.summaries import verdict

LEVELS: dict[Status, Level] = {"connected": "well", "not_initialized": "notice", "error": "fault"}


def with_baseline(reading: Reading, baseline: Reading | None) -> Reading:
    """Complete a reading from the last one with tables, which may be older than this process."""
    baseline = baseline and with_device_of(reading, baseline)
    reading = with_earlier_growth(refine_code(baseline, reading), baseline)
    if reading.code is not None:
        return reading
    return replace(reading, last_modified=last_write(baseline, reading))


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that determines the status of a database."""

    database: Database
    reading: Reading
    state: DatabaseState
    events: Iterable[Event] = ()
    """Events whose problems have not ended."""
    expectations: ExpectationReport | None = None
    before: Iterable[Problem] = ()
    """The problems of the previous reading."""
    starts: Mapping[str, datetime] = field(default_factory=dict)
    """When the incidents of recent problems began, by the ids of these problems."""
    is_stale: bool = False
    """Whether the reading is too old to be trusted."""
    activity: Activity | None = None
    integrity: Integrity | None = None
    """What the page check found."""
    measures: Mapping[str, Answer] = field(default_factory=dict)
    """The newest answers to measures, by name."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    """The time of the snapshot."""


def judge(evidence: Evidence, context: WordingContext) -> DatabaseStatus:
    """Return the status of a database.

    A stale reading does not show whether its error persists, so its level is unknown. A paused
    database keeps its error and has no other problem.
    """
    database, reading, state = evidence.database, evidence.reading, evidence.state
    level: Level = "unknown" if reading.is_undecided else LEVELS[state.status]
    tables = evidence.reading.tables
    measures = measure_reports(database, evidence.measures, evidence.now, tables)
    problems = tuple(danger_first(_problems(evidence, measures, level, context)))
    others = [problem.level for problem in problems if problem.code != reading.code]
    level = worst(["unknown" if evidence.is_stale else level, *others])
    return DatabaseStatus(
        database=database,
        reading=reading,
        status=state.status,
        since=state.since,
        level="well" if database.rules.paused else level,
        verdict=verdict(reading, problems),
        last_good=state.last_good,
        problems=problems,
        is_stale=evidence.is_stale,
        activity=evidence.activity,
        expectations=evidence.expectations,
        integrity=evidence.integrity,
        measures=measures,
    )


def _problems(
    evidence: Evidence,
    measures: Iterable[MeasureReport],
    level: Level,
    context: WordingContext,
) -> Iterator[Problem]:
    """Yield the error of a reading at this level, if it has one, then other problems, worst first.

    If the tables disappeared, the error has the code of that event.
    """
    database, reading, state = evidence.database, evidence.reading, evidence.state
    if reading.code is not None:
        text, remedy = explain_error(
            reading.code, reading.detail, database, state.last_good, context
        )
        since = state.since if reading.code == state.code else reading.verified_at
        error = Problem(reading.code, level, since, text, remedy, database.name)
        if state.absence and not database.rules.paused:
            error = replace(error, code=state.absence, level="fault")
        yield error
    if not database.rules.paused:
        starts = {**evidence.starts, **{problem.id: problem.since for problem in evidence.before}}
        left = (problem for event in evidence.events if (problem := problem_of(event)))
        others = (
            conflict_problems(database.name, reading, starts),
            damage_problems(database.name, evidence.integrity),
            wal_problems(database.name, reading),
            limit_problems(database, reading, evidence.expectations, evidence.before, starts),
            measure_problems(database.name, measures, evidence.now, starts),
        )
        yield from worst_first([*left, *chain(*others)])
