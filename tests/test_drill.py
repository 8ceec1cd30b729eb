"""Three days of the drill: each fault is notified once, in time and with its cause.

`./ops/drill` simulates the whole month.
"""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.drill.checks import errors
from tests.drill.runner import Received
from tests.drill.scenarios import few_days

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def received(tmp_path_factory: pytest.TempPathFactory) -> list[Received]:
    folder: Path = tmp_path_factory.mktemp("drill")
    return few_days().run(folder).received


def test_each_fault_is_notified_once_and_nothing_else(received: list[Received]) -> None:
    assert errors(few_days().faults, received) == []


def test_the_checks_detect_each_kind_of_error(received: list[Received]) -> None:
    faults, first = few_days().faults, received[0]
    assert len(errors(faults, received[1:])) == 1
    assert len(errors(faults, [first, *received])) == 1
    again = [*received, replace(first, at=first.at + DAY)]
    assert len(errors(faults, sorted(again, key=lambda message: message.at))) == 1
    assert len(errors(faults, [replace(first, text="something"), *received[1:]])) == 1
    late = replace(first, at=first.at + timedelta(minutes=20))
    assert len(errors(faults, [late, *received[1:]])) == 1
