"""A database in danger, or with damaged pages: its problems, its badge and its sentences."""

from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest

from dash_app.api.serializers import database_document
from dash_app.cli.service_status import snapshot_from
from dash_app.model.conflict import Conflict, ConflictKind
from dash_app.model.expectation import Rules
from dash_app.model.host_facts import Surroundings
from dash_app.model.integrity import Damage, Integrity, TableCheck
from dash_app.model.problem import DANGERS
from dash_app.model.reading import Code, Reading
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.page.cards import badge_parts
from dash_app.rules.changes import next_state
from dash_app.rules.judge import Evidence, judge
from dash_app.words import summaries
from tests.factories import EARLIER, NOW, WORDING, database, failed_reading, good_reading

SPLIT = Conflict(
    "wal_split", EARLIER, 812, "python3", "agent.service", {"main file": "08:01:123, 4096 bytes"}
)
FOREIGN = Conflict("engine_foreign", EARLIER, 900, "turso", is_certain=False)
DAMAGE = Damage("messages", 12, EARLIER)


def in_conflict(*conflicts: Conflict, reading: Reading | None = None) -> Reading:
    return replace(reading or good_reading(tasks=3), surroundings=Surroundings(conflicts=conflicts))


def judged(reading: Reading, **fields: object) -> DatabaseStatus:
    evidence = Evidence(database(), reading, next_state(reading, None))
    return judge(replace(evidence, **fields), WORDING)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", get_args(ConflictKind))
def test_each_conflict_is_a_fault_that_names_its_process(kind: ConflictKind) -> None:
    status = judged(in_conflict(replace(SPLIT, kind=kind)))
    (problem,) = status.problems
    assert (problem.code, problem.level, problem.since) == (kind, "fault", EARLIER)
    assert (status.level, status.needs_you, status.findings) == ("fault", True, [problem])
    assert not problem.needs_acknowledgement
    is_named = kind not in {"wal_stale", "wal_disagrees"}  # their locks show no culprit
    assert ("python3 (pid 812, agent.service)" in problem.text) == is_named
    assert len(problem.text) < 150
    assert "main file 08:01:123, 4096 bytes" in problem.evidence
    assert problem.evidence.startswith(f"{kind}, python3 (pid 812, agent.service): seen at 14:02")
    shown = badge_parts(summaries.badge(status), status.level)
    assert shown == ("cross", "bad", "Check" if kind == "engine_foreign" else "In danger")


def test_no_remedy_of_a_danger_restarts_the_writer_or_rebuilds_the_file() -> None:
    for kind in get_args(ConflictKind):
        remedy = judged(in_conflict(replace(SPLIT, kind=kind))).problems[0].remedy
        assert not any(word in remedy for word in ("restart", "Restart", "REINDEX", "VACUUM"))
        assert "doctor" in remedy or kind == "engine_foreign"


def test_an_engine_that_is_alone_needs_nobody_and_nothing_is_certain() -> None:
    status = judged(in_conflict(FOREIGN))
    assert (status.level, status.needs_you, status.pressing) == ("unknown", False, [])
    assert status.problems[0].level == "unknown"
    assert "turso (pid 900)" in status.verdict
    assert summaries.badge(status) == "undecided"
    assert summaries.headline(Snapshot(NOW, (status,)), NOW) == "Can't tell"


def test_danger_comes_before_an_error_and_its_remedy_replaces_all_others() -> None:
    """To open it once, the remedy of unfinished work, would make a second generation."""
    code: Code = "needs_recovery"
    status = judged(in_conflict(SPLIT, reading=failed_reading(code)), integrity=damaged())
    assert [problem.code for problem in status.problems] == ["wal_split", code, "pages_damaged"]
    assert len({problem.remedy for problem in status.problems}) == 1
    assert summaries.badge(status) == "wal_split"
    document = database_document(status)
    error = document["error"]
    assert error is not None
    assert (error["code"], document["verdict"]) == (code, status.problems[0].text)
    taken = Snapshot(NOW, (status,))
    again = snapshot_from({"takenAt": NOW.isoformat(), "databases": [document]})  # type: ignore[typeddict-item]
    assert summaries.glance_text(again, NOW) == summaries.glance_text(taken, NOW)
    assert summaries.headline(taken, NOW) == "Email is in danger, 58 min"


def test_an_uncertain_engine_looks_the_same_in_status() -> None:
    taken = Snapshot(NOW, (judged(in_conflict(FOREIGN)),))
    documents = [database_document(status) for status in taken.databases]
    again = snapshot_from({"takenAt": NOW.isoformat(), "databases": documents})  # type: ignore[typeddict-item]
    assert summaries.glance_text(again, NOW) == summaries.glance_text(taken, NOW)
    assert "CAN'T TELL" in summaries.glance_text(taken, NOW).upper()


def test_a_paused_database_is_in_no_danger_that_is_reported() -> None:
    paused = database(rules=Rules(paused=True))
    status = judged(in_conflict(SPLIT), database=paused, integrity=damaged())
    assert (status.problems, status.level) == ((), "well")


def test_danger_keeps_its_start_over_a_restart() -> None:
    before = EARLIER - timedelta(hours=1)
    (problem,) = judged(in_conflict(SPLIT), starts={"email:wal_split": before}).problems
    assert problem.since == before
    later = in_conflict(replace(SPLIT, since=NOW))
    assert judged(later, before=[problem]).problems[0].since == before


def test_rows_of_one_generation_are_marked() -> None:
    reading = replace(in_conflict(SPLIT), detail={"one_generation": "yes"})
    assert (summaries.ONE_GENERATION,) in summaries.notes(judged(reading))
    assert summaries.ONE_GENERATION in summaries.glance_line(judged(reading), NOW)


def damaged(*damage: Damage) -> Integrity:
    return Integrity("damaged", damage=damage or (DAMAGE,))


def test_damaged_pages_are_a_fault_until_a_clean_check_of_their_table() -> None:
    outside = Damage("", 1, NOW)
    status = judged(good_reading(messages=3), integrity=damaged(DAMAGE, outside))
    first, second = status.problems
    assert (first.code, first.level, first.since, first.table, first.id) == (
        "pages_damaged",
        "fault",
        EARLIER,
        "messages",
        "email.messages:pages_damaged",
    )
    assert first.text == "Damaged: 12 pages of `messages`."
    assert (second.text, second.table) == ("Damaged: at least 1 page outside all tables.", None)
    assert first.remedy.index("Copy") < first.remedy.index("VACUUM")
    assert badge_parts(summaries.badge(status), status.level) == ("cross", "bad", "Damaged")
    assert "Found at 14:02 UTC (58 min ago)." in summaries.status_line(status, NOW)
    assert judged(good_reading(messages=3), integrity=Integrity("clean")).problems == ()


def test_damage_names_the_tables_in_which_none_was_found() -> None:
    tables = {name: TableCheck(NOW) for name in ("messages", "a", "b", "c", "d")} | {
        "unchecked": TableCheck()
    }
    (problem,) = judged(good_reading(a=3), integrity=replace(damaged(), tables=tables)).problems
    assert problem.text == (
        "Damaged: 12 pages of `messages`. No damage found in `a`, `b`, `c` and 1 more."
    )


def test_every_danger_is_a_conflict() -> None:
    assert set(get_args(ConflictKind)) == DANGERS
