"""Examples for `openapi.json`: what the serializers make of a fixed snapshot.

One database is well, one is gone, one does not exist yet, one has a problem and one is paused.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dash_app.api import service_schemas
from dash_app.api.csv_export import to_csv
from dash_app.api.serializers import (
    detail_document,
    events_document,
    history_document,
    incidents_document,
    measures_document,
    service_document,
    status_document,
)
from dash_app.history.event_queries import EventQuery
from dash_app.history.incidents import IncidentQuery
from dash_app.history.series import Series
from dash_app.model.database import Database
from dash_app.model.event import Event
from dash_app.model.expectation import Expectation, ExpectationReport, ExpectationState, Rules
from dash_app.model.host_facts import Activity, Disk, Holder, Surroundings
from dash_app.model.incident import Acknowledgement, Incident
from dash_app.model.integrity import Integrity
from dash_app.model.measure import AGE, Measure, MeasureReport, Value
from dash_app.model.notification import Notification
from dash_app.model.opener import Opener
from dash_app.model.problem import Problem, worst
from dash_app.model.reading import LastGood, Reading, TableCount
from dash_app.model.refusal import Refusal
from dash_app.model.self_check import Promise, SelfReport
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.words.errors import WordingContext, explain_error
from dash_app.words.incidents import incident_text
from dash_app.words.notifications import notification_title
from dash_app.words.problems import REMEDIES, log_held
from dash_app.words.summaries import glance_text, verdict

NOW = datetime(2026, 11, 23, 15, 0, 5, 120_000, UTC)
HOUR = timedelta(hours=1)
READ_AT = NOW - timedelta(seconds=7)
GONE_AT = datetime(2026, 11, 23, 14, 2, 10, tzinfo=UTC)
WORDING = WordingContext(Path("~/.config/mission-control/config.toml"), "ann", timedelta(seconds=2))
DISK = Disk(1, 12_400_000_000, 40_000_000_000)
HOURLY = Expectation(HOUR, HOUR / 6)


def _database(name: str, rules: Rules | None = None) -> Database:
    path = Path(f"/srv/agents/{name}.db")
    return Database(name, name.capitalize(), path, rules or Rules())


def _status(database: Database, reading: Reading, *problems: Problem) -> DatabaseStatus:
    return DatabaseStatus(
        database,
        reading,
        status="connected",
        since=problems[0].since if problems else NOW - 55 * HOUR,
        level=worst(problem.level for problem in problems),
        verdict=verdict(reading, problems),
        last_good=None,
        problems=problems,
    )


def _measures() -> tuple[MeasureReport, ...]:
    minute = HOUR / 60
    pinned = Measure("open_tasks", "Open tasks", minute, greatest=50, is_pinned=True)
    statuses = Value("done", 91), Value("open", 35)
    newest = Measure("newest_task", "Newest task", minute, unit=AGE, greatest=3600)
    return (
        MeasureReport(pinned, (Value(None, 35),), READ_AT, "well"),
        MeasureReport(Measure("by_status", "Tasks by status", minute), statuses, READ_AT, "well"),
        MeasureReport(newest, (Value(None, 7.0),), READ_AT, "well"),
    )


def _coordination() -> DatabaseStatus:
    reading = Reading(
        READ_AT,
        NOW,
        tables={"agents": TableCount(7, READ_AT), "tasks": TableCount(126, READ_AT)},
        last_modified=READ_AT,
        size_bytes=40_960,
        wal_bytes=4_152,
        journal_mode="wal",
        change_counter=4711,
        user_version=3,
        application_id=0,
        free_bytes=0,
        objects={"table tasks": "", "column tasks.owner": "TEXT"},
        surroundings=Surroundings(
            holders=(
                Holder(812, "node", ("open", "read"), NOW - 3 * HOUR, unit="gateway.service"),
            ),
            backlog_bytes=0,
            disk=DISK,
        ),
    )
    tasks = ExpectationState("on_time", HOURLY, READ_AT, READ_AT + HOUR)
    return replace(
        _status(_database("coordination"), reading),
        activity=Activity((1,) * 24, 109, NOW - 24 * HOUR, is_whole_day=True),
        expectations=ExpectationReport(tables={"tasks": tasks}),
        measures=_measures(),
        integrity=Integrity(
            "clean",
            NOW - 6 * HOUR,
            1.0,
            table_bytes={"agents": 4_096, "tasks": 20_480, "tasks_by_owner": 8_192},
            index_tables={"tasks_by_owner": "tasks"},
        ),
    )


def _observability() -> DatabaseStatus:
    database, good = _database("observability"), LastGood(GONE_AT, 10_640, 4)
    text, remedy = explain_error("file_missing", {}, database, good, WORDING)
    gone = Problem("gone", "fault", GONE_AT, text, remedy, database.name)
    status = _status(database, Reading(NOW, NOW, code="file_missing"), gone)
    return replace(status, status="error", last_good=good)


def _content() -> DatabaseStatus:
    database = _database("content")
    text, remedy = explain_error("file_missing", {}, database, None, WORDING)
    problem = Problem("file_missing", "notice", NOW - 55 * HOUR, text, remedy, database.name)
    status = _status(database, Reading(NOW, NOW, code="file_missing"), problem)
    return replace(status, status="not_initialized")


def _email() -> DatabaseStatus:
    since = NOW - 3 * HOUR
    holder = Holder(812, "node", ("open", "read"), since, pins_since=since)
    reading = Reading(
        READ_AT,
        NOW,
        detail={"lock": "", "holder": "python3 (pid 901)"},
        tables={
            "messages": TableCount(1_204_118, READ_AT, estimate="about"),
            "vectors": TableCount(None, READ_AT, error="needs the vec0 module"),
        },
        last_modified=READ_AT,
        size_bytes=310_004_736,
        wal_bytes=1_204_224_000,
        journal_mode="wal",
        surroundings=Surroundings(holders=(holder,), backlog_bytes=1_204_100_000, disk=DISK),
    )
    text = log_held(reading, holder, since)
    problem = Problem("log_held", "notice", since, text, REMEDIES["log_held"], "email")
    checking = Integrity("checking", checked_share=0.31)
    return replace(_status(_database("email"), reading, problem), integrity=checking)


def _health() -> DatabaseStatus:
    reading = Reading(
        READ_AT, NOW, tables={"samples": TableCount(88, READ_AT)}, last_modified=NOW - 30 * HOUR
    )
    return _status(_database("health", Rules(paused=True)), reading)


EMPTIED = Event(
    "coordination",
    "rows_dropped",
    NOW - 6 * HOUR,
    {"rows": {"tasks": 126}},
    {"rows": {"tasks": 0}},
    id=17,
    ended_at=NOW - 5 * HOUR,
)
OPENERS = [
    Opener(812, "node", "gateway.service", NOW - 3 * HOUR, NOW - HOUR / 120),
    Opener(901, "python3", "cron.service", NOW - 7 * HOUR, NOW - 6 * HOUR, NOW - 6 * HOUR),
]
SNAPSHOT = Snapshot(
    NOW,
    (_coordination(), _observability(), _content(), _email(), _health()),
    events=(EMPTIED,),
    history_disk=DISK,
    self_report=SelfReport(
        (Promise("bytesWritten", 0, 0), Promise("longestReadMs", 41, 2000)),
        (813,),
        ("landlock", "seccomp"),
        ticks=213_841,
        ticks_seconds=4_276.8,
    ),
)


def _incident() -> Incident:
    (problem,) = SNAPSHOT.status_of("observability").problems
    incident = Incident(
        "observability:gone",
        ("observability",),
        problem.code,
        problem.level,
        incident_text(["Observability"], [problem.text]),
        problem.remedy,
        GONE_AT,
        acknowledged=Acknowledgement("ann@example.com", GONE_AT + HOUR / 6, GONE_AT + 8 * HOUR),
        id=4,
    )
    sent_at, title = GONE_AT + HOUR / 60, notification_title("fault", incident)
    notification = Notification(
        "5f0c21ab", "fault", incident.key, 4, title, "", sent_at, sent_at, 1, sent_at=sent_at
    )
    return replace(incident, notifications=(notification,))


def _service() -> service_schemas.ServiceDocument:
    refused = Refusal("host", "server.lan:3001", "127.0.0.1", 3, NOW - HOUR)
    document = service_document(SNAPSHOT, NOW - 297 * HOUR, [refused], is_fresh=True)
    # These two are measured, so they differ each time.
    memory: service_schemas.Memory = {"serviceBytes": 128_000_000, "readerBytes": [11_000_000]}
    return {**document, "uptimeSeconds": 1_069_200, "memory": memory}


STATUS = status_document(SNAPSHOT)
DATABASE = detail_document(SNAPSHOT.status_of("coordination"), [EMPTIED], OPENERS)
MEASURES = measures_document(SNAPSHOT, ["coordination"])
EVENTS = events_document([EMPTIED], EventQuery(limit=1), has_more=True)
INCIDENTS = incidents_document([_incident()], IncidentQuery())
_LAST = int(NOW.timestamp())
HISTORY = history_document(
    [
        Series(
            "coordination",
            "tasks",
            "rows",
            ((_LAST - 3600, None), (_LAST - 1800, 120), (_LAST, 126)),
            (None, None, (118, 126)),
        ),
        Series("coordination", None, "measure:by_status", ((_LAST, 40.0),), (None,), label="open"),
    ],
    (),
)
HISTORY_CSV = to_csv(HISTORY["series"])
SERVICE = _service()
GLANCE = glance_text(SNAPSHOT, NOW + timedelta(seconds=2))
METRICS = """\
# HELP mission_control_table_rows Rows of a table, counted or estimated; no sample if unknown.
# TYPE mission_control_table_rows gauge
mission_control_table_rows{database="coordination",table="agents"} 7.0
mission_control_table_rows{database="coordination",table="tasks"} 126.0
"""
"""A test compares it with what `/metrics` returns; the API cannot import that package."""
