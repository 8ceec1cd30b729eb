"""Charts, drawn from fixed frames."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from dash_app.page import charts
from dash_app.page.chart_choice import DEFAULT_RANGE, Choice, choice_links
from dash_app.page.charts import Curve, Panel, TimeAxis, figure
from dash_app.page.markup import draw

HOUR = timedelta(hours=1)
ROWS, WRITTEN = Choice.from_search("?show=rows"), Choice.from_search("")


def frame(
    values: Sequence[int | None], step: timedelta = HOUR, start: str = "2026-11-22 12:00"
) -> pd.DataFrame:
    """A trend frame of one database, email."""
    index = pd.date_range(start, periods=len(values), freq=step, tz="UTC")
    trends = pd.DataFrame({"email": pd.array(list(values), dtype="Int64")}, index=index)
    written = sum(value or 0 for value in values)
    trends.attrs = {"step": step, "meanwhile": {}, "written": {"email": written}}
    return trends


def curve(trends: pd.DataFrame, choice: Choice, zone: str = "UTC") -> Curve:
    """The curve of the frame's only column."""
    return TimeAxis(trends, choice, ZoneInfo(zone)).curve("email")


def drawn(
    trends: pd.DataFrame,
    choice: Choice,
    panel: Panel | None = None,
    before: pd.DataFrame | None = None,
) -> str:
    """The HTML of a frame's charts and of what is below them, without the figures."""
    zone = ZoneInfo("Europe/Paris")
    earlier = None if before is None else TimeAxis(before, choice, zone)
    axis = TimeAxis(trends, choice, zone, earlier)
    drawn, below = charts.draw_charts([panel or Panel("email", "Email")], axis, None)
    return "".join(_html(part.to_plotly_json()) for part in drawn) + draw(below)


def _html(part: dict[str, Any]) -> str:
    if "html" in part["props"]:
        return str(part["props"]["html"])
    children = [child.to_plotly_json() for child in part["props"].get("children") or []]
    return "".join(map(_html, children))


def text(trends: pd.DataFrame, choice: Choice, **more: Any) -> str:
    """The visible text of what `drawn` returns."""
    html = re.sub("<[^>]+>", "", drawn(trends, choice, **more).replace("</div>", " "))
    return re.sub(r"\s+", " ", html)


def test_a_line_and_its_fill_stop_at_a_gap_and_counts_are_exact() -> None:
    values = [5, 6, None, None, 9_007_199_254_740_993, 9_007_199_254_740_994]
    first, second = figure(curve(frame(values), ROWS))["data"]
    assert (first["x"], first["y"]) == ([0.0, 0.2], [5, 6])
    assert (second["x"], second["y"]) == ([0.8, 1.0], values[-2:])
    assert first["fill"] == second["fill"] == "tozeroy"


def bands(trends: pd.DataFrame, choice: Choice) -> list[str]:
    """From where to where the bands of unwatched times are drawn."""
    return re.findall('class="band" style="(.*?)"', drawn(trends, choice))


def test_the_band_of_a_gap_is_where_there_is_no_ink() -> None:
    values = [5] * 10 + [None] * 5 + [7] * 9 + [None] + [7] * 25
    assert bands(frame(values), ROWS) == ["left:18.37%;right:69.39%", "left:46.94%;right:48.98%"]
    assert bands(frame(values), WRITTEN) == ["left:20.12%;right:69.82%"]


def test_the_running_bar_is_pale_and_not_in_the_scale() -> None:
    drawing = figure(curve(frame([3, 0, None, 12, 40]), WRITTEN))
    (bars,) = drawing["data"]
    assert (bars["x"], bars["y"]) == ([0.0, 0.2128, 0.6383, 0.8511], [3, 0.24, 12, 40])
    assert bars["marker"]["opacity"] == [1, 1, 1, 0.5]
    assert bars["marker"]["color"] == [charts.COLOUR, charts.FAINT, *[charts.COLOUR] * 2]
    assert drawing["layout"]["yaxis"]["range"] == [0, 12]


def test_the_smallest_bar_is_seen_and_a_single_row_is_no_tower() -> None:
    assert figure(curve(frame([1000, 1, 0]), WRITTEN))["data"][0]["y"] == [1000, 40, 20]
    assert figure(curve(frame([1, 0, 0]), WRITTEN))["layout"]["yaxis"]["range"] == [0, 4]
    assert figure(curve(frame([0, 0, 70]), WRITTEN))["layout"]["yaxis"]["range"] == [0, 70]


def test_a_flat_line_has_one_label_in_the_middle() -> None:
    trends = frame([7, 7, 7])
    assert figure(curve(trends, ROWS))["layout"]["yaxis"]["range"] == [6, 8]
    assert '<div class="ticks"><span>7</span></div>' in drawn(trends, ROWS)


@pytest.mark.parametrize(
    ("choice", "step", "names"),
    [
        (WRITTEN, HOUR, ["23:00 to 00:00", "00:00 to 01:00", "since 01:00"]),
        ("range=1h", timedelta(minutes=5), ["23:00 to 23:05", "23:05 to 23:10", "since 23:10"]),
        ("range=7d", timedelta(days=1), ["22 Nov", "23 Nov", "today"]),
        ("range=1y", timedelta(days=7), ["22 Nov to 28 Nov", "29 Nov to 5 Dec", "since 6 Dec"]),
        (ROWS, HOUR, ["23:00", "00:00", "01:00"]),
    ],
)
def test_instants_are_named_in_the_readers_zone(
    choice: Choice | str, step: timedelta, names: list[str]
) -> None:
    choice = Choice.from_search(choice) if isinstance(choice, str) else choice
    start = "2026-11-22 00:00" if step >= timedelta(days=1) else "2026-11-22 22:00"
    trends = frame([1, 2, 3], step, start)
    zone = "UTC" if step >= timedelta(days=1) else "Europe/Paris"
    assert curve(trends, choice, zone).axis.names == names


def test_hours_are_labelled_at_round_local_times() -> None:
    axis = curve(frame([1] * 24, start="2026-11-21 16:00"), WRITTEN, "Asia/Kolkata").axis
    assert [text for _, text in axis.ticks] == ["00:00", "06:00", "12:00", "18:00"]
    assert axis.ticks[0][0] == pytest.approx(2.5 / 23.7, abs=0.001)


def test_at_rest_a_panel_shows_the_newest_value_and_the_change() -> None:
    whole = frame([5, *[0] * 22, 4])
    assert "4 since 12:00 · +9 in 24 h" in text(whole, WRITTEN)
    assert "1,204 rows · +4 in 24 h" in text(frame([1200, 1204]), ROWS)
    assert "1 row · +1 in 24 h" in text(frame([0, 1]), ROWS)
    assert "0 since 14:00 · no rows in 24 h" in text(frame([0, 0]), WRITTEN)
    young = frame([None, None, 3, 4])
    since = datetime(2026, 11, 22, 14, 2, tzinfo=UTC)
    panel = Panel("email", "Email", since=since)
    assert "4 since 16:00 · +7 since 15:02" in text(young, WRITTEN, panel=panel)
    panel = replace(panel, since=since + HOUR)
    assert "Email+4 since 16:02" in text(frame([None, None, None, 4]), WRITTEN, panel=panel)
    assert "not watched in 24 h" in text(frame([None] * 3), WRITTEN)
    partial = frame([0, 0])
    partial.attrs["uncounted"] = {"email": {"states"}}
    assert "no rows in 24 h · counted tables only" in text(partial, WRITTEN)


def test_a_week_is_compared_with_the_one_before() -> None:
    week, day = Choice.from_search("range=7d"), timedelta(days=1)
    before = frame([980, *[0] * 6], day)
    words = text(frame([1200, *[0] * 5, 4], day), week, before=before)
    assert "+1,204 in 7 d, +980 before" in words
    young = frame([None, 980, *[0] * 5], day)
    words = text(frame([1200, *[0] * 5, 4], day), week, before=young)
    assert "+1,204 in 7 d" in words
    assert "before" not in words.split("Marks")[0]
    earlier = TimeAxis(before, week, UTC)
    both = TimeAxis(frame([1, 2], day), week, UTC, earlier)
    drawing = figure(both.curve("email"))
    bars, line = drawing["data"]
    assert (bars["type"], line["type"]) == ("bar", "scatter")
    assert (line["x"], line["y"]) == (earlier.edges[:7], [980, *[0] * 6])
    assert drawing["layout"]["yaxis"]["range"] == [0, 980]
    rows = Choice.from_search("range=7d&show=rows")
    words = text(frame([1200, 1204], day), rows, before=frame([1193, 1200], day))
    assert "1,204 rows · +4 in 7 d, +7 before" in words


def test_rows_that_came_in_a_gap_are_said_in_words() -> None:
    trends = frame([5, None, None, 7, 1])
    start = trends.index[1]
    trends.attrs["meanwhile"] = {"email": [(start + HOUR / 2, start + 2 * HOUR, 41)]}
    assert curve(trends, WRITTEN).facts == [5, *["not watched, 41 rows came"] * 2, 7, 1]
    html = drawn(trends, WRITTEN)
    trends.attrs["written"]["email"] = 54
    assert "+54 in 24 h" in text(trends, WRITTEN)
    assert "<td>not watched, 41 rows came</td>" in html


def test_marks_have_their_words() -> None:
    at = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
    marks = (
        (at, "sign-fault", "The file is gone."),
        (at - 9 * HOUR, "sign-change", "No"),
    )
    html = drawn(frame([5, 6]), WRITTEN, Panel("email", "Email", marks))
    assert 'data-text="The file is gone."' in html
    assert 'data-time="13:30"' in html
    assert "left:29.41%" in html
    assert "sign-change" not in html.split("Marks")[0]


def test_lines_in_place_of_charts_that_say_the_same_are_one() -> None:
    notes = {"A": "nothing read yet", "B": "no row in 1 h", "C": "nothing read yet"}
    panels = [Panel(name, name, note=(note,)) for name, note in notes.items()]
    _, below = charts.empty_charts(panels)
    lines = re.findall(r'<p class="aside">(.*?)</p>', draw(below))
    assert [re.sub("<[^>]+>", "", line) for line in lines] == [
        "A and C: nothing read yet",
        "B: no row in 1 h",
    ]


def test_the_table_has_the_numbers_of_the_charts_newest_first() -> None:
    table = draw(
        charts.as_table([Panel("email", "Email")], [curve(frame([*range(1000, 1049), None]), ROWS)])
    )
    assert table.index("24 Nov, 13:00") < table.index("23 Nov, 13:00")
    assert "<td>not watched</td>" in table
    assert "<td>1,047</td>" in table
    assert table.count("<tr>") <= 27


def test_the_choice_is_part_of_the_url_and_keeps_the_rest_of_it() -> None:
    search = "?range=7d&show=rows&sort=change"
    choice = Choice.from_search(search)
    assert (choice.range.key, choice.is_rate) == ("7d", False)
    html = draw(choice_links(choice, search))
    assert 'href="?range=7d&amp;show=rows&amp;sort=change" aria-current="true"' in html
    assert 'href="?range=30d&amp;show=rows&amp;sort=change">' in html
    assert 'href="?range=7d&amp;sort=change"' in html
    assert 'href="?"' in draw(choice_links(choice, "?show=rows"))  # not the present URL
    assert html.count("aria-current") == 2


def test_rows_written_are_the_default_and_an_unknown_range_too() -> None:
    assert Choice.from_search("?range=<script>").range is DEFAULT_RANGE
    for search in (None, "?show=rate", "?show=<script>"):
        assert Choice.from_search(search).is_rate


@pytest.mark.parametrize(
    ("age", "longest", "default"),
    [
        (timedelta(0), "1h", "1h"),
        (3 * HOUR, "6h", "6h"),
        (7 * HOUR, "24h", "24h"),
        (timedelta(days=3), "7d", "24h"),
        (timedelta(days=31), "1y", "24h"),
        (timedelta(days=900), "1y", "24h"),
    ],
)
def test_the_longest_range_offered_holds_the_whole_history(
    age: timedelta, longest: str, default: str
) -> None:
    choice = Choice.from_search("", age)
    assert (choice.offered[-1].key, choice.range.key) == (longest, default)


def test_a_range_in_the_url_is_shown_also_if_the_history_is_shorter() -> None:
    choice = Choice.from_search("range=30d", HOUR)
    assert choice.range.key == choice.offered[-1].key == "30d"


def test_a_measure_has_texts_with_its_unit_and_gaps_without_a_value() -> None:
    trends = frame([1, 2, 3])
    trends["email"] = pd.array([0.35, None, 1204.5], dtype="Float64")
    panel, choice = Panel("email", "Cost", unit="USD"), replace(ROWS, show="measure:cost")
    html = drawn(trends, choice, panel)
    assert 'data-facts="[&quot;0.35 USD&quot;, null, &quot;1,204 USD&quot;]"' in html
    assert 'data-gap="no value"' in html
    assert '<div class="ticks"><span>0.35</span><span>1,204</span></div>' in html
    assert "1,204 USD · +1,204 USD in 24 h" in text(trends, choice, panel=panel)
    newer = frame([None, 3, 3])  # its database has been watched for longer
    assert "3 USD · no change since 14:00" in text(newer, choice, panel=panel)
    age = frame([30, 31])
    assert "31 s · no change in" in text(age, choice, panel=replace(panel, unit="age"))
    sizes = frame([41_000, 4_200_000])
    assert "<span>41 kB</span>" in drawn(sizes, choice, Panel("email", "Size", unit="bytes"))
    nothing = drawn(frame([1, None]), choice, replace(panel, name="x"))
    assert '<span class="fact">no value</span> in' in nothing
    assert '<div class="ticks"></div>' in nothing
