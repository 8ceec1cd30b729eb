"""The drawing of a database's last 24 hours: bars of rows written, and a ribbon of levels."""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from dash_app.model.expectation import Rules
from dash_app.model.host_facts import Activity
from dash_app.model.incident import Incident
from dash_app.model.problem import Level
from dash_app.page.markup import draw
from dash_app.page.sparkline import hour_levels, sparkline
from tests.factories import NOW, database, failed_reading, good_reading, judged_status

HOUR = timedelta(hours=1)
DAY = (True,) * 24


def incident(
    level: Level, since: float, until: float | None = None, kind: str = "down", name: str = "email"
) -> Incident:
    """Return an incident that started and ended so many hours ago."""
    end = None if until is None else NOW - until * HOUR
    return Incident(f"{name}:{kind}", (name,), kind, level, "", "", NOW - since * HOUR, end)


def shapes(
    hours: Iterable[int | None],
    watched: tuple[bool, ...] = DAY,
    incidents: Iterable[Incident] = (),
    height: int = 24,
) -> dict[str, str]:
    """Return the paths of a drawing by their class."""
    activity = Activity(tuple(hours), 0, NOW - timedelta(days=1), watched=watched, last_hour=NOW)
    status = replace(judged_status(good_reading(tasks=9)), activity=activity)
    html = draw(sparkline(status, incidents, height))
    return {name: d for d, name in re.findall(r'<path d="([^"]+)" class="(\w+)">', html)}


def test_a_bar_per_hour() -> None:
    found = shapes((None, 0, 1, 100, *[50] * 19, 25))
    assert found["written"].startswith("M20 24v-4h7v4M30 24v-22h7v22M40 24v-11h7v11")
    assert found["written"].count("M") == 21
    assert found["silent"] == "M10 24v-2h7v2"
    assert found["current"] == "M230 24v-6h7v6"


def test_a_single_row_is_no_tower() -> None:
    assert shapes([0] * 22 + [2, 1])["written"] == "M220 24v-11h7v11"
    assert shapes([0] * 22 + [2, 1])["current"] == "M230 24v-6h7v6"
    assert shapes([0] * 22 + [1, 0], height=48)["written"] == "M220 48v-12h7v12"


def test_equal_hours_of_the_ribbon_run_together_and_worse_ones_are_thicker() -> None:
    watched = (False, False, *[True] * 22)
    past = [incident("fault", 11.5, 11), incident("notice", 5, 4.5)]
    found = shapes([0] * 24, watched, past)
    assert found["ok"] == "M20 25h90v1h-90M120 25h60v1h-60M190 25h50v1h-50"
    assert found["warn"] == "M180 25h10v2h-10"
    assert found["bad"] == "M110 25h10v3h-10"


def test_the_worst_level_of_an_hour_counts_and_an_open_incident_lasts_until_now() -> None:
    found = [incident("notice", 3), incident("fault", 2, 1.5), incident("unknown", 9, 8.9)]
    expected = ["well"] * 14 + ["notice"] + ["well"] * 5 + ["notice", "fault", "notice", "notice"]
    assert hour_levels(found, DAY, NOW) == expected


def test_an_incident_is_a_fault_only_while_it_was_one() -> None:
    late_then_down = replace(incident("fault", 6, 2), fault_since=NOW - 3 * HOUR)
    milder = replace(incident("notice", 20, 17), fault_until=NOW - 18 * HOUR)
    levels = hour_levels([late_then_down, milder], DAY, NOW)
    assert levels[:6] == ["well", "well", "well", "fault", "fault", "notice"]
    assert levels[16:22] == ["well", "notice", "notice", "notice", "fault", "well"]


def test_bars_and_ribbon_end_with_the_same_hour() -> None:
    begun_in_the_next_hour = incident("fault", -1)
    assert "bad" not in shapes([0] * 24, DAY, [begun_in_the_next_hour])


def test_an_hour_without_watching_has_no_level_unless_the_database_could_not_be_read() -> None:
    nobody = (False,) * 24
    assert hour_levels([incident("fault", 3)], nobody, NOW) == [None] * 24
    gone = hour_levels([incident("fault", 2, kind="gone")], nobody, NOW)
    assert gone == [None] * 21 + ["fault"] * 3


def test_only_incidents_of_the_database_are_drawn() -> None:
    assert "bad" not in shapes([0] * 24, DAY, [incident("fault", 3, name="health")])


def test_a_database_that_was_never_read_has_no_drawing() -> None:
    missing = judged_status(failed_reading("file_missing"))
    activity = Activity((None,) * 24, None, NOW, watched=(False,) * 24, last_hour=NOW)
    assert sparkline(replace(missing, activity=activity), ()) == []
    assert sparkline(judged_status(good_reading(tasks=1)), ()) == []


def test_a_paused_or_stale_database_has_no_colours() -> None:
    activity = Activity((0,) * 24, 0, NOW, watched=DAY, last_hour=NOW)
    status = replace(judged_status(good_reading(tasks=1)), activity=activity)
    assert "is-idle" not in draw(sparkline(status, ()))
    assert "is-idle" in draw(sparkline(replace(status, is_stale=True), ()))
    paused = replace(status, database=database("email", Rules(paused=True)))
    assert "is-idle" in draw(sparkline(paused, ()))
