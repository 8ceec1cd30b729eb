"""All faces show the page check alike, with its age, and claim no more than was checked."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from click import unstyle
from dash import html

from dash_app import loader
from dash_app.api.serializers import detail_document, status_document
from dash_app.cli.service_status import snapshot_from
from dash_app.cli.status import lines
from dash_app.model.expectation import Rules
from dash_app.model.host_facts import Disk, Surroundings
from dash_app.model.integrity import Damage, Integrity, TableCheck
from dash_app.model.problem import Problem
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.page import database as view
from dash_app.page.glance import glance_page
from dash_app.page.headline import headline
from dash_app.page.page import version_of
from dash_app.words.summaries import glance_text
from tests.factories import NOW, database, good_reading, judged_status
from tests.metrics.helpers import exposed, value
from tests.page.helpers import card_text, visible_text

HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)
SIZES = {"events": 1_100_000_000, "events_by_time": 300_000_000, "tasks": 40_000}
CLEAN = Integrity(
    "clean",
    NOW - 6 * HOUR,
    1.0,
    tables={
        "events": TableCheck(NOW - 6 * HOUR, "expression index"),
        "tasks": TableCheck(NOW - 7 * HOUR),
        "drafts": TableCheck(),
    },
    table_bytes={**SIZES, "sqlite_schema": 4096},
    index_tables={"events_by_time": "events"},
)
CHECKING = Integrity("checking", checked_share=0.319)
OFF = Integrity("unchecked", reason="turned off in the configuration")
NEW = Integrity("unchecked", reason="not checked yet")
DAMAGE = (Damage("events", 12, NOW - 3 * HOUR), Damage("", 1, NOW - HOUR))
DAMAGED = replace(CLEAN, state="damaged", damage=DAMAGE)
STATES = {
    "No damage found, checked 6 h ago": CLEAN,
    "31% checked": CHECKING,
    "Not checked: turned off in the configuration": OFF,
    "Not checked yet": NEW,
    "Damage found 1 h ago": DAMAGED,
}
CLAIMS = ("whole", "intact", "safe", "lost", "corrupt")


def with_check(integrity: Integrity | None, name: str = "email") -> DatabaseStatus:
    return replace(judged_status(good_reading(events=9, tasks=1), name=name), integrity=integrity)


def view_text(status: DatabaseStatus, **fields: Any) -> str:
    tables = loader.table_frame(None, status, NOW)
    details = replace(view.Details(status, (), tables, None, html.Section()), **fields)
    return visible_text(view.view(details, "", NOW, html.Section()).after_charts)


def test_every_face_says_the_same_of_each_state() -> None:
    for line, integrity in STATES.items():
        snapshot = Snapshot(NOW, (with_check(integrity),))
        served = snapshot_from(status_document(snapshot))
        printed = [unstyle(text) for text in lines(served, NOW, is_fresh=True)]
        faces = [card_text(with_check(integrity)), view_text(with_check(integrity)), printed[1]]
        assert line in glance_page(snapshot, NOW)
        for face in [*faces, glance_text(snapshot, NOW)]:
            assert line in face, line
            assert not any(claim in face for claim in CLAIMS), face


def test_a_database_without_a_check_claims_none() -> None:
    assert "heck" not in card_text(with_check(None))
    assert "Integrity" not in view_text(with_check(None))
    assert status_document(Snapshot(NOW, (with_check(None),)))["databases"][0]["integrity"] is None
    gone = replace(with_check(CLEAN), status="error")
    assert "heck" not in card_text(gone)


def test_a_problem_of_damaged_pages_replaces_the_line_unless_nothing_reports_it() -> None:
    problem = Problem("pages_damaged", "fault", NOW, "Damaged: 12 pages of `events`.", "")
    damaged = replace(with_check(DAMAGED), problems=(problem,), level="fault")
    assert "Damage found" not in card_text(damaged)
    assert "Damage found" not in glance_text(Snapshot(NOW, (damaged,)), NOW)
    assert "Damage found 1 h ago" in view_text(damaged)
    paused = replace(with_check(DAMAGED), database=database("email", Rules(paused=True)))
    assert "Damage found 1 h ago" in card_text(paused)


def test_a_phone_counts_the_databases_that_were_checked_to_their_end() -> None:
    again = replace(CLEAN, state="checking", checked_share=0.2)
    stopped = replace(CLEAN, state="unchecked", reason="turned off")
    states = (CLEAN, DAMAGED, again, CHECKING, OFF, stopped, None)
    snapshot = Snapshot(NOW, tuple(with_check(one, f"db-{n}") for n, one in enumerate(states)))
    assert "3 of 7 checked" in visible_text(headline(snapshot, NOW))
    unknown = Snapshot(NOW, (with_check(None),))
    assert "checked" not in visible_text(headline(unknown, NOW))
    missing = replace(with_check(NEW), status="not_initialized")
    assert "checked" not in visible_text(headline(Snapshot(NOW, (missing,)), NOW))


def test_the_view_has_a_line_per_table_with_its_size_its_growth_and_its_check() -> None:
    before = {
        "events": (1_000_000_000, NOW - WEEK / 2),
        "events_by_time": (290_000_000, NOW - WEEK),
        "tasks": (39_000, NOW - HOUR),
    }
    text = view_text(with_check(CLEAN), bytes_before=before)
    assert "Table Size In indexes A week Checked events" in text
    assert (
        "events Indexes: events_by_time 300 MB Not compared: expression index"
        " 1.4 GB 300 MB +210 MB 6 h ago tasks" in text
    )
    assert "tasks Checked 7 h ago 40 kB 0 B unknown 7 h ago" in text
    assert "sqlite_schema" not in text
    alone = replace(CLEAN, table_bytes={"tasks": 40_000}, index_tables={})
    assert "Table Size Checked" in view_text(with_check(alone))
    assert "drafts Not checked yet unknown unknown unknown not yet" in text
    damaged = view_text(with_check(DAMAGED))
    assert "At least 1 damaged page outside all tables Table" in damaged
    assert (
        "events Checked 6 h ago Indexes: events_by_time 300 MB 12 damaged pages, found 3 h ago"
        in damaged
    )
    assert "31% checked, no damage found so far" in view_text(with_check(CHECKING))
    waiting = replace(CLEAN, checked_share=0.4, reason="it cannot be read")
    assert "6 h ago ; not checked now: it cannot be read" in view_text(with_check(waiting))
    next_ = replace(CLEAN, checked_share=0.4)
    assert "6 h ago ; 40% of the next check is done" in view_text(with_check(next_))


def test_the_forecast_of_a_full_disk_names_the_table_that_fills_it() -> None:
    disk = Surroundings(disk=Disk(7, 1_000_000_000, 50_000_000_000))
    status = with_check(CLEAN)
    reading = replace(status.reading, size_bytes=1_900_000_000, surroundings=disk)
    before = {name: (size_bytes // 2, NOW - WEEK) for name, size_bytes in SIZES.items()}
    earlier = (1_600_000_000, NOW - timedelta(days=1))
    facts = {"size_before": earlier, "bytes_before": before}
    text = view_text(replace(status, reading=reading), **facts)
    assert "98% full, 1.0 GB free, full in about 3 days at this rate; events grows most" in text
    unknown = view_text(replace(status, reading=reading), size_before=earlier)
    assert "at this rate Path" in unknown


def test_a_check_underway_changes_the_page_once_per_percent() -> None:
    versions = {
        share: version_of(Snapshot(NOW, (with_check(replace(CHECKING, checked_share=share)),)))
        for share in (0.311, 0.319, 0.32)
    }
    assert versions[0.311] == versions[0.319] != versions[0.32]
    sizes = {share: replace(CLEAN, checked_share=share) for share in (0.5, 0.6)}
    snapshots = [Snapshot(NOW, (with_check(check),)) for check in sizes.values()]
    assert len({version_of(snapshot) for snapshot in snapshots}) == 1
    assert len({version_of(snapshot, "email") for snapshot in snapshots}) == 2


def test_the_api_has_the_check_and_the_size_of_each_table_and_index() -> None:
    document = detail_document(with_check(DAMAGED), ())
    assert document["tableBytes"] == {**SIZES, "sqlite_schema": 4096}
    assert document["integrity"] == {
        "state": "damaged",
        "checkedAt": "2026-11-23T09:00:00.000Z",
        "checkedShare": 1,
        "reason": None,
        "damage": [
            {"table": "events", "pages": 12, "foundAt": "2026-11-23T12:00:00.000Z"},
            {"table": "", "pages": 1, "foundAt": "2026-11-23T14:00:00.000Z"},
        ],
    }
    assert detail_document(with_check(None), ())["tableBytes"] == {}


def test_metrics_have_the_state_its_age_damaged_pages_and_sizes_up_to_the_limit() -> None:
    samples = exposed(with_check(DAMAGED), with_check(CHECKING, "late"), max_tables=2)
    assert value(samples, "database_integrity", database="email", state="damaged") == 1
    assert value(samples, "database_integrity", database="email", state="clean") == 0
    at = value(samples, "database_integrity_checked_timestamp_seconds", database="email")
    assert at == (NOW - 6 * HOUR).timestamp()
    assert value(samples, "database_integrity_checked_share", database="late") == 0.319
    assert value(samples, "database_damaged_pages", database="email") == 13
    assert value(samples, "database_damaged_pages", database="late") is None
    sizes = {
        dict(labels)["table"]: size_bytes
        for (name, labels), size_bytes in samples.items()
        if name == "mission_control_table_bytes"
    }
    assert sizes == {name: SIZES[name] for name in ("events", "events_by_time")}


def test_the_view_names_a_writers_sqlite_with_the_bug_of_the_wal_and_no_other_face_does() -> None:
    def written(version: int, journal_mode: str = "wal") -> DatabaseStatus:
        reading = replace(good_reading(events=9), sqlite_version=version, journal_mode=journal_mode)
        return replace(judged_status(reading), integrity=CLEAN)

    line = (
        "Last written by SQLite 3.45.1. When two programs checkpoint at once, it may lose committed"
        " pages, though rarely. SQLite 3.51.3 fixes that, as do 3.50.7 and 3.44.6; a distribution"
        " may have fixed it without changing the number."
    )
    status = written(3_045_001)
    assert line in view_text(status)
    assert (status.level, status.problems) == ("well", ())
    assert "SQLite" not in card_text(status)
    for other in (written(3_044_006), written(3_045_001, "delete")):
        assert "SQLite" not in view_text(other)
