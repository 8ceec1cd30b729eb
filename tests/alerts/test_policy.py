"""When notifications are sent, in simulated time."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dash_app.alerts.policy import (
    Outbox,
    apprise_types,
    dequeue,
    pending_reason,
    plan,
    record_attempt,
    record_delivery,
    urgent_ids,
)
from dash_app.model.problem import Level
from dash_app.settings.quiet_hours import parse_quiet_hours
from tests.alerts.simulation import HOUR, MINUTE, NOON, POLICY, SECOND, Simulation

NIGHT = parse_quiet_hours("22:00-07:00 UTC")


def test_a_fault_is_notified_once_after_it_has_lasted_and_once_after_it_ended() -> None:
    sim = Simulation()
    sim.start("email")
    sim.advance(MINUTE, SECOND)
    assert sim.titles == []
    sim.advance(3 * HOUR)
    assert sim.delivered == [(NOON + MINUTE, "Email: needs you")]
    sim.end("email")
    sim.advance(2 * HOUR)
    over = NOON + 3 * HOUR + 6 * MINUTE
    assert sim.delivered[1:] == [(over, "Email: over after 3 h")]
    text, since, *_ = sim.bodies[1].splitlines()
    assert text == "Email: The file is gone."
    assert since == "Since 12:00 UTC, over since 15:01 UTC."
    assert sim.outbox == Outbox()


def test_short_faults_and_late_tables_are_not_notified() -> None:
    sim = Simulation()
    sim.start("email")
    sim.start("content", level="notice", kind="late")
    sim.advance(30 * SECOND, SECOND)
    sim.end("email")
    sim.advance(HOUR)
    assert sim.titles == []
    sim.start("content", kind="down")
    sim.advance(MINUTE)
    assert sim.titles == ["Content: needs you"]


def test_a_notice_that_needs_a_person_is_notified() -> None:
    sim = Simulation()
    sim.start("email", level="notice", kind="disk_low")
    sim.start("alerts", level="notice", kind="alerts_failing")
    sim.advance(HOUR)
    assert sim.titles == ["Email: needs you"]


def test_flapping_is_notified_once() -> None:
    sim = Simulation()
    for _ in range(20):
        sim.start("email")
        sim.advance(2 * MINUTE)
        sim.end("email")
        sim.advance(3 * MINUTE)
    assert sim.titles == ["Email: needs you"]
    sim.advance(HOUR)
    assert sim.titles[1:] == ["Email: over after 1 h"]


def test_a_cause_that_returns_after_its_end_was_notified_is_notified_again() -> None:
    sim = Simulation()
    for name in ("email", "email"):
        sim.incidents.pop(name, None)
        sim.start(name)
        sim.advance(HOUR)
        sim.end(name)
        sim.advance(HOUR)
    assert [title.partition(" o")[0] for title in sim.titles] == 2 * ["Email: needs you", "Email:"]


def test_an_acknowledgement_stops_reminders_until_it_expires() -> None:
    sim = Simulation()
    sim.start("email")
    sim.advance(50 * HOUR)
    assert sim.titles == [
        "Email: needs you",
        "Email: still needs you",
        "Email: still needs you",
    ]
    sim.acknowledge("email", until=sim.now + 72 * HOUR)
    sim.advance(72 * HOUR)
    assert len(sim.titles) == 3
    sim.advance(MINUTE)
    assert sim.titles[3:] == ["Email: still needs you"]


def test_an_incident_acknowledged_before_it_was_notified_is_never_notified() -> None:
    sim = Simulation()
    sim.start("email")
    sim.acknowledge("email")
    sim.advance(48 * HOUR)
    sim.end("email")
    sim.advance(HOUR)
    assert sim.titles == []


def test_reminders_can_be_switched_off() -> None:
    sim = Simulation(POLICY.model_copy(update={"remind": timedelta(0)}))
    sim.start("email")
    sim.advance(72 * HOUR)
    assert sim.titles == ["Email: needs you"]


def test_notifications_of_quiet_hours_are_combined_at_their_end() -> None:
    sim = Simulation(POLICY.model_copy(update={"quiet": NIGHT}))
    sim.advance(11 * HOUR)
    sim.start("email")
    sim.start("content")
    sim.advance(2 * HOUR)
    sim.end("content")
    sim.advance(6 * HOUR)
    assert sim.titles == []
    sim.advance(12 * HOUR)
    assert sim.delivered == [(NOON + 19 * HOUR, "1 needs you, 1 over")]
    assert sim.bodies[0].splitlines()[:2] == [
        "23:01 UTC, Email: needs you. The file is gone. Restore it.",
        (
            "01:05 UTC, Content: over after 2 h. The file is gone."
            " Since 23:00 UTC, over since 01:00 UTC."
        ),
    ]


def test_a_single_notification_of_quiet_hours_is_sent_alone() -> None:
    sim = Simulation(POLICY.model_copy(update={"quiet": NIGHT}))
    sim.advance(11 * HOUR)
    sim.start("email")
    sim.advance(9 * HOUR)
    assert sim.titles == ["Email: needs you"]


def test_danger_is_notified_at_once_also_in_quiet_hours_and_its_end_waits() -> None:
    sim = Simulation(POLICY.model_copy(update={"quiet": NIGHT, "after": HOUR}))
    sim.advance(11 * HOUR)
    sim.start("content")
    for name in ("email", "health"):
        sim.start(name, kind="wal_split")
    sim.tick()
    night = NOON + 11 * HOUR
    assert sim.delivered == [(night, "Email: needs you"), (night, "Health: needs you")]
    sim.advance(2 * HOUR)
    sim.end("email")
    sim.advance(5 * HOUR)
    assert len(sim.delivered) == 2
    sim.advance(2 * HOUR)
    assert sim.titles[2:] == ["1 needs you, 1 over"]


def test_danger_that_was_not_delivered_is_retried_in_quiet_hours() -> None:
    sim = Simulation(POLICY.model_copy(update={"quiet": NIGHT}))
    sim.advance(11 * HOUR)
    sim.is_reachable = False
    sim.start("email", kind="writer_unlocked")
    sim.advance(10 * MINUTE)
    assert [(at - sim.attempts[0]) // MINUTE for at in sim.attempts] == [0, 1, 5]
    ids = urgent_ids(sim.outbox.notifications, sim.outbox.incidents)
    assert ids == {note.id for note in sim.outbox.notifications}
    (pending,) = sim.outbox.notifications
    reason = pending_reason(pending, (), sim.policy, sim.now, is_urgent=True)
    assert reason == ("next attempt", pending.due_at)
    assert urgent_ids(sim.outbox.notifications, ()) == set()


@pytest.mark.parametrize(("level", "kind"), [("unknown", "engine_foreign"), ("fault", "gone")])
def test_what_is_no_certain_danger_waits(level: Level, kind: str) -> None:
    sim = Simulation(POLICY.model_copy(update={"quiet": NIGHT}))
    sim.start("content", level, kind)
    sim.tick()
    assert sim.titles == []
    sim.now = NOON + 11 * HOUR
    sim.start("email", level, kind)
    sim.advance(7 * HOUR)
    assert sim.titles == []


def test_acknowledged_danger_is_not_notified() -> None:
    sim = Simulation()
    sim.start("email", kind="wal_split")
    sim.acknowledge("email")
    sim.advance(HOUR)
    assert sim.titles == []


def test_notifications_beyond_the_hourly_limit_are_combined() -> None:
    sim = Simulation(POLICY.model_copy(update={"most_an_hour": 4}))
    for number in range(30):
        sim.start(f"db{number}")
    sim.advance(10 * MINUTE)
    assert sim.titles[:3] == ["Db0: needs you", "Db1: needs you", "Db2: needs you"]
    assert sim.titles[3:] == ["27 need you"]
    assert "And 7 more." in sim.bodies[3]
    sim.start("late")
    sim.start("later")
    sim.advance(50 * MINUTE)
    assert len(sim.titles) == 4
    sim.advance(5 * MINUTE)
    assert sorted(sim.titles[4:]) == ["Late: needs you", "Later: needs you"]


def test_retries_end_and_the_next_notification_mentions_lost_ones() -> None:
    sim = Simulation()
    sim.is_reachable = False
    sim.start("email")
    sim.advance(2 * HOUR)
    minutes = [(at - NOON) // MINUTE for at in sim.attempts]
    assert minutes == [1, 2, 6, 16, 31, 61]
    assert [sent.is_given_up for sent in sim.outbox.notifications] == [True]
    sim.start("content")
    sim.acknowledge("email")
    sim.advance(90 * MINUTE)
    sim.is_reachable = True
    sim.end("email")
    sim.advance(HOUR)
    assert sim.titles[0] == "Email: over after 3 h"
    assert (
        "2 earlier notifications did not reach every receiver:"
        " 12:01 UTC, Email: needs you; 14:01 UTC, Content: needs you." in sim.bodies[0]
    )


def test_a_fault_that_was_given_up_is_sent_when_the_receiver_is_back() -> None:
    sim = Simulation()
    sim.is_reachable = False
    sim.start("email")
    sim.advance(100 * MINUTE)
    sim.is_reachable = True
    sim.advance(20 * HOUR)
    assert sim.delivered == [(NOON + 121 * MINUTE, "Email: needs you")]
    assert "1 earlier notification did not reach every receiver" in sim.bodies[0]
    sim.advance(6 * HOUR)
    assert sim.titles[1:] == ["Email: still needs you"]


def test_a_receiver_gets_a_notification_only_once() -> None:
    sim = Simulation()
    sim.start("email")
    sim.now += MINUTE
    outbox = plan(Outbox(), sim.incidents.values(), POLICY, sim.now)
    outbox, (first,) = dequeue(outbox, POLICY, sim.now)
    outbox = record_delivery(outbox, first.id, "phone", "delivered")
    outbox = record_attempt(outbox, first.id, "mail: no answer", sim.now)
    later = sim.now + MINUTE
    outbox, (again,) = dequeue(outbox, POLICY, later)
    assert (again.id, again.delivered_to, again.attempts) == (first.id, ("phone",), 2)
    outbox = record_delivery(outbox, first.id, "mail", "delivered")
    (sent,) = record_attempt(outbox, first.id, None, later).notifications
    assert (sent.delivered_to, sent.sent_at) == (("phone", "mail"), later)


def test_a_failing_receiver_causes_no_duplicates_for_others() -> None:
    sim = Simulation()
    sim.is_reachable = False
    sim.delivered_to = ("phone",)
    sim.start("email")
    sim.advance(23 * HOUR)
    assert [(n.kind, n.is_given_up) for n in sim.outbox.notifications] == [("fault", True)]
    sim.advance(2 * HOUR)
    assert [n.kind for n in sim.outbox.notifications] == ["fault", "reminder"]


def test_the_end_replaces_pending_notifications_of_the_incident() -> None:
    sim = Simulation()
    sim.is_reachable = False
    sim.start("email")
    sim.advance(3 * MINUTE)
    sim.end("email")
    sim.advance(10 * MINUTE)
    sim.is_reachable = True
    sim.advance(2 * HOUR)
    assert sim.titles == ["Email: over after 3 min"]


def test_setting_the_clock_back_suppresses_nothing() -> None:
    sim = Simulation(POLICY.model_copy(update={"most_an_hour": 1}))
    sim.start("email")
    sim.advance(5 * MINUTE)
    sim.now = NOON - 48 * HOUR
    sim.start("content")
    sim.advance(5 * MINUTE)
    assert sim.titles == ["Email: needs you", "Content: needs you"]


def test_an_incident_that_gets_its_id_later_stays_the_same() -> None:
    sim = Simulation()
    sim.start("email")
    stored = sim.incidents["email"]
    sim.incidents["email"] = replace(stored, id=None)
    sim.advance(5 * MINUTE)
    sim.incidents["email"] = stored
    sim.advance(5 * MINUTE)
    sim.end("email")
    sim.advance(HOUR)
    assert sim.titles == ["Email: needs you", "Email: over after 10 min"]


def test_two_incidents_with_one_cause_get_notifications_with_different_ids() -> None:
    sim = Simulation(POLICY.model_copy(update={"after": timedelta(0)}))
    first, second = sim.start("email"), sim.start("email")
    outbox = plan(Outbox(), [first, replace(second, id=2)], sim.policy, NOON)
    assert len({notification.id for notification in outbox.notifications}) == 2


def test_a_notification_contains_a_link_and_its_id() -> None:
    sim = Simulation(POLICY.model_copy(update={"link": "http://box:3001"}))
    sim.start("email")
    sim.advance(2 * MINUTE)
    *_, remedy, link, signature = sim.bodies[0].splitlines()
    assert (remedy, link) == ("Restore it.", "http://box:3001/databases/email")
    assert signature == f"({sim.outbox.notifications[0].id})"


def test_a_new_fault_never_waits_for_ended_ones() -> None:
    sim = Simulation(POLICY.model_copy(update={"most_an_hour": 4}))
    names = [f"db{number}" for number in range(3)]
    for name in names:
        sim.start(name)
    sim.advance(2 * HOUR)
    for name in names:
        sim.end(name)
    sim.advance(10 * MINUTE)
    assert len(sim.titles) == 5
    assert sim.titles[3].endswith(": over after 2 h")
    assert sim.titles[4] == "2 over"
    for name in ("email", "content"):
        sim.start(name)
    sim.advance(3 * MINUTE)
    assert sim.titles[5:] == ["Email: needs you", "Content: needs you"]


def test_a_fault_is_sent_even_if_the_only_place_of_the_hour_is_taken() -> None:
    sim = Simulation(POLICY.model_copy(update={"most_an_hour": 1}))
    sim.start("email")
    sim.advance(2 * HOUR)
    sim.end("email")
    sim.advance(10 * MINUTE)
    sim.start("content")
    sim.advance(3 * MINUTE)
    assert sim.titles[1:] == ["Email: over after 2 h", "Content: needs you"]


def test_a_summary_starts_with_the_worst_part_and_has_its_type() -> None:
    sim = Simulation(POLICY.model_copy(update={"quiet": NIGHT}))
    sim.start("email")
    sim.advance(10 * HOUR + 30 * MINUTE)
    sim.end("email")
    sim.advance(HOUR)
    sim.start("content")
    sim.advance(7 * HOUR)
    outbox, (summary,) = dequeue(sim.outbox, sim.policy, NOON + 19 * HOUR)
    assert apprise_types(outbox, [summary]) == {summary.id: "failure"}
    assert summary.title == "1 needs you, 1 over"
    first, *_ = summary.body.splitlines()
    assert first == "23:31 UTC, Content: needs you. The file is gone. Restore it."


def test_a_fault_that_ended_before_it_was_sent_is_sent_as_over() -> None:
    sim = Simulation(POLICY.model_copy(update={"most_an_hour": 2, "settle": 2 * HOUR}))
    for name in ("a", "b", "c"):
        sim.start(name)
    sim.advance(5 * MINUTE)
    assert len(sim.titles) == 2
    sim.start("email")
    sim.advance(5 * MINUTE)
    sim.end("email")
    sim.advance(4 * HOUR)
    assert [title for title in sim.titles if "Email" in title] == ["Email: over after 5 min"]


def test_the_reason_and_end_of_a_delay_are_known() -> None:
    sim = Simulation(POLICY.model_copy(update={"most_an_hour": 2}))
    for name in ("a", "b"):
        sim.start(name)
    sim.advance(5 * MINUTE)
    sim.start("email")
    sim.advance(5 * MINUTE)
    (pending,) = (n for n in sim.outbox.notifications if n.is_pending)
    limit = pending_reason(pending, sim.outbox.notifications, sim.policy, sim.now)
    assert limit == ("the hourly limit", NOON + MINUTE + HOUR)
    night = pending_reason(
        pending, (), sim.policy.model_copy(update={"quiet": NIGHT}), NOON + 11 * HOUR
    )
    assert night == ("quiet hours", NOON + 19 * HOUR)
    due_at = sim.now + MINUTE
    retried = replace(pending, attempts=1, due_at=due_at)
    retry = pending_reason(retried, (), sim.policy, sim.now)
    assert retry == ("next attempt", due_at)
    assert pending_reason(pending, (), sim.policy, sim.now) is None


@pytest.mark.parametrize(("outcome", "limit"), [("unclear", 10), ("slow", 10), ("refused", 6)])
def test_a_receiver_that_never_confirms_gets_few_copies(outcome: str, limit: int) -> None:
    """It once got 72 copies per day (caronc/apprise issue 1739)."""
    sim = Simulation()
    sim.is_reachable, sim.outcome = False, outcome
    sim.start("email")
    sim.advance(72 * HOUR)
    assert 4 <= len(sim.attempts) <= limit
    sim.advance(14 * 24 * HOUR, 5 * MINUTE)
    assert len(sim.attempts) / 17 <= 2
    assert len(sim.outbox.notifications) < 40


def test_many_lost_notifications_do_not_make_the_next_one_long() -> None:
    sim = Simulation(POLICY.model_copy(update={"most_an_hour": 100}))
    sim.is_reachable, sim.outcome = False, "refused"
    for number in range(60):
        sim.start(f"db{number}")
    sim.advance(30 * MINUTE)
    sim.is_reachable = True
    sim.start("email")
    sim.advance(5 * MINUTE)
    assert "60 earlier notifications did not reach every receiver" in sim.bodies[0]
    assert "and 57 more" in sim.bodies[0]
    assert len(sim.bodies[0]) < 500


STEP = st.tuples(
    st.sampled_from(["start", "end", "acknowledge", "unreachable", "reachable"]),
    st.sampled_from(["email", "content", "health"]),
    st.integers(1, 400),
)


def take(step: str, sim: Simulation, name: str) -> None:
    known = sim.incidents.get(name)
    if step in {"reachable", "unreachable"}:
        sim.is_reachable = step == "reachable"
    elif step == "start":
        if known and known.ended_at and sim.now - known.ended_at > sim.policy.settle:
            del sim.incidents[name]
        sim.start(name)
    elif known and not known.ended_at and step == "end":
        sim.end(name)
    elif known and not known.ended_at:
        sim.acknowledge(name, sim.now + 2 * HOUR)


@settings(max_examples=25, deadline=None)
@given(st.lists(STEP, min_size=5, max_size=30), st.integers(1, 3))
def test_quiet_hours_and_the_hourly_limit_always_hold_and_the_outbox_empties(
    steps: list[tuple[str, str, int]], most_an_hour: int
) -> None:
    sim = Simulation(
        POLICY.model_copy(
            update={"quiet": NIGHT, "most_an_hour": most_an_hour, "remind": 20 * MINUTE}
        )
    )
    for step, name, minutes in steps:
        take(step, sim, name)
        sim.advance(minutes * MINUTE)
    for name in sim.incidents:
        take("end", sim, name)
    sim.is_reachable = True
    sim.advance(30 * HOUR, 3 * MINUTE)
    times = [at for at, _ in sim.delivered]
    ids = [re.findall(r"\((\w{8})\)$", body)[0] for body in sim.bodies]
    # The first new fault of an hour is sent even if an ended one took the only place.
    limit = max(most_an_hour, 2)
    assert all(sum(at - HOUR < other <= at for other in times) <= limit for at in times)
    assert not any(NIGHT.covers(at) for at in times)
    assert len(set(ids)) == len(ids)
    assert sim.outbox == Outbox()
