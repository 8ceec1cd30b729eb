"""Cards, headline and charts, drawn from fixed readings and frames."""

import re
from dataclasses import replace
from datetime import datetime, timedelta
from html import unescape

import pytest
from dash import dcc, html

from dash_app import loader
from dash_app.model.expectation import Rules
from dash_app.model.host_facts import Activity, Disk, Surroundings
from dash_app.model.incident import Acknowledgement
from dash_app.model.problem import Problem
from dash_app.model.reading import Code, Reading, TableCount
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.page import database as database_page
from dash_app.page.headline import headline
from dash_app.page.markup import UnknownPartError, draw
from dash_app.page.page import version_of
from dash_app.rules.changes import next_state
from dash_app.words import summaries
from tests.factories import (
    EARLIER,
    NOW,
    STALE_AFTER,
    database,
    failed_reading,
    good_reading,
    judged_status,
    status,
)
from tests.page.helpers import card_text, visible_text

DOWN = Problem("down", "fault", EARLIER, "No write.", "Look.", "email")


@pytest.mark.parametrize("code", ["needs_extension", "not_read_yet"])
def test_an_undecided_database_is_neither_well_nor_a_fault(code: Code) -> None:
    status = judged_status(failed_reading(code))
    assert (status.status, status.level, status.needs_you) == ("error", "unknown", False)
    assert card_text(status).startswith("Email Can't tell")


def test_a_well_card_shows_last_write_and_rows() -> None:
    text = card_text(judged_status(good_reading(tasks=126, agents=7)))
    assert text.startswith("Email Connected")
    assert "Last write 7 s ago 133 rows" in text
    assert text.endswith("tasks 126 agents 7")


def test_a_missing_write_time_is_unknown() -> None:
    reading = Reading(NOW, NOW, tables=good_reading(tasks=1).tables, last_modified=None)
    assert "Last write unknown 1 row" in card_text(judged_status(reading))


def test_empty_tables_and_those_beyond_six_become_numbers() -> None:
    rows = {f"table_{number}": number for number in range(9)}
    text = card_text(judged_status(good_reading(**rows, none=0)))
    assert "table_8 8 table_7 7 table_6 6 table_5 5 table_4 4 table_3 3" in text
    assert "table_2 2" not in text
    assert text.endswith("and 2 more · 2 empty tables")


def test_an_unknown_count_comes_first_with_its_reason_and_is_never_zero() -> None:
    reading = good_reading(tasks=5)
    vectors = TableCount(None, NOW, error="needs the vec0 module")
    about = TableCount(12_400_000, EARLIER, estimate="about")
    reading = Reading(
        NOW, NOW, tables={**reading.tables, "vectors": vectors, "log": about}, last_modified=NOW
    )
    text = card_text(judged_status(reading))
    assert "≈ 12.4 M rows counted" in text
    assert "vectors unknown: needs the vec0 module log ≈ 12.4 M, exact 58 min ago tasks 5" in text


def test_uncounted_rows_are_unknown_and_not_zero() -> None:
    uncounted = judged_status(good_reading(large=None))
    text = card_text(uncounted)
    assert "Rows unknown" in text
    assert "0 rows" not in text
    assert text.endswith("large unknown")
    assert uncounted.verdict == "1 table, rows unknown."


def test_a_missing_file_is_a_fault_only_if_it_was_read_before() -> None:
    before = card_text(judged_status(failed_reading("file_missing")))
    assert before.startswith("Email Not initialized")
    assert "Since" not in before
    good = next_state(Reading(EARLIER, EARLIER, tables=good_reading(a=10_640).tables), None)
    after = card_text(judged_status(failed_reading("file_missing"), good))
    assert after.startswith("Email Error")
    assert "The file is gone. Since 15:00 UTC ( now )" in after
    assert "Last seen: 10,640 rows at 14:02 UTC" in after


def test_the_badge_of_a_stale_reading_shows_its_time() -> None:
    assert "As of 14:02 UTC" in card_text(judged_status(good_reading(EARLIER, tasks=1)))
    assert "Connected" not in card_text(judged_status(good_reading(EARLIER, tasks=1)))


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([good_reading(a=1)] * 5, "All 5 well"),
        ([good_reading(a=1)] * 4 + [failed_reading("file_missing")], "4 well, 1 not initialized"),
        ([failed_reading("file_missing")] * 5, "Nothing here yet"),
        ([good_reading(a=1)] * 4 + [failed_reading("needs_extension")], "Can't tell"),
        ([good_reading(a=1)] * 4 + [failed_reading("corrupt")], "Email is damaged, now"),
        ([good_reading(a=1)] * 3 + [failed_reading("corrupt")] * 2, "2 of 5 need you"),
        ([good_reading(a=1)] * 4 + [good_reading(EARLIER, a=1)], "Can't tell"),
    ],
)
def test_the_headline_summarizes_all_databases(readings: list[Reading], expected: str) -> None:
    statuses = tuple(judged_status(reading) for reading in readings)
    assert summaries.headline(Snapshot(NOW, statuses), NOW) == expected


def test_the_headline_counts_acknowledged_databases() -> None:
    down = [
        status(database(f"db-{n}"), good_reading(a=1), level="fault", problems=(DOWN,))
        for n in range(3)
    ]
    well = judged_status(good_reading(a=1))
    known = [replace(one, acknowledged=Acknowledgement("ann", NOW, None)) for one in down]
    calm = Snapshot(NOW, (well, *known[:2]))
    assert summaries.headline(calm, NOW) == "1 well, 2 acknowledged"
    assert (calm.level, calm.shown_level, calm.needing) == ("fault", "notice", [])
    both = Snapshot(NOW, (well, known[0], *down[1:]))
    assert summaries.headline(both, NOW) == "2 of 4 need you, 1 acknowledged"
    lines = "Db-1 is down Db-2 is down 1 other well · last write 7 s ago"
    assert lines in visible_text(headline(both, NOW))
    single = Snapshot(NOW, (well, *known[:2], down[2]))
    assert summaries.headline(single, NOW) == "Db-2 is down, 58 min"
    assert "1 other well, 2 acknowledged · last write" in visible_text(headline(single, NOW))


@pytest.mark.parametrize(
    ("total", "hours", "expected"),
    [
        (5, 23, "All 5 well"),
        (5, 24, "All 5 well for 1 day"),
        (5, 300, "All 5 well for 12 days"),
        (2, 300, "Both well for 12 days"),
        (2, 3, "Both well"),
        (1, 300, "Email well for 12 days"),
        (1, 3, "Email is well"),
    ],
)
def test_the_headline_says_for_how_many_days_all_have_been_well(
    total: int, hours: int, expected: str
) -> None:
    statuses = (judged_status(good_reading(a=1)),) * total
    since = NOW - timedelta(hours=hours)
    snapshot = Snapshot(NOW, statuses, undisturbed_since=since)
    assert summaries.headline(snapshot, NOW) == expected


def test_the_lines_below_have_the_last_write_and_the_rows_written() -> None:
    day = Activity((5,) * 24, 109, NOW - timedelta(days=1), is_whole_day=True, written=125)
    new = Activity((None,) * 23 + (7,), 0, EARLIER, written=7)
    well = judged_status(good_reading(a=1))
    whole = Snapshot(NOW, (replace(well, activity=day),))
    assert "Last write 7 s ago · 125 rows in 24 h" in visible_text(headline(whole, NOW))
    part = Snapshot(NOW, (well, replace(well, activity=new)))
    assert "· 7 rows since 14:02 UTC" in visible_text(headline(part, NOW))
    first = Snapshot(NOW, (replace(well, activity=replace(new, written=0)),))
    assert "rows" not in visible_text(headline(first, NOW))


def test_the_headline_links_to_three_problems_and_to_the_next_one() -> None:
    statuses = tuple(judged_status(failed_reading("corrupt"), name=f"db-{n}") for n in range(5))
    drawn = draw(headline(Snapshot(NOW, statuses), NOW))
    assert re.findall(r'<a href="(#[^"]+)">([^<]+)', drawn) == [
        *((f"#card-db-{n}", f"Db-{n} is damaged") for n in range(3)),
        ("#card-db-3", "and 2 more"),
    ]


def test_the_version_changes_only_with_the_shown_facts() -> None:
    first = Snapshot(NOW, (judged_status(good_reading(tasks=1)),))
    later = Snapshot(NOW + STALE_AFTER, first.databases)
    other = Snapshot(NOW, (judged_status(good_reading(tasks=2)),))
    assert version_of(first) == version_of(later) != version_of(other)


def test_draw_escapes_text_and_rejects_unknown_components() -> None:
    assert draw(html.P("<b>&", title='" ')) == '<p title="&quot; ">&lt;b&gt;&amp;</p>'
    with pytest.raises(UnknownPartError):
        draw(dcc.Graph())
    with pytest.raises(UnknownPartError):
        draw(html.P("x", hidden=True))


def test_a_card_shows_the_change_of_a_day_and_its_hours() -> None:
    day = Activity((None, 0, *[5] * 22), 102, NOW - timedelta(days=1), is_whole_day=True)
    status = replace(judged_status(good_reading(tasks=126)), activity=day)
    assert "+24 in 24 h" in card_text(status)
    young = Activity((None,) * 24, 120, EARLIER)
    assert "126 rows +6 since 14:02 UTC" in card_text(replace(status, activity=young))
    unchanged = Activity((None,) * 24, 126, EARLIER)
    assert "126 rows Rows of" in card_text(replace(status, activity=unchanged))


def view_text(
    status: DatabaseStatus, search: str = "", size_before: tuple[int, datetime] | None = None
) -> str:
    """The text of a database's view, without its recent events and the schema."""
    tables = loader.table_frame(None, status, NOW)
    details = database_page.Details(status, (), tables, size_before, html.Section())
    facts = database_page.view(details, search, NOW, html.Section())
    return visible_text([*facts.before_charts, *facts.after_charts]).partition(" Schema")[0]


def test_the_view_shows_the_period_of_a_change() -> None:
    status = judged_status(good_reading(tasks=126))
    periods = (False, "Since 14:02 UTC +6", "Change"), (True, "In 24 h +6", "In 24 h")
    for is_whole_day, period, heading in periods:
        activity = Activity((None,) * 24, 120, EARLIER, is_whole_day=is_whole_day)
        text = view_text(replace(status, activity=activity))
        assert period in text
        assert f"Table Rows {heading} Rows/h Last growth" in text


def test_the_view_of_a_database_that_is_gone_has_its_last_rows_and_its_path() -> None:
    before = next_state(good_reading(tasks=126), None)
    text = view_text(judged_status(failed_reading("file_missing"), before))
    assert "Last seen: 126 rows." in text
    assert text.endswith("Storage Path /srv/email.db")
    assert "Last write" not in text


@pytest.mark.parametrize(
    ("before", "file"), [(1_690_000, "1.9 MB, +210 kB a day"), (1_900_000, "1.9 MB WAL")]
)
def test_the_view_shows_how_the_file_grows_and_what_its_disk_has_left(
    before: int, file: str
) -> None:
    disk = Surroundings(disk=Disk(7, 71_000_000_000, 203_000_000_000))
    reading = replace(
        good_reading(tasks=1), size_bytes=1_900_000, wal_bytes=412_000, surroundings=disk
    )
    text = view_text(judged_status(reading), size_before=(before, NOW - timedelta(days=1)))
    assert f"Storage File {file}" in text
    assert "Disk 65% full, 71 GB free" in text
    assert "Size + WAL 1.9 MB + 412 kB" in text


def test_the_view_folds_empty_tables_unless_a_write_is_overdue() -> None:
    text = view_text(judged_status(good_reading(tasks=3, locks=0, queue=0, large=None)))
    assert re.search("Last growth large .* tasks .* 2 empty tables locks .* queue ", text)
    assert "empty table" not in view_text(judged_status(good_reading(tasks=3)))


def test_the_view_marks_ignored_tables() -> None:
    rules = Rules(ignored_tables=("load_*",))
    status = judged_status(good_reading(load_1=3, tasks=3))
    text = view_text(replace(status, database=database("email", rules)))
    assert re.search("load_1 Ignored 3 .* tasks No growth seen 3", text)


def test_the_view_shows_each_note_once() -> None:
    reading = replace(good_reading(tasks=126), detail={"main_only": "yes"})
    assert view_text(judged_status(reading)).count(summaries.MAIN_FILE_ONLY) == 1


def test_a_full_disk_of_the_history_is_shown_if_no_card_shows_it() -> None:
    full = Disk(7, 1_000_000_000, 50_000_000_000)
    snapshot = Snapshot(NOW, (judged_status(good_reading(tasks=1)),), history_disk=full)
    assert "The history's disk 98% full, 1.0 GB free." in unescape(draw(headline(snapshot, NOW)))
    (status,) = snapshot.databases
    shown = replace(status, reading=replace(status.reading, surroundings=Surroundings(disk=full)))
    assert "history" not in draw(headline(replace(snapshot, databases=(shown,)), NOW))
