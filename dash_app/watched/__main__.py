"""The airlock's child: answers requests to read databases, several side by side.

Arguments: the parent's pid, the deadline of one database and the budget of one table in seconds.
A request is `{"read": {NAME: PATH, ...}}`. It is acknowledged with `{"heard": true}`; then each
database brings `{"began": NAME}` and `{"name": NAME, "toll": [...], "reading": {...}}`, or, where
the last reading still holds, its `verified_at` and `surroundings` in place of the reading. A
reading leaves out the objects of its schema where they are those of the one before it.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from dataclasses import replace
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from dash_app.watched import guard
from dash_app.watched.counts import Budget
from dash_app.watched.protocol import Message, from_line, reading_to_message, to_line
from dash_app.watched.reader import Reader

if TYPE_CHECKING:
    from dash_app.model import Reading

WORKERS = 4
CORE_SHARE = 0.02
"""Counting may take this much of one core, all databases together."""

COUNTING_SHARE_OF_DEADLINE = 0.5
CRASHED = 70


class Child:
    """The readers of all databases that were ever asked for, and the threads that run them."""

    def __init__(self, deadline_seconds: float, table_seconds: float, *, guarded: bool) -> None:
        """Start the threads."""
        self._guarded = guarded
        self._reading_seconds = deadline_seconds * COUNTING_SHARE_OF_DEADLINE
        self._table_seconds = table_seconds
        self._readers: dict[tuple[str, str], Reader] = {}
        self._sent: dict[str, Reading] = {}
        self._turns: WeakValueDictionary[tuple[int, int], Lock] = WeakValueDictionary()
        self._output = Lock()
        self._queue: SimpleQueue[tuple[str, Reader]] = SimpleQueue()
        for _ in range(WORKERS):
            Thread(target=self._work, daemon=True).start()

    def say(self, message: Message) -> None:
        """Write one message to the parent; without a parent, end."""
        try:
            with self._output:
                sys.stdout.buffer.write(to_line(message))
                sys.stdout.buffer.flush()
        except OSError:
            os._exit(0)

    def serve(self, requests: Message) -> None:
        """Queue what a request asks for."""
        self.say({"heard": True})
        paths: dict[str, str] = requests["read"]
        share = CORE_SHARE / max(len(paths), 1)
        budget = Budget(self._table_seconds, self._reading_seconds, share)
        for name, path in paths.items():
            if (name, path) not in self._readers:
                self._readers[name, path] = Reader(path, budget, self._turn, guarded=self._guarded)
            self._queue.put((name, self._readers[name, path]))

    def _turn(self, identity: tuple[int, int]) -> Lock:
        return self._turns.setdefault(identity, Lock())

    def _work(self) -> None:
        while True:
            name, reader = self._queue.get()
            self.say({"began": name})
            try:
                news = self._news(name, reader.read())
                self.say({"name": name, "toll": reader.toll, **news})
            except BaseException as error:  # noqa: BLE001 - a thread must not die in silence
                print(f"reading {name} crashed: {error!r}", file=sys.stderr)
                os._exit(CRASHED)

    def _news(self, name: str, reading: Reading) -> Message:
        sent = self._sent.get(name)
        self._sent[name] = reading
        if sent is not None and sent.code is None and sent.read_at == reading.read_at:
            # The tables of a wide database take a hundred times as long to write.
            message = reading_to_message(
                replace(reading, tables={}, objects=None, sequences={}, roots={})
            )
            return {"verified_at": message["verified_at"], "surroundings": message["surroundings"]}
        message = reading_to_message(reading)
        if sent is not None and reading.code is None and sent.objects == reading.objects:
            del message["objects"]  # the parent has them
        return {"reading": message}


def main() -> None:
    """Serve the parent until it closes the pipe."""
    parent_pid, deadline_seconds, table_seconds = sys.argv[1:]
    guard.die_with_parent(int(parent_pid))
    guard.limit_memory()
    guards = guard.refuse_writes()
    child = Child(float(deadline_seconds), float(table_seconds), guarded=bool(guards))
    child.say({"guards": guards, "sqlite": sqlite3.sqlite_version})
    for line in sys.stdin.buffer:
        child.serve(from_line(line))
    os._exit(0)


if __name__ == "__main__":
    main()
