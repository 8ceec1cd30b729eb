"""A sign of life to a monitor elsewhere, given only while we read, so that silence tells."""

from __future__ import annotations

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
"""After so long the first readings are there."""

ANSWER_SECONDS = 10.0

log = logging.getLogger(__name__)


class Heartbeat:
    """Asks for a URL time and again, if the settings name one."""

    def __init__(self, watch: WatchSettings, is_fresh: Callable[[], bool]) -> None:
        """Take where the URL stands, and what says whether there is life to give a sign of."""
        self._file = watch.heartbeat_file
        self._every_seconds = watch.heartbeat_every.total_seconds()
        self._is_fresh = is_fresh
        self._over = Event()
        self._problem: str | None = None

    def start(self) -> None:
        """Begin, in a thread of its own: an answer may take long, and a name even longer."""
        if self._file:
            Thread(target=self._run, args=(self._file,), name="heartbeat", daemon=True).start()

    def stop(self) -> None:
        """Give no sign any more."""
        self._over.set()

    def _run(self, file: Path) -> None:
        pause_seconds = min(FIRST_SECONDS, self._every_seconds)
        while not self._over.wait(pause_seconds):
            pause_seconds = self._every_seconds
            if self._is_fresh():
                self._note(_problem(file))

    def _note(self, problem: str | None) -> None:
        """Log what became of a sign, where it is not as before."""
        if problem and problem != self._problem:
            log.warning(problem)
        elif self._problem and not problem:
            log.info("answered again")
        self._problem = problem


def _problem(file: Path) -> str | None:
    """Ask for the URL in a file; return what kept it from being answered well, without secrets."""
    try:
        url = read_urls(file)[0]
    except (OSError, ValueError):
        return "its file cannot be read"
    request = Request(url, headers={"User-Agent": f"MissionControl/{VERSION}"})  # noqa: S310 - checked
    try:
        with urlopen(request, timeout=ANSWER_SECONDS):  # noqa: S310 - with the settings
            return None
    except HTTPError as error:
        return f"{redact(url)} answered {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        return f"{redact(url)} cannot be reached: {type(error).__name__}"
