"""The measurer asks for what may have changed, in turn; a failure concerns one measure."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dash_app.airlock.background import BackgroundProcess
from dash_app.airlock.measurer import MeasureState
from dash_app.model.database import Database
from dash_app.model.measure import Answer, Failure
from dash_app.settings.measures import MeasureSettings
from tests.factories import NOW
from tests.harness import LiveWriter, eventually, execute, make_database
from tests.measuring import Measures, database_of

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
COUNT = "SELECT count(*) FROM tasks"


@contextmanager
def asking(*databases: Database, share: float = 1.0) -> Iterator[Measures]:
    measures = Measures(databases, share)
    with closing(measures.measurer):
        yield measures


def answer(measures: Measures, name: str = "tasks", database: str = "a") -> Answer:
    return measures.measurer.answers(database)[name]


def number(measures: Measures, name: str = "tasks", database: str = "a") -> float | None:
    values = answer(measures, name, database).values
    return values[0].number if values else None


def code(measures: Measures, name: str = "tasks", database: str = "a") -> str | None:
    failure = answer(measures, name, database).failure
    return failure.code if failure else None


def sql(name: str, query: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "sql": query, **more}


def test_it_asks_when_the_file_changed_or_the_answer_depends_on_the_time(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", tasks=3)
    database = database_of(
        path,
        sql("tasks", COUNT),
        sql("today", "SELECT count(*) FROM tasks WHERE date('now') > '2020'"),
        sql("later", "SELECT count(*) FROM later"),
    )
    with asking(database) as measures:
        measures.round()
        assert (number(measures), number(measures, "today")) == (3, 3)
        assert (answer(measures, "later").values, code(measures, "later")) == ((), "sql")
        first = answer(measures, "today").measured_at
        execute(path, "CREATE TABLE later AS SELECT * FROM tasks", "DELETE FROM tasks")
        measures.round(changed=False)
        assert (number(measures), number(measures, "today")) == (3, 0)
        assert answer(measures, "today").measured_at > first  # type: ignore[operator]
        measures.round()
        assert (number(measures), number(measures, "later")) == (0, 3)
        assert code(measures, "later") is None
        execute(path, "DROP TABLE later")
        measures.round()
        assert (number(measures, "later"), code(measures, "later")) == (3, "sql")
        measures.measurer.forget("a")
        assert answer(measures, "later") == Answer()


def test_a_crash_or_hang_concerns_one_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the process had not reached is asked by the next one."""
    path, other = (make_database(tmp_path / f"{name}.db", tasks=3) for name in "ab")
    count = sql("tasks", COUNT)
    first = database_of(path, sql("kill", ENDLESS), sql("stop", ENDLESS), count)
    with asking(first, database_of(other, count)) as measures:
        measurer = measures.measurer

        def signal_at(name: str, number: int) -> None:
            key = "a", name

            def is_asked() -> bool:
                if measures.is_over():  # before we looked: the first try takes 40 ms
                    measurer.states[key] = replace(measurer.states[key], stamp=None, due_at=0.0)
                    go_on()
                if measurer._asking != key:
                    return False
                os.kill(measurer.pids[0], signal.SIGSTOP)
                measures.is_over()  # receives what it had sent before
                if measurer._asking != key:
                    os.kill(measurer.pids[0], signal.SIGCONT)
                return measurer._asking == key

            eventually(is_asked)
            os.kill(measurer.pids[0], number)

        def go_on() -> None:
            eventually(measures.is_over)
            measurer._start_at = 0
            measurer.update(measures.readings, measures.now)

        measures.start()
        signal_at("kill", signal.SIGKILL)
        go_on()
        signal_at("stop", signal.SIGSTOP)
        monkeypatch.setattr(BackgroundProcess, "is_hung", True)
        eventually(measures.is_over)
        monkeypatch.undo()

        def are_others_answered() -> bool:
            for key in (("a", "tasks"), ("b", "tasks")):  # a busy machine may not let them run
                measurer.states[key] = replace(measurer.states[key], due_at=0.0)
            go_on()
            eventually(measures.is_over)
            return (number(measures), number(measures, database="b")) == (3, 3)

        eventually(are_others_answered)
        assert (code(measures, "kill"), code(measures, "stop")) == ("crashed", "hung")


def test_only_costly_failures_are_asked_less_often() -> None:
    measure = MeasureSettings(name="m", sql="SELECT 1", every="1m").measure  # type: ignore[arg-type]
    state = MeasureState(due_at=5.0)
    assert state.failed(measure, "sql", {}, NOW).due_at == 5.0
    pauses = []
    for _failure in range(8):
        state = state.failed(measure, "slow", {}, NOW)
        pauses.append(round(state.due_at - time.monotonic(), -1))
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    earlier = NOW - timedelta(days=1)  # the clock was set back
    for at in (NOW, earlier, NOW):
        state = state.failed(measure, "slow", {}, at)
    assert state.answer.failure == Failure("slow", earlier)
    assert state.failed(measure, "waits", {}, NOW).failures == 0


def test_a_costly_query_does_not_keep_others_from_their_first_answer(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", tasks=3)
    database = database_of(path, sql("endless", ENDLESS), sql("tasks", COUNT))

    def are_both_tried() -> bool:
        with asking(database) as measures:
            measures.ask_once()
            costly = measures.measurer.states["a", "endless"]
            return (number(measures), costly.failures, costly.is_untried) == (3, 1, False)

    eventually(are_both_tried)  # a busy machine may not let the trial run


def test_an_answer_is_current_until_the_file_changes(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", tasks=3)
    query = "SELECT unixepoch() - 60 FROM tasks LIMIT 1"
    database = database_of(path, sql("tasks", query, unit="age", max=300))
    with asking(database) as measures:
        assert answer(measures).is_current
        measures.round()
        measures.now += timedelta(hours=1)
        assert [one.code for one in measures.problems(database)] == ["measure_out_of_range"]
        measures.measurer._start_at = time.monotonic() + 3600  # the budget is spent
        again = measures.readings["a"] = replace(measures.readings["a"], read_at=measures.now)
        measures.measurer.update(measures.readings, measures.now)
        assert answer(measures).is_current
        measures.readings["a"] = replace(again, last_modified=measures.now)
        measures.measurer.update(measures.readings, measures.now)
        assert not answer(measures).is_current
        assert not measures.problems(database)
        (old,) = measures.reports(database)
        assert 57 < (old.number or 0) < 61  # its second and ours may be different ones
        assert old.is_old
        measures.measurer._start_at = 0
        measures.round()
        assert answer(measures).is_current
        path.unlink()
        measures.ask_once()
        assert (code(measures), answer(measures).is_current) == ("waits", False)
        since = answer(measures).failure.since  # type: ignore[union-attr]
        measures.measurer.shift_times(-timedelta(hours=3))
        assert answer(measures).failure.since == since - timedelta(hours=3)  # type: ignore[union-attr]


def test_what_a_process_used_counts_although_it_ended_between_two_ticks(tmp_path: Path) -> None:
    """All measures together keep to their share of a core: the next process starts later."""
    path = make_database(tmp_path / "a.db", tasks=3)
    with asking(database_of(path, sql("tasks", COUNT)), share=0.01) as measures:
        measures.start()
        process = measures.measurer._process
        assert process is not None
        eventually(lambda: Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "Z")
        eventually(measures.is_over)  # its threads may end a moment after it
        assert process.cpu_seconds > 0
        assert measures.measurer._start_at == process.started_at + process.cpu_seconds / 0.01
        measures.measurer.update(measures.readings, measures.now)
        assert measures.measurer.pids == []
        assert measures.measurer.bytes_written == 0


def test_a_file_that_cannot_be_read_keeps_the_last_values(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", wal=False, tasks=3)
    with asking(database_of(path, sql("tasks", COUNT))) as measures:
        measures.round()
        with LiveWriter(path) as writer:
            writer.do("BEGIN EXCLUSIVE")
            measures.ask_once()
            assert (number(measures), code(measures)) == (3, "waits")
            writer.do("ROLLBACK")
            measures.round(changed=False)
            assert (number(measures), code(measures)) == (3, None)
        path.rename(tmp_path / "away")
        measures.ask_once()
        assert (number(measures), code(measures)) == (3, "waits")
        make_database(path, tasks=5)
        measures.round()
        assert (number(measures), code(measures)) == (5, None)
        measures.readings["a"] = replace(measures.readings["a"], code="corrupt")
        measures.start(changed=False)
        assert measures.measurer.pids == []


def test_values_of_a_hostile_process_are_refused() -> None:
    state = MeasureState()
    right = {
        "values": [["a", 2**63 - 1], [None, None]],
        "at": "2026-11-29T12:00:00Z",
        "uses_time": False,
    }
    assert [one.number for one in state.answered(right).answer.values] == [2**63 - 1, None]
    for values in (
        [["a" * 61, 1]],
        [["a", "b"]],
        [["a", 10**400]],
        [["a", float("inf")]],
        [["a"]],
        [[1, 1]],
    ):
        with pytest.raises(ValueError, match=r"validation error|too large"):
            state.answered({**right, "values": values})
    assert len(state.answered({**right, "values": [["a", 1]] * 2000}).answer.values) == 1000
