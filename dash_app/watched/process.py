"""The parent's end of one child process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dash_app.watched.protocol import Message, from_line, to_line

if TYPE_CHECKING:
    from collections.abc import Mapping

START_SECONDS = 10.0
"""A child on a busy machine may take this long to start; 0.1 s is usual."""

HEARD_SECONDS = 0.5
"""A started child acknowledges a request at once: this much later it is taken to hang."""

CHUNK_BYTES = 1 << 16
MAX_ANSWER_BYTES = 1 << 25
"""Of one line; 2,000 tables of 20 columns take 2 MB. A child that says more is out of its mind."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that one database's reading, and one table's count, may take."""

    deadline_seconds: float
    table_seconds: float


class ChildProcess:
    """A running child: what it was asked for, and since when it works on which database.

    `ended` is whether it closed its end, since it has died or is about to, or talks nonsense.
    """

    def __init__(self, limits: Limits) -> None:
        """Start it. Raises OSError when the system refuses."""
        arguments = (os.getpid(), limits.deadline_seconds, limits.table_seconds)
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-B", "-m", "dash_app.watched", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0,  # a Ctrl-C in the terminal is for the service to handle
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise OSError("no pipes to the airlock")
        self._requests, self._answers = self._process.stdin, self._process.stdout
        os.set_blocking(self._requests.fileno(), False)
        os.set_blocking(self._answers.fileno(), False)
        self._deadline_seconds = limits.deadline_seconds
        self._acknowledge_by: float | None = time.monotonic() + START_SECONDS
        self._unacknowledged = 0
        self._buffer = bytearray()
        self.ended = False
        self.received_bytes = 0
        self.began: dict[str, float] = {}
        self.waiting: set[str] = set()
        self.guards: tuple[str, ...] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def asked(self) -> set[str]:
        """The databases whose readings are still to come, begun or not."""
        return self.waiting | self.began.keys()

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._answers.fileno()

    def ask(self, paths: Mapping[str, str]) -> None:
        """Ask for readings of databases by name and path."""
        line = to_line({"read": dict(paths)})
        try:
            self.ended = os.write(self._requests.fileno(), line) < len(line)
        except OSError:
            self.ended = True
        self.waiting.update(paths)
        self._unacknowledged += 1
        if self.guards is not None and self._acknowledge_by is None:
            self._acknowledge_by = time.monotonic() + HEARD_SECONDS

    def receive(self) -> list[Message]:
        """Return the readings that have come in, without waiting."""
        try:
            data = os.read(self.fileno(), CHUNK_BYTES)
        except BlockingIOError:
            return []
        self._buffer += data
        self.received_bytes += len(data)
        self.ended = self.ended or not data or len(self._buffer) > MAX_ANSWER_BYTES
        if b"\n" not in data:  # a long line is not looked through again with each of its parts
            return []
        *lines, self._buffer = self._buffer.split(b"\n")
        try:
            return [message for message in map(from_line, lines) if self._is_reading(message)]
        except (KeyError, RecursionError, TypeError, ValueError):
            self.ended = True
            return []

    def hangs(self) -> bool:
        """Whether it failed to acknowledge a request, or to start, in time."""
        return self._acknowledge_by is not None and time.monotonic() > self._acknowledge_by

    def overdue(self) -> set[str]:
        """Return the databases whose reading has taken longer than the deadline."""
        latest = time.monotonic() - self._deadline_seconds
        return {name for name, began in self.began.items() if began < latest}

    def kill(self) -> None:
        """Kill it without waiting: a process stuck in the kernel may take its time to go."""
        self._process.kill()
        self._requests.close()
        self._answers.close()

    def gone(self) -> bool:
        """Whether the kernel has let go of it."""
        return self._process.poll() is not None

    def wait(self) -> None:
        """Wait for its end. Raises subprocess.TimeoutExpired after a second."""
        self._process.wait(timeout=1)

    def _is_reading(self, message: Message) -> bool:
        """Take note of a message; return whether it carries a reading."""
        if "guards" in message:
            self.guards = tuple(message["guards"])
            self._acknowledge_by = (
                time.monotonic() + HEARD_SECONDS if self._unacknowledged else None
            )
        elif "heard" in message:
            self._unacknowledged -= 1
            self._acknowledge_by = (
                time.monotonic() + HEARD_SECONDS if self._unacknowledged else None
            )
        elif "began" in message:
            self.waiting.discard(message["began"])
            self.began[message["began"]] = time.monotonic()
        else:
            return self.began.pop(message["name"], None) is not None
        return False
