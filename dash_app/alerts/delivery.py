"""Has messages sent by a short-lived child, so that what sends them never stays in the service."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread, Timer
from typing import Any

from dash_app.model.notification import Notification

LIMIT_SECONDS = 60.0
"""The child ends in seconds unless receivers hang: what they did not get is tried again."""

LAST_SECONDS = 2.5
"""At the end, what is under way may take so long: it would be sent twice if nobody heard of it."""

News = dict[str, Any]
"""What the child prints of a message, by its `mark`: the `problem` with a `receiver` of a `url` or
None; at last the `failure` of the whole or None. Both have an `outcome`, as in `receivers`."""

log = logging.getLogger(__name__)


class Delivery:
    """Sends some messages at a time. For one thread, but for `hurry`."""

    def __init__(self, urls_file: Path, on_news: Callable[[], object]) -> None:
        """Take where the URLs stand, and what to do once there is news."""
        self._urls_file = urls_file
        self._on_news = on_news
        self._news: SimpleQueue[News] = SimpleQueue()
        self._process: subprocess.Popen[str] | None = None
        self._thread: Thread | None = None
        self._is_ending = False

    @property
    def is_ready(self) -> bool:
        """Whether messages may be sent now."""
        return not self._is_ending and (self._thread is None or not self._thread.is_alive())

    def begin(self, messages: Sequence[Notification], types: Mapping[str, str]) -> None:
        """Send messages, while `is_ready`; `types` are apprise's, by the messages' marks."""
        self._thread = Thread(
            target=self._send, args=(messages, types), name="delivery", daemon=True
        )
        self._thread.start()

    def news(self) -> Iterator[News]:
        """Yield what was heard since the last time."""
        while True:
            try:
                yield self._news.get_nowait()
            except Empty:
                return

    def hurry(self) -> None:
        """Begin nothing more; the child finishes what is under way."""
        self._is_ending = True
        if process := self._process:  # read once: another thread sets it to None
            process.terminate()

    def end(self) -> None:
        """Wait for what is under way, and no longer than it may take."""
        self.hurry()
        if self._thread:
            self._thread.join(LAST_SECONDS)
        if process := self._process:
            process.kill()

    def send(self, messages: Sequence[Notification], types: Mapping[str, str]) -> Iterator[News]:
        """Send messages, and yield what is heard of them; at last of each whether all have it."""
        unheard = {one.mark for one in messages}
        ends = time.monotonic() + LIMIT_SECONDS
        failure = ""
        try:
            for news in self._talk(messages, types):
                unheard -= {news["mark"]} if "failure" in news else set()
                yield news
        except (OSError, ValueError) as error:
            failure = f"could not be sent: {error}"
        if not self._is_ending:
            is_late = time.monotonic() >= ends
            late = f"was not sent within {LIMIT_SECONDS:.0f} s"
            failure = failure or (late if is_late else "the process that sends it ended early")
            for mark in unheard:
                yield {"mark": mark, "failure": failure, "outcome": "unclear"}

    def _send(self, messages: Sequence[Notification], types: Mapping[str, str]) -> None:
        for news in self.send(messages, types):
            self._news.put(news)
            self._on_news()

    def _talk(self, messages: Sequence[Notification], types: Mapping[str, str]) -> Iterator[News]:
        """Start the child and yield what it says. Raises OSError, ValueError."""
        fields = ("mark", "title", "body", "reached", "refused")
        wanted = [
            {"type": types[one.mark], **{name: getattr(one, name) for name in fields}}
            for one in messages
        ]
        asked = {"urls_file": str(self._urls_file), "messages": wanted}
        with subprocess.Popen(
            [sys.executable, "-m", "dash_app.alerts.sender_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a library's complaint may hold a token
            text=True,
            process_group=0,  # a Ctrl-C in the terminal is for the service to handle
        ) as process:
            if process.stdin is None or process.stdout is None:
                raise OSError("no pipes")
            self._process = process
            if self._is_ending:
                process.terminate()
            limit = Timer(LIMIT_SECONDS, process.kill)
            limit.start()
            try:
                process.stdin.write(json.dumps(asked))
                process.stdin.close()
                for line in process.stdout:
                    yield json.loads(line)
            finally:
                limit.cancel()
                self._process = None
