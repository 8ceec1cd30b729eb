"""Ask for the measures of all databases, those that are due in turn, in a process of its own."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from sys import float_info
from typing import Annotated, NamedTuple

from pydantic import Field, FiniteFloat

from dash_app.airlock.background import CRASHED, FAILURES, HUNG, Background, BackgroundProcess
from dash_app.model.database import Database
from dash_app.model.measure import (
    AGE,
    MAX_LABEL_CHARACTERS,
    MAX_ROWS,
    Answer,
    Failure,
    Measure,
    Value,
)
from dash_app.model.reading import Reading
from dash_app.model.times import shift_times
from dash_app.reader.protocol import Message
from dash_app.system.decoding import decode_parsed

MAX_PAUSE_SECONDS = 3600.0
"""Each costly failure of a measure doubles the time until it is asked again, up to this."""

COSTLY = {"slow", "busy", "memory", "damaged", HUNG, CRASHED, *FAILURES.values()}
PASSING = COSTLY | {"waits"}
"""Failures that may end although the file stays the same."""

MAX_DETAIL_CHARACTERS = 5000

SILENT_SECONDS = 10.0
"""A process that sends nothing for this time hangs: a query takes 7 s at most."""

Row = tuple[Annotated[str, Field(max_length=MAX_LABEL_CHARACTERS)] | None, int | FiniteFloat | None]
Key = tuple[str, str]
"""The names of a database and of a measure."""

log = logging.getLogger(__name__)


class Stamp(NamedTuple):
    """What shows that a file has not changed: it is the same one and was not read again."""

    file: str | None
    modified_at: datetime | None
    read_at: datetime

    def is_of_content(self, other: "Stamp") -> bool:
        """Whether the other stamp is of the same content, although it may have been read again."""
        return self[:2] == other[:2]


@dataclass(frozen=True, slots=True)
class MeasureState:
    """The newest answer to one measure. `due_at`: when to ask again, on the monotonic clock."""

    answer: Answer = field(default_factory=Answer)
    failures: int = 0
    uses_time: bool = False
    stamp: Stamp | None = None
    due_at: float = 0.0

    @property
    def is_untried(self) -> bool:
        """Whether nothing is known of what it costs."""
        return not self.failures and self.answer == Answer()

    def is_due(self, stamp: Stamp, now: float) -> bool:
        """Whether to ask now: the answer may be another one than before."""
        failure = self.answer.failure
        is_passing = failure is not None and failure.code in PASSING
        return (self.uses_time or is_passing or stamp != self.stamp) and now >= self.due_at

    def answer_for(self, stamp: Stamp | None) -> Answer:
        """Return the answer as it stands for a file that was read then, if it was read yet."""
        if self.stamp is None or stamp is None:
            return self.answer
        is_current = self.answer.failure is None and stamp.is_of_content(self.stamp)
        return replace(self.answer, is_current=is_current)

    def asked(self, measure: Measure, now: float) -> "MeasureState":
        """Return the state once the measure was asked."""
        return replace(self, due_at=now + measure.every.total_seconds())

    def answered(self, message: Message) -> "MeasureState":
        """Return the state after a message with values. Raise ValueError if it is invalid."""
        rows = decode_parsed(list[Row], message["values"][:MAX_ROWS])
        if any(abs(number or 0) > float_info.max for _, number in rows):
            raise ValueError("a number is too large")
        values = tuple(Value(label, number) for label, number in rows)
        answer = Answer(values, decode_parsed(datetime, message["at"]))
        return replace(self, answer=answer, failures=0, uses_time=bool(message["uses_time"]))

    def failed(
        self, measure: Measure, code: str, detail: Mapping[str, str], now: datetime
    ) -> "MeasureState":
        """Return the state after a failure. The last values stay."""
        before = self.answer.failure
        # A later time was stored before the clock was set back.
        since = min(before.since, now) if before and before.code == code else now
        every_seconds = measure.every.total_seconds()
        failed = replace(self, answer=replace(self.answer, failure=Failure(code, since, detail)))
        if code not in COSTLY:
            return replace(failed, failures=0)
        pause_seconds = min(every_seconds * 2 ** min(self.failures, 12), MAX_PAUSE_SECONDS)
        due_at = time.monotonic() + max(pause_seconds, every_seconds)
        return replace(failed, failures=self.failures + 1, due_at=due_at)


class Measurer(Background):
    """The measures of all databases that have an SQL query, or foreign keys. Not thread-safe.

    `states`: the newest answers, by the names of database and measure.
    """

    def __init__(
        self, databases: Sequence[Database], share: float, known: Mapping[Key, Answer]
    ) -> None:
        """Prepare to ask. `share` is of one core, from 0 to 1; `known` are earlier answers."""
        super().__init__(share, time.monotonic())
        self._measures: dict[Key, tuple[Database, Measure]] = {}
        self._names: dict[str, list[str]] = {}
        for database in databases:
            for measure in database.measures:
                if measure.kind != "rows_written":
                    self._measures[database.name, measure.name] = database, measure
                    self._names.setdefault(database.name, []).append(measure.name)
        self.states = {key: MeasureState(known.get(key, Answer())) for key in self._measures}
        self._due: dict[Key, Stamp] = {}
        self._stamps: dict[str, Stamp] = {}
        self._asking: Key | None = None

    def update(self, readings: Mapping[str, Reading], now: datetime) -> None:
        """Receive answers, and ask for what is due. Never wait."""
        for name in self._names:
            if (reading := readings.get(name)) and reading.code is None:
                stamp = Stamp(reading.file, reading.last_modified, reading.read_at)
                self._stamps[name] = stamp
        if self._process:
            self._continue(self._process, now)
        if not self._process and time.monotonic() >= self._start_at:
            self._start(readings)

    def finish(self, readings: Mapping[str, Reading], seconds: float) -> None:
        """Ask for everything that is due, and wait for the answers, at most `seconds`.

        The budget does not count: somebody waits for them.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._start_at = 0.0
            self.update(readings, datetime.now(UTC))
            if (process := self._process) is None:
                return
            if process.is_closed:
                process.join(left)
            else:
                process.await_message(min(left, 1.0))  # it may hang

    def answers(self, database: str) -> dict[str, Answer]:
        """Return the newest answers of a database by the names of its measures."""
        names = self._names.get(database, ())
        stamp = self._stamps.get(database)
        return {name: self.states[database, name].answer_for(stamp) for name in names}

    def shift_times(self, by: timedelta) -> None:
        """Shift all times after the clock was set."""
        self.states = {
            key: replace(state, answer=shift_times(state.answer, by))
            for key, state in self.states.items()
        }

    def forget(self, database: str) -> None:
        """Forget what is known of a database."""
        for name in self._names.get(database, ()):
            self.states[database, name] = MeasureState()

    def _start(self, readings: Mapping[str, Reading]) -> None:
        now = time.monotonic()
        due: dict[Key, Stamp] = {}
        for key, state in self.states.items():
            reading = readings.get(key[0])
            if reading is None or reading.code is not None:
                continue
            if reading.surroundings.conflicts or reading.surroundings.is_foreign:
                continue
            stamp = self._stamps[key[0]]
            if state.is_due(stamp, now):
                due[key] = stamp
        if not due:
            return
        states = self.states
        in_turn = sorted(due, key=lambda key: (states[key].failures, states[key].due_at, key))
        try:
            self._process = BackgroundProcess(
                "dash_app.reader.measure",
                {"measures": [self._request(key) for key in in_turn]},
                SILENT_SECONDS,
            )
        except OSError as error:
            log.error("measures: could not start: %s", error)
            return
        self._due = due

    def _request(self, key: Key) -> Message:
        database, measure = self._measures[key]
        return {
            "id": key,
            "path": os.path.abspath(database.path),
            "kind": measure.kind,
            "sql": measure.sql,
            "is_age": measure.unit == AGE,
            "is_trial": self.states[key].is_untried,
        }

    def _continue(self, process: BackgroundProcess, now: datetime) -> None:
        is_over = process.is_over
        try:
            for message in process.receive():
                self._take(message, process, now)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            log.error("measures: invalid message: %s", type(error).__name__)
            process.kill(CRASHED)
        if process.is_hung:
            process.kill(HUNG)
        if is_over:
            failure = process.failure()
            if failure and self._asking:
                log.warning("measure %s of %s: %s", self._asking[1], self._asking[0], failure)
                self._fail(self._asking, failure, {}, now)
            self._asking = None
            self._forget_process(process)

    def _take(self, message: Message, process: BackgroundProcess, now: datetime) -> None:
        match message:
            case {"asking": [database, name]}:
                key = self._asking = database, name
                measure = self._measures[key][1]
                self.states[key] = self.states[key].asked(measure, process.started_at)
            case {"id": [database, name], **answer}:
                key, self._asking = (database, name), None
                match answer:
                    case {"is_costly": _}:
                        self.states[key] = MeasureState(failures=1)
                        return
                    case {"values": _}:
                        self.states[key] = self.states[key].answered(answer)
                    case {"waits": str(reason)}:
                        self._fail(key, "waits", {"why": reason}, now)
                    case {"error": str(code), "detail": detail}:
                        facts = decode_parsed(dict[str, str], detail)
                        facts = {name: fact[:MAX_DETAIL_CHARACTERS] for name, fact in facts.items()}
                        self._fail(key, code, facts, now)
                self.states[key] = replace(self.states[key], stamp=self._due[key])

    def _fail(self, key: Key, code: str, detail: Mapping[str, str], now: datetime) -> None:
        measure = self._measures[key][1]
        self.states[key] = self.states[key].failed(measure, code, detail, now)
