"""The threads that answer requests. Heavy requests share few of them, and clients take turns."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from typing import Literal, NamedTuple

from waitress.parser import HTTPRequestParser
from waitress.task import ThreadedTaskDispatcher

from dash_app.page import ids
from dash_app.web.callback_requests import CALLBACKS, input_id
from dash_app.web.connection import Connection

Priority = Literal["health", "heavy", "light"]

THREADS = 8
"""Number of threads that answer requests of all addresses."""

LIMITS: dict[Priority, int] = {
    "health": THREADS,
    "heavy": 2,  # the largest answers take 40 MB each while they are made
    "light": THREADS - 1,
}
"""Maximum number of threads per priority, the most urgent first. One thread is left to health."""

LIGHT_INPUTS = {ids.TICK, ids.ACTION}
"""Inputs of the page whose callbacks are light. All others draw charts."""

HEAVY_PATHS = ("/api/history", "/api/events", "/api/incidents", "/api/databases/", "/metrics")
"""Routes whose answers grow with the history or with the number of tables."""

LIGHT_FOLDERS = {"", "api", "assets", "databases", "_dash-component-suites"}


class RequestKind(NamedTuple):
    """The kind of a request. Clients and names take turns within a priority."""

    priority: Priority
    name: str


def kind_of(request: HTTPRequestParser) -> RequestKind:
    """Return the kind of a parsed request."""
    path: str = "" if request.error else request.path
    if path == "/health":
        return RequestKind("health", "health")
    if path == CALLBACKS:
        body = request.get_body_stream()
        name = input_id(body.read())
        body.seek(0)
        is_light = name in LIGHT_INPUTS
        return RequestKind("light", name) if is_light else RequestKind("heavy", "charts")
    for prefix in HEAVY_PATHS:
        if path.startswith(prefix):
            return RequestKind("heavy", prefix)
    folder = path[1:].partition("/")[0]
    return RequestKind("light", folder if folder in LIGHT_FOLDERS else "other")


class QueuedTask:
    """The task of a thread: answer the first request of a connection."""

    def __init__(self, connection: Connection, priority: Priority, dispatcher: Dispatcher) -> None:
        self._connection, self._priority, self._dispatcher = connection, priority, dispatcher

    def service(self) -> None:
        """Answer the request."""
        try:
            self._connection.service()
        finally:
            self._dispatcher.finish(self._priority)


class RequestQueue:
    """The waiting connections, by priority. The dispatcher's lock guards it."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._waiting: dict[Priority, OrderedDict[tuple[str, str], deque[Connection]]] = {
            priority: OrderedDict() for priority in LIMITS
        }
        """For each priority, the connections by client and name of the request's kind."""
        self.running: Counter[Priority] = Counter()

    def __len__(self) -> int:
        """Return the number of priorities in which a request can be answered now."""
        return len(self._ready())

    def append(self, item: tuple[Connection, RequestKind]) -> None:
        """Add a connection with the kind of its request."""
        connection, kind = item
        waiting = self._waiting[kind.priority]
        waiting.setdefault((connection.client, kind.name), deque()).append(connection)

    def popleft(self) -> QueuedTask:
        """Remove the next connection. Raise IndexError if none can be answered now."""
        priority = self._ready()[0]
        key, connections = self._waiting[priority].popitem(last=False)
        connection = connections.popleft()
        if connections:
            self._waiting[priority][key] = connections  # behind all others
        self.running[priority] += 1
        return QueuedTask(connection, priority, self._dispatcher)

    def _ready(self) -> list[Priority]:
        is_full = self.running.total() - self.running["health"] >= THREADS - 1
        waiting: list[Priority] = [priority for priority in LIMITS if self._waiting[priority]]
        return [
            priority
            for priority in waiting
            if self.running[priority] < LIMITS[priority] and (priority == "health" or not is_full)
        ]


class Dispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Waitress's threads with a queue that knows priorities."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = RequestQueue(self)
        self.set_thread_count(THREADS)

    def add_task(self, task: Connection) -> None:
        """Queue a connection whose first request is complete."""
        task.waiting_since = time.monotonic()
        kind = kind_of(task.requests[0])
        with self.lock:
            self.queue.append((task, kind))
            self.queue_cv.notify()

    def finish(self, priority: Priority) -> None:
        """Count a task of this priority as finished."""
        with self.lock:
            self.queue.running[priority] -= 1
            self.queue_cv.notify()
