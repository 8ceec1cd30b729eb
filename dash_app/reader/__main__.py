"""The airlock's child: answers requests to read databases, several side by side.

Arguments: the parent's pid, the deadline of one database and the budget of one table in seconds.
A request is `{"read": {NAME: PATH, ...}}`, or `{"workers": COUNT}` for so many more threads. It is
acknowledged with `{"heard": true}`; then each database brings `{"began": NAME}` and
`{"name": NAME, "toll": [...], "reading": {...}}`, or, where the last reading still holds, its
`verified_at` and `surroundings` in place of the reading. A reading leaves out the objects of its
schema where they are those of the one before it. A child that fails by itself says
`{"failed": NAME OF THE EXCEPTION}` or `{"overdue": [NAME, ...]}` before it exits; its exit code is
`OUT_OF_MEMORY` or `OVERDUE` if that is why.
"""

from __future__ import annotations

import os
import select
import sqlite3
import sys
import threading
import time
from math import inf
from queue import SimpleQueue
from threading import Lock, Thread
from weakref import WeakValueDictionary

from dash_app.model.encoding import shallow_dict
from dash_app.model.reading import Reading
from dash_app.reader import sandbox
from dash_app.reader.counts import Budget
from dash_app.reader.protocol import (
    MAX_DATA_BYTES,
    OUT_OF_MEMORY,
    OVERDUE,
    WORKERS,
    Message,
    from_line,
    to_line,
)
from dash_app.reader.reader import Reader
from dash_app.system.processes import limit_memory

STACK_BYTES = 1 << 20
"""Of one thread: stacks count as memory, and the parent may ask for many threads."""

CORE_SHARE = 0.02
"""Counting may take this much of one core, all databases together."""

COUNTING_SHARE_OF_DEADLINE = 0.5
LOG_CHARACTERS = 500
CRASHED = 70
CHUNK_BYTES = 1 << 16
SAY_SECONDS = 0.1


class Child:
    """The readers of all databases that were ever asked for, and the threads that run them."""

    def __init__(self, deadline_seconds: float, table_seconds: float, *, guarded: bool) -> None:
        """Start the threads."""
        self._guarded = guarded
        self._deadline_seconds = deadline_seconds
        self._began: dict[str, float] = {}
        self._reading_seconds = deadline_seconds * COUNTING_SHARE_OF_DEADLINE
        self._table_seconds = table_seconds
        self._readers: dict[tuple[str, str], Reader] = {}
        self._sent: dict[str, Reading] = {}
        self._turns: WeakValueDictionary[tuple[int, int], Lock] = WeakValueDictionary()
        self._choosing_turn = Lock()
        self._output = Lock()
        self._queue: SimpleQueue[tuple[str, Reader]] = SimpleQueue()
        threading.stack_size(STACK_BYTES)
        self._add_workers(WORKERS)

    def say(self, message: Message) -> None:
        """Write one message to the parent; without a parent, end."""
        try:
            with self._output:
                sys.stdout.buffer.write(to_line(message))
                sys.stdout.buffer.flush()
        except OSError:
            os._exit(0)

    def run(self) -> None:
        """Serve requests until the parent closes the pipe; exit if a reading exceeds its deadline.

        The parent would notice too, but does not look all the time, and meanwhile a database that
        is being read keeps its WAL from starting again.
        """
        buffer = b""
        while True:
            ready, _, _ = select.select([sys.stdin], [], [], self._seconds_left())
            if ready:
                data = os.read(sys.stdin.fileno(), CHUNK_BYTES)
                if not data:
                    return
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    self.serve(from_line(line))
            elif overdue := self._overdue():
                if self._output.acquire(timeout=SAY_SECONDS):  # or a full pipe holds it
                    self._output.release()
                    self.say({"overdue": overdue})
                os._exit(OVERDUE)

    def _seconds_left(self) -> float | None:
        """Return after how long a reading may be overdue; None while there is none."""
        began, now = list(self._began.values()), time.monotonic()
        return max(min(*began, now) + self._deadline_seconds - now, 0.01) if began else None

    def _overdue(self) -> list[str]:
        latest = time.monotonic() - self._deadline_seconds
        return [name for name, began in list(self._began.items()) if began <= latest]

    def serve(self, request: Message) -> None:
        """Queue what a request asks for."""
        self.say({"heard": True})
        self._add_workers(request.get("workers", 0))
        paths: dict[str, str] = request.get("read", {})
        share = CORE_SHARE / max(len(paths), 1)
        budget = Budget(self._table_seconds, self._reading_seconds, share)
        for name, path in paths.items():
            self._began[name] = inf
            if (name, path) not in self._readers:
                self._readers[name, path] = Reader(path, budget, self._turn, guarded=self._guarded)
            self._queue.put((name, self._readers[name, path]))

    def _add_workers(self, count: int) -> None:
        for _ in range(count):
            Thread(target=self._work, daemon=True).start()

    def _turn(self, identity: tuple[int, int]) -> Lock:
        with self._choosing_turn:  # setdefault of this dictionary is two steps
            return self._turns.setdefault(identity, Lock())

    def _work(self) -> None:
        while True:
            name, reader = self._queue.get()
            self.say({"began": name})
            self._began[name] = time.monotonic()
            try:
                news = self._news(name, reader.read())
                del self._began[name]
                self.say({"name": name, "toll": reader.toll, **news})
            except MemoryError:  # of this database, or of one that is read beside it
                os._exit(OUT_OF_MEMORY)
            except BaseException as error:  # noqa: BLE001 - a thread must not die in silence
                print(f"reading {name} failed: {error!r}"[:LOG_CHARACTERS], file=sys.stderr)
                self.say({"failed": type(error).__name__})
                os._exit(CRASHED)

    def _news(self, name: str, reading: Reading) -> Message:
        sent = self._sent.get(name)
        self._sent[name] = reading
        if sent is not None and sent.code is None and sent.read_at == reading.read_at:
            # The tables of a wide database take a hundred times as long to write.
            return {"verified_at": reading.verified_at, "surroundings": reading.surroundings}
        message = shallow_dict(reading)
        if sent is not None and reading.code is None and sent.objects == reading.objects:
            del message["objects"]  # the parent has them
        return {"reading": message}


def main() -> None:
    """Serve the parent until it closes the pipe."""
    parent_pid, deadline_seconds, table_seconds = sys.argv[1:]
    sandbox.die_with_parent(int(parent_pid))
    limit_memory(MAX_DATA_BYTES)
    guards = sandbox.refuse_writes()
    child = Child(float(deadline_seconds), float(table_seconds), guarded=bool(guards))
    child.say({"guards": guards, "sqlite": sqlite3.sqlite_version})
    child.run()
    os._exit(0)


if __name__ == "__main__":
    main()
