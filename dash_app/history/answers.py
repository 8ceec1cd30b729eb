"""Answers to measures that come from the history.

These are the newest answers before a restart, and the rows that tables gained in the times of a
week in which rows are expected.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from dash_app.history.coverage import Span, spans
from dash_app.history.file import open_read_only
from dash_app.history.read_only import ReadOnlyHistory
from dash_app.history.series import written_by
from dash_app.history.stored_states import StoredStates
from dash_app.history.writer import History
from dash_app.model.database import Database
from dash_app.model.measure import Answer, Measure, Value
from dash_app.model.quiet_hours import TimeRange

Key = tuple[str, str]
"""The names of a database and of a measure."""

REACH = timedelta(days=15)
"""How far back to search for a window that was watched. A weekly one has started twice by then."""

LATE = 1.5
"""The record that contains a write is stored at most this multiple of the usual pause later."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """An answer, and what was asked."""

    question: str
    answer: Answer


class AnswerStore:
    """The newest answers to measures, kept in step with the history. For use by one thread.

    `known`: the answers of before the start, except to what is no longer asked. `windows`: those of
    measures with a window, by the names of database and measure.
    """

    def __init__(
        self,
        history: History | ReadOnlyHistory,
        databases: tuple[Database, ...],
        every: timedelta,
    ) -> None:
        """Load the answers. Records are stored every `every`. Raise sqlite3.Error."""
        self._path, self._databases, self._every = history.path, databases, every
        self._states = StoredStates(history, "answer", dict[str, _Stored], databases)
        self.windows: dict[str, dict[str, Answer]] = {}
        self.known: dict[Key, Answer] = {}
        for database in databases:
            stored = self._states.loaded.get(database.name, {})
            for measure in database.measures:
                found = stored.get(measure.name)
                if found and found.question == measure.question:
                    self.known[database.name, measure.name] = found.answer

    def load_windows(self, now: datetime) -> None:
        """Count what was written in windows, as the history knows it. Raise sqlite3.Error."""
        self.windows = window_answers(self._path, self._databases, now, self._every)

    def save(self, answers_of: Callable[[str], Mapping[str, Answer]]) -> None:
        """Store the answers that changed, given by name for a database."""
        self._states.save(
            {
                database.name: {
                    measure.name: _Stored(measure.question, answers[measure.name])
                    for measure in database.measures
                    if measure.name in answers
                }
                for database in self._databases
                if (answers := answers_of(database.name))
            }
        )

    def store_again(self) -> None:
        """Store all answers with the next call of `save`: the history is a new file."""
        self._states.store_again()


def window_answers(
    path: Path, databases: Iterable[Database], now: datetime, every: timedelta
) -> dict[str, dict[str, Answer]]:
    """Return the answers of measures with a window, by the names of database and measure.

    Records are stored every `every`. Raise sqlite3.Error.
    """
    asked = [(database, [one for one in database.measures if one.window]) for database in databases]
    if not any(measures for _, measures in asked):
        return {}
    with open_read_only(path) as connection:
        return {
            database.name: {
                measure.name: _window_answer(connection, database.name, measure, now, LATE * every)
                for measure in measures
            }
            for database, measures in asked
        }


def _window_answer(
    connection: sqlite3.Connection, database: str, measure: Measure, now: datetime, late: timedelta
) -> Answer:
    """Return the rows of the last window, or of the one that still runs once they are enough.

    If the last one was not watched, too few rows in the one before still count.
    """
    is_unwatched = False
    for (_begin, end), rows in _windows(connection, database, measure, now, late):
        if rows is not None and measure.allows(rows):
            return Answer() if is_unwatched else _answer(rows, min(end, now))
        if now >= end + late:
            if rows is not None:
                return _answer(rows, end)
            is_unwatched = True
    return Answer()


def _answer(rows: int, at: datetime) -> Answer:
    return Answer((Value(None, rows),), at)


def _windows(
    connection: sqlite3.Connection, database: str, measure: Measure, now: datetime, late: timedelta
) -> Iterator[tuple[TimeRange, int | None]]:
    """Yield the windows that have begun, newest first, and the rows that the table gained in each.

    They are unknown if the database was not watched at both ends.
    """
    if measure.window is None:
        return
    watched = spans(connection, database, int((now - REACH - late).timestamp()))
    for begin, end in measure.window.begun_before(now, REACH):
        rows = None
        if all(_covers(watched, at) for at in (begin, end) if at < now):
            rows = written_by(connection, database, measure.table, begin, end + late)
        yield (begin, end), rows


def _covers(watched: Iterable[Span], at: datetime) -> bool:
    return any(since <= at.timestamp() <= until for since, until in watched)
