"""Open incidents on the page: cause, acknowledgement and notifications."""

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape

from dash_app.model.incident import Acknowledgement, Incident
from dash_app.model.notification import Notification
from dash_app.model.problem import Problem
from dash_app.model.snapshot import Snapshot
from dash_app.page.headline import headline
from dash_app.page.incidents import incidents
from dash_app.page.markup import draw
from tests.factories import EARLIER, NOW, good_reading, judged_status
from tests.page.helpers import visible_text

HELD = Problem("log_held", "fault", EARLIER, "The log is held.", "Restart it.")


def incident_text(incident: Incident, *messages: Notification) -> str:
    """The text of the section with one incident."""
    statuses = tuple(judged_status(good_reading(a=1), name=name) for name in ("email", "health"))
    shown = replace(incident, notifications=messages)
    section = incidents(Snapshot(NOW, statuses, incidents=(shown,)), NOW)
    return visible_text(section)


def incident(*databases: str) -> Incident:
    names = " and ".join(name.capitalize() for name in databases)
    text, remedy = f"{names}: Nothing came. node (pid 812) had it open.", "Start node again."
    return Incident("email:down", databases, "log_held", "fault", text, remedy, EARLIER, id=3)


def test_an_open_incident_shows_cause_start_remedy_and_choices() -> None:
    assert incident_text(incident("email", "health")) == (
        "Incidents Email and Health WAL held As of 15:00 UTC Nothing came."
        " node (pid 812) had it open."
        " Since 14:02 UTC ( 58 min ) Start node again. Acknowledge for"
        " 1 h 8 h 24 h until it ends"
    )


def test_an_incident_shows_its_acknowledgement_and_notifications() -> None:
    acknowledged = Acknowledgement("ann@example.com", EARLIER, NOW + timedelta(hours=1))
    shown_incident = replace(incident("email"), acknowledged=acknowledged)
    sent = Notification("m", "fault", "email:down", 3, "", "", EARLIER, EARLIER, 1, sent_at=EARLIER)
    failed = replace(sent, sent_at=None, attempts=3, failure="no route to ntfy.sh")
    text = incident_text(shown_incident, sent, failed)
    assert "1 notification sent, last at 14:02 UTC" in text
    assert "UTC 1 notification not sent yet: no route to ntfy.sh" in text
    assert text.endswith("Acknowledged by ann@example.com until 16:00 UTC Withdraw")
    for until, ending in (
        (None, "Acknowledged by ann@example.com until it ends Withdraw"),
        (NOW, "24 h until it ends"),
    ):
        assert incident_text(
            replace(shown_incident, acknowledged=replace(acknowledged, until=until))
        ).endswith(ending)


def test_only_open_incidents_of_the_database_are_shown() -> None:
    ended = replace(incident("email"), ended_at=EARLIER + timedelta(minutes=20))
    assert incident_text(ended) == ""
    snapshot = Snapshot(NOW, (), incidents=(incident("health"),))
    assert visible_text(incidents(snapshot, NOW, "email")) == ""
    assert visible_text(incidents(snapshot, NOW, "health"))


def test_databases_of_one_incident_share_a_link_in_the_headline() -> None:
    both = tuple(
        replace(judged_status(good_reading(a=1), name=name), problems=(HELD,), level="fault")
        for name in ("email", "health")
    )
    snapshot = Snapshot(NOW, both, incidents=(incident("email", "health"),))
    drawn = unescape(draw(headline(snapshot, NOW)))
    assert re.findall(r'href="(#[^"]+)">([^<]+)', drawn) == [
        ("#incident-3", "Email and Health: WAL held since ")
    ]
    single = replace(snapshot, incidents=(incident("email"),))
    alone = unescape(draw(headline(single, NOW)))
    assert re.findall(r'href="(#[^"]+)"', alone) == ["#card-email", "#card-health"]


def test_problems_of_mission_control_itself_are_in_the_headline() -> None:
    own = replace(incident(), kind="alerts_failing", text="Alerts: No receiver was reached.", id=9)
    snapshot = Snapshot(NOW, (judged_status(good_reading(a=1)),), incidents=(own,))
    drawn = unescape(draw(headline(snapshot, NOW)))
    assert re.findall(r'href="(#[^"]+)">([^<]+)', drawn) == [
        ("#incident-9", "Alerts: notifications not sent since ")
    ]
    assert incident_text(own).startswith(
        "Incidents Alerts Notifications not sent As of 15:00 UTC No receiver was reached."
    )
