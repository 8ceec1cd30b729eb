"""Who has a database open, and had it open, on its card and in its view."""

from dataclasses import replace
from datetime import timedelta

from dash_app.model.host_facts import Holder, Surroundings
from dash_app.model.incident import Incident
from dash_app.model.opener import Opener
from dash_app.model.problem import Problem
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.page.openers import MAX_EARLIER, openers_section
from tests.factories import NOW, database, failed_reading, good_reading, status
from tests.page.helpers import card_text, visible_text

HOUR = timedelta(hours=1)
NODE = Opener(812, "node", "gateway.service", NOW - 30 * HOUR, NOW - HOUR / 60)
CRON = Opener(901, "python3", None, NOW - 3 * HOUR, NOW - 2 * HOUR, NOW - 2 * HOUR)


def held(*holders: Holder) -> DatabaseStatus:
    reading = replace(good_reading(tasks=5), surroundings=Surroundings(holders=holders))
    return status(database(), reading)


def section(status: DatabaseStatus, *openers: Opener) -> str:
    return visible_text(openers_section(status, openers, timedelta(seconds=5), NOW))


def test_present_processes_come_first_with_their_unit_and_since_when_they_were_seen() -> None:
    node = Holder(812, "node", ("open", "read"), NOW - HOUR, unit="gateway.service")
    assert section(held(node), NODE, CRON) == (
        "Open by node (pid 812) since 22 Nov 09:00 UTC gateway.service · read"
        " Earlier python3 (pid 901) 12:00 UTC to 13:00 UTC"
        " As seen every 5 s; shorter visits may be missed."
    )


def test_what_closed_it_since_the_last_record_is_earlier_and_most_is_folded() -> None:
    assert section(held(), NODE).startswith(
        "Open by No other program has it open. Earlier node (pid 812) 22 Nov 09:00 UTC to 14:59 UTC"
    )
    many = [replace(CRON, pid=pid) for pid in range(150)]
    text = section(held(), *many)
    assert text.count("(pid ") == MAX_EARLIER
    assert "(pid 1) 12:00 UTC to 13:00 UTC and 98 more python3 (pid 2)" in text
    assert "and 50 more As seen" in text


def test_a_system_that_does_not_show_it_says_so() -> None:
    unknown = status(database(), good_reading(tasks=5))
    assert section(unknown) == "Open by Unknown on this system."
    gone = status(database(), failed_reading("file_missing"))
    text = "Open by Earlier python3 (pid 901) 12:00 UTC to 13:00 UTC"
    assert section(gone, CRON).startswith(text)


def troubled(problem: Problem, *, evidence: str = "", **fields: Opener) -> str:
    """Return the text of the card of a database with a problem, and with its incident."""
    incident = Incident(
        "email:x", ("email",), problem.code, "fault", "Email: x.", "", problem.since,
        evidence=evidence, problem_ids=(problem.id,),
    )  # fmt: skip
    one = replace(held(), problems=(problem,), level="fault")
    (one,) = Snapshot(NOW, (one,)).with_incidents((incident,), fields).databases
    return card_text(one)


def test_a_card_names_who_closed_a_silent_database_and_who_had_a_harmed_one_open() -> None:
    down = Problem("down", "fault", NOW - HOUR, "No write.", "Check it.", "email")
    assert "( 1 h ). python3 (pid 901) closed it at 13:00 UTC . Check it." in troubled(
        down, email=CRON
    )
    late = replace(CRON, missed_at=CRON.until + HOUR)
    assert "closed it after 13:00 UTC ." in troubled(down, email=late)
    lost = replace(down, code="rows_dropped", needs_acknowledgement=True)
    evidence = "wal_split: seen.\nOpen then: node (pid 812, gateway.service)."
    assert (
        "At 14:00 UTC ( 1 h ago ). Open then: node (pid 812, gateway.service). Check it."
        in troubled(lost, evidence=evidence)
    )
    assert "Open then" not in troubled(down, evidence=evidence)
