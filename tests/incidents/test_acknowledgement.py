"""An acknowledgement covers a database only if it covers every problem that needs a person."""

from dataclasses import replace
from datetime import timedelta

from dash_app.incidents.correlation import IncidentState, correlate
from dash_app.model.incident import Acknowledgement
from dash_app.model.problem import Problem
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from tests.incidents.helpers import at, finding, status

NOW = at(60)
HOUR = timedelta(hours=1)
BY_ANN = Acknowledgement("ann@example.com", NOW, NOW + HOUR)
UNTIL_END = Acknowledgement("bob@example.com", NOW, None)


def email(
    acknowledged: dict[str, Acknowledgement], *findings: Problem, now_hours: int = 0
) -> DatabaseStatus:
    """A database whose incidents are acknowledged, by the codes of their problems."""
    now = NOW + now_hours * HOUR
    snapshot = Snapshot(now, (status("email", now, *findings), status("health", now)))
    incidents = correlate(IncidentState(), snapshot, timedelta(minutes=5)).incidents
    known = tuple(replace(one, acknowledged=acknowledged.get(one.kind)) for one in incidents)
    first, health = snapshot.with_incidents(known).databases
    assert (health.incidents, health.acknowledged, health.needs_you) == ((), None, False)
    return first


def test_an_acknowledged_database_keeps_its_level_and_needs_nobody() -> None:
    held = finding("log_held", 0)
    assert email({}, held).needs_you
    covered = email({"log_held": BY_ANN}, held)
    assert (covered.level, covered.acknowledged, covered.needs_you) == ("fault", BY_ANN, False)
    assert [incident.kind for incident in covered.incidents] == ["log_held"]
    expired = email({"log_held": BY_ANN}, held, now_hours=1)
    assert (expired.acknowledged, expired.needs_you) == (None, True)


def test_one_problem_that_is_not_acknowledged_needs_a_person() -> None:
    both = finding("log_held", 0), finding("disk_low", 30)
    assert email({"log_held": BY_ANN}, *both).needs_you
    covered = email({"log_held": UNTIL_END, "disk_low": BY_ANN}, *both)
    assert (covered.acknowledged, covered.needs_you) == (UNTIL_END, False)


def test_a_past_change_is_never_covered() -> None:
    assert email({"rows_dropped": BY_ANN}, finding("rows_dropped", 0)).needs_you
