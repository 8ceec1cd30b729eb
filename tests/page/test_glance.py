"""The glance, as HTML without scripts and as text."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dash_app.model.host_facts import Activity
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.page.glance import glance_page
from dash_app.rules.changes import next_state
from dash_app.words.summaries import glance_text
from tests.factories import EARLIER, NOW, failed_reading, good_reading, judged_status
from tests.harness import Served, make_database, write_config


def statuses() -> tuple[DatabaseStatus, ...]:
    good = next_state(replace(good_reading(a=10_640), read_at=EARLIER), None)
    gone = judged_status(failed_reading("file_missing"), good, name="observability")
    (problem,) = gone.problems
    gone = replace(gone, since=EARLIER, problems=(replace(problem, since=EARLIER),))
    day = Activity((5,) * 24, 109, NOW - timedelta(days=1), is_whole_day=True)
    coordination = replace(
        judged_status(good_reading(tasks=133), name="coordination"), activity=day
    )
    return coordination, gone, judged_status(failed_reading("file_missing"), name="content")


def test_the_text_has_one_line_per_database_worst_first() -> None:
    assert glance_text(Snapshot(NOW, statuses()), NOW + timedelta(seconds=2)) == (
        "Observability is gone, 58 min · 15:00:00 UTC, 2 s ago\n"
        "ERROR  Observability  The file is gone. Since 14:02 UTC (58 min)."
        " Last seen 10,640 rows.\n"
        "new    Content        No file yet at /srv/content.db.\n"
        "ok     Coordination   Last write 9 s ago. 133 rows, +24 in 24 h.\n"
    )


def test_the_glance_before_the_first_reading() -> None:
    assert glance_text(None, NOW).startswith("Can't tell")
    assert "Can't tell" in glance_page(None, NOW)


def test_the_page_reloads_itself_and_is_small() -> None:
    many = tuple(
        replace(status, database=replace(status.database, name=f"{status.database.name}-{n}"))
        for n in range(12)
        for status in statuses()
    )
    page = glance_page(Snapshot(NOW, many), NOW)
    assert page.count("<li>") == 36
    assert '<meta http-equiv="refresh" content="30">' in page
    assert page.index("Observability") < page.index("Coordination")
    assert len(page.encode()) < 20_000


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    path = make_database(tmp_path / "email.db", messages=3)
    with Served(write_config(tmp_path, [("email", path)])) as served:
        yield served


def test_browsers_get_html_and_other_clients_text(served: Served) -> None:
    assert served.get("/glance")[1].startswith("Email is well · ")
    status, page = served.get("/glance", {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert status == 200
    assert page.startswith("<!DOCTYPE html>")
    assert "3 rows" in page
    assert '<a href="?refresh=off">Without refresh</a>' in page
    still = served.get("/glance?refresh=off", {"Accept": "text/html"})[1]
    assert "3 rows" in still
    assert "http-equiv" not in still
    assert '<a href="/glance">With refresh</a>' in still
