"""The parent's end of a process that gets one request, sends messages and exits."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

from dash_app.reader.protocol import Message, from_line, to_line

CHUNK_BYTES, MAX_BUFFER_BYTES = 1 << 16, 1 << 25


class OneShot:
    """A running process, started from a module of the reader.

    `is_closed`: whether it has closed its pipe. `received_at`: on the monotonic clock, when it last
    sent something, or started.
    """

    def __init__(self, module: str, request: Message) -> None:
        """Start the process with its request. Raise OSError."""
        command = (sys.executable, "-S", "-B", "-m", module, str(os.getpid()))
        with os.fdopen(os.memfd_create("request"), "w+b") as file:
            file.write(to_line(request))
            file.seek(0)
            self.process = subprocess.Popen(
                command, stdin=file, stdout=subprocess.PIPE, bufsize=0, process_group=0
            )
        assert self.process.stdout is not None  # noqa: S101 - for mypy
        self.answers = self.process.stdout
        os.set_blocking(self.answers.fileno(), False)
        self._buffer = b""
        self.received_bytes = 0
        self.received_at = time.monotonic()
        self.is_closed = False

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def receive(self) -> Iterator[Message]:
        """Yield the messages that arrived, without waiting. Raise ValueError or RecursionError."""
        with suppress(BlockingIOError):
            while data := os.read(self.answers.fileno(), CHUNK_BYTES):
                self.received_at = time.monotonic()
                self.received_bytes += len(data)
                self._buffer += data
                if len(self._buffer) > MAX_BUFFER_BYTES:
                    raise ValueError
            self.is_closed = True
        *lines, self._buffer = self._buffer.split(b"\n")
        yield from map(from_line, lines)

    def join(self, seconds: float) -> None:
        """Wait until it exits, at most so many seconds: it may be stuck in the kernel."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
