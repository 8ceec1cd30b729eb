"""The history: what it stores, what survives a restart, and what a chart reads."""

import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dash_app.history import series
from dash_app.history.chart_grid import VIEWS, Window
from dash_app.history.event_queries import EventQuery, find_events
from dash_app.history.incidents import IncidentQuery, find_incidents
from dash_app.history.rollups import DAY, HOUR
from dash_app.history.schema import MIGRATIONS, ROLLUPS_SINCE, UnusableHistoryError
from dash_app.history.series import Selection
from dash_app.history.writer import History
from dash_app.model.database import HISTORY_APPLICATION_ID, Database
from dash_app.model.incident import Acknowledgement
from dash_app.model.reading import LastGood, Reading, TableCount, rows_inserted
from dash_app.model.snapshot import DatabaseState
from dash_app.settings.schema import HistorySettings
from tests.factories import snapshot
from tests.harness import ROOT, make_database
from tests.history.helpers import MINUTE, START, chart_values
from tests.mounts import CAN_MOUNT, Mount


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.db"


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    with closing(History(HistorySettings(path=path))) as history:
        yield history


def points(path: Path, table: str = "tasks") -> list[tuple[int, int | None]]:
    """The stored points of a table, in minutes since the start."""
    sql = (
        "SELECT at, value FROM point JOIN series ON id = series"
        ' WHERE "table" = ? AND metric = ? ORDER BY at'
    )
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(sql, (table, "rows")).fetchall()
    return [(round((at - START.timestamp()) / 60), value) for at, value in rows]


def test_only_the_owner_can_read_the_file(history: History, path: Path) -> None:
    history.record(snapshot(START, email={"tasks": 1}))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(side.stat().st_mode) for side in path.parent.iterdir()} == {0o600}


def test_a_point_is_stored_only_if_a_number_changed(history: History, path: Path) -> None:
    for minute, rows in enumerate([5, 5, 6, 6, 5]):
        history.record(snapshot(START + minute * MINUTE, email={"tasks": rows}))
    assert points(path) == [(0, 5), (2, 6), (4, 5)]


def test_an_unknown_count_is_stored_as_unknown_and_a_missing_table_as_empty(
    history: History, path: Path
) -> None:
    recorded: list[dict[str, int | None]] = [{"tasks": 5}, {"tasks": None}, {"tasks": 5}, {"x": 1}]
    for minute, rows in enumerate(recorded):
        history.record(snapshot(START + minute * MINUTE, email=rows))
    assert points(path) == [(0, 5), (1, None), (2, 5), (3, 0)]


def test_the_part_of_a_sum_is_zero_only_while_there_is_no_table(
    history: History, path: Path
) -> None:
    recorded: list[dict[str, int | None]] = [{"x": 1}, {"tasks": None}, {"tasks": 5}, {"x": 1}]
    for minute, rows in enumerate(recorded):
        history.record(snapshot(START + minute * MINUTE, email=rows))
    start = int(START.timestamp())
    window = Window(start, start + 180, 60)
    (found,) = series.find_series(path, Selection(tables=("tasks",)), window)
    assert found.parts == (0, None, 5, 0)


def test_the_change_of_a_day_begins_with_the_first_count_of_the_last_table(
    history: History, path: Path
) -> None:
    for minute, rows in enumerate([None, 900]):
        history.record(snapshot(START + minute * MINUTE, email={"small": 5, "large": rows}))
        activity = series.recent_activity(path, ["email"], START + (minute + 1) * MINUTE)["email"]
        assert activity.rows_before == (905 if minute else 5)
        assert activity.since == START + minute * MINUTE
        assert activity.unknown_before == (set() if minute else {"large"})
        changes = [
            replace(
                snapshot(START, email={"small": 7, "large": now}).databases[0], activity=activity
            )
            for now in (900, None)
        ]
        assert [status.change for status in changes] == ([2, None] if minute else [None, 2])


def test_time_that_was_not_watched_is_a_gap(history: History, path: Path) -> None:
    for minute in (0, 1, 2, 10, 11):
        history.record(snapshot(START + minute * MINUTE, email={"tasks": 5}))
    assert chart_values(path, range(13)) == [5, 5, 5, *[None] * 7, 5, 5, None]


def test_an_unreadable_database_leaves_a_gap(history: History, path: Path) -> None:
    for minute in range(8):
        rows: dict[str, int | None] | None = {"tasks": 5} if minute < 2 or minute > 5 else None
        history.record(snapshot(START + minute * MINUTE, email=rows))
    assert chart_values(path, range(8)) == [5, 5, None, None, None, None, 5, 5]


def test_a_restart_continues_the_series(path: Path) -> None:
    for minute, rows in enumerate([5, 5, 6]):
        with closing(History(HistorySettings(path=path))) as history:
            history.record(snapshot(START + minute * MINUTE, email={"tasks": rows}))
    assert points(path) == [(0, 5), (2, 6)]
    assert chart_values(path, range(3)) == [5, 5, 6]


def test_the_state_of_another_version_is_read(path: Path) -> None:
    """Fields are missing after an upgrade, and unknown after a downgrade."""
    here = Database("email", "Email", path)
    with closing(History(HistorySettings(path=path))) as history:
        known = snapshot(START, email={"tasks": 3}).databases[0].reading
        history.store_state(here, DatabaseState("connected", None, START, None, None, known))
    with closing(sqlite3.connect(path)) as connection:
        (stored,) = connection.execute("SELECT baseline FROM memory").fetchone()
        message = json.loads(stored)
        assert message.pop("file_modified", "") != ""
        assert message["surroundings"].pop("access", "") != ""
        message["weather"] = "fine"
        next(iter(message["tables"].values()))["colour"] = "blue"
        connection.execute("UPDATE memory SET baseline = ?", (json.dumps(message),))
        connection.commit()
    with closing(History(HistorySettings(path=path))) as history:
        found = history.state_of(here)
        assert found is not None
        assert found.baseline is not None
        assert found.baseline.tables == known.tables


STORED = {
    "event": (
        *(1, "email", "rows_dropped", "2026-11-01T00:00:00+00:00"),
        *(
            '{"rows": {"tasks": 9}}',
            '{"rows": {"tasks": null}}',
            "2026-11-01T00:01:00.500000+00:00",
        ),
    ),
    "incident": (
        *(7, "email:rows_dropped", "a_later_kind", "fault", '["email"]', '["email.tasks:dropped"]'),
        *("Email: rows dropped.", "Restore them.", "2026-11-01T00:00:00+00:00"),
        *(None, "ann", "2026-11-01T00:00:30+00:00", None, "", None, "2026-11-01T00:01:00+00:00"),
    ),
    "message": (
        *(3, "0badcafe", 7, "email:rows_dropped", "fault", "Email: needs you", "Rows dropped."),
        *("2026-11-01T00:01:00+00:00", "2026-11-01T00:02:00+00:00", 1, "2026-11-01T00:01:00+00:00"),
        *(None, "no answer", '["5ca1ab1e"]', 0, None),
    ),
}
"""Rows as earlier versions stored them. One kind is of a later version."""


def test_stored_rows_are_read_and_stored_again_unchanged(path: Path) -> None:
    with closing(History(HistorySettings(path=path))) as history:
        with closing(sqlite3.connect(path)) as connection, connection:
            for table, row in STORED.items():
                connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        (event,) = find_events(path, EventQuery())
        assert (event.before, event.after) == ({"rows": {"tasks": 9}}, {"rows": {"tasks": None}})
        assert (event.id, event.ended_at) == (1, START + MINUTE + timedelta(seconds=0.5))
        (incident,) = find_incidents(path, IncidentQuery())
        acknowledged = Acknowledgement("ann", START + timedelta(seconds=30), None)
        assert (incident.kind, incident.acknowledged) == ("a_later_kind", acknowledged)
        assert (incident.databases, incident.since) == (("email",), START)
        (message,) = incident.notifications
        assert (message.id, message.delivered_to) == ("0badcafe", ("5ca1ab1e",))
        assert (message.attempted_at, message.is_given_up) == (START + MINUTE, False)
        history.incidents.store([incident])
        history.notifications.store([message])
        history.store_state(
            Database("email", "Email", path), DatabaseState("connected", None, START, None), [event]
        )
    with closing(sqlite3.connect(path)) as connection:
        for table, row in STORED.items():
            assert connection.execute(f"SELECT * FROM {table}").fetchall() == [row]


def test_a_state_survives_a_restart_and_belongs_to_one_path(path: Path) -> None:
    memory = DatabaseState("error", "file_missing", START, LastGood(START - MINUTE, 10_640, 7))
    here, elsewhere = Database("email", "Email", path), Database("email", "Email", path / "other")
    with closing(History(HistorySettings(path=path))) as history:
        history.store_state(here, memory)
    with closing(History(HistorySettings(path=path))) as history:
        assert history.state_of(here) == memory
        assert history.state_of(elsewhere) is None


def test_beyond_the_retention_only_the_value_that_still_holds_is_kept(path: Path) -> None:
    with closing(History(HistorySettings(path=path, retention="2d"))) as history:  # type: ignore[arg-type]
        for day, rows in enumerate([1, 2, 2, 2, 3]):
            history.record(snapshot(START + timedelta(days=day), email={"tasks": rows}))
    assert points(path) == [(1440, 2), (4 * 1440, 3)]


def test_the_file_stays_below_its_maximum_size_and_records_go_on(path: Path) -> None:
    with closing(History(HistorySettings(path=path, max_size="1MB"))) as history:  # type: ignore[arg-type]
        for minute in range(300):
            rows: dict[str, int | None] = {f"table_{n}": minute for n in range(200)}
            history.record(snapshot(START + minute * MINUTE, email={**rows, "tasks": minute}))
    assert path.stat().st_size <= 1_000_000
    assert points(path)[-1] == (299, 299)
    assert points(path)[0][0] > 0


def test_a_failed_write_leaves_no_stale_caches(history: History, path: Path) -> None:
    history.record(snapshot(START, email={"tasks": 1}))
    with closing(sqlite3.connect(path)) as other:
        other.execute(
            "CREATE TRIGGER no BEFORE INSERT ON point BEGIN SELECT raise(FAIL, 'no'); END"
        )
        with pytest.raises(sqlite3.IntegrityError):
            history.record(snapshot(START + MINUTE, email={"fresh": 1, "tasks": 2}))
        other.execute("DROP TRIGGER no")
    history.record(snapshot(START + 2 * MINUTE, email={"fresh": 1, "tasks": 2}))
    assert points(path) == [(0, 1), (1, 2)]
    assert points(path, "fresh") == [(1, 1)]


def test_a_later_schema_is_rejected(path: Path) -> None:
    History(HistorySettings(path=path)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UnusableHistoryError, match="history has schema 99"):
        History(HistorySettings(path=path))


def test_another_programs_database_is_rejected_and_left_unchanged(tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    before = path.read_bytes()
    with pytest.raises(UnusableHistoryError, match="another program's database"):
        History(HistorySettings(path=path))
    assert path.read_bytes() == before


WRITES_UNTIL_KILLED = """
import sys
from datetime import timedelta
from pathlib import Path
from dash_app.history.writer import History
from dash_app.settings.schema import HistorySettings
from tests.factories import snapshot
from tests.history.helpers import MINUTE, START
path = Path(sys.argv[1])
history = History(HistorySettings(path=path))
minute = 0
while True:
    history.record(snapshot(START + minute * MINUTE, email={"tasks": minute}))
    print(minute, flush=True)
    minute += 1
"""


def test_records_survive_a_kill(path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", WRITES_UNTIL_KILLED, str(path)],
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdout is not None
        recorded = [int(process.stdout.readline()) for _ in range(50)][-1]
        process.kill()
    stored = points(path)
    assert [value for _, value in stored[: recorded + 1]] == list(range(recorded + 1))
    with closing(History(HistorySettings(path=path))) as history:
        history.record(snapshot(START + timedelta(days=1), email={"tasks": 0}))


@given(
    begin=st.integers(0, 10**9),
    length=st.integers(1, 4 * 10**7),
    wanted=st.integers(1, 2000),
    every=st.floats(1, 3600),
)
def test_a_window_is_regular_and_never_finer_than_requested(
    begin: int, length: int, wanted: int, every: float
) -> None:
    since, until = (datetime.fromtimestamp(at, UTC) for at in (begin, begin + length))
    window = Window.between(since, until, wanted, every)
    assert len(window.instants) <= wanted + 1
    assert window.step >= round(every)
    assert all(at % window.step == 0 and begin <= at <= begin + length for at in window.instants)


@given(
    changes=st.dictionaries(st.integers(0, 40), st.integers(0, 5), max_size=12),
    watched=st.sets(st.integers(0, 40), min_size=1),
)
def test_a_chart_has_the_last_value_at_each_watched_instant(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[int, int], watched: set[int]
) -> None:
    path = tmp_path_factory.mktemp("history") / "history.db"
    truth: dict[int, int] = {}
    rows = 0
    with closing(History(HistorySettings(path=path))) as history:
        for minute in range(41):
            rows = changes.get(minute, rows)
            truth[minute] = rows
            if minute in watched:
                history.record(snapshot(START + minute * MINUTE, email={"tasks": rows}))
    found = chart_values(path, range(41))
    for minute in watched:
        assert found[minute] == truth[minute]
    last = max(watched)
    assert found[last + 1 :] == [None] * (40 - last)


def spans(path: Path, span: int) -> dict[int, tuple[int | None, int | None, int | None]]:
    """The stored hours or days of a table: last, least and greatest value, by their start."""
    sql = (
        "SELECT at, last, least, greatest FROM rollup JOIN series ON id = series"
        " WHERE \"table\" = 'tasks' AND metric = 'rows' AND span = ?"
    )
    with closing(sqlite3.connect(path)) as connection:
        return {at: tuple(found) for at, *found in connection.execute(sql, (span,))}


def expected_rollups(
    stored: dict[int, int | None], span: int
) -> dict[int, tuple[int | None, int | None, int | None]]:
    """The same, computed from the points. The value at the start of a span belongs to it."""
    sums = {}
    for start in {at // span * span for at in stored}:
        within = [at for at in stored if start < at < start + span]
        standing = [at for at in stored if at <= start][-1:]
        found = [stored[at] for at in standing + within]
        known = [value for value in found if value is not None]
        sums[start] = (found[-1], min(known, default=None), max(known, default=None))
    return sums


@settings(max_examples=40)
@given(
    changes=st.lists(
        st.tuples(st.integers(-30, 1500), st.one_of(st.none(), st.integers(0, 9))), max_size=60
    )
)
def test_rollups_never_contradict_the_points_even_if_the_clock_is_set_back(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int | None]]
) -> None:
    path = tmp_path_factory.mktemp("history") / "history.db"
    minute = 0
    with closing(History(HistorySettings(path=path))) as history:
        for forward, rows in changes:
            minute = max(0, minute + forward)
            history.record(snapshot(START + minute * MINUTE, email={"tasks": rows}))
    stored = {int(START.timestamp()) + at * 60: value for at, value in points(path)}
    for span in (HOUR, DAY):
        assert spans(path, span) == expected_rollups(stored, span)


def test_a_table_emptied_and_refilled_within_an_hour_shows_in_every_range(
    history: History, path: Path
) -> None:
    for minute, rows in ((0, 9), (90, 0), (91, 9), (180, 9)):
        history.record(snapshot(START + minute * MINUTE, email={"tasks": rows}))
    start, instant = int(START.timestamp()), int(START.timestamp()) + 2 * HOUR
    for span in (1, HOUR):
        window = Window(start + HOUR, start + 3 * HOUR, HOUR, span)
        (found,) = series.find_series(path, Selection(tables=("tasks",)), window)
        assert dict(zip((at for at, _ in found.points), found.ranges, strict=True))[instant] == (
            0,
            9,
        )


@pytest.mark.parametrize("view", VIEWS.values())
def test_a_chart_reads_each_series_along_an_index(history: History, path: Path, view: str) -> None:
    history.record(snapshot(START, email={"tasks": 1}))
    with closing(sqlite3.connect(path)) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN " + series.WALK.format(column="last", view=view),
            {"series": 1, "since": 0, "until": 1},
        ).fetchall()
    details = " ".join(detail for *_, detail in plan)
    assert re.search(r"series=\? AND (span=\? AND )?at>\? AND at<\?", details), details
    assert not re.search("SCAN|TEMP B-TREE", details), details


def window_of(span: int, first: int, step: int, number: int, recent: list[int]) -> Window:
    """A window in units of the span of a row."""
    last = first + step * (number - 1)
    further = tuple((last + end) * span for end in accumulate(recent))
    return Window(first * span, last * span, step * span, span, further)


FOUND = st.one_of(
    st.just((None, None, None)),
    st.lists(st.integers(0, 9), min_size=3, max_size=3).map(lambda x: (x[0], min(x), max(x))),
)
"""The last, least and greatest value of a row."""


@settings(max_examples=60)
@given(
    found=st.dictionaries(st.integers(0, 40), FOUND),
    window=st.builds(
        window_of,
        st.sampled_from(list(VIEWS)),
        st.integers(0, 30),
        st.integers(1, 9),
        st.integers(1, 12),
        st.lists(st.integers(1, 4), max_size=3),
    ),
)
def test_a_chart_has_the_last_known_value_and_the_range_at_each_instant(
    tmp_path_factory: pytest.TempPathFactory,
    found: dict[int, tuple[int | None, int | None, int | None]],
    window: Window,
) -> None:
    """The expected value of each instant is computed on its own."""
    path = tmp_path_factory.mktemp("history") / "history.db"
    History(HistorySettings(path=path)).close()
    is_point = window.span == 1
    rows = sorted(
        (at * window.span, last, *((last, last) if is_point else extremes))
        for at, (last, *extremes) in found.items()
    )
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO series VALUES (1, 'email', 'tasks', 'rows', NULL)")
        connection.execute("INSERT INTO watched VALUES ('email', 0, 1e9)")
        points = [(at, last) for at, last, *_ in rows if is_point]
        connection.executemany("INSERT INTO point (series, at, value) VALUES (1, ?, ?)", points)
        sums = [(window.span, *row) for row in rows if not is_point]
        into = "INSERT INTO rollup (series, span, at, last, least, greatest)"
        connection.executemany(f"{into} VALUES (1, ?, ?, ?, ?, ?)", sums)
    (chart,) = series.find_series(path, Selection(), window)
    assert [at for at, _ in chart.points] == window.instants
    since = window.first - window.step + is_point
    for (at, value), moved in zip(chart.points, chart.ranges, strict=True):
        until = at + is_point
        assert value == next((last for when, last, *_ in reversed(rows) if when < until), None)
        step = [extremes for when, _, *extremes in rows if since <= when < until]
        known = {value for extremes in step for value in extremes if value is not None}
        assert moved == ((min(known), max(known)) if len(known) > 1 else None)
        since = until


def test_a_migration_computes_the_rollups(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA application_id = {HISTORY_APPLICATION_ID}")
        for script in MIGRATIONS[: ROLLUPS_SINCE - 1]:
            connection.executescript(script)
        connection.execute(f"PRAGMA user_version = {ROLLUPS_SINCE - 1}")
        connection.execute("INSERT INTO series VALUES (1, 'email', 'tasks', 'rows')")
        connection.executemany("INSERT INTO point VALUES (1, ?, ?)", [(0, 5), (7200, 8), (9e4, 2)])
        connection.commit()
    History(HistorySettings(path=path)).close()
    assert spans(path, HOUR) == {0: (5, 5, 5), 7200: (8, 8, 8), 90_000: (2, 2, 2)}
    assert spans(path, DAY) == {0: (8, 5, 8), 86_400: (2, 2, 8)}


def test_a_migration_moves_written_rows_beside_the_row_count(path: Path) -> None:
    path.parent.mkdir()
    kinds = ("rows", "inserted", "last_write", "size_bytes")
    of_table = {"rows": "tasks", "inserted": "tasks"}
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA application_id = {HISTORY_APPLICATION_ID}")
        connection.executescript(";".join(MIGRATIONS[:ROLLUPS_SINCE]))
        connection.execute(f"PRAGMA user_version = {ROLLUPS_SINCE}")
        for number, kind in enumerate(kinds):
            key = (number, "email", of_table.get(kind), kind)
            connection.execute("INSERT INTO series VALUES (?, ?, ?, ?)", key)
        stored = [(0, 60, 5), (1, 60, 0), (1, 120, 4), (0, 180, 2), (1, 240, 9), (2, 240, 7)]
        connection.executemany("INSERT INTO point VALUES (?, ?, ?)", stored)
        sums = [(0, HOUR, 0, 2, 2, 5), (1, HOUR, 0, 9, 0, 9), (1, HOUR, HOUR, 11, 9, 11)]
        connection.executemany("INSERT INTO rollup VALUES (?, ?, ?, ?, ?, ?)", sums)
        connection.commit()
    History(HistorySettings(path=path)).close()
    with closing(sqlite3.connect(path)) as connection:
        points = connection.execute("SELECT series, at, value, written FROM point").fetchall()
        hours = connection.execute(
            "SELECT series, span, at, last, least, greatest, written FROM rollup"
        ).fetchall()
        left = connection.execute("SELECT metric FROM series ORDER BY id").fetchall()
    assert points == [(0, 60, 5, 0), (0, 120, 5, 4), (0, 180, 2, 4), (0, 240, 2, 9)]
    assert hours == [(0, HOUR, 0, 2, 2, 5, 9), (0, HOUR, HOUR, 2, 2, 2, 11)]
    assert left == [("rows",), ("size_bytes",)]


def test_a_second_service_on_the_same_file_is_rejected(history: History, path: Path) -> None:
    with pytest.raises(UnusableHistoryError, match="another Mission Control"):
        History(HistorySettings(path=path))
    history.record(snapshot(START, email={"tasks": 1}))
    assert points(path) == [(0, 1)]


def test_records_are_kept_in_memory_while_the_file_cannot_be_written(
    history: History, path: Path
) -> None:
    history.record(snapshot(START, email={"tasks": 1}))
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for minute in (1, 2):
            with pytest.raises(sqlite3.OperationalError):
                history.record(snapshot(START + minute * MINUTE, email={"tasks": minute + 1}))
        assert history._pending
    history.record(snapshot(START + 3 * MINUTE, email={"tasks": 4}))
    assert not history._pending
    assert points(path) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert chart_values(path, range(4)) == [1, 2, 3, 4]


def test_a_truncated_wal_loses_only_its_end(path: Path) -> None:
    with closing(History(HistorySettings(path=path))) as history:
        for minute in range(20):
            history.record(snapshot(START + minute * MINUTE, email={"tasks": minute}))
        log = path.with_name("history.db-wal")
        cut = path.with_name("cut.db")
        shutil.copyfile(path, cut)
        cut.with_name("cut.db-wal").write_bytes(log.read_bytes()[: log.stat().st_size // 2 + 7])
    with closing(History(HistorySettings(path=cut))) as history:
        kept = points(cut)
        assert 0 < len(kept) < 20
        assert kept == [(minute, minute) for minute in range(len(kept))]
        history.record(snapshot(START + timedelta(days=1), email={"tasks": 7}))


def reading(rows: int | None, greatest: int | None = None, sequence: int | None = None) -> Reading:
    rowids = (greatest - (rows or 1) + 1, greatest) if greatest else None
    counts = {"tasks": TableCount(rows, START, rowids=rowids)}
    sequences = {} if sequence is None else {"tasks": sequence}
    return Reading(START, START, tables=counts, sequences=sequences)


@pytest.mark.parametrize(
    ("before", "after", "written"),
    [
        (reading(5, 5), reading(8, 8), 3),
        (reading(5, 5), reading(5, 8), 3),  # three were inserted and three deleted
        (reading(8, 8), reading(2, 10), 2),
        (reading(8, 8), reading(2, 2), 0),
        (reading(5, None, 5), reading(0, None, 9), 4),
        (reading(5, 5), reading(None), 0),
        (reading(None), reading(5, 5), 0),
        (Reading(START, START), reading(5, 5), 5),
        (reading(2, 1_700_000_000), reading(3, 1_700_000_900), 900),
    ],
)
def test_written_rows_are_counted_despite_deletions(
    before: Reading, after: Reading, written: int
) -> None:
    assert rows_inserted(before, after, "tasks") == written


def test_rowids_that_are_times_are_not_counted_as_rows() -> None:
    sparse = replace(reading(2), tables={"tasks": TableCount(2, START, rowids=(1, 1_700_000_000))})
    later = replace(reading(3), tables={"tasks": TableCount(3, START, rowids=(1, 1_700_000_900))})
    assert rows_inserted(sparse, later, "tasks") == 1


def test_writes_show_in_a_pruned_table_and_not_in_a_dead_one(history: History, path: Path) -> None:
    now = START + timedelta(hours=30)
    for minute in range(0, 30 * 60 + 1, 3):
        at = START + minute * MINUTE
        pruned = TableCount(100, at, rowids=(minute + 1, minute + 100))
        taken = snapshot(at, email={"pruned": 100, "dead": 7})
        (status,) = taken.databases
        tables = {**status.reading.tables, "pruned": pruned}
        status = replace(status, reading=replace(status.reading, tables=tables))
        history.record(replace(taken, databases=(status,)))
    window = Window(int(now.timestamp()) - 3 * HOUR, int(now.timestamp()), HOUR)
    found = series.find_series(path, Selection(metric="inserted"), window)
    written = {s.table: [value for _, value in s.points] for s in found}
    assert written == {"pruned": [60] * 4, "dead": [0] * 4}


def test_activity_has_the_hours_of_the_last_day_and_its_change(
    history: History, path: Path
) -> None:
    for minute in range(26 * 60 + 1):
        history.record(snapshot(START + minute * MINUTE, email={"tasks": 5 + minute // 60}))
    now = START + timedelta(hours=26, seconds=59)
    activity = series.recent_activity(path, ["email", "other"], now)
    assert activity["email"].hours == (*[1] * 23, 0)
    assert activity["email"].rows_before == 5 + 2
    assert activity["email"].since == now - timedelta(days=1)
    assert activity["email"].is_whole_day
    assert activity["email"].written == 24  # in 24 h, of which the bars cover a little less
    assert activity["other"].hours == (None,) * 24
    assert activity["other"].watched == (False,) * 24
    assert activity["other"].rows_before is None


def test_a_new_database_is_compared_with_its_first_record(history: History, path: Path) -> None:
    for minute in range(90, 100):
        history.record(snapshot(START + minute * MINUTE, email={"tasks": minute}))
    activity = series.recent_activity(path, ["email"], START + 100 * MINUTE)["email"]
    assert (activity.rows_before, activity.since) == (90, START + 90 * MINUTE)
    assert activity.hours == (*[None] * 23, 9)
    assert activity.watched == (*[False] * 23, True)
    assert not activity.is_whole_day


def record_minutes(history: History, minutes: range) -> None:
    for minute in minutes:
        history.record(snapshot(START + minute * MINUTE, email={"tasks": minute}))


@pytest.mark.skipif(not CAN_MOUNT, reason="mounting takes root; a locked file shows the same")
def test_records_are_kept_in_memory_while_the_disk_is_full(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with Mount(folder, "tmpfs", "size=400k"):
        path = folder / "history.db"
        with closing(History(HistorySettings(path=path))) as history:
            history.record(snapshot(START, email={"tasks": 0}))
            filler = folder / "filler"
            filler.write_bytes(bytes(shutil.disk_usage(folder).free))
            with pytest.raises(sqlite3.OperationalError) as caught:
                record_minutes(history, range(1, 500))
            assert caught.value.sqlite_errorname == "SQLITE_FULL"
            assert history._pending
            filler.unlink()
            history.record(snapshot(START + timedelta(hours=10), email={"tasks": 600}))
            assert not history._pending
            stored = points(path)
            assert stored[:-1] == [(n, n) for n in range(len(stored) - 1)]
            assert stored[-1] == (600, 600)


def test_the_last_day_of_a_table_includes_the_last_record(history: History, path: Path) -> None:
    for minute in range(30):
        history.record(snapshot(START + minute * MINUTE, email={"tasks": 5 + minute // 10, "x": 1}))
    days = series.last_day_by_table(path, "email", START + 30 * MINUTE + timedelta(seconds=20))
    assert days["tasks"] == series.TableDay(5, 7, 2, 1820, int(START.timestamp()) + 1200)
    assert days["x"] == series.TableDay(1, 1, 0, 1820, None)
    assert series.size_a_day_ago(path, "email", START + 30 * MINUTE) == (4096, START)


def grown(history: History, minutes: Iterable[int]) -> None:
    """Record a table that gains a row a minute, in these minutes."""
    for minute in minutes:
        history.record(snapshot(START + minute * MINUTE, email={"tasks": 100 + minute}))


def written(
    path: Path, window: Window
) -> tuple[list[int | None], tuple[tuple[int, int, int], ...]]:
    """The rows of the table `tasks` written in each step, and its gaps, from the start."""
    (found,) = series.find_series(path, Selection(tables=("tasks",), metric="inserted"), window)
    start = int(START.timestamp())
    gaps = tuple((since - start, until - start, rows) for since, until, rows in found.gaps)
    return [value for _, value in found.points], gaps


def test_rows_that_came_while_nobody_watched_belong_to_the_gap(
    history: History, path: Path
) -> None:
    grown(history, [*range(30), *range(200, 231)])
    now = START + 230 * MINUTE
    start = int(START.timestamp())
    hours = Window(start + HOUR, start + 3 * HOUR, HOUR).extended_to(now)
    gap = (29 * 60, 200 * 60, 171)
    assert written(path, hours) == ([29, None, None, 30], (gap,))
    activity = series.recent_activity(path, ["email"], now)["email"]
    assert activity.hours[-4:] == (29, None, None, 30)
    assert activity.watched[-4:] == (True, False, False, True)
    assert activity.rows_before == 100
    assert series.last_day_by_table(path, "email", now)["tasks"].written == 230
    assert series.recent_gaps(path, now) == ((START + 29 * MINUTE, START + 200 * MINUTE, 171),)
    # An hour later than the last record, the running hour is not known to be silent.
    later = START + 270 * MINUTE
    assert series.recent_activity(path, ["email"], later)["email"].hours[-2:] == (30, None)
    # The points of a gap that is long over are gone, but not its hours.
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM point WHERE at < ?", (start + 220 * 60,))
    by_hour = replace(Window(start + HOUR, start + 4 * HOUR, HOUR), span=HOUR)
    assert written(path, by_hour)[0][:3] == [29, None, None]


def test_a_first_count_is_no_growth(history: History, path: Path) -> None:
    """What is there at the first look, a table of minutes to count, a later one, another file."""
    for minute in range(10):
        rows: dict[str, int | None] = {"first": 12_345_678, "large": 7_000_000 if minute else None}
        if minute > 4:
            rows["new"] = 3
        taken = snapshot(START + minute * MINUTE, email=rows)
        if minute > 6:
            (status,) = taken.databases
            moved = replace(status.database, path=Path("/srv/another.db"))
            taken = replace(taken, databases=(replace(status, database=moved),))
        history.record(taken)
    start = int(START.timestamp())
    found = series.find_series(
        path, Selection(metric="inserted"), Window(start, start + 9 * 60, 9 * 60)
    )
    assert {s.table: s.points[-1][1] for s in found} == {"first": 0, "large": 0, "new": 3}
    activity = series.recent_activity(path, ["email"], START + 9 * MINUTE)["email"]
    assert activity.hours[-1] == 3
    assert (activity.rows_before, activity.since) == (19_345_678, START + MINUTE)


def test_a_table_that_was_never_counted_is_not_silent(history: History, path: Path) -> None:
    for minute in range(10):
        history.record(snapshot(START + minute * MINUTE, email={"vectors": None}))
    activity = series.recent_activity(path, ["email"], START + 9 * MINUTE)["email"]
    assert activity.hours == (None,) * 24
    assert activity.watched[-1]


def test_a_gap_is_one_for_all_databases(history: History, path: Path) -> None:
    for minute in [*range(30), *range(90, 120)]:
        rows: dict[str, int | None] = {"tasks": 100 + minute}
        late = None if minute == 90 else rows  # it is back a minute later
        history.record(snapshot(START + minute * MINUTE, email=rows, late=late))
    now = START + 150 * MINUTE
    gap = (START + 29 * MINUTE, START + 90 * MINUTE, 61 + 62)
    assert series.recent_gaps(path, now) == (gap,)
    assert series.recent_gaps(path, now + timedelta(days=8)) == ()


@settings(max_examples=40)
@given(watched=st.sets(st.integers(0, 90), min_size=1), step=st.integers(1, 30))
def test_every_row_is_written_in_a_step_or_in_a_gap(
    tmp_path_factory: pytest.TempPathFactory, watched: set[int], step: int
) -> None:
    path = tmp_path_factory.mktemp("history") / "history.db"
    with closing(History(HistorySettings(path=path))) as history:
        grown(history, sorted(watched))
    start = int(START.timestamp())
    steps, gaps = written(path, Window(start - 60, start + 3 * HOUR, step * 60))
    known = sum(value for value in steps if value is not None)
    assert known + sum(rows for *_, rows in gaps) == max(watched) - min(watched)
    # A pause of up to three minutes is no gap.
    assert all(value is None or 0 <= value <= step + 2 for value in steps)
