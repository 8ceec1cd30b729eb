"""What the history keeps of measures: values over time, and the newest answers."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dash_app import loader
from dash_app.api.csv_export import to_csv
from dash_app.api.serializers import history_document
from dash_app.history import series
from dash_app.history.answers import AnswerStore, window_answers
from dash_app.history.chart_grid import Window
from dash_app.history.measures import MAX_LABELS
from dash_app.history.read_only import ReadOnlyHistory
from dash_app.history.rollups import DAY, HOUR
from dash_app.history.series import Selection, Series
from dash_app.history.writer import History
from dash_app.model.measure import (
    AGE,
    MAX_SHOWN,
    OTHERS,
    Answer,
    Failure,
    Measure,
    MeasureReport,
    Value,
)
from dash_app.model.snapshot import Snapshot
from dash_app.rules.measures import measure_reports
from dash_app.settings.quiet_hours import parse_quiet_hours
from dash_app.settings.schema import HistorySettings
from tests.factories import database, snapshot
from tests.history.helpers import MINUTE, START

COST = Measure("cost", "Cost", MINUTE, unit="USD")
NEWEST = Measure("newest", "Newest", MINUTE, unit=AGE)
BY_STATUS = Measure("by_status", "By status", MINUTE)
NIGHTLY = Measure(
    "nightly",
    "Nightly",
    MINUTE,
    "rows_written",
    least=40,
    table="runs",
    window=parse_quiet_hours("02:00-06:00 UTC"),
)
START_SECONDS = int(START.timestamp())
Numbers = dict[str | None, float | None]


def measured(minute: int, *reports: MeasureReport, start: datetime = START) -> Snapshot:
    taken = snapshot(start + minute * MINUTE, email={"tasks": 9})
    at = taken.taken_at
    measures = tuple(replace(one, measured_at=one.measured_at or at) for one in reports)
    return replace(taken, databases=(replace(taken.databases[0], measures=measures),))


def report(measure: Measure, numbers: Numbers, error: str | None = None) -> MeasureReport:
    values = tuple(Value(label, number) for label, number in numbers.items())
    return MeasureReport(measure, values, None, "well", error, is_old=bool(error))


def single(minute: int, number: float | None, error: str | None = None) -> Snapshot:
    return measured(minute, report(COST, {None: number}, error))


def found(path: Path, measure: Measure, window: Window) -> dict[str | None, Sequence[float | None]]:
    """Return the values of each label in a window."""
    selection = Selection(("email",), metric=measure.metric)
    lines = series.find_series(path, selection, window)
    return {line.label: [value for _, value in line.points] for line in lines}


def minutes(last: int) -> Window:
    return Window(START_SECONDS, START_SECONDS + last * 60, 60)


def test_a_value_is_a_real_number_unknown_while_it_cannot_be_had_and_counts_stay_whole(
    tmp_path: Path,
) -> None:
    path = tmp_path / "history.db"
    with closing(History(HistorySettings(path=path))) as history:
        for minute, number in enumerate((0.35, 2, 2, None)):
            history.record(single(minute, number))
        history.record(single(4, 2, error="Its query crashed SQLite."))
        history.record(single(5, -3.5))
        history.record(measured(6))  # it is no longer configured
        stored = history._connection.execute(
            "SELECT typeof(value), typeof(number), metric FROM point JOIN series ON series = id"
            " WHERE metric <> 'wal_bytes'"
        ).fetchall()
        sums = history._connection.execute(
            "SELECT DISTINCT typeof(last), typeof(least), typeof(last_number), least_number,"
            " greatest_number, metric LIKE 'measure:%' FROM rollup JOIN series ON series = id"
            " WHERE metric <> 'wal_bytes'"
        ).fetchall()
    assert found(path, COST, minutes(6)) == {None: [0.35, 2.0, 2.0, None, None, -3.5, None]}
    # Neither the second 2, nor the second unknown value, changed anything.
    of_measure = [kinds for *kinds, metric in stored if metric == COST.metric]
    assert of_measure.count(["null", "real"]) == 3
    assert of_measure.count(["null", "null"]) == 2
    counts = {tuple(kinds) for *kinds, metric in stored if metric != COST.metric}
    assert counts == {("integer", "null")}
    assert set(sums) == {
        ("integer", "integer", "null", None, None, 0),
        ("null", "null", "null", -3.5, 2.0, 1),
    }


def test_what_was_measured_before_a_gap_is_unknown_after_it_except_in_a_window(
    tmp_path: Path,
) -> None:
    path = tmp_path / "history.db"
    reports = [
        replace(report(measure, {None: 5.0}), measured_at=START) for measure in (COST, NIGHTLY)
    ]
    with closing(History(HistorySettings(path=path))) as history:
        for minute in (0, 1, 3, 120, 121):
            history.record(measured(minute, *reports))
    window = Window(START_SECONDS, START_SECONDS + 120 * 60, 60 * 60).extended_to(
        START + 121 * MINUTE
    )
    assert found(path, COST, window) == {None: [5, 5, None, None]}
    assert found(path, NIGHTLY, window) == {None: [5, 5, 5, 5]}


def test_hours_and_days_of_a_measure_have_its_last_least_and_greatest_value(
    tmp_path: Path,
) -> None:
    path = tmp_path / "history.db"
    numbers = {0: 1.5, 20: 9.25, 40: 4.5, 70: 0.5, 26 * 60: 8.0}
    with closing(History(HistorySettings(path=path))) as history:
        for minute, number in numbers.items():
            history.record(single(minute, number))
        history._connection.execute("UPDATE watched SET until = until + 86400")
        history._connection.commit()
    hours = Window(START_SECONDS + HOUR, START_SECONDS + 2 * HOUR, HOUR, HOUR)
    days = Window(START_SECONDS + DAY, START_SECONDS + 2 * DAY, DAY, DAY)
    for window, lasts, ranges in (
        (hours, [4.5, 0.5], [(1.5, 9.25), (0.5, 4.5)]),
        (days, [0.5, 8.0], [(0.5, 9.25), (0.5, 8.0)]),
    ):
        (line,) = series.find_series(path, Selection(metric=COST.metric), window)
        assert ([value for _, value in line.points], list(line.ranges)) == (lasts, ranges)


def test_at_most_fifty_labels_have_a_series_until_they_are_pruned(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    settings = HistorySettings.model_validate({"path": path, "retention": "2d"})
    many: Numbers = {f"s{n}": float(n) for n in range(MAX_LABELS + 3)}
    ages: Numbers = {label: 60.4 * float(label[1:]) for label in map(str, many)}
    with closing(History(settings)) as history:
        history.record(measured(0, report(BY_STATUS, many), report(NEWEST, ages)))
        few: Numbers = {"s1": 7, "new": 2, OTHERS: 3}
        history.record(measured(1, report(BY_STATUS, few)))
        kept = found(path, BY_STATUS, minutes(1))
        assert len(kept) == MAX_LABELS + 1
        assert (kept["s1"], kept["s2"]) == ([1, 7], [2, None])
        assert kept[OTHERS] == [50 + 51 + 52, 2 + 3]
        # Of ages, the greatest; whole seconds.
        assert found(path, NEWEST, minutes(0))[OTHERS] == [round(60.4 * 52)]

        for day in range(1, 5):
            history.record(measured(day * 1440, report(BY_STATUS, {"s1": 7})))
        history.record(measured(4 * 1440 + 1, report(BY_STATUS, {"s1": 7, "new": 2})))
        last = Window(START_SECONDS + 4 * DAY + 60, START_SECONDS + 4 * DAY + 60, 60)
        assert found(path, BY_STATUS, last) == {"s1": [7], "new": [2]}
        assert found(path, NEWEST, last) == {}
        for table in ("point", "rollup"):
            sql = f"SELECT count(*) FROM {table} WHERE series NOT IN (SELECT id FROM series)"
            assert history._connection.execute(sql).fetchone() == (0,)


def test_a_frame_has_the_values_of_each_label_and_at_most_twelve(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    many: Numbers = {f"s{n:02}": float(n) for n in range(MAX_SHOWN + 3)}
    # Points are kept for 35 days.
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=9)
    times = [start + minute * MINUTE for minute in range(3)]
    values = [("email", "cost", None, at, 0.5 + n) for n, at in enumerate(times)]
    with closing(History(HistorySettings(path=path))) as history:
        history.backfill([("email", "tasks", at, 1, 1) for at in times], (), values)
        last = report(COST, {None: 4}), report(BY_STATUS, many)
        history.record(measured(3, *last, start=start))
    trend = loader.Trend(3 * MINUTE, 10, MINUTE, until=start + 3 * MINUTE)
    cost = loader.measure_trend_frame(path, "email", COST, trend)
    assert (list(cost.columns), str(cost.index.dtype)) == ([""], loader.TIME)
    assert (str(cost[""].dtype), cost[""].tolist()) == ("Float64", [0.5, 1.5, 2.5, 4.0])
    assert cost.attrs == {"step": MINUTE, "until": cost.index[-1]}
    by_status = loader.measure_trend_frame(path, "email", BY_STATUS, trend)
    assert list(by_status.columns) == [*list(many)[3:], OTHERS]
    assert by_status.iloc[-1].tolist() == [*range(3, MAX_SHOWN + 3), 0 + 1 + 2]
    assert by_status.iloc[0].isna().all()
    ages = replace(BY_STATUS, unit=AGE)
    assert loader.measure_trend_frame(path, "email", ages, trend)[OTHERS].iloc[-1] == 2
    none = loader.measure_trend_frame(path, "other", COST, trend)
    assert (none.empty, len(none.index)) == (True, 4)


def test_the_route_and_its_csv_have_labels_numbers_and_units() -> None:
    watched = replace(database(), measures=(COST,))
    lines = [
        Series("email", None, COST.metric, ((START_SECONDS, 0.5),), (None,), label="=1+1"),
        Series("email", None, "measure:removed", ((START_SECONDS, None),), (None,)),
        Series("email", "tasks", "rows", ((START_SECONDS, 7),), (None,)),
    ]
    document = history_document(lines, [watched])["series"]
    facts = [(line["label"], line["unit"], line["points"][0][1]) for line in document]
    assert facts == [("=1+1", "USD", 0.5), (None, None, None), (None, "rows", 7)]
    head, *rows = to_csv(document).splitlines()
    assert head == "time,database,table,metric,unit,value,label"
    assert [row.partition("Z,")[2] for row in rows] == [
        "email,,measure:cost,USD,0.5,'=1+1",
        "email,,measure:removed,,,",
        "email,tasks,rows,rows,7,",
    ]


def test_the_newest_answers_survive_a_restart_until_another_question_is_asked(
    tmp_path: Path,
) -> None:
    settings = HistorySettings(path=tmp_path / "history.db")
    since = START - timedelta(hours=2)
    failure = Failure("sql", since, {"text": "no such table: x", "tables": "tasks"})
    answers = {
        "cost": Answer((Value(None, 2.5),), START),
        "by_status": Answer((Value("open", 3), Value("done", None)), since, failure),
    }
    watched = replace(database(), measures=(COST, BY_STATUS))
    with closing(History(settings)) as history:
        AnswerStore(history, (watched,), MINUTE).save({"email": answers}.__getitem__)
    known = {("email", name): answer for name, answer in answers.items()}
    assert AnswerStore(ReadOnlyHistory(settings.path), (watched,), MINUTE).known == known
    with closing(History(settings)) as history:
        store = AnswerStore(history, (watched,), MINUTE)
        assert store.known == known
        (kept, _) = store.known["email", "by_status"].values
        assert isinstance(kept.number, int)
        store.save({"email": answers}.__getitem__)
        history._connection.execute("DELETE FROM answer")
        store.save({"email": answers}.__getitem__)  # nothing changed
        assert AnswerStore(history, (watched,), MINUTE).known == {}
        store.store_again()
        store.save({"email": answers}.__getitem__)
        other = replace(COST, sql="SELECT 1", least=3)
        same = replace(BY_STATUS, greatest=2, label="Tasks")
        changed = replace(watched, measures=(other, same))
        assert set(AnswerStore(history, (changed,), MINUTE).known) == {("email", "by_status")}
        elsewhere = replace(watched, path=Path("/srv/other.db"))
        assert AnswerStore(history, (elsewhere,), MINUTE).known == {}
        history.forget(watched, START)
        assert AnswerStore(history, (watched,), MINUTE).known == {}
    assert AnswerStore(ReadOnlyHistory(tmp_path / "missing.db"), (watched,), MINUTE).known == {}


HALF_HOUR = timedelta(minutes=30)


def test_a_window_counts_from_its_end_until_the_next_one_is_met(tmp_path: Path) -> None:
    """Hours are since START, a midnight. A record is stored each half hour."""
    path = tmp_path / "history.db"
    settings = HistorySettings.model_validate({"path": path, "every": "30m"})
    watched = replace(database(), measures=(NIGHTLY, COST))
    rows = 100

    def watch(first: float, last: float, gained: dict[float, int]) -> None:
        """Record from one hour to another; the table is seen to gain rows at these hours."""
        nonlocal rows
        with closing(History(settings)) as history:
            for hour in (first + n / 2 for n in range(round((last - first) * 2) + 1)):
                rows += gained.get(hour, 0)
                history.record(snapshot(START + hour * 2 * HALF_HOUR, email={"runs": rows}))

    def answer(hour: float) -> tuple[float | None, float] | None:
        now = START + hour * 2 * HALF_HOUR
        found = window_answers(path, [watched], now, HALF_HOUR)["email"]["nightly"]
        if found.measured_at is None:
            return None
        return found.values[0].number, (found.measured_at - START) / (2 * HALF_HOUR)

    watch(0, 26.5, {1.5: 500, 2.5: 30, 6: 9, 7: 500})
    assert [answer(hour) for hour in (5, 6.5)] == [None, None]
    assert [answer(hour) for hour in (7, 20, 26.5)] == [(39, 6)] * 3
    watch(27, 49, {27.5: 40, 29: 2})
    assert [answer(hour) for hour in (28, 40)] == [(42, 28), (42, 30)]
    watch(52, 80, {53: 50})  # nobody watched the begin of a window at 50
    assert [answer(hour) for hour in (50.5, 54, 60)] == [(42, 30), (42, 30), None]
    assert answer(79) == (0, 78)
    watch(81, 101, {})
    watch(104, 110, {104.5: 90})  # and the end of one at 102
    assert [answer(hour) for hour in (101, 105, 109)] == [(0, 78)] * 3
    assert window_answers(tmp_path / "missing.db", [database()], START, HALF_HOUR) == {}


def test_a_window_of_a_table_that_does_not_exist_is_an_error() -> None:
    watched = replace(database(), measures=(NIGHTLY,))
    (reported,) = measure_reports(watched, {}, START, {"tasks": 1, "run": 2})
    assert reported.error == "There is no table runs. Tables: run, tasks."
    assert measure_reports(watched, {}, START)[0].error is None
