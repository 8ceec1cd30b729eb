"""Measures in words: values, limits, and problems on a card and in the headline."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dash_app.model.measure import Answer, Measure, Value
from dash_app.model.snapshot import Snapshot
from dash_app.rules.measures import measure_problems, measure_reports
from dash_app.words.measures import limits_text, value_text
from dash_app.words.problems import current_parts, spoken
from dash_app.words.summaries import headline
from tests.factories import NOW, database, good_reading, judged_status

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
THREE_HOURS_AGO = NOW.timestamp() - 3 * 3600


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "USD", "unknown"),
        (1204.0, "", "1,204"),
        (0.351234, "USD", "0.3512 USD"),
        (-3, "", "−3"),
        (12.5, "%", "12.5%"),
        (4_200_000, "bytes", "4.2 MB"),
        (10_900, "age", "3 h"),
        (0.25, "s", "250 ms"),
        (1500, "ms", "1.5 s"),
        (7200, "s", "2 h"),
    ],
)
def test_a_value_has_its_unit(value: float | None, unit: str, text: str) -> None:
    assert value_text(value, unit) == text


def measure(label: str, **fields: Any) -> Measure:
    """A measure that is asked each minute."""
    return Measure("open", label, MINUTE, **fields)


TASKS = [Value("failed", 80), Value("open", 60), Value("late", 70), Value("held", 90), Value("", 1)]
OUT_OF_RANGE: list[tuple[Measure, list[Value], str, str]] = [
    (
        measure("Open tasks", greatest=50),
        [Value(None, 63)],
        "Open tasks: 63, more than 50.",
        "at most 50",
    ),
    (
        measure("Cost", least=5, unit="USD"),
        [Value(None, 3.5)],
        "Cost: 3.5 USD, less than 5 USD.",
        "at least 5 USD",
    ),
    (measure("Queues", equals=3), [Value(None, 2)], "Queues: 2, not 3.", "exactly 3"),
    (
        measure("Tasks", greatest=50),
        TASKS,
        "Tasks: held 90, failed 80, late 70 and 1 more, each more than 50.",
        "at most 50",
    ),
    (
        measure("Tasks", least=2, greatest=65),
        [Value("failed", 80), Value("done", 1)],
        "Tasks: failed 80, more than 65; done 1, less than 2.",
        "2 to 65",
    ),
    (
        measure("Without owner", kind="no_rows", greatest=0),
        [Value(None, 1)],
        "Without owner: 1, none allowed.",
        "no rows",
    ),
    (
        measure("Without owner", kind="no_rows", greatest=0),
        [Value(None, 1000)],
        "Without owner: 1,000 or more, none allowed.",
        "no rows",
    ),
    (
        measure("Nightly runs", kind="rows_written", least=40),
        [Value(None, 12)],
        "Nightly runs: 12, fewer than 40 rows.",
        "at least 40",
    ),
    (
        measure("Newest task", greatest=5400, unit="age"),
        [Value(None, THREE_HOURS_AGO)],
        "Newest task: from 12:00 UTC, more than 90 min old.",
        "at most 90 min",
    ),
    (
        measure("Newest task", greatest=3600, unit="age"),
        [Value("ann", THREE_HOURS_AGO), Value("bob", THREE_HOURS_AGO + 60)],
        "Newest task: ann from 12:00 UTC and 1 more, each more than 1 h old.",
        "at most 1 h",
    ),
    (
        measure("Cost", greatest=50, unit="USD"),
        [Value(None, 50.004)],
        "Cost: 50.004 USD, more than 50 USD.",
        "at most 50 USD",
    ),
    (
        measure("Newest run", greatest=90, unit="s"),
        [Value(None, 110)],
        "Newest run: 110 s, more than 90 s.",
        "at most 90 s",
    ),
    (
        measure("Oldest", least=1e300, unit="age"),
        [Value(None, THREE_HOURS_AGO)],
        "Oldest: from 12:00 UTC, less than 1.000e+300 s old.",
        "at least 1.000e+300 s",
    ),
]


@pytest.mark.parametrize(("asked", "values", "text", "limits"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_a_sentence(
    asked: Measure, values: list[Value], text: str, limits: str
) -> None:
    watched = replace(database(), measures=(asked,))
    reports = measure_reports(watched, {"open": Answer(tuple(values), NOW)}, NOW)
    (problem,) = measure_problems("email", reports, NOW, {})
    assert (problem.text, limits_text(asked)) == (text, limits)
    current = text.replace("from 12:00 UTC", "4 h")
    assert spoken(current_parts(problem), NOW + HOUR) == current
    # An age advances without a new sentence.
    (later,) = measure_reports(watched, {"open": Answer(tuple(values), NOW)}, NOW + HOUR)
    (again,) = measure_problems("email", [later], NOW + HOUR, {problem.id: NOW})
    assert again == problem


def test_the_headline_names_the_measure() -> None:
    status = judged_status(good_reading(tasks=1))
    watched = replace(database(), measures=(measure("Open tasks", greatest=50),))
    reports = measure_reports(watched, {"open": Answer((Value(None, 63),), NOW)}, NOW)
    problems = tuple(measure_problems("email", reports, NOW, {}))
    status = replace(status, database=watched, measures=reports, problems=problems, level="fault")
    assert headline(Snapshot(NOW, (status,)), NOW + HOUR) == "Email: Open tasks out of range, 1 h"
    failed = replace(problems[0], code="measure_failed")
    status = replace(status, problems=(failed,))
    assert headline(Snapshot(NOW, (status,)), NOW + HOUR) == "Email: Open tasks not measured, 1 h"
