"""The parent's end of one child process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from dash_app.model.reading import Code
from dash_app.reader.protocol import (
    MAX_DATA_BYTES,
    OUT_OF_MEMORY,
    OVERDUE,
    WORKERS,
    Message,
    from_line,
    to_line,
)
from dash_app.system.processes import cpu_seconds

START_SECONDS = 10.0
"""A child on a busy machine may take this long to start; 0.1 s is usual."""

HEARD_SECONDS = 0.5
"""A started child acknowledges a request at once: this much later it is taken to hang."""

SILENT_SECONDS = 0.25
"""While anything comes from a child, an answer may still wait for its turn in the pipe."""

STALLED_SECONDS = 0.25
"""A queue that has not moved for so long gets more workers, up to the maximum."""

MAX_WORKERS = 64

CHUNK_BYTES = 1 << 16
MAX_ANSWER_BYTES = 1 << 25
"""Of one line; 2,000 tables of 20 columns take 2 MB. A child that says more is out of its mind."""

CRASHES = {signal.SIGSEGV, signal.SIGBUS}
"""How SQLite crashes; any other signal was sent by somebody, or by the kernel short of memory."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that one database's reading, and one table's count, may take."""

    deadline_seconds: float
    table_seconds: float


class ChildProcess:
    """A running child: what it was asked for, and since when it works on which database.

    `ended` is whether it closed its end, since it has died or is about to, or talks nonsense.
    """

    def __init__(self, limits: Limits, *, nice: int = 0) -> None:
        """Start it, with a lower priority by `nice`. Raise OSError if the system refuses."""
        arguments = (os.getpid(), limits.deadline_seconds, limits.table_seconds)
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-B", "-m", "dash_app.reader", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0,  # a Ctrl-C in the terminal is for the service to handle
        )
        if nice:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self._process.pid, nice)
        if self._process.stdin is None or self._process.stdout is None:
            raise OSError("no pipes to the airlock")
        self._requests, self._answers = self._process.stdin, self._process.stdout
        os.set_blocking(self._requests.fileno(), False)
        os.set_blocking(self._answers.fileno(), False)
        self._deadline_seconds = limits.deadline_seconds
        self._acknowledge_by: float | None = time.monotonic() + START_SECONDS
        self._unacknowledged = 0
        self._unsent = bytearray()
        self._buffer = bytearray()
        self._moved_at = self._received_at = time.monotonic()
        self._workers = WORKERS
        self._failure: str | None = None
        self._said_overdue: set[str] = set()
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

    @property
    def answers_descriptor(self) -> int:
        """The descriptor that answers come from."""
        return self._answers.fileno()

    @property
    def requests_descriptor(self) -> int | None:
        """The descriptor to wait for until more of a request can be sent; None if all is sent."""
        return self._requests.fileno() if self._unsent and not self.ended else None

    def ask(self, paths: Mapping[str, str]) -> None:
        """Ask for readings of databases by name and path."""
        if not self.waiting:
            self._moved_at = time.monotonic()
        self.waiting.update(paths)
        self._request({"read": dict(paths)})

    def send(self) -> None:
        """Send as much of the requests as the pipe takes now: 64 kB, some 600 databases."""
        try:
            while self._unsent:
                sent = os.write(self._requests.fileno(), self._unsent)
                del self._unsent[:sent]
                self._await_acknowledgement()
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True

    def receive(self) -> list[Message]:
        """Return all readings that have come in, without waiting."""
        messages: list[Message] = []
        try:
            while not self.ended and (data := os.read(self.answers_descriptor, CHUNK_BYTES)):
                self._received_at = time.monotonic()
                self.received_bytes += len(data)
                messages += self._lines(data)
            self.ended = True
        except BlockingIOError:
            pass
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            self._failure = type(error).__name__
            self.ended = True
        return messages

    def resume(self) -> None:
        """Restart the time since its last answer, since nobody read its answers meanwhile."""
        self._received_at = time.monotonic()

    def hangs(self) -> bool:
        """Return whether it failed to acknowledge a request, or to start, in time."""
        is_late = self._acknowledge_by is not None and time.monotonic() > self._acknowledge_by
        return is_late and self._is_silent()

    def overdue(self) -> set[str]:
        """Return the databases whose reading has taken longer than the deadline.

        None while the child is still answering, within as much time again: what was read in time
        may wait for its turn in the pipe, which nobody empties between two rounds.
        """
        seconds = self._deadline_seconds * (1 if self._is_silent() else 2)
        latest = time.monotonic() - seconds
        late = {name for name, began in self.began.items() if began < latest}
        return late | self._said_overdue

    def add_workers_if_stalled(self) -> None:
        """Ask for more workers if all seem stuck while databases wait."""
        is_stalled = time.monotonic() - self._moved_at > STALLED_SECONDS
        if self.waiting and is_stalled and self.guards is not None and self._workers < MAX_WORKERS:
            self._moved_at = time.monotonic()
            self._request({"workers": self._workers})
            self._workers *= 2

    def failure(self) -> tuple[Code, dict[str, str]]:
        """Return what a failed child means: a code, and the facts that the code's words need."""
        if self.ended:
            with suppress(subprocess.TimeoutExpired):
                self.wait()
        code = self._process.returncode
        if not self.ended or code == OVERDUE:
            return "not_responding", {}
        detail: dict[str, str] = {}
        if code == OUT_OF_MEMORY:
            detail = {"memory": f"{MAX_DATA_BYTES // 1_000_000} MB"}
        elif self._failure or code is None or code >= 0:
            detail = {"bug": self._failure or f"exit code {code}"}
        elif -code not in CRASHES:
            detail = {"signal": signal.Signals(-code).name}
        return "reader_crashed", detail

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used; 0 if it has exited."""
        return cpu_seconds(self.pid)

    def kill(self) -> None:
        """Kill it without waiting: a process stuck in the kernel may take its time to go."""
        self._process.kill()
        self._requests.close()
        self._answers.close()

    def gone(self) -> bool:
        """Whether the kernel has let go of it."""
        return self._process.poll() is not None

    def wait(self) -> None:
        """Wait for its end. Raise subprocess.TimeoutExpired after a second."""
        self._process.wait(timeout=1)

    def _is_silent(self) -> bool:
        return time.monotonic() - self._received_at > SILENT_SECONDS

    def _request(self, message: Message) -> None:
        self._unsent += to_line(message)
        self._unacknowledged += 1
        if self._acknowledge_by is None:
            self._await_acknowledgement()
        self.send()

    def _await_acknowledgement(self) -> None:
        if self.guards is not None:  # until then it may take its time to start
            is_due = self._unacknowledged or self._unsent
            self._acknowledge_by = time.monotonic() + HEARD_SECONDS if is_due else None

    def _lines(self, data: bytes) -> list[Message]:
        """Take in some bytes; return the readings in the lines that they complete."""
        self._buffer += data
        if len(self._buffer) > MAX_ANSWER_BYTES:
            self._failure = f"an answer of more than {MAX_ANSWER_BYTES // 1_000_000} MB"
            self.ended = True
        if b"\n" not in data:  # a long line is not looked through again with each of its parts
            return []
        *lines, self._buffer = self._buffer.split(b"\n")
        return [message for message in map(from_line, lines) if self._is_reading(message)]

    def _is_reading(self, message: Message) -> bool:
        """Take note of a message; return whether it carries a reading."""
        if "guards" in message:
            self.guards = tuple(message["guards"])
            self._await_acknowledgement()
        elif "heard" in message:
            self._unacknowledged -= 1
            self._await_acknowledgement()
        elif "began" in message:
            self.waiting.discard(message["began"])
            self.began[message["began"]] = self._moved_at = time.monotonic()
        elif "overdue" in message:
            self._said_overdue = self.began.keys() & set(message["overdue"])
        elif "failed" in message:
            self._failure = str(message["failed"])
        else:
            return self.began.pop(message["name"], None) is not None
        return False
