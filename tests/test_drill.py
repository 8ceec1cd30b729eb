"""Three days of the drill: each failure told once, in time and with its cause, and nothing else.

`./ops/drill` lives through the whole month.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.drill.checks import Said, faults
from tests.drill.runner import Drill
from tests.drill.scenarios import few_days

A_DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[Said]:
    folder: Path = tmp_path_factory.mktemp("drill")
    return Drill(folder, few_days()).run()


def test_a_person_hears_of_each_failure_once_and_of_nothing_else(said: list[Said]) -> None:
    assert faults(few_days().plants, said) == []


def test_the_drill_would_notice(said: list[Said]) -> None:
    plants, first = few_days().plants, said[0]
    assert len(faults(plants, said[1:])) == 1
    assert len(faults(plants, [first, *said])) == 1
    assert len(faults(plants, [*said, replace(first, at=first.at + A_DAY)])) == 1
    assert len(faults(plants, [replace(first, text="something"), *said[1:]])) == 1
    late = replace(first, at=first.at + timedelta(minutes=20))
    assert len(faults(plants, [late, *said[1:]])) == 1
