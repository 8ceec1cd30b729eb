"""The parent's end of one child process: requests, answers and its condition."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from dash_app.airlock.line_process import LineProcess
from dash_app.model.reading import Code
from dash_app.reader.protocol import (
    MAX_DATA_BYTES,
    OUT_OF_MEMORY,
    OVERDUE,
    WORKERS,
    Message,
    to_line,
)

START_SECONDS = 10.0
"""Maximum time for a child to start. 0.1 s is usual, but the machine may be busy."""

ACKNOWLEDGE_SECONDS = 0.5
"""Maximum time for a child to acknowledge a request. Later, it counts as hung."""

SILENT_SECONDS = 0.25
"""After the last answer, another one may still be waiting in the pipe for this time."""

STALLED_SECONDS = 0.25
"""A queue that has not moved for this time gets more workers, up to `MAX_WORKERS`."""

MAX_WORKERS = 64

CRASHES = {signal.SIGSEGV, signal.SIGBUS}
"""Signals of a crash of SQLite. Other signals come from a person, or from the kernel when memory is
short."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Maximum duration of one database's reading, and of one table's count."""

    deadline_seconds: float
    table_seconds: float


class ChildProcess(LineProcess):
    """A running child, with the databases that it was asked for.

    `is_closed` is also whether it has sent an invalid message. `started` maps each database that it
    is reading to the time when the reading started; `queued` are the others that it was asked for.
    """

    def __init__(self, limits: Limits, *, alone: bool = False, nice: int = 0) -> None:
        """Start the child with a lower priority by `nice`. Raise OSError if that fails.

        One that reads a database alone keeps no other waiting, so it may acknowledge later.
        """
        seconds = (limits.deadline_seconds, limits.table_seconds)
        super().__init__("dash_app.reader", *seconds, stdin=subprocess.PIPE)
        if nice:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self.process.pid, nice)
        assert self.process.stdin is not None  # noqa: S101 - for mypy
        self._requests = self.process.stdin
        os.set_blocking(self._requests.fileno(), False)
        self._deadline_seconds = limits.deadline_seconds
        self._acknowledge_seconds = START_SECONDS if alone else ACKNOWLEDGE_SECONDS
        self._acknowledge_by: float | None = time.monotonic() + START_SECONDS
        self._unacknowledged = 0
        self._unsent = bytearray()
        self._moved_at = self.received_at
        self._workers = WORKERS
        self._failure: str | None = None
        self._reported_overdue: set[str] = set()
        self.started: dict[str, float] = {}
        self.queued: set[str] = set()
        self.guards: tuple[str, ...] | None = None

    @property
    def pending(self) -> set[str]:
        """The databases whose readings have not arrived, started or not."""
        return self.queued | self.started.keys()

    @property
    def is_idle(self) -> bool:
        """Whether it owes nothing, neither readings nor the acknowledgement of a request."""
        return not (self.pending or self._unacknowledged)

    def register(self, poll: select.poll) -> None:
        """Wait for answers, and for room in the pipe if a part of the requests is unsent."""
        poll.register(self.answers.fileno(), select.POLLIN)
        if self._unsent and not self.is_closed:
            poll.register(self._requests.fileno(), select.POLLOUT)

    def request_readings(self, paths: Mapping[str, str]) -> None:
        """Ask for readings of databases, given as paths by name."""
        if not self.queued:
            self._moved_at = time.monotonic()
        self.queued.update(paths)
        self._request({"read": dict(paths)})

    def send(self) -> None:
        """Send as much of the requests as the pipe takes now: 64 kB, about 600 databases."""
        try:
            while self._unsent:
                sent = os.write(self._requests.fileno(), self._unsent)
                del self._unsent[:sent]
                self._expect_acknowledgement()
        except BlockingIOError:
            pass
        except OSError:
            self.is_closed = True

    def readings(self) -> list[Message]:
        """Return the readings that have arrived, without waiting."""
        messages: list[Message] = []
        try:
            messages.extend(message for message in self.receive() if self._handle(message))
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            self._failure = type(error).__name__
            self.is_closed = True
        return messages

    def restart_silence(self) -> None:
        """Measure silence from now on, since the answers were not read until now."""
        self.received_at = time.monotonic()

    def is_hung(self) -> bool:
        """Whether it failed to start, or to acknowledge a request, in time."""
        is_late = self._acknowledge_by is not None and time.monotonic() > self._acknowledge_by
        return is_late and self._is_silent()

    def overdue(self) -> set[str]:
        """Return the databases whose reading has taken longer than the deadline.

        While the child is still answering, the limit is twice the deadline, because a finished
        reading may be waiting in the pipe, which is not emptied between two ticks.
        """
        seconds = self._deadline_seconds * (1 if self._is_silent() else 2)
        latest = time.monotonic() - seconds
        late = {name for name, started in self.started.items() if started < latest}
        return late | self._reported_overdue

    def add_workers_if_stalled(self) -> None:
        """Ask for more workers if all seem stuck while databases are queued."""
        is_stalled = time.monotonic() - self._moved_at > STALLED_SECONDS
        if self.queued and is_stalled and self.guards is not None and self._workers < MAX_WORKERS:
            self._moved_at = time.monotonic()
            self._request({"workers": self._workers})
            self._workers *= 2

    def failure(self) -> tuple[Code, dict[str, str]]:
        """Explain the failure of this child: an error code, and the details of its explanation."""
        if self.is_closed:
            self.join(1)
        exit_code = self.process.returncode
        if not self.is_closed or exit_code == OVERDUE:
            return "not_responding", {}
        detail: dict[str, str] = {}
        if exit_code == OUT_OF_MEMORY:
            detail = {"memory": f"{MAX_DATA_BYTES // 1_000_000} MB"}
        elif self._failure or exit_code is None or exit_code >= 0:
            detail = {"bug": self._failure or f"exit code {exit_code}"}
        elif -exit_code not in CRASHES:
            detail = {"signal": signal.Signals(-exit_code).name}
        return "reader_crashed", detail

    def kill(self) -> None:
        """Kill it without waiting: a process that is stuck in the kernel may exit much later."""
        self.process.kill()
        self._requests.close()
        self.answers.close()

    def _is_silent(self) -> bool:
        return time.monotonic() - self.received_at > SILENT_SECONDS

    def _request(self, message: Message) -> None:
        self._unsent += to_line(message)
        self._unacknowledged += 1
        if self._acknowledge_by is None:
            self._expect_acknowledgement()
        self.send()

    def _expect_acknowledgement(self) -> None:
        if self.guards is not None:  # until it has started, START_SECONDS applies
            is_due = self._unacknowledged or self._unsent
            by = time.monotonic() + self._acknowledge_seconds
            self._acknowledge_by = by if is_due else None

    def _handle(self, message: Message) -> bool:
        """Process a message; return whether it carries a reading."""
        if "guards" in message:
            self.guards = tuple(message["guards"])
            self._expect_acknowledgement()
        elif "acknowledged" in message:
            self._unacknowledged -= 1
            self._expect_acknowledgement()
        elif "started" in message:
            self.queued.discard(message["started"])
            self.started[message["started"]] = self._moved_at = time.monotonic()
        elif "overdue" in message:
            self._reported_overdue = self.started.keys() & set(message["overdue"])
        elif "failed" in message:
            self._failure = str(message["failed"])
        else:
            return self.started.pop(message["name"], None) is not None
        return False
