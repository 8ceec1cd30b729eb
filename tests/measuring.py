"""Ask for measures in their process, as the service does, without a service."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dash_app.airlock.measurer import Measurer
from dash_app.model.database import Database
from dash_app.model.measure import Answer, MeasureReport
from dash_app.model.problem import Problem
from dash_app.model.reading import Reading
from dash_app.rules.measures import measure_problems, measure_reports
from dash_app.settings.measures import MeasureSettings, foreign_keys_measure
from tests.harness import ROOT, eventually

ASK = """
from dash_app.reader import measure, short_reads
measure.STILL_SECONDS = short_reads.STILL_SECONDS = 0.5
measure.TURN_SECONDS = {}
measure.QUIET_SECONDS, measure.STUCK_SECONDS, short_reads.REST_FACTOR = 0.05, {}, 0
short_reads.LOWEST_PRIORITY, measure.MIN_SHARE = 0, 0.01  # other tests run too
measure.main()
"""
"""The process, with limits that a test can wait for."""

BUSY = {"waits", "busy", "hung"}
"""Failures that a busy machine explains: it looks as if somebody were writing, or is very slow."""

ANY_SHARE = 'share = "100%"'
"""Settings of a service that asks again at once, whatever its last process took of a core."""

ASKED_AT_EACH_CHANGE = (
    "from dash_app.airlock.measurer import PASSING, MeasureState; "
    "MeasureState.is_due = lambda self, stamp, now: "
    "stamp != self.stamp or getattr(self.answer.failure, 'code', 0) in PASSING"
)
"""A patch of a service: it asks when the file has changed, however short that is ago, and again if
a busy machine did not let it."""


def request(path: Path, sql: str, kind: str = "number", *, is_age: bool = False) -> dict[str, Any]:
    """Return a request for a measure, which is named by its query."""
    return {
        "id": ["a", sql],
        "path": str(path),
        "kind": kind,
        "sql": sql,
        "is_age": is_age,
        "is_trial": False,
    }


def ask(
    measures: Iterable[dict[str, Any]], stuck_seconds: float = 5.0, turn_seconds: float = 1e9
) -> tuple[dict[str, Any], int]:
    """Return the answers by the query of their measures, and the exit code of the process.

    Ask again if a busy machine did not let them be asked.
    """

    answers: dict[str, Any] = {}
    codes = []

    def are_all_asked() -> bool:
        left = [one for one in measures if one["sql"] not in answers]
        messages, code = _ask_once(left, stuck_seconds, turn_seconds)
        is_busy = {one["id"][1]: "waits" in one or one.get("error") in BUSY for one in messages}
        answers.update({one["id"][1]: one for one in messages if not is_busy[one["id"][1]]})
        codes.append(code)
        return True not in is_busy.values()

    measures = list(measures)
    eventually(are_all_asked)
    return answers, codes[-1]


def _ask_once(
    measures: list[dict[str, Any]], stuck_seconds: float, turn_seconds: float
) -> tuple[list[dict[str, Any]], int]:
    done = subprocess.run(
        [
            sys.executable,
            "-S",
            "-B",
            "-c",
            ASK.format(turn_seconds, stuck_seconds),
            str(os.getpid()),
        ],
        input=json.dumps({"measures": measures}),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    messages = map(json.loads, done.stdout.splitlines())
    return [message for message in messages if "id" in message], done.returncode


class Measures:
    """A measurer over databases, and what it answers. Each round is an interval later."""

    def __init__(self, databases: Sequence[Database], share: float = 1.0) -> None:
        self.databases = databases
        self.measurer = Measurer(databases, share, {})
        self.readings: dict[str, Reading] = {}
        self.now = datetime.now(UTC)

    def start(self, *, changed: bool = True) -> None:
        """Let an interval pass, in which the files changed or not, and begin to ask."""
        self.now += timedelta(minutes=1)
        states = self.measurer.states
        self.measurer.states = {key: replace(states[key], due_at=0.0) for key in states}
        if changed:
            self.readings = {
                one.name: Reading(self.now, self.now, file=one.name, last_modified=self.now)
                for one in self.databases
            }
        self.measurer.update(self.readings, self.now)

    def ask_once(self, *, changed: bool = True) -> None:
        """Ask for all that is due, until the process has ended."""
        self.start(changed=changed)
        eventually(self.is_over)

    def round(self, *, changed: bool = True) -> None:
        """Ask for all that is due, until a busy machine has let each be asked."""
        self.ask_once(changed=changed)

        def are_all_asked() -> bool:
            states = self.measurer.states.values()
            codes = [state.answer.failure and state.answer.failure.code for state in states]
            if BUSY.isdisjoint(codes) and Answer() not in [state.answer for state in states]:
                return True
            self.ask_once(changed=False)
            return False

        eventually(are_all_asked)

    def is_over(self) -> bool:
        """Whether the process has ended; starts no other one."""
        if process := self.measurer._process:
            self.measurer._continue(process, self.now)
        return not self.measurer.pids

    def reports(self, database: Database) -> tuple[MeasureReport, ...]:
        return measure_reports(database, self.measurer.answers(database.name), self.now)

    def problems(self, database: Database) -> list[Problem]:
        return list(measure_problems(database.name, self.reports(database), self.now, {}))


def database_of(path: Path, *measures: dict[str, Any], foreign_keys: bool = False) -> Database:
    """Return a database with measures from their settings."""
    configured = [MeasureSettings.model_validate(measure).measure for measure in measures]
    configured += [foreign_keys_measure()] if foreign_keys else []
    return Database(path.stem, path.stem, path, measures=tuple(configured))
