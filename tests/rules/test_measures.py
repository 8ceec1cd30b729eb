"""Reports and problems of measures: limits, levels, ages and patience."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dash_app.model.measure import OTHERS, Answer, Failure, MeasureReport, Value
from dash_app.rules.measures import measure_problems, measure_reports
from dash_app.settings.measures import MeasureSettings
from tests.factories import NOW, database


def report(answer: Answer, **settings: Any) -> MeasureReport:
    given = {"name": "m", "sql": "SELECT 1", **settings}
    measures = (MeasureSettings.model_validate(given).measure,)
    (one,) = measure_reports(replace(database(), measures=measures), {"m": answer}, NOW)
    return one


def codes(one: MeasureReport) -> list[tuple[str, str]]:
    return [(problem.code, problem.level) for problem in measure_problems("a", [one], NOW, {})]


def values(*numbers: float | None) -> Answer:
    if len(numbers) == 1:
        return Answer((Value(None, numbers[0]),), NOW)
    return Answer(tuple(Value(f"l{n}", number) for n, number in enumerate(numbers)), NOW)


@pytest.mark.parametrize(
    ("numbers", "limits", "wrong"),
    [
        ([50], {"max": 50}, 0),
        ([50.1], {"max": 50}, 1),
        ([-1], {"min": 0, "max": 50}, 1),
        ([3], {"equals": 3}, 0),
        ([2.999], {"equals": 3}, 1),
        ([None], {"min": 1}, 0),
        ([], {"min": 1}, 0),
        ([7, None, 60, 99], {"max": 50}, 2),
        ([0], {"no_rows": True}, 0),
        ([1], {"no_rows": True}, 1),
        ([1e300], {}, 0),
    ],
)
def test_each_value_must_be_within_the_limits(
    numbers: Sequence[float | None], limits: dict[str, Any], wrong: int
) -> None:
    one = report(values(*numbers), **limits)
    assert len(one.out_of_range) == wrong
    is_known = any(number is not None for number in numbers)
    assert one.level == ("fault" if wrong else "well" if is_known else "unknown")
    assert codes(one) == [("measure_out_of_range", "fault")] * bool(wrong)


def test_a_limit_can_be_a_notice() -> None:
    one = report(values(51), max=50, level="notice")
    assert (one.level, codes(one)) == ("notice", [("measure_out_of_range", "notice")])


def test_an_age_grows_while_nothing_is_asked() -> None:
    hour_ago = values((NOW - timedelta(hours=1)).timestamp())
    assert report(hour_ago, unit="age").number == 3600
    assert codes(report(hour_ago, unit="age", max=3599)) == [("measure_out_of_range", "fault")]
    assert report(values(NOW.timestamp() + 5), unit="age", max=60).number == 0


@pytest.mark.parametrize(
    ("code", "minutes", "is_reported"),
    [
        ("sql", 0, True),
        ("sql", -60, True),  # stored before the clock was set back
        ("refused", 0, True),
        ("slow", 0, False),
        ("slow", 3, False),
        ("slow", 4, True),
        ("crashed", 3, False),
        ("cannot be interrupted", 3, False),
        ("waits", 9, False),
        ("busy", 9, False),
        ("waits", 11, True),
    ],
)
def test_a_failure_is_a_notice_once_a_busy_machine_does_not_explain_it(
    code: str, minutes: int, *, is_reported: bool
) -> None:
    failure = Failure(code, NOW - timedelta(minutes=minutes))
    one = report(replace(values(7), failure=failure), every="2m")
    assert (one.number, one.level) == (7, "notice" if is_reported else "well")
    assert codes(one) == [("measure_failed", "notice")] * is_reported
    assert codes(report(replace(values(7), failure=failure), max=5, every="2m")) == [
        ("measure_out_of_range", "fault"),
        *[("measure_failed", "notice")] * is_reported,
    ]


def test_twelve_values_are_shown_and_the_others_are_summed() -> None:
    one = report(values(*range(20)))
    assert [value.label for value in one.shown] == [*(f"l{n}" for n in range(8, 20)), OTHERS]
    assert one.shown[-1].number == sum(range(8))
    times = [NOW.timestamp() - age for age in range(20)]
    assert report(values(*times), unit="age").shown[-1].number == 7
    assert report(values(*[1e308] * 20)).shown[-1].number is None
    assert report(values(*[None] * 20)).shown[-1].number is None
