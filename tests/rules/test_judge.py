"""The status of a database: its problems, its level and its sentence, from one reading."""

from dataclasses import replace
from typing import Any

import pytest

from dash_app.api.serializers import database_document
from dash_app.model.event import Event
from dash_app.model.expectation import Rules
from dash_app.model.reading import Reading
from dash_app.model.snapshot import DatabaseState, DatabaseStatus
from dash_app.rules.changes import apply_reading, next_state
from dash_app.rules.judge import Evidence, judge
from tests.factories import EARLIER, NOW, WORDING, database, failed_reading, good_reading

EMPTIED = Event("email", "rows_dropped", NOW, {"rows": {"tasks": 30}}, {"rows": {"tasks": 0}})
FEW_ROWS = Rules(min_rows=50)


def gone_state() -> DatabaseState:
    """The state of a database whose file disappeared after a good reading."""
    before, _ = apply_reading("email", good_reading(tasks=30), None)
    state, _ = apply_reading("email", failed_reading("file_missing"), before)
    return state


def judged(evidence: Evidence) -> DatabaseStatus:
    return judge(evidence, WORDING)


def codes(status: DatabaseStatus) -> list[str]:
    return [problem.code for problem in status.problems]


def json_of(status: DatabaseStatus) -> tuple[Any, list[Any]]:
    """The two views that the JSON has of the problems."""
    document = database_document(status)
    return document["error"], document["findings"]


def test_a_missing_file_is_one_problem_and_in_both_views_of_the_json() -> None:
    status = judged(Evidence(database(), failed_reading("file_missing"), gone_state()))
    (problem,) = status.problems
    assert (problem.code, problem.level, problem.text) == ("gone", "fault", status.verdict)
    error, (finding,) = json_of(status)
    assert error == {"code": "file_missing", "message": problem.text, "remedy": problem.remedy}
    assert (finding["kind"], finding["text"]) == ("gone", problem.text)


def test_a_file_that_never_existed_needs_nobody() -> None:
    reading = failed_reading("file_missing")
    status = judged(Evidence(database(), reading, next_state(reading, None)))
    assert (status.level, status.needs_you, codes(status)) == ("notice", False, ["file_missing"])
    error, findings = json_of(status)
    assert (error["code"], findings) == ("file_missing", [])


def test_an_error_comes_before_findings_and_these_by_level() -> None:
    reading = failed_reading("locked")
    state = next_state(reading, next_state(good_reading(tasks=0), None))
    replaced = Event("email", "replaced", NOW, {"file": "1:1"}, {"file": "1:2"})
    status = judged(Evidence(database(), reading, state, events=(replaced, EMPTIED)))
    assert codes(status) == ["locked", "rows_dropped", "replaced"]
    assert status.verdict == status.problems[0].text
    assert [finding["kind"] for finding in json_of(status)[1]] == ["rows_dropped", "replaced"]


@pytest.mark.parametrize(
    "passing",
    [replace(failed_reading("locked"), detail={"is_new": "yes"}), failed_reading("not_read_yet")],
)
def test_an_error_keeps_its_start_over_a_reading_that_decides_nothing(passing: Reading) -> None:
    damaged = replace(failed_reading("corrupt"), verified_at=EARLIER)
    state = next_state(damaged, None)
    held = next_state(passing, state)
    assert next_state(failed_reading("corrupt"), held) == held == state
    (problem,) = judged(Evidence(database(), passing, held)).problems
    assert (problem.code, problem.since) == (passing.code, NOW)
    assert next_state(failed_reading("locked"), state).since == NOW


def test_a_paused_database_keeps_only_its_error() -> None:
    paused = database(rules=replace(FEW_ROWS, paused=True))
    reading = good_reading(tasks=30)
    well = judged(Evidence(paused, reading, next_state(reading, None), events=(EMPTIED,)))
    assert (well.level, well.problems) == ("well", ())
    gone = judged(Evidence(paused, failed_reading("file_missing"), gone_state()))
    assert (gone.level, gone.needs_you, codes(gone)) == ("well", False, ["file_missing"])
    error, findings = json_of(gone)
    assert (error["code"], findings) == ("file_missing", [])


@pytest.mark.parametrize(("is_stale", "level"), [(False, "fault"), (True, "unknown")])
def test_a_stale_error_has_no_known_level(*, is_stale: bool, level: str) -> None:
    reading = failed_reading("io_error")
    state = next_state(reading, None)
    status = judged(Evidence(database(), reading, state, is_stale=is_stale))
    assert (status.level, codes(status)) == (level, ["io_error"])


def test_a_limit_keeps_its_start_while_it_is_exceeded() -> None:
    reading = good_reading(tasks=30)
    state = next_state(reading, None)
    first = judged(Evidence(database(rules=FEW_ROWS), reading, state))
    (problem,) = first.problems
    assert (problem.code, problem.since, first.level) == ("few_rows", NOW, "fault")
    before = (replace(problem, since=EARLIER),)
    later = judged(Evidence(database(rules=FEW_ROWS), reading, state, before=before))
    assert [problem.since for problem in later.problems] == [EARLIER]
