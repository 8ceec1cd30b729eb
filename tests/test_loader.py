"""The loader's frames: exact counts, and gaps that stay gaps."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dash_app import loader
from dash_app.history.writer import History
from dash_app.settings.schema import HistorySettings
from tests.factories import snapshot

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
HUGE = 9_007_199_254_740_993
"""The smallest positive integer that a float cannot represent."""


@pytest.fixture
def now() -> datetime:
    """The minute in which a test starts: the loader reads the clock itself."""
    return datetime.now(UTC).replace(second=0, microsecond=0)


def types(frame: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(dtype) for name, dtype in frame.dtypes.items()}


def values(column: pd.Series[int]) -> list[int | None]:
    """The values of a column, None for unknown."""
    return [None if pd.isna(value) else value for value in column]


def test_counts_are_sorted_unknown_first_then_by_rows_then_by_name(now: datetime) -> None:
    rows: dict[str, int | None] = {"b": 1, "a": 1, "much": HUGE, "none": 0, "unknown": None}
    frame = loader.counts_frame(snapshot(now, email=rows))
    assert types(frame) == loader.COUNT_COLUMNS
    assert frame["table"].tolist() == ["unknown", "much", "a", "b", "none"]
    assert values(frame["rows"]) == [None, HUGE, 1, 1, 0]


def test_an_empty_frame_has_the_same_types(now: datetime) -> None:
    frame = loader.counts_frame(snapshot(now))
    assert frame.empty
    assert types(frame) == loader.COUNT_COLUMNS


def test_trends_sum_tables_keep_gaps_and_end_with_the_present(
    tmp_path: Path, now: datetime
) -> None:
    path = tmp_path / "history.db"
    with closing(History(HistorySettings(path=path))) as history:
        for minute in (30, 29, 28, 10, 9):
            rows: dict[str, int | None] = {"t": HUGE, "u": minute}
            history.record(snapshot(now - minute * MINUTE, email=rows))
    trends = loader.trend_frame(path, loader.Trend(timedelta(minutes=40), 40, MINUTE))
    assert str(trends.dtypes["email"]) == "Int64"
    known = values(trends["email"])
    assert HUGE + 30 in known
    assert HUGE + 9 in known
    first, last = known.index(HUGE + 28), known.index(HUGE + 10)
    assert set(known[first + 2 : last]) == {None}
    present = loader.with_present(trends, snapshot(now, email={"t": 7}, other={"x": 1}))
    assert present["email"].iloc[-1] == 7
    assert present.index[-1] == pd.Timestamp(now)
    assert list(present.columns) == ["email"]


def test_a_dip_between_two_points_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    now = datetime.now(UTC).replace(minute=59, second=0, microsecond=0) - timedelta(hours=2)
    with closing(History(HistorySettings(path=path))) as history:
        for minute in range(5 * 60, -1, -1):
            rows = 0 if minute == 90 else 9
            history.record(snapshot(now - minute * MINUTE, email={"t": rows, "u": 1}))
    week = loader.Trend(timedelta(days=7), 300, MINUTE)
    known = [
        value for value in values(loader.trend_frame(path, week)["email"]) if value is not None
    ]
    assert set(known) == {10, 1}
    assert known.count(1) == 1
    tables = loader.trend_frame(path, replace(week, database="email"))
    assert set(tables["t"].dropna()) == {9, 0}
    assert set(tables["u"].dropna()) == {1}


def sums(path: Path, reach: timedelta = 40 * MINUTE) -> pd.DataFrame:
    """The trends of all databases, in up to 300 steps of at least a minute."""
    return loader.trend_frame(path, loader.Trend(reach, 300, MINUTE))


def test_an_uncounted_table_makes_its_sum_unknown(tmp_path: Path, now: datetime) -> None:
    """Happens after each start, while a large table is counted in slices."""
    path = tmp_path / "history.db"
    for minutes in (range(30, 20, -1), range(20, 10, -1)):
        with closing(History(HistorySettings(path=path))) as history:
            for minute in minutes:
                large = None if minute in minutes[:3] else 1_309_041
                rows: dict[str, int | None] = {"large": large, "small": 50_000}
                history.record(snapshot(now - minute * MINUTE, email=rows))
    trends = sums(path)
    assert set(trends["email"].dropna()) == {1_359_041}
    present = loader.with_present(trends, snapshot(now, email={"large": None, "small": 50_000}))
    assert values(present["email"])[-1] is None


def test_a_table_that_was_never_counted_is_in_no_sum(tmp_path: Path, now: datetime) -> None:
    path = tmp_path / "history.db"
    rows: dict[str, int | None] = {"vectors": None, "small": 5}
    with closing(History(HistorySettings(path=path))) as history:
        for minute in range(30, 10, -1):
            history.record(snapshot(now - minute * MINUTE, email=rows, other={"v": None}))
    trends = sums(path)
    assert set(trends["email"].dropna()) == {5}
    assert trends["other"].isna().all()
    present = loader.with_present(trends, snapshot(now, email=rows, other={"v": None}))
    assert values(present["email"])[-1] == 5


def test_a_temporary_table_does_not_change_the_sum_before_and_after(
    tmp_path: Path, now: datetime
) -> None:
    path = tmp_path / "history.db"
    with closing(History(HistorySettings(path=path))) as history:
        for minute in range(30, 10, -1):
            rows: dict[str, int | None] = {"kept": 5}
            if minute == 20:
                rows["temporary"] = 2
            history.record(snapshot(now - minute * MINUTE, email=rows))
        with history._connection as connection:  # as earlier versions stored it
            connection.execute("UPDATE point SET value = NULL WHERE value = 0")
    with closing(History(HistorySettings(path=path))) as history:
        history.record(snapshot(now - 10 * MINUTE, email={"kept": 5}))
    known = [value for value in values(sums(path)["email"]) if value is not None]
    assert set(known) == {5, 7}
    assert known.count(7) == 1
    assert len(known) >= 19


def test_hours_with_an_uncounted_table_are_unknown(tmp_path: Path, now: datetime) -> None:
    path, hour = tmp_path / "history.db", timedelta(hours=1)
    now = now.replace(minute=30)
    with closing(History(HistorySettings.model_validate({"path": path, "every": "1h"}))) as history:
        for hours in range(72, 0, -1):
            large = None if 40 < hours <= 50 else 900
            rows: dict[str, int | None] = {"large": large, "small": 5}
            history.record(snapshot(now - hours * hour, email=rows))
    known = values(sums(path, timedelta(days=7))["email"])
    assert set(known) == {905, None}
    assert known.count(905) >= 50


def bars(path: Path, reach: timedelta, every: timedelta = MINUTE, **more: Any) -> pd.DataFrame:
    """The rows written, in up to 60 steps."""
    return loader.trend_frame(path, loader.Trend(reach, 60, every, is_rate=True, **more))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    """A table that grew by a row a minute for three days up to a time yesterday, and an empty one.

    It was not watched from two hours to one hour before that time, which were on the same day.
    """
    path, yesterday = tmp_path_factory.mktemp("loader") / "history.db", datetime.now(UTC) - DAY
    now = yesterday.replace(hour=15, minute=37, second=0, microsecond=0)
    with closing(History(HistorySettings(path=path))) as history:
        for minute in range(3 * 24 * 60, -1, -1):
            if not 60 < minute < 120:
                rows: dict[str, int | None] = {"tasks": 10_000 - minute, "empty": 0}
                history.record(snapshot(now - minute * MINUTE, email=rows))
    return path, now


@pytest.mark.parametrize(
    ("reach", "every", "step"),
    [
        (HOUR, MINUTE, 5 * MINUTE),
        (HOUR, 10 * MINUTE, 10 * MINUTE),
        (6 * HOUR, MINUTE, HOUR),
        (24 * HOUR, MINUTE, HOUR),
        (7 * DAY, MINUTE, DAY),
        (30 * DAY, MINUTE, DAY),
    ],
)
def test_bars_reach_up_to_now(
    recorded: tuple[Path, datetime], reach: timedelta, every: timedelta, step: timedelta
) -> None:
    path, now = recorded
    until = now + timedelta(seconds=30)
    found = bars(path, reach, every, until=until)
    starts = found.index
    assert found.attrs["until"] == until
    assert found.attrs["step"] == step
    assert set(starts[1:] - starts[:-1]) == {pd.Timedelta(step)}
    assert starts[0] <= until - reach < starts[1]
    assert starts[-1] < until <= starts[-1] + step
    # The record of midnight itself belongs to the new day.
    running = (now - starts[-1].to_pydatetime()) // MINUTE + (step == DAY)
    assert found["email"].iloc[-1] == running


def test_rows_that_came_while_not_watched_are_no_bar(recorded: tuple[Path, datetime]) -> None:
    path, now = recorded
    gap = (now - 120 * MINUTE, now - 60 * MINUTE, 60)
    for reach, step in ((6 * HOUR, HOUR), (HOUR, 5 * MINUTE)):
        found = bars(path, reach, until=now)["email"]
        assert found.dropna().between(0, step // MINUTE).all()
    day = bars(path, DAY, until=now)
    assert day.attrs["meanwhile"] == {"email": [gap]}
    total = day["email"].sum() + 60
    assert total == (now - day.index[0].to_pydatetime()) // MINUTE
    assert day.attrs["written"] == {"email": DAY // MINUTE}
    assert day.attrs["written"] == {"email": 24 * 60}
    tables = bars(path, DAY, database="email", until=now)
    assert tables.attrs["written"] == {"tasks": 24 * 60, "empty": 0}
    assert tables.attrs["written"] == {"tasks": DAY // MINUTE, "empty": 0}
    assert tables.attrs["meanwhile"] == {"tasks": [gap], "empty": [(*gap[:2], 0)]}
    rows = loader.trend_frame(path, loader.Trend(6 * HOUR, 300, MINUTE, until=now))
    assert rows.attrs["meanwhile"] == {"email": [gap]}
    assert rows["email"][now - 110 * MINUTE : now - 65 * MINUTE].isna().all()
    present = loader.with_present(rows, snapshot(now, email={"tasks": 7}))
    assert present.attrs["meanwhile"] == {"email": [gap]}


@pytest.mark.parametrize("reach", [HOUR, DAY, 60 * HOUR])
def test_rows_and_rows_written_tell_the_same_change(
    recorded: tuple[Path, datetime], reach: timedelta
) -> None:
    path, now = recorded
    until = now + timedelta(seconds=30)
    rows = loader.trend_frame(path, loader.Trend(reach, 300, MINUTE, until=until))["email"].dropna()
    written = bars(path, reach, until=until).attrs["written"]["email"]
    # Beyond two days, hours are compared: a record at their start may belong to either.
    assert rows.iloc[-1] - rows.iloc[0] - written in ({0} if reach <= DAY else {0, 1})
    assert written > 0


def test_the_span_before_has_the_same_steps(recorded: tuple[Path, datetime]) -> None:
    path, now = recorded
    this, before = bars(path, DAY, until=now), bars(path, DAY, until=now - DAY)
    assert (this.index - before.index == DAY).all()
    assert before["email"].sum() == (now - DAY - before.index[0].to_pydatetime()) // MINUTE
