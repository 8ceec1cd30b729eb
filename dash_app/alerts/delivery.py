"""Send notifications in a short-lived child process, which frees apprise's memory when it exits."""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread, Timer
from typing import Any

from dash_app.model.notification import Notification

LIMIT_SECONDS = 60.0
"""Maximum lifetime of the child, which takes seconds unless receivers hang. It is killed then, and
later attempts send the rest."""

STOP_SECONDS = 2.5
"""Maximum wait for attempts under way when the service stops: an attempt whose result is lost is
repeated after the next start, and delivers a second copy."""

Result = dict[str, Any]
"""A line of the child, by the `id` of its notification. For each attempt: the ids of the `receiver`
and its `url`, and a `problem` or None. At the end of each notification: its `failure` or None.
Either has an `outcome` as in `receivers`."""

log = logging.getLogger(__name__)


class Delivery:
    """Sends one batch of notifications at a time. For one thread, except `stop_starting`."""

    def __init__(self, urls_file: Path, on_result: Callable[[], object]) -> None:
        self._urls_file = urls_file
        self._on_result = on_result
        self._results: SimpleQueue[Result] = SimpleQueue()
        self._process: subprocess.Popen[str] | None = None
        self._thread: Thread | None = None
        self._is_stopping = False

    @property
    def is_ready(self) -> bool:
        """Whether the previous batch is finished and the service is not stopping."""
        return not self._is_stopping and (self._thread is None or not self._thread.is_alive())

    def start(self, notifications: Sequence[Notification], types: Mapping[str, str]) -> None:
        """Send a batch in the background, if `is_ready`; `types` are apprise's, by id."""
        thread = Thread(target=self._run, args=(notifications, types), name="delivery", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no thread is left
            for note in notifications:
                self._results.put(_failure(note.id, f"could not be sent: {error}"))
        else:
            self._thread = thread

    def results(self) -> Iterator[Result]:
        """Yield the results since the previous call."""
        with suppress(Empty):
            while True:
                yield self._results.get_nowait()

    def stop_starting(self) -> None:
        """Start no further attempt; the child finishes those under way."""
        self._is_stopping = True
        if process := self._process:  # read once: another thread sets it to None
            process.terminate()

    def stop(self) -> None:
        """Wait for attempts under way, but at most `STOP_SECONDS`."""
        self.stop_starting()
        if self._thread:
            self._thread.join(STOP_SECONDS)
        if process := self._process:
            process.kill()

    def send(
        self, notifications: Sequence[Notification], types: Mapping[str, str]
    ) -> Iterator[Result]:
        """Send a batch and yield the results; the last one of each notification has a `failure`."""
        unfinished = {notification.id for notification in notifications}
        deadline = time.monotonic() + LIMIT_SECONDS
        failure = ""
        try:
            for result in self._talk(notifications, types):
                unfinished -= {result["id"]} if "failure" in result else set()
                yield result
        except (OSError, ValueError, RuntimeError) as error:  # the last one: no thread is left
            failure = f"could not be sent: {error}"
        if not self._is_stopping:
            is_late = time.monotonic() >= deadline
            late = f"was not sent within {LIMIT_SECONDS:.0f} s"
            failure = failure or (late if is_late else "the process that sends it ended early")
            for id_ in unfinished:
                yield _failure(id_, failure)

    def _run(self, notifications: Sequence[Notification], types: Mapping[str, str]) -> None:
        for result in self.send(notifications, types):
            self._results.put(result)
            self._on_result()

    def _talk(
        self, notifications: Sequence[Notification], types: Mapping[str, str]
    ) -> Iterator[Result]:
        """Start the child and yield the lines that it prints. Raise OSError or ValueError."""
        fields = ("id", "title", "body", "delivered_to", "refused")
        request = {
            "urls_file": str(self._urls_file),
            "notifications": [
                {"type": types[note.id], **{name: getattr(note, name) for name in fields}}
                for note in notifications
            ],
        }
        with subprocess.Popen(
            [sys.executable, "-m", "dash_app.alerts.sender_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a library's complaint may contain a token
            text=True,
            process_group=0,  # a Ctrl-C in the terminal is for the service to handle
        ) as process:
            if process.stdin is None or process.stdout is None:
                raise OSError("no pipes")
            self._process = process
            if self._is_stopping:
                process.terminate()
            limit = Timer(LIMIT_SECONDS, process.kill)
            limit.start()
            try:
                process.stdin.write(json.dumps(request))
                process.stdin.close()
                for line in process.stdout:
                    yield json.loads(line)
            finally:
                limit.cancel()
                self._process = None


def _failure(id_: str, text: str) -> Result:
    return {"id": id_, "failure": text, "outcome": "unclear"}
