"""Search folders and patterns in a process of its own, which may hang in a folder."""

import time
from pathlib import Path

from dash_app.airlock.line_process import OneShot
from dash_app.model.schema import Schema
from dash_app.reader.protocol import Message
from dash_app.system.decoding import decode_parsed

START_SECONDS = 5.0
"""Time that the process may take beyond the time of its search."""


class Finder(OneShot):
    """A search, and what it has found so far. Not thread-safe.

    `files`: the program of each database by path, None if it is unknown. `schemas`: the tables of
    each by path, if they were asked for and could be read. `skipped`: the reason by path.
    `matches`: the files by pattern; a pattern that could not be searched is missing. `is_over`:
    whether it ended, or was ended; `is_complete`: whether everything was searched.
    """

    def __init__(self, request: Message, seconds: float = 5.0) -> None:
        """Start a search for `folders` or for `patterns`. Raise OSError.

        See `dash_app.reader.find` and `dash_app.reader.match` for the requests.
        """
        module = f"dash_app.reader.{'match' if 'patterns' in request else 'find'}"
        super().__init__(module, {**request, "seconds": seconds})
        self._ends_at = self.received_at + seconds + START_SECONDS
        self.files: dict[Path, str | None] = {}
        self.schemas: dict[Path, Schema] = {}
        self.skipped: dict[str, str] = {}
        self.matches: dict[str, list[Path]] = {}
        self.is_over = self.is_complete = False

    def poll(self) -> bool:
        """Receive what was found, without waiting. Return whether the search is over."""
        if self.is_over:
            return True
        try:
            for message in self.receive():
                self._handle(message)
        except (KeyError, TypeError, ValueError, RecursionError):
            self.is_closed = True
        if self.is_closed or time.monotonic() > self._ends_at:
            self.close()
        return self.is_over

    def wait(self) -> None:
        """Wait until the search is over."""
        while not self.poll():
            self.await_message(max(self._ends_at - time.monotonic(), 0))

    def close(self) -> None:
        """End the search. What was found stays."""
        if not self.is_over:
            self.is_over = True
            self.process.kill()
            self.answers.close()
        self.join(0.2)

    def _handle(self, message: Message) -> None:
        match message:
            case {"file": path, "program": program, "schema": schema}:
                self.files[Path(path)] = program
                if schema:
                    self.schemas[Path(path)] = decode_parsed(Schema, schema)
            case {"skipped": path, "reason": reason}:
                self.skipped[path] = reason
            case {"pattern": pattern, "matches": matches}:
                self.matches[pattern] = [*map(Path, matches)]
            case {"ended": True, "complete": is_complete}:
                self.is_closed, self.is_complete = True, is_complete
