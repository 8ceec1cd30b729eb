"""Since when all databases have been well: the history's part, and that of the newest incidents."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from dash_app.history.coverage import undisturbed_since
from dash_app.history.writer import History
from dash_app.model.incident import Incident
from dash_app.model.problem import Level
from dash_app.settings.schema import HistorySettings
from tests.factories import snapshot
from tests.history.helpers import MINUTE, START

NAMES = ["email", "health"]
NOW = START + 200 * MINUTE


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with closing(History(HistorySettings(path=tmp_path / "history.db"))) as history:
        yield history


def watch(history: History, *minutes: int) -> None:
    for minute in minutes:
        history.record(snapshot(START + minute * MINUTE, email={"a": 1}, health={"b": 2}))


def since(history: History) -> float:
    """Return since when the databases are undisturbed, in minutes since the start."""
    found = undisturbed_since(history.path, NAMES, NOW)
    assert found is not None
    return (found - START) / MINUTE


def fault(ended_at: datetime | None, level: Level = "fault", *databases: str) -> Incident:
    names = databases or ("email",)
    return Incident(f"{names}:{ended_at}", names, "down", level, "", "", START, ended_at)


def test_it_begins_with_watching_of_the_last_database(history: History) -> None:
    history.record(snapshot(START, email={"a": 1}))
    assert undisturbed_since(history.path, NAMES, NOW) is None
    watch(history, 1, 2, 3)
    assert since(history) == 1


def test_it_begins_again_after_more_than_an_hour_without_watching(history: History) -> None:
    watch(history, 0, 1, 61, 62)
    assert since(history) == 0
    watch(history, 124, 125)
    assert since(history) == 124


def test_it_begins_again_with_the_end_of_a_fault(history: History) -> None:
    watch(history, 0, 1, 2)
    history.incidents.store([fault(START + 9 * MINUTE, "notice"), fault(None)])
    assert since(history) == 0
    history.incidents.store([fault(START + 2 * MINUTE), fault(START + MINUTE)])
    assert since(history) == 2
    history.incidents.store([replace(fault(None, "notice"), fault_until=START + 3 * MINUTE)])
    assert since(history) == 3


def test_a_snapshot_knows_the_faults_that_the_history_does_not() -> None:
    taken = replace(snapshot(START + 9 * MINUTE, email={"a": 1}), undisturbed_since=START)
    assert taken.well_since == START
    ended = fault(START + 5 * MINUTE)
    assert replace(taken, incidents=(fault(None, "notice"), ended)).well_since == ended.ended_at
    assert replace(taken, incidents=(fault(None), ended)).well_since is None
    milder = replace(fault(None, "notice"), fault_until=START + 7 * MINUTE)
    assert replace(taken, incidents=(milder, ended)).well_since == milder.fault_until
    assert replace(taken, undisturbed_since=None, incidents=(ended,)).well_since is None
