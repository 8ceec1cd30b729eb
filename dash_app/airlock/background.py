"""A process that works in the background for a while, and what all of its kind used."""

import time
from collections.abc import Iterator
from math import inf

from dash_app.airlock.line_process import OneShot
from dash_app.reader.protocol import OUT_OF_MEMORY, STUCK, Message
from dash_app.system.processes import bytes_written, cpu_seconds

SILENT_SECONDS = 60.0
"""A process that sends nothing for this time hangs. Even at rest, it sends something every 5 s."""

KILLED_SECONDS = 10.0
"""A killed process that has not exited after this time is stuck in the kernel, and left to it."""

FAILURES = {OUT_OF_MEMORY: "needs too much memory", STUCK: "cannot be interrupted"}
HUNG, CRASHED = "hung", "crashed"
"""Why a process failed; with FAILURES, by the exit code."""


class BackgroundProcess(OneShot):
    """A process that measures itself and rests between steps.

    `rests_until`: on the monotonic clock, when it may open a database next. `sidecars_left`: as in
    `Airlock`. `bytes_written`: more than its messages to us.
    """

    def __init__(
        self, module: str, request: Message, silent_seconds: float = SILENT_SECONDS
    ) -> None:
        """Start the process with its request. Raise OSError."""
        super().__init__(module, request)
        self._silent_seconds = silent_seconds
        self._killed_at = inf
        self.started_at = self.received_at
        self.cpu_seconds = self.rests_until = 0.0
        self.sidecars_left = self.bytes_written = self._written = 0
        self._end: str | None = None

    def receive(self) -> Iterator[Message]:
        """Yield the messages that arrived, and measure the process."""
        self._measure()
        for message in super().receive():
            match message:
                case {"rests_until": until, "sidecars": sidecars}:
                    self.rests_until, self.sidecars_left = until, sidecars
                case {"ended": _} | {"failed": _}:
                    self._end = ""
            yield message
        self.bytes_written = max(self.bytes_written, self._written - self.received_bytes)

    def _measure(self) -> None:
        self._written = max(self._written, bytes_written(self.pid))
        self.cpu_seconds = max(self.cpu_seconds, cpu_seconds(self.pid))

    @property
    def is_hung(self) -> bool:
        """Whether it has sent nothing for too long."""
        return time.monotonic() - self.received_at > self._silent_seconds

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it. Its last messages may not have been received."""
        self._measure()  # once it is known to have exited, the kernel forgets its numbers
        return self.has_exited() or time.monotonic() - self._killed_at > KILLED_SECONDS

    def kill(self, reason: str = "") -> None:
        """Kill it without waiting; `reason` is why it failed, if it did."""
        self.process.kill()
        self._killed_at = min(self._killed_at, time.monotonic())
        self._end = reason if self._end is None else self._end

    def failure(self) -> str:
        """Return why it failed; empty if it did not. For a process that is over."""
        if self._end is not None:
            return self._end
        return FAILURES.get(self.process.returncode, CRASHED)


class Background:
    """What works in the background, one process at a time. Not thread-safe."""

    def __init__(self, share: float, start_at: float) -> None:
        """Prepare. Processes take a share of one core; the first starts at a monotonic time."""
        self._share, self._start_at = share, start_at
        self._process: BackgroundProcess | None = None
        self._bytes_written = self._sidecars_left = 0

    @property
    def pids(self) -> list[int]:
        """The process id of the running process, if there is one."""
        return [self._process.pid] if self._process else []

    @property
    def bytes_written(self) -> int:
        """The number of bytes that all processes wrote, except their messages."""
        return self._bytes_written + (self._process.bytes_written if self._process else 0)

    @property
    def sidecars_left(self) -> int:
        """The number of WALs that stayed because their last writer closed during a step."""
        return self._sidecars_left + (self._process.sidecars_left if self._process else 0)

    @property
    def is_at_rest(self) -> bool:
        """Whether the process has no file open, and will not open one within 50 ms."""
        return self._process is None or time.monotonic() + 0.05 < self._process.rests_until

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.join(1.0)
            self._process = None

    def _forget_process(self, process: BackgroundProcess) -> None:
        """Count what a process used. The next one starts once the budget allows it."""
        self._process = None
        self._start_at = process.started_at + process.cpu_seconds / self._share
        self._bytes_written += process.bytes_written
        self._sidecars_left += process.sidecars_left
