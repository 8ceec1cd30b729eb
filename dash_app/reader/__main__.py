"""The child process: answers requests to read databases, several at the same time.

Arguments: the parent's pid, the deadline of one database and the budget of one table, in seconds.

Requests: `{"read": {NAME: PATH, ...}}`, or `{"workers": COUNT}` to start more threads. Answers:
- `{"guards": [NAME, ...]}` once, after the start
- `{"acknowledged": true}` for each request
- `{"started": NAME}` when the reading of a database starts
- `{"name": NAME, "cost": [...], "reading": {...}}` when it ends. A reading leaves out `objects`
  that are the same as before. If the last reading is still valid, `verified_at` and `surroundings`
  are sent instead.
- `{"failed": NAME OF THE EXCEPTION}` or `{"overdue": [NAME, ...]}` before the child exits by
  itself. The exit code is `OUT_OF_MEMORY` or `OVERDUE` for those causes.
"""

import os
import select
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
from dash_app.reader.locks import LockList, list_locks
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
"""Stack size of a thread. Stacks count as memory, and the parent may ask for many threads."""

CORE_SHARE = 0.02
"""Share of one core that counting may take, all databases together."""

COUNTING_SHARE_OF_DEADLINE = 0.5
MAX_LOG_CHARACTERS = 500
CRASHED = 70
CHUNK_BYTES = 1 << 16
SEND_SECONDS = 0.1


class Child:
    """The readers of all databases that were requested so far, and the threads that run them."""

    def __init__(
        self, deadline_seconds: float, table_seconds: float, *, writes_denied: bool
    ) -> None:
        self._writes_denied = writes_denied
        self._deadline_seconds = deadline_seconds
        self._started: dict[str, float] = {}
        self._counting_seconds = deadline_seconds * COUNTING_SHARE_OF_DEADLINE
        self._table_seconds = table_seconds
        self._readers: dict[tuple[str, str], Reader] = {}
        self._sent: dict[str, Reading] = {}
        self._file_locks: WeakValueDictionary[tuple[int, int], Lock] = WeakValueDictionary()
        self._file_locks_lock = Lock()
        self._output_lock = Lock()
        self._queue: SimpleQueue[tuple[str, Reader, LockList]] = SimpleQueue()
        threading.stack_size(STACK_BYTES)
        self._add_workers(WORKERS)

    def send(self, message: Message) -> None:
        """Write a message to the parent. Exit if the parent is gone."""
        try:
            with self._output_lock:
                sys.stdout.buffer.write(to_line(message))
                sys.stdout.buffer.flush()
        except OSError:
            os._exit(0)

    def run(self) -> None:
        """Serve requests until the parent closes the pipe. Exit if a reading exceeds its deadline.

        The parent would notice too, but it checks only from time to time. Meanwhile the WAL of a
        database that is being read cannot start over.
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
                # If the lock is not free in time, the pipe is full: exit without the message.
                if self._output_lock.acquire(timeout=SEND_SECONDS):
                    self._output_lock.release()
                    self.send({"overdue": overdue})
                os._exit(OVERDUE)

    def _seconds_left(self) -> float | None:
        """Return the time until a reading may be overdue; None if there is no reading."""
        started, now = list(self._started.values()), time.monotonic()
        return max(min(*started, now) + self._deadline_seconds - now, 0.01) if started else None

    def _overdue(self) -> list[str]:
        latest = time.monotonic() - self._deadline_seconds
        return [name for name, started in list(self._started.items()) if started <= latest]

    def serve(self, request: Message) -> None:
        """Queue the databases that a request names."""
        self.send({"acknowledged": True})
        self._add_workers(request.get("workers", 0))
        paths: dict[str, str] = request.get("read", {})
        share = CORE_SHARE / max(len(paths), 1)
        budget = Budget(self._table_seconds, self._counting_seconds, share)
        locks = list_locks()
        for name, path in paths.items():
            self._started[name] = inf
            if (name, path) not in self._readers:
                self._readers[name, path] = Reader(
                    path, budget, self._file_lock, writes_denied=self._writes_denied
                )
            self._queue.put((name, self._readers[name, path], locks))

    def _add_workers(self, count: int) -> None:
        for _ in range(count):
            Thread(target=self._work, daemon=True).start()

    def _file_lock(self, identity: tuple[int, int]) -> Lock:
        with self._file_locks_lock:  # setdefault of this dictionary is not atomic
            return self._file_locks.setdefault(identity, Lock())

    def _work(self) -> None:
        while True:
            name, reader, locks = self._queue.get()
            self.send({"started": name})
            self._started[name] = time.monotonic()
            try:
                changes = self._changes(name, reader.read(locks))
                del self._started[name]
                self.send({"name": name, "cost": reader.cost, **changes})
            except MemoryError:  # of this database, or of another one that is read meanwhile
                os._exit(OUT_OF_MEMORY)
            except BaseException as error:  # noqa: BLE001 - a thread must not die silently
                print(f"reading {name} failed: {error!r}"[:MAX_LOG_CHARACTERS], file=sys.stderr)
                self.send({"failed": type(error).__name__})
                os._exit(CRASHED)

    def _changes(self, name: str, reading: Reading) -> Message:
        """Return the parts of a reading that the parent does not have yet."""
        sent = self._sent.get(name)
        self._sent[name] = reading
        is_same = sent and sent.read_at == reading.read_at and sent.detail == reading.detail
        if sent and sent.code is None and is_same:
            # Encoding the tables of a wide database takes a hundred times as long.
            return {"verified_at": reading.verified_at, "surroundings": reading.surroundings}
        message = shallow_dict(reading)
        if sent is not None and reading.code is None and sent.objects == reading.objects:
            del message["objects"]
        return {"reading": message}


def main() -> None:
    """Serve the parent until it closes the pipe."""
    parent_pid, deadline_seconds, table_seconds = sys.argv[1:]
    sandbox.die_with_parent(int(parent_pid))
    limit_memory(MAX_DATA_BYTES)
    guards = sandbox.deny_writes()
    child = Child(float(deadline_seconds), float(table_seconds), writes_denied=bool(guards))
    child.send({"guards": guards})
    child.run()
    os._exit(0)


if __name__ == "__main__":
    main()
