"""The settings of measures: what is refused, with its fix, and what is made of the rest."""

import pytest
from pydantic import ValidationError

from dash_app.model.measure import Measure
from dash_app.settings.measures import MeasureSettings, check_measures

SQL = {"sql": "SELECT 1"}
WINDOW = {"table": "runs", "rows_written": 40, "window": "02:00-03:00 UTC"}


def measure(**settings: object) -> Measure:
    return MeasureSettings.model_validate({"name": "m", **settings}).measure


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ({}, "write `sql`"),
        ({"sql": " "}, "write `sql`"),
        ({**SQL, **WINDOW}, "write `sql`"),
        ({"table": "runs"}, "all three of"),
        ({"sql": "SELECT \0"}, "null character"),
        ({**SQL, "max": "5"}, "without quotes"),
        ({**SQL, "max": True}, "without quotes"),
        ({**SQL, "max": float("nan")}, "without quotes"),
        ({**SQL, "max": 10**400}, "without quotes"),
        ({**SQL, "min": 2, "max": 1}, "`min` is greater than `max`"),
        ({**SQL, "equals": 2, "max": 3}, "either `equals`"),
        ({**SQL, "no_rows": True, "max": 1}, "`max` is not needed"),
        ({**WINDOW, "min": 1}, "`min` is not needed"),
        ({**WINDOW, "no_rows": True}, "`no_rows` needs `sql`"),
        ({**SQL, "no_rows": True, "unit": "age"}, "that returns a time"),
        ({**WINDOW, "unit": " age"}, "that returns a time"),
    ],
)
def test_a_wrong_measure_is_refused_with_its_fix(settings: dict[str, object], fix: str) -> None:
    with pytest.raises(ValidationError, match=fix):
        measure(**settings)


def test_names_labels_and_units_are_one_line() -> None:
    assert measure(**SQL, label="a\nb\u202e", unit="c\td").label == "a b"
    assert measure(**SQL, unit="c\td\u202e").unit == "c d"
    assert measure(**{**SQL, "name": "open_tasks-2"}).label == "Open tasks 2"
    assert measure(**{**SQL, "name": "_"}).label == "_"


def test_measures_of_a_database_are_told_apart_and_few_are_pinned() -> None:
    one, pinned = (
        MeasureSettings.model_validate({"name": "m", **SQL, "pinned": p}) for p in (False, True)
    )
    for measures, fix in (
        ((one, one), "given twice: m"),
        (tuple(pinned.model_copy(update={"name": f"m{n}"}) for n in range(4)), "pin at most 3"),
        ((one.model_copy(update={"name": "foreign_keys"}),), "foreign_keys = true"),
    ):
        with pytest.raises(ValueError, match=fix):
            check_measures(measures)
