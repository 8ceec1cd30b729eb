"""Send heartbeats to an external monitor, which alerts when they stop."""

import logging
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from threading import Event, Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from dash_app import VERSION
from dash_app.settings.schema import WatchSettings
from dash_app.system.secret_files import read_urls, redact

FIRST_SECONDS = 5.0
"""Maximum pause before the first heartbeat: the first readings are there by then."""

ANSWER_SECONDS = 10.0
"""Maximum time for a response: far below any sensible `heartbeat_every`."""

log = logging.getLogger(__name__)


class Heartbeat:
    """A thread that requests the heartbeat URL at a fixed interval, if one is configured."""

    def __init__(self, watch: WatchSettings, is_fresh: Callable[[], bool]) -> None:
        """Prepare. `is_fresh` returns whether databases are being read."""
        self._file = watch.heartbeat_file
        self._every_seconds = watch.heartbeat_every.total_seconds()
        self._is_fresh = is_fresh
        self._stopped = Event()
        self._problem: str | None = None

    def start(self) -> None:
        """Start the thread: name resolution and an answer may take long."""
        if self._file:
            Thread(target=self._run, args=(self._file,), name="heartbeat", daemon=True).start()

    def stop(self) -> None:
        """Stop sending heartbeats."""
        self._stopped.set()

    def _run(self, file: Path) -> None:
        pause_seconds = min(FIRST_SECONDS, self._every_seconds)
        while not self._stopped.wait(pause_seconds):
            pause_seconds = self._every_seconds
            if self._is_fresh():
                self._log(_send(file))

    def _log(self, problem: str | None) -> None:
        """Log the problem of a heartbeat if it differs from the previous one."""
        if problem and problem != self._problem:
            log.warning(problem)
        elif self._problem and not problem:
            log.info("works again")
        self._problem = problem


def _send(file: Path) -> str | None:
    """Request the URL in a file. Return the problem, without secrets; None if it was answered."""
    try:
        url = read_urls(file)[0]
    except (OSError, ValueError):
        return "its file cannot be read"
    request = Request(url, headers={"User-Agent": f"MissionControl/{VERSION}"})  # noqa: S310 - checked
    try:
        with urlopen(request, timeout=ANSWER_SECONDS):  # noqa: S310 - checked with the settings
            return None
    except HTTPError as error:
        return f"{redact(url)} answered {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        return f"{redact(url)} cannot be reached: {type(error).__name__}"
