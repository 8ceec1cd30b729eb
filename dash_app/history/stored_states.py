"""A state of each database at its path, as JSON in a table of its own, kept from run to run."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Generic, TypeVar

from dash_app.history.read_only import ReadOnlyHistory, StateTable
from dash_app.history.write_behind import WriteBehind
from dash_app.history.writer import History
from dash_app.model.database import Database
from dash_app.model.encoding import encode
from dash_app.system.decoding import decode

State = TypeVar("State")

LABELS: dict[StateTable, str] = {"integrity": "page checks", "answer": "answers to measures"}


class StoredStates(Generic[State]):
    """The states in one table. `loaded`: those of before the start, by the name of the database."""

    def __init__(
        self,
        history: History | ReadOnlyHistory,
        table: StateTable,
        kind: type[State],
        databases: Iterable[Database],
    ) -> None:
        """Load the states. Raise sqlite3.Error."""
        self._history, self._table = history, table
        self._keys = {database.name: (database.name, str(database.path)) for database in databases}
        self.loaded: dict[str, State] = {}
        stored = history.states(table)
        for name, key in self._keys.items():
            with suppress(KeyError, ValueError):  # there is none, or it is damaged
                self.loaded[name] = decode(kind, stored[key])
        self._writes = WriteBehind(LABELS[table], self._store, self.loaded)

    def save(self, states: Mapping[str, State]) -> None:
        """Store the states that changed, given by the name of the database."""
        self._writes.save(states)

    def store_again(self) -> None:
        """Store all states with the next call of `save`: the history is a new file."""
        self._writes.restart()

    def _store(self, changed: Mapping[str, State]) -> Mapping[str, State]:
        encoded = {self._keys[name]: encode(state) for name, state in changed.items()}
        self._history.store_states(self._table, encoded)
        return {}
