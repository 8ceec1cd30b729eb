"""The verdict on a target, and when it is undecided."""

import pytest

from tests.bench.__main__ import SUBJECTS
from tests.bench.report import Table, Target, in_turns
from tests.harness import ROOT


@pytest.mark.parametrize(
    ("values", "limit", "at_most", "verdict"),
    [
        ([1.0, 1.01, 1.02], 1.1, True, "reached"),
        ([1.2, 1.21, 1.22], 1.1, True, "not reached"),
        ([0.6, 0.61, 0.62], 0.7, False, "not reached"),
        ([0.8, 0.81, 0.82], 0.7, False, "reached"),
        ([0.8, 1.0, 1.4], 1.1, True, "undecided"),
        ([1.0, 1.0, 1.0, 1.0, 9.0], 1.1, True, "reached"),
        ([1.1], 1.1, True, "reached"),
    ],
)
def test_a_target_is_undecided_if_the_spread_exceeds_the_difference(
    values: list[float],
    limit: float,
    at_most: bool,  # noqa: FBT001
    verdict: str,
) -> None:
    assert Target("", values, limit, at_most).verdict == verdict


def test_systems_are_measured_in_turns_and_compared_round_by_round() -> None:
    turns: list[str] = []
    speed = iter([2.0, 1.0, 20.0, 10.0])

    def measure(name: str) -> float:
        turns.append(name)
        return next(speed)

    table = Table("Speed", "ms")
    in_turns(2, {"a": lambda: measure("a"), "b": lambda: measure("b")}, table)
    table.ratio("a of b", "a", "b", 3)
    assert turns == ["a", "b", "a", "b"]
    assert table.targets[0].values == [2.0, 2.0]
    assert "REACHED: a of b: 2, at most 3" in table.text()


def test_growth_above_linear_misses_its_target() -> None:
    table = Table("Cost", "ms")
    for size, cost in ((10, 1.0), (100, 10.0), (1000, 1000.0)):
        table.add(f"rows {size}", cost)
    table.growth("rows ", (10, 100, 1000))
    assert list(table.targets[0].values) == [pytest.approx(2)]
    assert table.targets[0].verdict == "not reached"


def test_every_subject_has_a_module() -> None:
    modules = {path.stem for path in (ROOT / "tests" / "bench").glob("*.py")}
    assert set(SUBJECTS) <= modules
