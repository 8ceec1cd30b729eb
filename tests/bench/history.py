"""History: the time of a chart over a year, and the size of a month."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import connect

from dash_app.history.writer import History
from dash_app.model.database import Database
from dash_app.model.reading import Reading, TableCount
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.settings.schema import HistorySettings
from tests.bench.report import OURS, Table
from tests.bench.run import Run
from tests.bench.systems import System, mission_control
from tests.factories import status

DATABASES, TABLES = 5, 12
SERIES = DATABASES * TABLES
MINUTES_PER_MONTH = 30 * 24 * 60
POINTS = 365

SPAN = """
    WITH RECURSIVE past(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM past LIMIT :spans)
    INSERT OR REPLACE INTO rollup
    SELECT id, :span, (unixepoch() / :span - n) * :span, 1000000 - n, 1000000 - n - 1, 1000000 - n,
        1000000 - n, NULL, NULL, NULL
    FROM series, past WHERE metric = 'rows'
"""
WATCHED = "UPDATE watched SET since = unixepoch() - 86400 * :days"


def measure(run: Run) -> Iterator[Table]:
    """Request charts of a year, and record days minute by minute."""
    names = [f"db{n}" for n in range(DATABASES)]
    config = run.workloads.config("history", [(n, run.folder / f"{n}.db") for n in names])
    fill_history(config.with_name("history.db"), days=365)
    table = Table(f"History: {SERIES} series over a year, at the server", "ms")
    with mission_control(config) as system:
        for _ in range(run.either(10, 50)):
            table.add("JSON route", chart_ms(system, 365))
    table.value("a chart", "JSON route", 100)
    yield table
    minutes = run.either(1440, MINUTES_PER_MONTH)
    table = Table("History: a month of 60 series, a tenth of which change each minute", "MB")
    table.add(OURS, _month_mb(run.folder / "month.db", minutes))
    table.notes.append(f"from {minutes:,} minutes")
    table.value("a month", OURS, 8)
    yield table


def chart_ms(system: System, days: int) -> float:
    """Return the time of a response with all series of the last days."""
    since = datetime.now(UTC) - timedelta(days=days)
    path = f"/api/history?points={POINTS}&from={since:%Y-%m-%dT%H:%M:%SZ}"
    start = time.perf_counter()
    code, _body = system.get(path)
    assert code == 200
    return (time.perf_counter() - start) * 1000


def fill_history(path: Path, days: int) -> None:
    """Make a history in which each series changed in every hour of a number of days."""
    history = History(HistorySettings(path=path))
    history.record(_snapshot(datetime.now(UTC), 0))
    history.close()
    with closing(connect(path)) as connection, connection:
        for span, spans_per_day in ((3600, 24), (86400, 1)):
            connection.execute(SPAN, {"span": span, "spans": days * spans_per_day})
        connection.execute(WATCHED, {"days": days})


def _month_mb(path: Path, minutes: int) -> float:
    """Return the size of a month, extrapolated from recording some minutes."""
    history = History(HistorySettings(path=path))
    start = datetime.now(UTC) - timedelta(minutes=minutes)
    sizes = []
    for minute in range(minutes):
        history.record(_snapshot(start + timedelta(minutes=minute), minute))
        if minute == minutes // 10:
            sizes.append(_used_bytes(path))
    sizes.append(_used_bytes(path))
    history.close()
    growth = (sizes[1] - sizes[0]) / (minutes - 1 - minutes // 10)
    return growth * MINUTES_PER_MONTH / 1e6


def _used_bytes(path: Path) -> int:
    with closing(connect(path)) as connection:
        size: int = connection.execute(
            "SELECT (page_count - freelist_count) * page_size"
            " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
        ).fetchone()[0]
    return size


def _snapshot(at: datetime, minute: int) -> Snapshot:
    """Return a snapshot in which another tenth of all tables grows each minute."""
    return Snapshot(at, tuple(_status(at, minute, number) for number in range(DATABASES)))


def _status(at: datetime, minute: int, number: int) -> DatabaseStatus:
    counts = {}
    for table in range(TABLES):
        turn = number * TABLES + table
        rows = 1000 + (minute + turn) // 10
        counts[f"table{table}"] = TableCount(rows, at, rowids=(1, rows))
    reading = Reading(at, at, tables=counts, last_modified=at, size_bytes=4096, wal_bytes=0)
    reading = replace(reading, file="1:1", change_counter=minute)
    database = Database(f"db{number}", "", HistorySettings().path)
    return status(database, reading)
