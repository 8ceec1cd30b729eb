"""The order of requests: heavy ones have few threads, and clients take turns."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from typing import Literal

from waitress.parser import HTTPRequestParser
from waitress.task import ThreadedTaskDispatcher

from dash_app.web.connections import Connection
from dash_app.web.posted import input_of

Lane = Literal["health", "heavy", "light"]


@dataclass(frozen=True, slots=True)
class Kind:
    """The kind of a request: its lane, and its name, which has a turn of its own in the lane."""

    lane: Lane
    name: str


THREADS = 8
"""Number of threads that answer requests, of all addresses together."""

LIMITS: dict[Lane, int] = {
    "health": THREADS,
    "heavy": 2,  # the largest answers take 40 MB each while they are made
    "light": THREADS - 1,
}
"""Maximum number of threads per lane, the most urgent lane first. One is always left to health."""

CALLBACKS = "/_dash-update-component"
LIGHT_INPUTS = {"tick", "seen"}
"""Inputs of the page whose callbacks are light. All others draw charts."""

HEAVY_PATHS = ("/api/history", "/api/events", "/api/incidents", "/api/databases/", "/metrics")
"""Routes whose answers grow with the history or with the number of tables."""

LIGHT_FOLDERS = {"", "api", "assets", "databases", "_dash-component-suites"}

Key = tuple[str, str]
"""Client and name of a kind. Keys take turns within a lane."""


def kind_of(request: HTTPRequestParser) -> Kind:
    """Return the kind of a parsed request."""
    path: str = "" if request.error else request.path
    if path == "/health":
        return Kind("health", "health")
    if path == CALLBACKS:
        body = request.get_body_stream()
        name = input_of(body.read())
        body.seek(0)
        return Kind("light", name) if name in LIGHT_INPUTS else Kind("heavy", "charts")
    for prefix in HEAVY_PATHS:
        if path.startswith(prefix):
            return Kind("heavy", prefix)
    folder = path[1:].partition("/")[0]
    return Kind("light", folder if folder in LIGHT_FOLDERS else "other")


class Turn:
    """The task of a thread: the first request of a connection."""

    def __init__(self, connection: Connection, lane: Lane, dispatcher: Dispatcher) -> None:
        """Set the lane in which the dispatcher counts it until it is done."""
        self._connection, self._lane, self._dispatcher = connection, lane, dispatcher

    def service(self) -> None:
        """Answer the request."""
        try:
            self._connection.service()
        finally:
            self._dispatcher.finish(self._lane)


class Queue:
    """The waiting connections, by lane. The dispatcher's lock guards it."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        """Set the dispatcher whose queue it is."""
        self._dispatcher = dispatcher
        self._waiting: dict[Lane, OrderedDict[Key, deque[Connection]]] = {
            lane: OrderedDict() for lane in LIMITS
        }
        self.running: Counter[Lane] = Counter()

    def __len__(self) -> int:
        """Return the number of lanes in which a request can be answered now."""
        return len(self._open_lanes())

    def append(self, waiting: tuple[Connection, Kind]) -> None:
        """Add a connection with the kind of its request."""
        connection, kind = waiting
        lane = self._waiting[kind.lane]
        lane.setdefault((connection.client, kind.name), deque()).append(connection)

    def popleft(self) -> Turn:
        """Remove the connection whose turn it is. Raise IndexError if none can be answered now."""
        lane = self._open_lanes()[0]
        key, connections = self._waiting[lane].popitem(last=False)
        connection = connections.popleft()
        if connections:
            self._waiting[lane][key] = connections  # behind all others
        self.running[lane] += 1
        return Turn(connection, lane, self._dispatcher)

    def _open_lanes(self) -> list[Lane]:
        is_full = self.running.total() - self.running["health"] >= THREADS - 1
        waiting: list[Lane] = [lane for lane in LIMITS if self._waiting[lane]]
        return [
            lane
            for lane in waiting
            if self.running[lane] < LIMITS[lane] and (lane == "health" or not is_full)
        ]


class Dispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Waitress's threads, with a queue of lanes."""

    def __init__(self) -> None:
        """Start the threads."""
        super().__init__()
        self.queue = Queue(self)
        self.set_thread_count(THREADS)

    def add_task(self, task: Connection) -> None:
        """Add a connection, of which the first request is to be answered."""
        task.waiting_since = time.monotonic()
        kind = kind_of(task.requests[0])
        with self.lock:
            self.queue.append((task, kind))
            self.queue_cv.notify()

    def finish(self, lane: Lane) -> None:
        """Note that a thread of a lane is free again."""
        with self.lock:
            self.queue.running[lane] -= 1
            self.queue_cv.notify()
