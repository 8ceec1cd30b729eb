"""Incidents on the page: cause, acknowledgement and notifications of open ones."""

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape

from dash_app.model.incident import Acknowledgement, Incident
from dash_app.model.notification import Notification
from dash_app.model.problem import Problem
from dash_app.model.snapshot import Snapshot
from dash_app.page.acknowledging import database_controls
from dash_app.page.headline import headline
from dash_app.page.incidents import incidents
from dash_app.page.markup import draw
from dash_app.words.incidents import incident_line
from tests.factories import EARLIER, NOW, good_reading, judged_status
from tests.page.helpers import visible_text

HELD = Problem("log_held", "fault", EARLIER, "The log is held.", "Restart it.", "email")
LOST = replace(HELD, code="rows_dropped", text="Rows are lost.", needs_acknowledgement=True)
BY_ANN = Acknowledgement("ann@example.com", EARLIER, NOW + timedelta(hours=1))
CHOICE = "Acknowledge for 1 h 8 h 24 h until it ends"


def incident_text(incident: Incident) -> str:
    """The text of the section with one incident."""
    statuses = tuple(judged_status(good_reading(a=1), name=name) for name in ("email", "health"))
    section = incidents(Snapshot(NOW, statuses, incidents=(incident,)), NOW)
    return visible_text(section)


def incident(*databases: str, problem: Problem = HELD) -> Incident:
    names = " and ".join(name.capitalize() for name in databases)
    text, remedy = f"{names}: Nothing came. node (pid 812) had it open.", "Start node again."
    problems = (problem.id,)
    return Incident(
        problem.id,
        databases,
        problem.code,
        "fault",
        text,
        remedy,
        EARLIER,
        problem_ids=problems,
        id=3,
    )


def controls(*incidents: Incident, problems: tuple[Problem, ...] = (HELD,)) -> str:
    """The text of the controls on the card of a database with these problems and incidents."""
    status = replace(judged_status(good_reading(a=1)), problems=problems, level="fault")
    (status,) = Snapshot(NOW, (status,)).with_incidents(incidents).databases
    return visible_text(database_controls(status, NOW))


def test_an_incident_of_several_databases_shows_cause_start_remedy_and_choices() -> None:
    assert incident_text(incident("email", "health")) == (
        "Incidents Email and Health Check As of 15:00 UTC Nothing came."
        " node (pid 812) had it open."
        f" Since 14:02 UTC ( 58 min ). Start node again. {CHOICE}"
    )


def test_an_incident_of_one_database_is_on_its_card_alone() -> None:
    assert incident_text(incident("email")) == ""
    assert controls(incident("email")) == CHOICE
    assert controls(incident("email", "health")) == ""
    assert controls() == ""


def test_the_end_and_the_person_of_an_acknowledgement_are_shown() -> None:
    until_end, over = replace(BY_ANN, until=None), replace(BY_ANN, until=NOW)
    for acknowledged, expected in (
        (BY_ANN, "Acknowledged until 16:00 UTC , by ann@example.com · Undo"),
        (until_end, "Acknowledged until it ends, by ann@example.com · Undo"),
        (over, CHOICE),
    ):
        assert controls(replace(incident("email"), acknowledged=acknowledged)) == expected
        shared = replace(incident("email", "health"), acknowledged=acknowledged)
        assert incident_text(shared).endswith(expected)


def test_a_past_change_offers_no_time() -> None:
    lost = incident("email", problem=LOST)
    assert controls(lost, problems=(LOST,)) == "Acknowledge"
    assert controls(replace(lost, acknowledged=BY_ANN), problems=(LOST,)) == "Acknowledge"
    both = controls(incident("email"), replace(lost, id=4), problems=(LOST, HELD))
    assert both == CHOICE
    known = replace(incident("email"), acknowledged=BY_ANN)
    assert controls(known, replace(lost, id=4), problems=(LOST, HELD)) == "Acknowledge"


def test_a_past_change_leaves_other_acknowledgements_alone() -> None:
    status = replace(judged_status(good_reading(a=1)), problems=(LOST, HELD), level="fault")
    known = replace(incident("email"), acknowledged=BY_ANN)
    lost = replace(incident("email", problem=LOST), id=4)
    (status,) = Snapshot(NOW, (status,)).with_incidents((known, lost)).databases
    drawn = draw(database_controls(status, NOW))
    assert 'data-database="email" ' in drawn or 'data-database="email">' in drawn
    assert 'data-incidents=""' in drawn


def test_the_line_of_an_incident_has_its_notifications() -> None:
    sent = Notification("m", "fault", "email:down", 3, "", "", EARLIER, EARLIER, 1, sent_at=EARLIER)
    failed = replace(sent, sent_at=None, attempts=3, failure="no route to ntfy.sh")
    text = incident_line(replace(incident("email"), notifications=(sent, failed)))
    assert "1 notification sent." in text
    assert text.endswith("1 notification not sent yet: no route to ntfy.sh.")


def test_only_open_incidents_of_the_database_are_shown() -> None:
    both = incident("email", "health")
    ended = replace(both, ended_at=EARLIER + timedelta(minutes=20))
    assert incident_text(ended) == ""
    snapshot = Snapshot(NOW, (), incidents=(both,))
    assert visible_text(incidents(snapshot, NOW, "content")) == ""
    assert visible_text(incidents(snapshot, NOW, "health"))


def links(snapshot: Snapshot) -> list[tuple[str, str]]:
    """The targets and texts of the links in the headline."""
    return re.findall(r'<a href="(#[^"]+)">([^<]+)', unescape(draw(headline(snapshot, NOW))))


def test_databases_of_one_incident_share_a_link_in_the_headline() -> None:
    both = tuple(
        replace(
            judged_status(good_reading(a=1), name=name),
            problems=(replace(HELD, database=name),),
            level="fault",
        )
        for name in ("email", "health")
    )
    shared = replace(incident("email", "health"), problem_ids=("email:log_held", "health:log_held"))
    assert links(Snapshot(NOW, both).with_incidents((shared,))) == [
        ("#incident-3", "Email and Health: WAL held")
    ]
    assert links(Snapshot(NOW, both).with_incidents((incident("email"),))) == [
        ("#card-email", "Email has a large WAL"),
        ("#card-health", "Health has a large WAL"),
    ]
    first = Snapshot(NOW, both[:1])
    assert links(first) == [("#card-email", "Email has a large WAL, ")]


def test_problems_of_mission_control_itself_are_in_the_headline() -> None:
    own = replace(incident(), kind="alerts_failing", text="Alerts: No receiver was reached.", id=9)
    snapshot = Snapshot(NOW, (judged_status(good_reading(a=1)),), incidents=(own,))
    assert links(snapshot) == [("#incident-9", "Alerts: notifications not sent")]
    assert links(replace(snapshot, incidents=(replace(own, acknowledged=BY_ANN),))) == []
    assert incident_text(own).startswith(
        "Incidents Alerts Check As of 15:00 UTC No receiver was reached."
    )
