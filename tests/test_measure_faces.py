"""All faces show measures alike: API, metrics, status."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from dash_app.alerts.policy import Outbox, plan
from dash_app.api.responses import facts_of
from dash_app.api.serializers import status_document
from dash_app.cli.service_status import snapshot_from
from dash_app.incidents.correlation import IncidentState, correlate
from dash_app.model.measure import AGE, MAX_SHOWN, OTHERS, Answer, Failure, Measure, Value
from dash_app.model.notification import Notification
from dash_app.model.snapshot import DatabaseState, DatabaseStatus, Snapshot
from dash_app.rules.judge import Evidence, judge
from dash_app.settings.schema import AlertsSettings
from dash_app.words.summaries import status_line
from tests.contract import validator
from tests.factories import NOW, WORDING, database, good_reading
from tests.metrics.helpers import exposed, value

MINUTE = timedelta(minutes=1)
STATUS = "#/components/schemas/StatusDocument"


def measure(name: str, **fields: Any) -> Measure:
    return Measure(name, name.replace("_", " ").capitalize(), MINUTE, **fields)


OPEN = measure("open_tasks", greatest=50, is_pinned=True)
COST = measure("cost_today", unit="USD", greatest=5, level="notice", is_pinned=True)
NEWEST = measure("newest_task", unit=AGE, greatest=3600)
BY_STATUS = measure("by_status")
ORPHANS = measure("orphans", kind="no_rows", greatest=0)
ANSWERS = {
    "open_tasks": Answer((Value(None, 63),), NOW - MINUTE),
    "cost_today": Answer((Value(None, 0.3512),), NOW),
    "newest_task": Answer((Value(None, NOW.timestamp() - 7200),), NOW),
    "by_status": Answer((Value("done", 91), Value("open", None)), NOW),
    "orphans": Answer((), None, Failure("sql", NOW, {"text": "no such table: x", "tables": "a"})),
}


def status(
    measures: tuple[Measure, ...], answers: Mapping[str, Answer], now: datetime = NOW
) -> DatabaseStatus:
    """A database that is well, but for these answers to its measures."""
    subject = replace(database(), measures=measures)
    state = DatabaseState("connected", None, NOW, None)
    evidence = Evidence(subject, good_reading(tasks=3), state, measures=answers, now=now)
    return judge(evidence, WORDING)


ALL = status((OPEN, COST, NEWEST, BY_STATUS, ORPHANS), ANSWERS)


def test_the_documents_have_the_values_and_what_is_wrong() -> None:
    document = status_document(Snapshot(NOW, (ALL,)))
    validator(STATUS).validate(document)
    (email,) = document["databases"]
    measures = {found["name"]: found for found in email["measures"]}
    assert list(measures) == ["open_tasks", "cost_today", "newest_task", "by_status", "orphans"]
    assert measures["open_tasks"] == {
        "name": "open_tasks",
        "label": "Open tasks",
        "unit": None,
        "value": 63,
        "values": [],
        "measuredAt": "2026-11-23T14:59:00.000Z",
        "old": False,
        "level": "fault",
        "error": None,
        "limits": {"min": None, "max": 50, "equals": None},
        "pinned": True,
    }
    assert (measures["newest_task"]["value"], measures["newest_task"]["unit"]) == (7200, "age")
    assert measures["by_status"]["value"] is None
    assert measures["by_status"]["limits"] is None
    assert measures["by_status"]["values"] == [
        {"label": "done", "value": 91},
        {"label": "open", "value": None},
    ]
    assert (measures["orphans"]["measuredAt"], measures["orphans"]["level"]) == (None, "notice")
    assert "no such table: x" in (measures["orphans"]["error"] or "")
    findings = {finding["measure"]: finding for finding in email["findings"]}
    assert {name: found["kind"] for name, found in findings.items()} == {
        "open_tasks": "measure_out_of_range",
        "newest_task": "measure_out_of_range",
        "orphans": "measure_failed",
    }
    assert findings["open_tasks"]["table"] is None
    assert email["level"] == "fault"


def test_an_age_by_itself_is_no_new_fact() -> None:
    """The ETag of a document stays until a measure has another value."""
    newest = replace(NEWEST, greatest=None)
    answers = ANSWERS, ANSWERS, {**ANSWERS, "by_status": Answer((Value("done", 92),), NOW)}
    facts = []
    for seconds, known in enumerate(answers):
        at = NOW + timedelta(seconds=seconds)
        snapshot = Snapshot(at, (status((newest, BY_STATUS), known, at),))
        facts.append(facts_of(status_document(snapshot)["databases"][0]))
    assert facts[0] == facts[1] != facts[2]


def test_the_metrics_have_values_levels_and_times() -> None:
    samples = exposed(ALL)

    def of(measure: str, name: str = "value", **labels: str) -> float | None:
        return value(samples, f"measure_{name}", database="email", measure=measure, **labels)

    assert of("open_tasks", label="", unit="") == 63
    assert of("cost_today", label="", unit="USD") == 0.3512
    assert of("newest_task", label="", unit="age") == 7200
    assert of("by_status", label="done", unit="") == 91
    assert of("by_status", label="open", unit="") is None
    assert of("open_tasks", "measured_timestamp_seconds") == (NOW - MINUTE).timestamp()
    assert of("orphans", "measured_timestamp_seconds") is None
    levels = {name: of(name, "level", level="fault") for name in ANSWERS}
    assert levels == {name: float(name in {"open_tasks", "newest_task"}) for name in ANSWERS}


def test_a_line_has_the_pinned_measures_and_what_is_wrong_with_any() -> None:
    """The same line with a service, whose document `status` turns into a snapshot, and without."""
    snapshot = Snapshot(NOW, (ALL,))
    rebuilt = snapshot_from(status_document(snapshot))
    for databases in (snapshot.databases, rebuilt.databases):
        (line,) = (status_line(found, NOW) for found in databases)
        assert line.count("Open tasks") == 1
        assert "Newest task: " in line
        assert "2 h" in line
        assert "Orphans: " in line
        assert "no such table: x" in line
        assert line.endswith("3 rows. Cost today: 0.3512 USD.")
    pinned = replace(BY_STATUS, is_pinned=True)
    values = tuple(Value(label, 5) for label in "abcd")
    failing = Answer(values, NOW - MINUTE, Failure("crashed", NOW - 2 * MINUTE))
    for answer, text in (
        (ANSWERS["by_status"], "By status: done 91, open unknown."),
        (Answer(), "By status: unknown."),
        (failing, "By status: a 5, b 5, c 5, 1 more (1 min ago)."),
    ):
        assert status_line(status((pinned,), {"by_status": answer}), NOW).endswith(text)


def test_a_fault_is_sent_with_its_value_and_a_notice_is_not() -> None:
    policy = AlertsSettings()

    def sent(measures: tuple[Measure, ...]) -> list[Notification]:
        snapshot = Snapshot(NOW, (status(measures, ANSWERS),))
        (incident,) = correlate(IncidentState(), snapshot, policy.settle).incidents
        incident = replace(incident, id=1)
        return [*plan(Outbox(), [incident], policy, NOW + 2 * MINUTE).notifications]

    (notification,) = sent((OPEN,))
    assert (notification.kind, notification.title) == ("fault", "Email: needs you")
    cause, times, remedy, *_ = notification.body.splitlines()
    assert cause.startswith("Email: Open tasks: 63")
    assert (times, bool(remedy)) == ("Since 15:00 UTC.", True)
    assert sent((replace(OPEN, level="notice"),)) == sent((ORPHANS,)) == []
    both = sent((replace(OPEN, level="notice"), NEWEST, ORPHANS))
    assert [line for line in both[0].body.splitlines() if "13:00" in line]  # the time, not an age


def test_labels_beyond_those_shown_are_one_and_unique() -> None:
    """A query may return a label that is ours, and any characters."""
    labels = [OTHERS, 'a "quoted"\\ name', *(f"label {n}" for n in range(MAX_SHOWN))]
    values = tuple(Value(label, 100 - n) for n, label in enumerate(labels))
    many = status((BY_STATUS,), {"by_status": Answer(values, NOW)})
    (shown,) = status_document(Snapshot(NOW, (many,)))["databases"][0]["measures"]
    assert [one["label"] for one in shown["values"]] == [*labels[1:-1], OTHERS]
    assert shown["values"][-1]["value"] == 100 + 100 - len(labels) + 1
    samples = {
        dict(labels)["label"]: number
        for (name, labels), number in exposed(many).items()
        if name == "mission_control_measure_value"
    }
    assert samples == {one["label"]: one["value"] for one in shown["values"]}
