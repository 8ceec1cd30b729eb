"""Keep the history in step with values in memory, also after times when it cannot be written."""

import logging
import sqlite3
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

log = logging.getLogger(__name__)


class WriteBehind(Generic[Key, Value]):
    """Stores the values that changed. Those that cannot be stored stay for the next call.

    `store` returns the values as they are then, for instance with their new ids. `stored` are those
    that are in the history already.
    """

    def __init__(
        self,
        name: str,
        store: Callable[[Mapping[Key, Value]], Mapping[Key, Value]],
        stored: Mapping[Key, Value],
    ) -> None:
        self._name = name
        self._store = store
        self._stored = stored
        self._problem = ""

    def save(self, values: Mapping[Key, Value]) -> Mapping[Key, Value]:
        """Store all values that changed since the last call; return these, as they are stored.

        A failure is logged once for as long as it lasts.
        """
        changed = {key: value for key, value in values.items() if self._stored.get(key) != value}
        try:
            stored = self._store(changed) if changed else {}
        except sqlite3.Error as error:
            if self._problem != str(error):
                log.error("%s not stored: %s", self._name, error)
            self._problem = str(error)
            return {}
        self._stored, self._problem = {**values, **stored}, ""
        return stored

    def restart(self) -> None:
        """Store every value with the next call: the history is a new file."""
        self._stored = {}
