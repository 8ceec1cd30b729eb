"""Judge the answers to measures: reports for all faces, and problems. Pure functions."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dash_app.model.database import Database
from dash_app.model.measure import (
    AGE,
    Answer,
    Failure,
    Measure,
    MeasureReport,
    Value,
    missing_table,
)
from dash_app.model.problem import Problem, worst
from dash_app.words.measures import FAILURE_REMEDIES, explain, out_of_range
from dash_app.words.problems import REMEDIES

PATIENCE: Mapping[str, tuple[timedelta, int]] = {
    **dict.fromkeys(("waits", "busy"), (timedelta(minutes=10), 3)),
    **dict.fromkeys(
        ("slow", "damaged", "crashed", "hung", "cannot be interrupted"), (timedelta(0), 2)
    ),
}
"""How long a failure must have lasted, also as a multiple of `every`, before it is reported: a busy
machine may explain a single one. Others are certain at once."""

OLD = timedelta(minutes=2)
"""A measure may be asked this much later than due: on a busy machine, or with little budget."""

MEASURED: Mapping[str, str] = {
    "no_rows": "Look at the rows that its `sql` returns, or correct it.",
    "foreign_keys": "Look at the rows that `PRAGMA foreign_key_check` returns.",
    "rows_written": "Check what writes it, and its log.",
}
"""What to do about a value out of range, by the kind of the measure."""


def measure_reports(
    database: Database, answers: Mapping[str, Answer], now: datetime, tables: Collection[str] = ()
) -> tuple[MeasureReport, ...]:
    """Return a report for each measure of a database.

    `answers` are by the names of measures. `tables` are those of the database, if they are known.
    """
    reports = []
    for measure in database.measures:
        answer = answers.get(measure.name, Answer())
        if failure := missing_table(measure, tables, now):
            answer = replace(answer, failure=failure)
        reports.append(_report(measure, answer, now))
    return tuple(reports)


def _report(measure: Measure, answer: Answer, now: datetime) -> MeasureReport:
    failure = answer.failure
    error, remedy = None, ""
    if failure and _is_reported(measure, failure, now):
        error = explain(failure)
        remedy = FAILURE_REMEDIES.get(failure.code, REMEDIES["measure_failed"])
    values, measured_at = answer.values, answer.measured_at
    if measure.unit == AGE:
        at = None if answer.is_current else measured_at
        values = tuple(_with_age(value, now, at) for value in values)
    is_late = measured_at and not answer.is_current and now - measured_at > measure.every + OLD
    is_old = bool(measured_at and (error or is_late))
    report = MeasureReport(measure, values, measured_at, "well", error, remedy, is_old)
    if report.out_of_range:
        return replace(report, level=worst([measure.level, "notice"]))
    if error:
        return replace(report, level="notice")
    is_known = any(value.number is not None for value in values)
    return report if is_known else replace(report, level="unknown")


def _is_reported(measure: Measure, failure: Failure, now: datetime) -> bool:
    least, multiple = PATIENCE.get(failure.code, (timedelta(0), 0))
    since = min(failure.since, now)  # a later time was stored before the clock was set back
    return now - since >= max(least, multiple * measure.every)


def _with_age(value: Value, now: datetime, at: datetime | None) -> Value:
    """Turn a time into its age, or its age at a time. A time that is slightly ahead is now."""
    if value.number is None:
        return value
    if at:
        return Value(value.label, max(at.timestamp() - value.number, 0.0))
    time = datetime.fromtimestamp(max(value.number, 0.0), UTC)  # a year before 1 raises an error
    return Value(value.label, max(now.timestamp() - value.number, 0.0), time)


def measure_problems(
    database: str,
    reports: Iterable[MeasureReport],
    now: datetime,
    starts: Mapping[str, datetime],
) -> Iterator[Problem]:
    """Yield the problems of the measures of a database at a snapshot of `now`.

    `starts` has the start of known problems by their ids, also from before a restart.
    """
    for report in reports:
        measure = report.measure
        if report.out_of_range:
            remedy = MEASURED.get(measure.kind, REMEDIES["measure_out_of_range"])
            problem = Problem(
                "measure_out_of_range",
                measure.level,
                now,
                "",
                remedy,
                database,
                measure=measure.name,
            )
            since = starts.get(problem.id, now)
            text, text_since = out_of_range(report, since)
            yield replace(problem, since=since, text=text, text_since=text_since)
        if report.error:
            text = f"{measure.label}: {report.error}"
            problem = Problem(
                "measure_failed", "notice", now, text, report.remedy, database, measure=measure.name
            )
            yield replace(problem, since=starts.get(problem.id, now))
