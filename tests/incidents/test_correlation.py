"""Findings of one cause are one incident, from its begin to its end, over flapping and restarts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dash_app.history.incidents import IncidentQuery, find_incidents
from dash_app.history.writer import History
from dash_app.incidents.correlation import IncidentState, correlate
from dash_app.incidents.tracker import IncidentTracker
from dash_app.model.expectation import Rules
from dash_app.model.incident import Acknowledgement, Incident
from dash_app.model.problem import Problem
from dash_app.model.reading import Code
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.settings.schema import HistorySettings
from dash_app.words.incidents import incident_sentence, incident_text, labels_and_cause
from dash_app.words.notifications import notification_title
from tests.incidents.helpers import NOON, at, finding, status

SETTLE = timedelta(minutes=5)


@dataclass
class Told:
    """Incidents as they come, minute by minute."""

    course: IncidentState = field(default_factory=IncidentState)

    def see(self, minutes: float, *statuses: DatabaseStatus) -> list[Incident]:
        self.course = correlate(self.course, Snapshot(at(minutes), statuses), SETTLE)
        return list(self.course.open)

    def look(self, minutes: float, *findings: Problem, code: Code | None = None) -> list[Incident]:
        return self.see(minutes, status("email", at(minutes), *findings, code=code))

    def forget(self) -> None:
        """Be as after a restart."""
        self.course = IncidentState(self.course.incidents)


def keys(incidents: list[Incident]) -> list[str]:
    return [one.key for one in incidents]


def test_an_incident_lasts_as_long_as_its_finding_and_ends_with_it() -> None:
    told = Told()
    assert told.look(0) == []
    (one,) = told.look(1, finding("log_held", 1, level="notice"))
    assert (one.key, one.kind, one.level, one.since) == (
        "email:log_held",
        "log_held",
        "notice",
        at(1),
    )
    assert (one.text, one.remedy) == ("Email: log_held is wrong.", "Fix it.")
    assert told.look(2, finding("log_held", 1, level="notice")) == [one]
    assert told.look(3) == []
    assert told.course.incidents == (replace(one, ended_at=at(3)),)


@pytest.mark.parametrize(("minutes", "same"), [(4.9, True), (5.1, False)])
def test_what_comes_back_soon_is_the_same_incident(minutes: float, *, same: bool) -> None:
    told = Told()
    (first,) = told.look(0, code="locked")
    told.course = replace(told.course, incidents=(replace(first, id=7),))
    told.look(1)
    (again,) = told.see(1 + minutes, status("email", at(9), code="locked", since=1 + minutes))
    assert (again.id == 7, again.since == at(0)) == (same, same)
    assert again.ended_at is None


def test_what_one_update_did_is_one_incident_and_what_happened_later_another() -> None:
    told = Told()
    dropped, fewer = finding("rows_dropped", 0), finding("rolled_back", 0.5)
    (one,) = told.look(0, dropped)
    (both,) = told.look(0.5, dropped, fewer)
    assert both.key == one.key
    assert both.text == "Email: rows_dropped is wrong. rolled_back is wrong."
    later = finding("rows_dropped", 30)
    assert len(told.look(30, dropped, fewer, later)) == 2
    told.forget()
    assert keys(told.look(31, dropped, fewer, later)) == [
        both.key,
        "email:rows_dropped:2026-11-25T12:30:00",
    ]


def test_the_remedy_is_for_the_problem_that_is_named_first() -> None:
    """An older copy is put in place, and then nobody may read it."""
    told = Told()
    older = finding("rolled_back", 0)
    told.look(0, older)
    (both,) = told.look(0.5, older, code="permission_denied")
    assert both.text == "Email: Error: permission_denied. rolled_back is wrong."
    assert (both.kind, both.remedy) == ("permission_denied", "Look into it.")
    (left,) = told.look(1, older)
    assert (left.text, left.remedy) == ("Email: rolled_back is wrong.", "Fix it.")
    assert left.since == both.since


def test_databases_that_fall_silent_with_a_process_name_it() -> None:
    told = Told()
    names = ("email", "content", "health")
    told.see(0, *(status(name, at(0), written=0, pids=(812, 5)) for name in names))
    quiet = [status(name, at(1), written=1, pids=(5,)) for name in names]
    told.see(1, *quiet)
    down = {name: finding("down", 6) for name in names}
    late = replace(down["email"], code="late", level="notice")
    statuses = [status(name, at(9), down[name], written=1, pids=(5,)) for name in names[:2]]
    (begun,) = told.see(6, status("email", at(6), late, written=1, pids=(5,)), *quiet[1:])
    assert (begun.databases, begun.level) == (("email",), "notice")
    (one,) = told.see(9, *statuses)
    assert (one.databases, one.kind, one.level) == (("email", "content"), "down", "fault")
    assert one.text == (
        "Email and Content: Writes have stopped."
        " agent-812 (pid 812) had them open until 12:00 UTC on 25 Nov."
    )
    assert one.remedy == "Start agent-812 again, if it should run."
    told.forget()
    (after,) = told.see(10, *statuses)
    assert after == one


def test_what_is_over_in_part_is_told_of_as_a_whole() -> None:
    told = Told()
    names = ("a", "b")

    def look(minutes: float, *down: str, pid: int) -> list[Incident]:
        return told.see(
            minutes,
            *(
                status(
                    name,
                    at(minutes),
                    *([finding("down", 5)] if name in down else []),
                    written=0 if name in down else minutes,
                    pids=(pid,),
                )
                for name in names
            ),
        )

    look(0, pid=812)
    (whole,) = look(6, *names, pid=900)
    assert whole.text.startswith("A and B: Writes have stopped. agent-812")
    part = replace(whole, problem_ids=("b:down",))
    assert look(7, "b", pid=900) == [part]
    assert look(8, "b", pid=900) == [part]
    look(9, pid=900)
    assert told.course.incidents == (replace(part, ended_at=at(9)),)


def test_a_process_is_not_blamed_for_what_went_on_after_it_or_for_coming_and_going() -> None:
    told = Told()
    told.see(0, status("email", at(0), pids=(812,)))
    told.see(1, status("email", at(1)))
    told.see(29, status("email", at(29), written=29, pids=(900,), held=29))
    told.see(30, status("email", at(30), written=29))
    (one,) = told.see(60, status("email", at(60), finding("down", 50), written=29))
    assert (one.key, one.text) == ("email:down", "Email: down is wrong.")


def test_a_table_alone_is_an_incident_of_its_own_while_others_are_written() -> None:
    told = Told()
    a, b = finding("down", 0, table="a"), finding("down", 30, table="b")
    assert keys(told.see(1, status("email", at(1), a, written=0.5))) == ["email.a:down"]
    two = told.see(40, status("email", at(40), a, b, written=29))
    assert keys(two) == ["email.a:down", "email.b:down"]
    told.forget()
    assert keys(told.see(41, status("email", at(41), a, b, written=29))) == keys(two)


def test_a_database_that_falls_silent_table_by_table_is_one_incident() -> None:
    told = Told()
    tables = [finding("down", since, table=table) for table, since in (("a", 0), ("b", 3))]
    told.see(1, status("email", at(1), tables[0], written=-2))
    (one,) = told.see(4, status("email", at(4), *tables, written=-2))
    assert one.text == "Email: a is wrong. b is wrong."
    told.forget()
    own = finding("down", 60)
    (same,) = told.see(61, status("email", at(61), *tables, own, written=-2))
    assert (same.key, same.text[-11:]) == (one.key, "And 1 more.")
    told.forget()
    others_are_written = status("email", at(90), *tables, written=89)
    assert keys(told.see(90, others_are_written)) == [one.key]


def test_a_large_log_is_one_with_whoever_holds_it() -> None:
    told, held = Told(), finding("log_held", 0, level="notice")
    told.look(0, held)
    (one,) = told.look(50, held, finding("wal_large", 50, level="notice"))
    assert (one.key, one.since) == ("email:log_held", at(0))


def test_a_folder_that_goes_file_by_file_is_one_incident() -> None:
    told, gone = Told(), finding("gone", 0)
    told.see(0, status("email", at(0), gone, code="file_missing"), status("health", at(0)))
    statuses = [status(one, at(1), gone, code="folder_missing") for one in ("email", "health")]
    (one,) = told.see(1, *statuses)
    assert one.databases == ("email", "health")
    assert one.text == "Email and Health: Their folder /srv/agents is gone."
    (fresh,) = Told().see(1, *statuses)
    assert fresh.key == "folder:/srv/agents"


def test_a_full_disk_is_one_incident_and_the_worst_stands_first() -> None:
    full = finding("disk_low", 0, level="notice")
    disk, locked = Told().see(
        9,
        *(status(one, at(9), full) for one in ("email", "health")),
        status("a", at(9), code="locked"),
    )[::-1]
    assert (disk.key, disk.databases) == ("disk:8", ("email", "health"))
    assert (locked.key, locked.level) == ("a:locked", "fault")


def test_what_can_not_be_told_does_not_end() -> None:
    told = Told()
    held = finding("log_held", -30, level="notice")
    told.look(-30, held)
    assert keys(told.look(1, code="not_responding")) == ["email:not_responding", "email:log_held"]
    (still,) = told.look(2, held)
    assert (still.key, still.problem_ids) == ("email:log_held", ("email:log_held",))
    told.look(3, code="not_responding")
    assert told.look(4) == []


def test_a_database_that_is_paused_makes_no_incident() -> None:
    locked = status("email", at(0), code="locked")
    told = Told()
    assert keys(told.see(0, locked)) == ["email:locked"]
    paused = replace(locked.database, rules=Rules(paused=True))
    assert told.see(1, replace(locked, database=paused)) == []


def test_moving_numbers_are_no_news_and_who_knows_does_so_until_it_is_worse() -> None:
    told, held = Told(), finding("log_held", 0, level="notice")
    told.look(0, replace(held, text="WAL 95 MB."))
    known = Acknowledgement("ann@example.com", at(1), None)
    one = replace(told.course.incidents[0], acknowledged=known, id=1)
    told.course = replace(told.course, incidents=(one,))
    assert told.look(1, replace(held, text="WAL 99 MB.")) == [one]
    (more,) = told.look(2, held, finding("few_rows", 1, level="notice"))
    assert (more.acknowledged, more.id) == (known, 1)
    (worse,) = told.look(3, held, finding("few_rows", 1))
    assert (worse.acknowledged, worse.id) == (None, 1)


def test_silence_is_no_part_of_what_happened_in_the_same_minute() -> None:
    told, lost = Told(), finding("rows_dropped", 0)
    silent = finding("down", 0, table="a")
    assert len(told.look(0, lost, silent)) == 2


def test_incidents_are_kept_paged_and_forgotten_with_their_messages(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    history = History(HistorySettings.model_validate({"path": str(path), "retention": "1d"}))
    told, keep = Told(), history.incidents.store
    gone = [status(one, at(0), finding("gone", 0), code="folder_missing") for one in ("a", "b")]
    first, second = keep(told.see(0, *gone, status("c", at(0), code="locked")))
    known = Acknowledgement("100.64.0.7", at(2), at(62))
    (first,) = keep([replace(first, acknowledged=known)])
    (second,) = keep([replace(second, ended_at=at(3))])

    def found(wanted: IncidentQuery) -> list[Incident]:
        return find_incidents(path, wanted)

    assert found(IncidentQuery()) == [second, first]
    assert found(IncidentQuery(before=second.id)) == [first]
    assert found(IncidentQuery(is_open=True)) == [first]
    assert found(IncidentQuery(is_open=False, databases=("c",))) == [second]
    assert found(IncidentQuery(databases=("b",))) == [first]
    assert found(IncidentQuery(ended_since=at(4))) == [first]
    history.record(Snapshot(at(3 * 24 * 60), ()))
    assert found(IncidentQuery()) == [first]
    history.close()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    settings = HistorySettings.model_validate({"path": str(tmp_path / "history.db")})
    with closing(History(settings)) as history:
        yield history


def test_a_restart_goes_on_with_what_is_open_and_who_knows_of_it(history: History) -> None:
    now = datetime.now(UTC)
    locked = status("email", now, code="locked")
    tracker = IncidentTracker(history.incidents, SETTLE, now)
    tracker.update(Snapshot(now, (locked, status("health", now, code="io_error"))))
    email, health = tracker.newest
    assert email.id
    known = Acknowledgement("ann@example.com", now, None)
    tracker.acknowledge(email.id, known)
    tracker.update(Snapshot(now, (locked, status("health", now))))
    again = IncidentTracker(history.incidents, SETTLE, now)
    expected = [replace(email, acknowledged=known), replace(health, ended_at=now)]
    assert list(again.newest) == expected
    again.update(Snapshot(now, (status("email", now), status("health", now, code="io_error"))))
    ended, back = again.newest[::-1]
    assert (ended.id, ended.ended_at, back) == (email.id, now, health)


def test_a_history_that_can_not_be_written_costs_no_incident(history: History) -> None:
    now = datetime.now(UTC)
    tracker = IncidentTracker(history.incidents, SETTLE, now)
    with closing(sqlite3.connect(history.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        tracker.update(Snapshot(now, (status("email", now, code="locked"),)))
        assert [incident.id for incident in tracker.newest] == [None]
        other.execute("COMMIT")
    tracker.update(Snapshot(now, (status("email", now, code="locked"),)))
    assert [incident.id for incident in tracker.newest] == [1]
    assert history.incidents.find(IncidentQuery()) == list(tracker.incidents)


def test_a_label_with_a_colon_stays_whole() -> None:
    one = Incident(
        key="ops:gone",
        databases=("ops",),
        kind="gone",
        level="fault",
        text=incident_text(["Ops: mail\r\nBcc: eve"], ["The file is gone."]),
        remedy="Restore it.",
        since=NOON,
    )
    whom, cause = labels_and_cause(one)
    assert (whom, cause) == ("Ops: mail Bcc: eve", "The file is gone.")
    assert notification_title("fault", one) == f"{whom}: needs you"
    assert incident_sentence(one) == "Ops: mail Bcc: eve: The file is gone."


def test_a_sentence_of_an_incident_is_bounded() -> None:
    table = 900_000 * "\N{GRINNING FACE}"
    text = incident_text(["Email"], [f"{table}: expected every 1 h.", f"{table} fell."])
    assert len(text) < 1000
    assert "…" in text
