"""Lost rows, damage and missing tables rank before a late write and exceeded limits."""

from dash_app.model.problem import ProblemCode, worst_first
from dash_app.model.snapshot import Snapshot
from tests.factories import NOW, failed_reading, judged_status
from tests.incidents.helpers import finding, status

BY_HARM: list[ProblemCode] = ["rows_dropped", "corrupt", "gone", "io_error", "down"]


def test_problems_rank_by_level_and_then_by_harm() -> None:
    late = finding("late", 0, level="notice")
    faults = [finding(code, minute) for minute, code in enumerate(reversed(BY_HARM))]
    assert [problem.code for problem in worst_first([late, *faults])] == [*BY_HARM, "late"]


def test_databases_rank_by_harm_and_those_that_need_nobody_come_last() -> None:
    late, well = status("late", NOW, finding("late", 0, level="notice")), status("well", NOW)
    unknown = judged_status(failed_reading("needs_extension"), name="unknown")
    faults = [status(code, NOW, finding(code, 9 - at)) for at, code in enumerate(BY_HARM)]
    earlier = status("earlier", NOW, finding("down", 0))
    snapshot = Snapshot(NOW, (well, unknown, late, *reversed(faults), earlier))
    names = [status.database.name for status in snapshot.worst_first]
    assert names == [*BY_HARM[:4], "earlier", "down", "late", "unknown", "well"]
    assert len(snapshot.needing) == 7
