"""The size of each table and index over time, as the page check measured it."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from dash_app.history import series
from dash_app.history.chart_grid import Window
from dash_app.history.coverage import find_growth
from dash_app.history.series import Selection
from dash_app.history.writer import History
from dash_app.model.integrity import Integrity
from dash_app.model.snapshot import Snapshot
from dash_app.settings.schema import HistorySettings
from tests.factories import snapshot
from tests.history.helpers import START

A_DAY = timedelta(days=1)
CHECKS = (
    None,
    Integrity("checking", checked_share=0.4, table_bytes={"tasks": 100}),
    Integrity("clean", checked_share=1.0, table_bytes={"tasks": 100, "by_owner": 50}),
    Integrity("clean", checked_share=0.4, table_bytes={"tasks": 100}),
    None,  # after a restart
    Integrity("clean", checked_share=1.0, table_bytes={"tasks": 800}),
)
"""What was known on each day."""


def on_day(day: int) -> Snapshot:
    read = snapshot(START + day * A_DAY, email={"tasks": 9 + day})
    (status,) = read.databases
    return replace(read, databases=(replace(status, integrity=CHECKS[day]),))


def test_a_size_is_a_point_when_it_changes_and_an_index_ends_only_by_a_whole_check(
    tmp_path: Path,
) -> None:
    path = tmp_path / "history.db"
    settings = HistorySettings(path=path)
    with closing(History(settings)) as history:
        for day in range(len(CHECKS)):
            history.record(on_day(day))
        stored = history._connection.execute(
            'SELECT "table", at, value FROM series JOIN point ON series = id'
            " WHERE metric = 'table_bytes' ORDER BY 1 DESC, 2"
        ).fetchall()
    start = int(START.timestamp())
    days = [(table, (at - start) // 86_400, size_bytes) for table, at, size_bytes in stored]
    assert days == [("tasks", 1, 100), ("tasks", 5, 800), ("by_owner", 2, 50), ("by_owner", 5, 0)]

    window = Window(start, start + 5 * 86_400, 86_400)
    selection = Selection(("email",), ("tasks",), "table_bytes")
    (found,) = series.find_series(path, selection, window)
    assert [value for _, value in found.points] == [None, 100, 100, 100, 100, 800]

    first = series.bytes_a_week_ago(path, "email", START + 5 * A_DAY)
    assert first == {"tasks": (100, START + A_DAY), "by_owner": (50, START + 2 * A_DAY)}
    later = series.bytes_a_week_ago(path, "email", START + 10 * A_DAY)
    assert later == {"tasks": (100, START + 3 * A_DAY), "by_owner": (50, START + 3 * A_DAY)}
    assert series.bytes_a_week_ago(path, "other", START) == {}

    assert [table for table, _ in find_growth(path, "email", START)] == ["tasks"]
