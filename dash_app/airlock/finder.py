"""Search folders and patterns in a process of its own, which may hang in a folder."""

import os
import select
import subprocess
import sys
import time
from contextlib import suppress

from dash_app.reader.protocol import Message, from_line, to_line

START_SECONDS = 5.0
"""Time that the process may take beyond the time of its search."""

CHUNK_BYTES, MAX_LINE_BYTES = 1 << 16, 1 << 24


class Finder:
    """A search, and what it has found so far. Not thread-safe.

    `files`: one message per database, in no order. `skipped`: the reason by path. `matches`: the
    files by pattern, and `counts` their number before any limit. A pattern that could not be
    searched is missing. `is_over`: whether the search ended; `is_complete`: whether
    everything was searched.
    """

    def __init__(self, request: Message, seconds: float = 5.0) -> None:
        """Start a search; see `dash_app.reader.find` for the request. Raise OSError."""
        command = (sys.executable, "-S", "-B", "-m", "dash_app.reader.find", str(os.getpid()))
        with os.fdopen(os.memfd_create("request"), "w+b") as file:
            file.write(to_line({**request, "seconds": seconds}))
            file.seek(0)
            self._process = subprocess.Popen(
                command, stdin=file, stdout=subprocess.PIPE, bufsize=0, process_group=0
            )
        assert self._process.stdout is not None  # noqa: S101 - for mypy
        self._answers = self._process.stdout
        os.set_blocking(self._answers.fileno(), False)
        self._ends_at = time.monotonic() + seconds + START_SECONDS
        self._buffer = b""
        self.files: list[Message] = []
        self.skipped: dict[str, str] = {}
        self.matches: dict[str, list[str]] = {}
        self.counts: dict[str, int] = {}
        self.is_over = self.is_complete = self._has_ended = False

    def poll(self) -> bool:
        """Receive what was found, without waiting. Return whether the search is over."""
        if self.is_over:
            return True
        try:
            while data := os.read(self._answers.fileno(), CHUNK_BYTES):
                *lines, self._buffer = (self._buffer + data).split(b"\n")
                for line in lines:
                    self._handle(from_line(line))
                if self._has_ended or len(self._buffer) > MAX_LINE_BYTES:
                    break
            self.close()
        except BlockingIOError:
            if time.monotonic() > self._ends_at:
                self.close()
        except (KeyError, TypeError, ValueError, RecursionError):
            self.close()
        return self.is_over

    def wait(self, seconds: float) -> bool:
        """Wait until the search is over, but at most so many seconds. Return whether it is."""
        until = time.monotonic() + seconds
        while not self.poll() and (left := min(until, self._ends_at) - time.monotonic()) > 0:
            select.select([self._answers], [], [], left)
        return self.is_over

    def close(self) -> None:
        """End the search. What was found stays."""
        if not self.is_over:
            self.is_over = True
            self._process.kill()
            self._answers.close()
        with suppress(subprocess.TimeoutExpired):  # it may be stuck in the kernel
            self._process.wait(timeout=0.2)

    def _handle(self, message: Message) -> None:
        match message:
            case {"file": str()}:
                self.files.append(message)
            case {"skipped": path, "reason": reason}:
                self.skipped[path] = reason
            case {"pattern": pattern, "matches": matches, "count": count}:
                self.matches[pattern], self.counts[pattern] = matches, count
            case {"ended": True, "complete": is_complete}:
                self._has_ended, self.is_complete = True, is_complete
