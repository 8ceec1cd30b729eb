"""Problems with one cause are one incident, even if the cause comes and goes or we restart."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dash_app.api.serializers import incidents_document
from dash_app.history.incidents import IncidentQuery, find_incidents
from dash_app.history.writer import History
from dash_app.incidents.correlation import MAX_EVIDENCE_LINES, IncidentState, correlate
from dash_app.incidents.tracker import IncidentTracker
from dash_app.model.expectation import Rules
from dash_app.model.incident import Acknowledgement, Incident
from dash_app.model.problem import Problem, ProblemCode
from dash_app.model.reading import Code
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.settings.schema import HistorySettings
from dash_app.words.incidents import incident_sentence, incident_text, labels_and_cause
from dash_app.words.notifications import notification_title
from tests.incidents.helpers import NOON, at, finding, status

SETTLE = timedelta(minutes=5)


@dataclass
class Timeline:
    """The incidents after one snapshot after another, each at some minutes after noon."""

    state: IncidentState = field(default_factory=IncidentState)

    def add(self, minutes: float, *statuses: DatabaseStatus) -> list[Incident]:
        """Add a snapshot of databases; return the open incidents."""
        self.state = correlate(self.state, Snapshot(at(minutes), statuses), SETTLE)
        return list(self.state.open)

    def add_email(
        self, minutes: float, *findings: Problem, code: Code | None = None
    ) -> list[Incident]:
        """Add a snapshot of one database with these problems; return the open incidents."""
        return self.add(minutes, status("email", at(minutes), *findings, code=code))

    def restart(self) -> None:
        """Keep only what the history stores."""
        self.state = IncidentState(self.state.incidents, self.state.openers)


def keys(incidents: list[Incident]) -> list[str]:
    return [incident.key for incident in incidents]


def test_an_incident_starts_and_ends_with_its_problem() -> None:
    timeline = Timeline()
    assert timeline.add_email(0) == []
    (incident,) = timeline.add_email(1, finding("log_held", 1, level="notice"))
    assert (incident.key, incident.kind, incident.level, incident.since) == (
        "email:log_held",
        "log_held",
        "notice",
        at(1),
    )
    assert (incident.text, incident.remedy) == ("Email: log_held is wrong.", "Fix it.")
    assert timeline.add_email(2, finding("log_held", 1, level="notice")) == [incident]
    assert timeline.add_email(3) == []
    assert timeline.state.incidents == (replace(incident, ended_at=at(3)),)


def test_an_incident_ends_with_the_watching_of_its_database_and_says_so() -> None:
    timeline = Timeline()
    (incident,) = timeline.add_email(0, finding("gone", 0), code="file_missing")
    for minute in (1, 2):
        assert timeline.add(minute, status("other", at(minute))) == []
    ended = replace(incident, text=f"{incident.text} It is no longer watched.", ended_at=at(1))
    assert timeline.state.incidents == (ended,)


@pytest.mark.parametrize(("minutes", "same"), [(4.9, True), (5.1, False)])
def test_a_cause_that_returns_soon_continues_its_incident(minutes: float, *, same: bool) -> None:
    timeline = Timeline()
    (first,) = timeline.add_email(0, code="locked")
    timeline.state = replace(timeline.state, incidents=(replace(first, id=7),))
    timeline.add_email(1)
    (again,) = timeline.add(1 + minutes, status("email", at(9), code="locked", since=1 + minutes))
    assert (again.id == 7, again.since == at(0)) == (same, same)
    assert again.ended_at is None


def test_problems_of_one_update_are_one_incident_and_later_ones_another() -> None:
    timeline = Timeline()
    dropped, fewer = finding("rows_dropped", 0), finding("rolled_back", 0.5)
    (incident,) = timeline.add_email(0, dropped)
    (both,) = timeline.add_email(0.5, dropped, fewer)
    assert both.key == incident.key
    assert both.text == "Email: rows_dropped is wrong. rolled_back is wrong."
    later = finding("rows_dropped", 30)
    assert len(timeline.add_email(30, dropped, fewer, later)) == 2
    timeline.restart()
    assert keys(timeline.add_email(31, dropped, fewer, later)) == [
        both.key,
        "email:rows_dropped:2026-11-25T12:30:00",
    ]


def test_the_remedy_is_that_of_the_problem_named_first() -> None:
    """A table has too few rows, and then the permissions of its database are removed."""
    timeline = Timeline()
    fewer = finding("few_rows", 0)
    timeline.add_email(0, fewer)
    (both,) = timeline.add_email(0.5, fewer, code="permission_denied")
    assert both.text == "Email: Error: permission_denied. few_rows is wrong."
    assert (both.kind, both.remedy) == ("permission_denied", "Look into it.")
    (left,) = timeline.add_email(1, fewer)
    assert (left.text, left.remedy) == ("Email: few_rows is wrong.", "Fix it.")
    assert left.since == both.since


def danger(since: float, code: ProblemCode = "wal_split", pid: int = 812) -> Problem:
    line = f"{code}, python3 (pid {pid}): seen at minute {since}"
    return replace(finding(code, since), evidence=line)


def test_danger_is_one_incident_per_database_and_never_part_of_another() -> None:
    timeline = Timeline()
    fewer = finding("few_rows", 0)
    timeline.add_email(0, fewer)
    first = timeline.add_email(0.1, fewer, danger(0.1))
    assert keys(first) == ["email:danger", "email:few_rows"]
    dropped = finding("rows_dropped", 0.2)
    found = timeline.add_email(0.2, fewer, danger(0.1), dropped)
    assert keys(found) == ["email:danger", "email:few_rows"]
    assert [len(incident.problem_ids) for incident in found] == [1, 2]
    later = danger(30, "writer_unlocked")
    both = timeline.add_email(30, danger(0.1), later)[0]
    assert (both.key, both.since) == ("email:danger", at(0.1))
    assert both.text == "Email: wal_split is wrong. writer_unlocked is wrong."
    elsewhere = timeline.add(
        31, status("email", at(31), danger(0.1)), status("chat", at(31), danger(31))
    )
    assert {"email:danger", "chat:danger"} <= set(keys(elsewhere))


def test_evidence_stays_with_its_incident_and_only_grows() -> None:
    timeline = Timeline()
    (first,) = timeline.add_email(0, danger(0))
    assert first.evidence == danger(0).evidence
    changed = replace(danger(0), evidence=f"{danger(0).evidence}, but larger")
    assert timeline.add_email(1, changed)[0].evidence == first.evidence
    (second,) = timeline.add_email(2, danger(0), danger(2, "wal_orphaned"))
    assert second.evidence.splitlines() == [danger(0).evidence, danger(2, "wal_orphaned").evidence]
    timeline.add_email(3)
    (ended,) = timeline.state.incidents
    assert (ended.ended_at, ended.evidence) == (at(3), second.evidence)
    for minute in range(4, 60):
        (again,) = timeline.add_email(minute, danger(minute, pid=minute))
    assert len(again.evidence.splitlines()) == MAX_EVIDENCE_LINES


@pytest.mark.parametrize(
    ("code", "is_over"),
    [
        ("needs_recovery", True),
        ("file_missing", True),
        ("reader_crashed", False),
        ("wal_elsewhere", False),
    ],
)
def test_danger_ends_when_it_is_no_longer_seen(code: Code, *, is_over: bool) -> None:
    """The reader sees it without reading the database, but not if the reader gave no answer."""
    timeline = Timeline()
    timeline.add_email(0, danger(0))
    open_after = timeline.add_email(1, code=code)
    assert ("email:danger" not in keys(open_after)) == is_over


def test_danger_lasts_while_the_first_reading_after_a_restart_suspects_it() -> None:
    timeline = Timeline()
    timeline.add_email(0, danger(0))
    timeline.restart()
    known = status("email", at(1))
    suspected = replace(known, reading=replace(known.reading, detail={"one_generation": "yes"}))
    assert keys(timeline.add(1, suspected)) == ["email:danger"]
    assert keys(timeline.add(2, known)) == []


def test_databases_that_fall_silent_with_a_process_are_one_incident_that_names_it() -> None:
    timeline = Timeline()
    names = ("email", "content", "health")
    timeline.add(0, *(status(name, at(0), written=0, pids=(812, 5)) for name in names))
    quiet = [status(name, at(1), written=1, pids=(5,)) for name in names]
    timeline.add(1, *quiet)
    down = {name: finding("down", 6) for name in names}
    late = replace(down["email"], code="late", level="notice")
    statuses = [status(name, at(9), down[name], written=1, pids=(5,)) for name in names[:2]]
    (started,) = timeline.add(6, status("email", at(6), late, written=1, pids=(5,)), *quiet[1:])
    assert (started.databases, started.level) == (("email",), "notice")
    (incident,) = timeline.add(9, *statuses)
    assert (incident.databases, incident.kind, incident.level) == (
        ("email", "content"),
        "down",
        "fault",
    )
    assert incident.text == (
        "Email and Content: Writes stopped. agent-812 (pid 812) closed them at 12:00 UTC."
    )
    assert incident.remedy == "Start agent-812 again, if it should run."
    timeline.restart()
    (after,) = timeline.add(10, *statuses)
    assert after == incident


def test_an_incident_that_ends_in_part_keeps_its_text_until_its_end() -> None:
    timeline = Timeline()
    names = ("a", "b")

    def update(minutes: float, *down: str, pid: int) -> list[Incident]:
        return timeline.add(
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

    update(0, pid=812)
    (whole,) = update(6, *names, pid=900)
    assert whole.text.startswith("A and B: Writes stopped. agent-812")
    part = replace(whole, problem_ids=("b:down",))
    assert update(7, "b", pid=900) == [part]
    assert update(8, "b", pid=900) == [part]
    update(9, pid=900)
    assert timeline.state.incidents == (replace(part, ended_at=at(9)),)


def test_a_process_is_not_blamed_if_writes_continued_or_it_was_short_lived() -> None:
    timeline = Timeline()
    timeline.add(0, status("email", at(0), pids=(812,)))
    timeline.add(1, status("email", at(1)))
    timeline.add(29, status("email", at(29), written=29, pids=(900,), held=29))
    timeline.add(30, status("email", at(30), written=29))
    (incident,) = timeline.add(60, status("email", at(60), finding("down", 50), written=29))
    assert (incident.key, incident.text) == ("email:down", "Email: down is wrong.")


def test_a_silent_table_is_its_own_incident_while_other_tables_are_written() -> None:
    timeline = Timeline()
    a, b = finding("down", 0, table="a"), finding("down", 30, table="b")
    assert keys(timeline.add(1, status("email", at(1), a, written=0.5))) == ["email.a:down"]
    two = timeline.add(40, status("email", at(40), a, b, written=29))
    assert keys(two) == ["email.a:down", "email.b:down"]
    timeline.restart()
    assert keys(timeline.add(41, status("email", at(41), a, b, written=29))) == keys(two)


def test_a_database_that_falls_silent_table_by_table_is_one_incident() -> None:
    timeline = Timeline()
    tables = [finding("down", since, table=table) for table, since in (("a", 0), ("b", 3))]
    timeline.add(1, status("email", at(1), tables[0], written=-2))
    (incident,) = timeline.add(4, status("email", at(4), *tables, written=-2))
    assert incident.text == "Email: a is wrong. b is wrong."
    timeline.restart()
    own = finding("down", 60)
    (same,) = timeline.add(61, status("email", at(61), *tables, own, written=-2))
    assert (same.key, same.text[-11:]) == (incident.key, "And 1 more.")
    timeline.restart()
    others_are_written = status("email", at(90), *tables, written=89)
    assert keys(timeline.add(90, others_are_written)) == [incident.key]


def test_a_large_wal_joins_the_incident_of_the_reader_that_holds_it() -> None:
    timeline, held = Timeline(), finding("log_held", 0, level="notice")
    timeline.add_email(0, held)
    (incident,) = timeline.add_email(50, held, finding("wal_large", 50, level="notice"))
    assert (incident.key, incident.since) == ("email:log_held", at(0))


def test_a_folder_that_disappears_file_by_file_is_one_incident() -> None:
    timeline, gone = Timeline(), finding("gone", 0)
    timeline.add(0, status("email", at(0), gone, code="file_missing"), status("health", at(0)))
    statuses = [status(name, at(1), gone, code="folder_missing") for name in ("email", "health")]
    (incident,) = timeline.add(1, *statuses)
    assert incident.databases == ("email", "health")
    assert incident.text == "Email and Health: Their folder /srv/agents is gone."
    (fresh,) = Timeline().add(1, *statuses)
    assert fresh.key == "folder:/srv/agents"


def test_a_full_disk_is_one_incident_and_the_worst_incident_is_first() -> None:
    full = finding("disk_low", 0, level="notice")
    disk, locked = Timeline().add(
        9,
        *(status(name, at(9), full) for name in ("email", "health")),
        status("a", at(9), code="locked"),
    )[::-1]
    assert (disk.key, disk.databases) == ("disk:8", ("email", "health"))
    assert (locked.key, locked.level) == ("a:locked", "fault")


def test_a_full_disk_does_not_join_another_problem_of_the_same_minute() -> None:
    few, full = finding("few_rows", 0), finding("disk_low", 0, level="notice")
    incidents = Timeline().add_email(0, few, full)
    assert [incident.level for incident in incidents] == ["fault", "notice"]


def test_an_incident_does_not_end_while_its_database_cannot_be_read() -> None:
    timeline = Timeline()
    held = finding("log_held", -30, level="notice")
    timeline.add_email(-30, held)
    assert keys(timeline.add_email(1, code="not_responding")) == [
        "email:not_responding",
        "email:log_held",
    ]
    (still,) = timeline.add_email(2, held)
    assert (still.key, still.problem_ids) == ("email:log_held", ("email:log_held",))
    timeline.add_email(3, code="not_responding")
    assert timeline.add_email(4) == []


def test_a_paused_database_has_no_incident() -> None:
    locked = status("email", at(0), code="locked")
    timeline = Timeline()
    assert keys(timeline.add(0, locked)) == ["email:locked"]
    paused = replace(locked.database, rules=Rules(paused=True))
    assert timeline.add(1, replace(locked, database=paused)) == []


def test_an_acknowledgement_survives_new_numbers_but_not_a_worse_problem() -> None:
    timeline, held = Timeline(), finding("log_held", 0, level="notice")
    timeline.add_email(0, replace(held, text="WAL 95 MB."))
    acknowledgement = Acknowledgement("ann@example.com", at(1), None)
    incident = replace(timeline.state.incidents[0], acknowledged=acknowledgement, id=1)
    timeline.state = replace(timeline.state, incidents=(incident,))
    grown = replace(incident, text="Email: WAL 99 MB.")
    assert timeline.add_email(1, replace(held, text="WAL 99 MB.")) == [grown]
    (more,) = timeline.add_email(2, held, finding("few_rows", 1, level="notice"))
    assert (more.acknowledged, more.id) == (acknowledgement, 1)
    (worse,) = timeline.add_email(3, held, finding("few_rows", 1))
    assert (worse.acknowledged, worse.id) == (None, 1)


def test_an_incident_keeps_the_time_in_which_it_was_a_fault() -> None:
    timeline, late, down = Timeline(), finding("late", 0, level="notice"), finding("down", 0)
    faults = []
    for minute, problem in ((0, late), (2, down), (5, late), (6, late), (8, down)):
        (incident,) = timeline.add_email(minute, problem)
        faults.append(incident.fault)
    assert faults == [None, (at(2), None), (at(2), at(5)), (at(2), at(5)), (at(2), None)]
    timeline.add_email(9)
    assert timeline.state.incidents[0].fault == (at(2), at(9))
    (at_once,) = Timeline().add_email(1, down)
    assert at_once.fault == (at(0), None)


def test_silence_does_not_join_another_problem_of_the_same_minute() -> None:
    timeline, lost = Timeline(), finding("rows_dropped", 0)
    silent = finding("down", 0, table="a")
    assert len(timeline.add_email(0, lost, silent)) == 2


def test_stored_incidents_are_found_by_query_and_deleted_after_the_retention(
    tmp_path: Path,
) -> None:
    path = tmp_path / "history.db"
    history = History(HistorySettings.model_validate({"path": str(path), "retention": "1d"}))
    timeline, store = Timeline(), history.incidents.store
    gone = [status(name, at(0), finding("gone", 0), code="folder_missing") for name in ("a", "b")]
    first, second = store(timeline.add(0, *gone, status("c", at(0), code="locked")))
    acknowledgement = Acknowledgement("100.64.0.7", at(2), at(62))
    (first,) = store([replace(first, acknowledged=acknowledgement)])
    (second,) = store([replace(second, ended_at=at(3))])

    def find(query: IncidentQuery) -> list[Incident]:
        return find_incidents(path, query)

    assert find(IncidentQuery()) == [second, first]
    assert find(IncidentQuery(before=second.id)) == [first]
    assert find(IncidentQuery(is_open=True)) == [first]
    assert find(IncidentQuery(is_open=False, databases=("c",))) == [second]
    assert find(IncidentQuery(databases=("b",))) == [first]
    assert find(IncidentQuery(ended_since=at(4))) == [first]
    history.record(Snapshot(at(3 * 24 * 60), ()))
    assert find(IncidentQuery()) == [first]
    history.close()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    settings = HistorySettings.model_validate({"path": str(tmp_path / "history.db")})
    with closing(History(settings)) as history:
        yield history


def test_a_restart_continues_open_incidents_with_their_acknowledgements(history: History) -> None:
    now = datetime.now(UTC)
    locked = status("email", now, code="locked")
    tracker = IncidentTracker(history, SETTLE, now)
    tracker.update(Snapshot(now, (locked, status("health", now, code="io_error"))))
    email, health = tracker.newest
    assert email.id
    acknowledgement = Acknowledgement("ann@example.com", now, None)
    tracker.acknowledge(email.id, acknowledgement)
    tracker.update(Snapshot(now, (locked, status("health", now))))
    again = IncidentTracker(history, SETTLE, now)
    expected = [replace(email, acknowledged=acknowledgement), replace(health, ended_at=now)]
    assert list(again.newest) == expected
    again.update(Snapshot(now, (status("email", now), status("health", now, code="io_error"))))
    ended, back = again.newest[::-1]
    assert (ended.id, ended.ended_at, back) == (email.id, now, health)


def test_evidence_outlives_its_process_and_a_restart(history: History) -> None:
    now = datetime.now(UTC)
    tracker = IncidentTracker(history, SETTLE, now)
    tracker.update(Snapshot(now, (status("email", now, danger(0)),)))
    tracker.update(Snapshot(now, (status("email", now),)))
    (ended,) = IncidentTracker(history, SETTLE, now).newest
    assert (ended.ended_at, ended.evidence) == (now, danger(0).evidence)
    (document,) = incidents_document([ended], IncidentQuery())["incidents"]
    assert document["evidence"] == [danger(0).evidence]


def test_a_restart_continues_any_number_of_incidents_that_just_ended(history: History) -> None:
    now = datetime.now(UTC)
    names = [f"db{number}" for number in range(60)]
    tracker = IncidentTracker(history, SETTLE, now)
    tracker.update(Snapshot(now, tuple(status(name, now, code="locked") for name in names)))
    tracker.update(Snapshot(now, tuple(status(name, now) for name in names)))
    ended = {incident.id for incident in tracker.incidents}
    again = IncidentTracker(history, SETTLE, now)
    again.update(Snapshot(now, tuple(status(name, now, code="locked") for name in names)))
    assert {incident.id for incident in again.incidents if not incident.ended_at} == ended


def test_no_incident_is_lost_while_the_history_cannot_be_written(history: History) -> None:
    now = datetime.now(UTC)
    tracker = IncidentTracker(history, SETTLE, now)
    with closing(sqlite3.connect(history.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        tracker.update(Snapshot(now, (status("email", now, code="locked"),)))
        assert [incident.id for incident in tracker.newest] == [None]
        other.execute("COMMIT")
    tracker.update(Snapshot(now, (status("email", now, code="locked"),)))
    assert [incident.id for incident in tracker.newest] == [1]
    assert history.incidents.find(IncidentQuery()) == list(tracker.incidents)


def test_a_label_with_a_colon_stays_whole() -> None:
    incident = Incident(
        key="ops:gone",
        databases=("ops",),
        kind="gone",
        level="fault",
        text=incident_text(["Ops: mail\r\nBcc: eve"], ["The file is gone."]),
        remedy="Restore it.",
        since=NOON,
    )
    labels, cause = labels_and_cause(incident)
    assert (labels, cause) == ("Ops: mail Bcc: eve", "The file is gone.")
    assert notification_title("fault", incident) == f"{labels}: needs you"
    several = replace(incident, databases=("a", "b"))
    assert notification_title("fault", several) == f"{labels}: need you"
    assert notification_title("reminder", several) == f"{labels}: still need you"
    assert incident_sentence(incident) == "Ops: mail Bcc: eve: The file is gone."


def test_the_text_of_an_incident_is_bounded() -> None:
    table = 900_000 * "\N{GRINNING FACE}"
    text = incident_text(["Email"], [f"{table}: expected every 1 h.", f"{table} fell."])
    assert len(text) < 1000
    assert "…" in text


def test_a_problem_of_mission_control_itself_concerns_no_database() -> None:
    failing = Problem("alerts_failing", "notice", NOON, "Nothing was delivered.", "Fix the URL.")
    state = correlate(IncidentState(), Snapshot(NOON, (status("email", NOON),)), SETTLE, [failing])
    (incident,) = state.open
    assert (incident.key, incident.databases) == ("alerts_failing", ())
    assert incident_sentence(incident) == "Alerts: Nothing was delivered."
    ended = correlate(state, Snapshot(at(1), (status("email", at(1)),)), SETTLE)
    assert ended.incidents == (replace(incident, ended_at=at(1)),)
