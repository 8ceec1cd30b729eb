"""Who is answered next: heavy questions have few threads, and clients take turns."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from waitress.task import ThreadedTaskDispatcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from waitress.parser import HTTPRequestParser

    from dash_app.connections import Connection

Lane = Literal["health", "acknowledge", "heavy", "light"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a request asks for: the lane that answers it, and its kind within the lane."""

    lane: Lane
    name: str


THREADS = 8
"""They answer for all addresses: a page load opens six connections."""

LIMITS: dict[Lane, int] = {
    "health": THREADS,
    "acknowledge": 1,  # it waits for the next reading
    "heavy": 2,  # the largest answers take 40 MB each while they are made
    "light": THREADS - 1,
}
"""Threads at most per lane, in the order in which they are served.

One thread is left to "health", whatever the others do.
"""

CALLBACKS = "/_dash-update-component"
CALLBACK_KINDS: dict[str, Kind] = {
    "tick": Kind("light", "tick"),
    "seen": Kind("acknowledge", "seen"),
}
CHARTS = Kind("heavy", "charts")

HEALTH = Kind("health", "health")
HEAVY_PATHS = ("/api/history", "/api/events", "/api/incidents", "/api/databases/", "/metrics")
"""Answers that grow with the history or with the number of tables."""

LIGHT_FOLDERS = {"", "api", "assets", "databases", "frontend", "_dash-component-suites"}

Key = tuple[str, str]
"""Client and kind of question: they take turns within a lane."""


def kind_of(request: HTTPRequestParser, input_of: Callable[[bytes], str]) -> Kind:
    """Return the kind of a parsed request.

    `input_of` returns the input that a callback of the page follows, from the body that asks for
    it: "tick" and "seen" have kinds of their own, anything else draws charts.
    """
    path: str = "" if request.error else request.path
    if path == "/health":
        return HEALTH
    if path == CALLBACKS:
        body = request.get_body_stream()
        followed = input_of(body.read())
        body.seek(0)
        return CALLBACK_KINDS.get(followed, CHARTS)
    heavy = next((prefix for prefix in HEAVY_PATHS if path.startswith(prefix)), None)
    if heavy:
        return Kind("heavy", heavy)
    folder = path[1:].partition("/")[0]
    return Kind("light", folder if folder in LIGHT_FOLDERS else "other")


class Turn:
    """A connection whose first request is answered now, in a lane."""

    def __init__(self, connection: Connection, lane: Lane, dispatcher: Dispatcher) -> None:
        """Take the connection, its lane and whom to report the end to."""
        self._connection, self._lane, self._dispatcher = connection, lane, dispatcher

    def service(self) -> None:
        """Answer the request."""
        try:
            self._connection.service()
        finally:
            self._dispatcher.finish(self._lane)

    def cancel(self) -> None:
        """Drop the request."""
        self._connection.cancel()


class Queue:
    """The connections that wait to be answered. Its dispatcher's lock guards it."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        """Take the dispatcher whose queue it is."""
        self._dispatcher = dispatcher
        self._waiting: dict[Lane, OrderedDict[Key, deque[Connection]]] = {
            lane: OrderedDict() for lane in LIMITS
        }
        self.running: Counter[Lane] = Counter()

    def __len__(self) -> int:
        """Return 1 if a request can be answered now, otherwise 0."""
        return int(self._next_lane() is not None)

    def append(self, waiting: tuple[Connection, Kind]) -> None:
        """Add a connection with the kind of its request."""
        connection, kind = waiting
        lane = self._waiting[kind.lane]
        lane.setdefault((connection.client, kind.name), deque()).append(connection)

    def popleft(self) -> Turn:
        """Remove the connection whose turn it is. Raise IndexError if none can be answered now."""
        lane = self._next_lane()
        if lane is None:
            raise IndexError
        key, connections = self._waiting[lane].popitem(last=False)
        connection = connections.popleft()
        if connections:
            self._waiting[lane][key] = connections  # behind all others
        self.running[lane] += 1
        return Turn(connection, lane, self._dispatcher)

    def _next_lane(self) -> Lane | None:
        others = self.running.total() - self.running["health"]
        for lane, limit in LIMITS.items():
            is_open = self.running[lane] < limit and (lane == "health" or others < THREADS - 1)
            if is_open and self._waiting[lane]:
                return lane
        return None


class Dispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Waitress's threads, with a queue of lanes."""

    def __init__(self, input_of: Callable[[bytes], str]) -> None:
        """Start the threads. `input_of` is what `kind_of` takes."""
        super().__init__()
        self._input_of = input_of
        self.queue = Queue(self)
        self.set_thread_count(THREADS)

    def add_task(self, task: Connection) -> None:
        """Have the first request of a connection answered."""
        task.waiting_since = time.monotonic()
        kind = kind_of(task.requests[0], self._input_of)
        with self.lock:
            self.queue.append((task, kind))
            self.queue_cv.notify()

    def finish(self, lane: Lane) -> None:
        """Note that a thread of a lane is free again."""
        with self.lock:
            self.queue.running[lane] -= 1
            self.queue_cv.notify()
