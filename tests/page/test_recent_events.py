"""Recent events: what changed and what is over, each shown once, newest first."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from dash_app.model.event import Event, Facts
from dash_app.model.incident import Incident
from dash_app.model.snapshot import Snapshot
from dash_app.page.recent_events import recent_events
from dash_app.rules.problems import problem_of
from tests.factories import EARLIER, NOW, database, good_reading, status
from tests.page.helpers import visible_text

MINUTE = timedelta(minutes=1)
GONE = Event("email", "gone", EARLIER, {}, {})
FOLD = "Earlier events and incidents"


def schema_changed(minutes: int, name: str = "email") -> Event:
    before: Facts = {"objects": []}
    after = {"objects": [f"table t{minutes}"]}
    return Event(name, "schema_changed", EARLIER + minutes * MINUTE, before, after)


def back(minutes: int, name: str = "email") -> Event:
    before = {"since": EARLIER.isoformat()}
    return Event(name, "back", EARLIER + minutes * MINUTE, before, {})


def incident(kind: str, ended: timedelta | None, *names: str) -> Incident:
    databases = names or ("email",)
    text = f"{' and '.join(name.capitalize() for name in databases)}: Nothing came."
    ended_at = None if ended is None else EARLIER + ended
    return Incident(kind, databases, kind, "fault", text, "", EARLIER, ended_at)


def lines(*shown: Event | Incident, view: str | None = None, lasting: Sequence[Event] = ()) -> str:
    """The text of the section; the problems of `lasting` are on the card of Email."""
    problems = tuple(problem for event in lasting if (problem := problem_of(event)))
    statuses = (
        status(database(), good_reading(a=1), problems=problems),
        status(database("health"), good_reading(a=1)),
    )
    incidents = tuple(one for one in shown if isinstance(one, Incident))
    events = [*(one for one in shown if isinstance(one, Event)), *lasting]
    snapshot = Snapshot(NOW, statuses, incidents=incidents)
    section = recent_events(snapshot, events, EARLIER, NOW, view)
    return visible_text(section).removeprefix("Recent events ").replace(" UTC", "")


def test_without_events_it_says_since_when_they_are_watched() -> None:
    assert lines() == lines(view="email") == "No events yet. Watching since 14:02 ."
    lasts = lines(incident("down", None))  # so it is on its card
    assert lasts == "No other events yet. Watching since 14:02 ."


def test_events_and_ended_incidents_are_merged_by_time() -> None:
    shown = (incident("down", 26 * MINUTE), schema_changed(20), schema_changed(40))
    assert lines(*shown) == (
        "Email 14:42 Schema changed: + table t40"
        " Email 14:28 Back after 26 min: had been down since 14:02"
        " Email 14:22 Schema changed: + table t20"
    )


@pytest.mark.parametrize(
    ("kind", "ended", "text"),
    [
        ("late", 30 * MINUTE, "On time again after 30 min late"),
        ("down", 26 * MINUTE, "Back after 26 min: had been down since 14:02"),
        ("locked", 2 * MINUTE, "Over after 2 min: locked since 14:02"),
        ("log_held", timedelta(seconds=1), "Over after a moment: WAL held since 14:02"),
        ("a_later_kind", 3 * MINUTE, "Over after 3 min: a later kind since 14:02"),
    ],
)
def test_an_incident_that_ended_says_how_long_it_took(
    kind: str, ended: timedelta, text: str
) -> None:
    assert lines(incident(kind, ended), view="email").startswith(text)


def test_an_ended_problem_of_a_measure_names_the_measure() -> None:
    ended = incident("measure_out_of_range", 2 * MINUTE)
    ended = replace(ended, text="Email: Open tasks: 63, more than 50.")
    text = "Over after 2 min: Open tasks out of range since 14:02"
    assert lines(ended, view="email").startswith(text)


def test_a_view_shows_its_own_without_a_name() -> None:
    shown = (incident("down", MINUTE, "health"), incident("down", 2 * MINUTE, "email", "health"))
    assert lines(*shown, view="email") == "Back after 2 min: had been down since 14:02 14:04"


def test_a_view_says_who_had_its_database_open_when_an_incident_began() -> None:
    evidence = "wal_split: seen.\nOpen then: node (pid 812)."
    ended = replace(incident("locked", MINUTE), evidence=evidence)
    lost = Event("email", "rows_dropped", EARLIER, {"rows": {"a": 9}}, {"rows": {"a": 0}})
    dropped = replace(incident("rows_dropped", 3 * MINUTE), evidence=evidence)
    text = "Over after 1 min: locked since 14:02 . Open then: node (pid 812)."
    assert lines(ended, view="email").startswith(text)
    assert "Emptied: a 9 → 0. Open then: node (pid 812)." in lines(lost, dropped, view="email")
    assert "Open then" not in lines(ended)


def test_an_absence_is_shown_once_it_is_over_and_only_once() -> None:
    assert lines(GONE, incident("gone", None)) == lines(incident("down", None))
    once = lines(GONE, back(26), incident("gone", 26 * MINUTE))
    assert once == "Email 14:28 Back after 26 min"
    shared = incident("gone", 26 * MINUTE, "email", "health")
    assert lines(back(26), back(25, "health"), shared) == (
        "Email and Health 14:28 Over after 26 min: file gone since 14:02"
    )
    assert lines(back(26), shared, back(40)).startswith("Email 14:42 Back after 40 min")


def test_a_loss_is_on_its_card_until_it_is_acknowledged() -> None:
    at, before, after = EARLIER + 20 * MINUTE, {"rows": {"tasks": 126}}, {"rows": {"tasks": 9}}
    lost = Event("email", "rows_dropped", at, before, after)
    assert lines(lasting=[lost]) == lines(lost, lasting=[lost]) == lines()
    once = lines(lost, incident("rows_dropped", 30 * MINUTE))
    assert once == "Email 14:22 Rows lost: tasks 126 → 9"


@pytest.mark.parametrize(("rows", "came"), [(41, "; 41 rows"), (1, "; 1 row"), (0, "")])
def test_time_without_watching_is_one_line_with_the_rows_that_came(rows: int, came: str) -> None:
    gap = (EARLIER, EARLIER + 20 * MINUTE, rows)
    statuses = (status(database(), good_reading(a=1)), status(database("health"), good_reading()))
    snapshot = Snapshot(NOW, statuses, gaps=(gap,))
    all_, own = (
        visible_text(recent_events(snapshot, (), EARLIER, NOW, view)) for view in (None, "email")
    )
    assert all_ == (
        "Recent events All databases 14:22 UTC"
        " Not watched from 14:02 UTC to 14:22 UTC" + (f" {came} came meanwhile" if rows else "")
    )
    assert own == "Recent events Not watched from 14:02 UTC to 14:22 UTC 14:22 UTC"


def test_beyond_five_they_are_folded_up_to_a_limit() -> None:
    newest = lines(*map(schema_changed, range(5)))
    assert FOLD not in newest
    both = lines(*map(schema_changed, range(40)))
    shown, folded = both.split(f" {FOLD} ")
    assert (shown.count("Schema"), folded.count("Schema")) == (5, 20)
    assert shown.startswith("Email 14:41")


def test_an_event_of_a_database_that_is_no_longer_watched_is_left_out() -> None:
    assert lines(schema_changed(1, "removed")) == lines()
