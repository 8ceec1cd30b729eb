"""The parent's end of a process that sends messages: one per line, in JSON."""

import errno
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread
from typing import IO

from dash_app.reader.protocol import Message, from_line, to_line

CHUNK_BYTES, MAX_BUFFER_BYTES = 1 << 16, 1 << 25
"""The second is the maximum length of one line; 2,000 tables of 20 columns take 2 MB. A process
that sends more has failed."""


class LineProcess:
    """A running process, started from a module of the reader.

    `is_closed`: whether it has closed its pipe, because it has exited or is about to.
    `received_at`: on the monotonic clock, when it last sent something, or started.
    """

    def __init__(self, module: str, *arguments: object, stdin: int | IO[bytes]) -> None:
        """Start the process. Its first argument is our process id. Raise OSError."""
        command = (sys.executable, "-S", "-B", "-m", module, os.getpid(), *arguments)
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            process_group=0,  # only the service handles Ctrl-C in the terminal
        )
        assert self.process.stdout is not None  # noqa: S101 - for mypy
        assert self.process.stderr is not None  # noqa: S101
        self.answers = self.process.stdout
        try:
            Thread(target=_pass_on, args=[self.process.stderr], daemon=True).start()
        except RuntimeError as error:  # no thread is left
            with self.process:
                self.process.kill()
            raise OSError(errno.EAGAIN, str(error)) from None
        os.set_blocking(self.answers.fileno(), False)
        self._buffer = bytearray()
        self.received_bytes = 0
        self.received_at = time.monotonic()
        self.is_closed = False

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def receive(self) -> Iterator[Message]:
        """Yield the messages that arrived, without waiting.

        Raise ValueError, TypeError or RecursionError if one is invalid.
        """
        is_complete = False
        with suppress(BlockingIOError):
            while not self.is_closed and (data := os.read(self.answers.fileno(), CHUNK_BYTES)):
                self.received_at = time.monotonic()
                self.received_bytes += len(data)
                self._buffer += data
                if len(self._buffer) > MAX_BUFFER_BYTES:
                    raise ValueError
                is_complete = is_complete or b"\n" in data
            self.is_closed = True
        if is_complete:  # do not search a long line again with each of its parts
            *lines, self._buffer = self._buffer.split(b"\n")
            yield from map(from_line, lines)

    def await_message(self, seconds: float) -> None:
        """Wait until it sends something or closes its pipe, at most so many seconds."""
        poll = select.poll()  # select(2) fails for descriptors of 1,024 and more
        poll.register(self.answers, select.POLLIN)
        poll.poll(seconds * 1000)

    def has_exited(self) -> bool:
        """Whether it has exited. Its last messages may not have been received yet."""
        return self.process.poll() is not None

    def join(self, seconds: float) -> None:
        """Wait until it exits, at most `seconds`: it may be stuck in the kernel."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)


def _pass_on(errors: IO[bytes]) -> None:
    """Print what a process prints to its standard error.

    It does not have ours: a pipeline would wait for it while it is stuck in the kernel.
    """
    with errors:
        for line in errors:
            os.write(2, line)


class OneShot(LineProcess):
    """A process that gets one request, and exits."""

    def __init__(self, module: str, request: Message) -> None:
        """Start the process with its request. Raise OSError."""
        with os.fdopen(os.memfd_create("request"), "w+b") as file:
            file.write(to_line(request))
            file.seek(0)
            super().__init__(module, stdin=file)
