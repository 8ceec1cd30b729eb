"""Who had a database open, over time and over restarts, in memory and in the history."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dash_app.history import retention
from dash_app.history.openers import find_openers
from dash_app.history.retention import prune
from dash_app.history.writer import History
from dash_app.incidents.openers import MAX_RESIDENT, MAX_VISITS, Openers, update_openers
from dash_app.incidents.tracker import IncidentTracker
from dash_app.model.database import Database
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.settings.schema import HistorySettings
from tests.incidents.helpers import NOON, at, finding, status

Span = tuple[int, float, float, float | None]
"""Pid; and since, until and when it was missed, in minutes after noon."""


def minutes(openers: Openers) -> list[Span]:
    """The openers of `email`."""

    def after(time: datetime) -> float:
        return (time - NOON) / timedelta(minutes=1)

    return [
        (o.pid, after(o.since), after(o.until), after(o.missed_at) if o.missed_at else None)
        for o in openers["email"]
    ]


def email(minute: float, *pids: int, held: float = 0, **fields: float | None) -> DatabaseStatus:
    return status("email", at(minute), pids=pids, held=held, **fields)  # type: ignore[arg-type]


def followed(*statuses: tuple[float, DatabaseStatus]) -> Openers:
    openers: Openers = {}
    for minute, one in statuses:
        openers = update_openers(openers, Snapshot(at(minute), (one,)))
    return openers


def test_a_span_lasts_from_the_first_to_the_last_sight_of_a_process() -> None:
    seen = [(0, email(0, 812)), (1, email(1, 812, 5, held=1)), (2, email(2))]
    assert minutes(followed(*seen)) == [(812, 0, 1, 2), (5, 1, 1, 2)]


def test_a_process_that_opens_a_database_again_soon_did_not_close_it() -> None:
    for back, expected in (
        (3, [(812, 0, 3, None)]),
        (3.1, [(812, 3.1, 3.1, None), (812, 0, 0, 1)]),
    ):
        again = (back, email(back, 812, held=back))
        assert minutes(followed((0, email(0, 812)), (1, email(1)), again)) == expected


def test_openers_stay_as_they_are_while_it_is_unknown_who_has_a_database_open() -> None:
    one = email(1)
    unknown = replace(one.reading.surroundings, holders=None)
    hidden = replace(one, reading=replace(one.reading, surroundings=unknown))
    for blind in (hidden, replace(one, is_stale=True)):
        assert minutes(followed((0, email(0, 812)), (1, blind))) == [(812, 0, 0, None)]


def test_memory_is_bounded_and_short_visits_do_not_displace_a_writer() -> None:
    writers = [email(0, *range(30)), email(1, *range(30))]
    visits = [email(2 + n / 1000, 1000 + n, held=2 + n / 1000) for n in range(150)]
    steps = [(one.reading.read_at - NOON) / timedelta(minutes=1) for one in writers + visits]
    pids = [o.pid for o in followed(*zip(steps, writers + visits, strict=True))["email"]]
    assert len(pids) == 1 + MAX_RESIDENT + MAX_VISITS
    assert sum(pid < 30 for pid in pids) == MAX_RESIDENT
    assert pids[0] == 1149


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with closing(History(HistorySettings(path=tmp_path / "history.db"))) as history:
        yield history


def tracker_of(history: History, minute: float) -> IncidentTracker:
    return IncidentTracker(history, timedelta(minutes=5), at(minute))


def stored(history: History, limit: int = 200) -> list[Span]:
    return minutes({"email": tuple(find_openers(history.path, "email", limit))})


def test_openers_are_written_with_a_record_and_continue_over_a_restart(history: History) -> None:
    tracker = tracker_of(history, 0)
    for tick in range(10):
        tracker.update(Snapshot(at(tick / 10), (email(tick / 10, 812),)))
    assert stored(history) == []
    changes = history.incidents.connection.total_changes
    tracker.record_openers()
    assert stored(history) == [(812, 0, 0.9, None)]
    assert history.incidents.connection.total_changes == changes + 1
    again = tracker_of(history, 2)
    again.update(Snapshot(at(2), (email(2, 812, 900, held=2),)))
    again.record_openers()
    assert sorted(stored(history)) == [(812, 0, 2, None), (900, 2, 2, None)]
    again.update(Snapshot(at(3), (email(3, 900, held=2),)))
    again.record_openers()
    assert stored(history) == [(900, 2, 3, None), (812, 0, 2, 3)]
    assert stored(history, limit=1) == [(900, 2, 3, None)]


def test_a_stopped_writer_is_named_after_a_restart(history: History) -> None:
    tracker = tracker_of(history, 0)
    for minute in range(3):
        tracker.update(Snapshot(at(minute), (email(minute, 812, written=minute),)))
    tracker.record_openers()
    again = tracker_of(history, 2.5)
    silent = [email(minute, written=2) for minute in (3, 4)]
    again.update(Snapshot(at(3), (silent[0],)))
    again.record_openers()
    third = tracker_of(history, 4)
    down = replace(finding("down", 4), database="email")
    third.update(Snapshot(at(4), (replace(silent[1], problems=(down,), level="fault"),)))
    (incident,) = third.incidents
    assert incident.key == "process:812"
    assert "agent-812 (pid 812) closed it at 12:02 UTC." in incident.text
    assert third.writers["email"].pid == 812


def test_after_a_pause_of_ours_it_is_said_that_a_process_closed_it_later(history: History) -> None:
    tracker = tracker_of(history, 0)
    for minute in range(3):
        tracker.update(Snapshot(at(minute), (email(minute, 812, written=minute),)))
    tracker.record_openers()
    again = tracker_of(history, 60)
    down = replace(finding("down", 30), database="email")
    silent = replace(email(60, written=2), problems=(down,), level="fault")
    again.update(Snapshot(at(60), (silent,)))
    assert "agent-812 (pid 812) closed it after 12:02 UTC." in again.incidents[0].text


def test_an_incident_keeps_who_had_its_database_open_when_it_began(history: History) -> None:
    tracker = tracker_of(history, 0)
    tracker.update(Snapshot(at(0), (email(0, 812, 900),)))
    lost = replace(finding("rows_dropped", 1), database="email")
    hurt = replace(email(1, 812), problems=(lost,), level="fault")
    tracker.update(Snapshot(at(1), (hurt,)))
    tracker.update(Snapshot(at(9), (replace(email(9, 77, held=9), problems=(lost,)),)))
    (incident,) = tracker_of(history, 10).incidents
    assert incident.evidence == "Open then: agent-812 (pid 812) and agent-900 (pid 900)."


def test_forgetting_a_database_forgets_its_openers_and_its_page_check(history: History) -> None:
    tracker = tracker_of(history, 0)
    names = ("email", "health")
    tracker.update(Snapshot(at(0), tuple(status(name, at(0), pids=(812,)) for name in names)))
    tracker.record_openers()
    with closing(sqlite3.connect(history.path)) as connection, connection:
        connection.executemany(
            "INSERT INTO integrity VALUES (?, '/srv/x.db', '{}')", [(name,) for name in names]
        )
    history.forget(Database("email", "Email", Path("/srv/email.db")), at(1))
    tracker.forget("email")
    tracker.record_openers()
    with closing(sqlite3.connect(history.path)) as connection:
        for table in ("opener", "integrity"):
            left = connection.execute(f"SELECT database FROM {table}").fetchall()
            assert left == [("health",)]


def test_openers_end_with_their_age_their_number_and_their_database(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MAX_OPENERS", 2)
    now = int(NOON.timestamp())
    day = 86_400
    with closing(sqlite3.connect(history.path)) as connection, connection:
        for days in (1, 2, 3, 31):
            until = now - days * day
            connection.execute(
                "INSERT INTO opener VALUES ('email', ?, ?, ?, ?, 'x', NULL)",
                (until - 9, days, until, until + 5),
            )
        connection.execute("INSERT INTO watched VALUES ('email', ?, ?)", (now - day, now))
        connection.executemany(
            "INSERT INTO integrity VALUES (?, '/srv/x.db', '{}')", [("email",), ("gone",)]
        )
        prune(connection, NOON, timedelta(days=400))
        assert connection.execute("SELECT pid FROM opener ORDER BY pid").fetchall() == [(1,), (2,)]
        assert connection.execute("SELECT database FROM integrity").fetchall() == [("email",)]
