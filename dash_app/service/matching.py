"""Search for the files that patterns match: once, and regularly while the service runs."""

import logging
import time

from dash_app.airlock.finder import Finder
from dash_app.model.reading import GONE
from dash_app.model.snapshot import Snapshot
from dash_app.settings import Settings
from dash_app.settings.patterns import Found, with_found

SEARCH_EVERY_SECONDS = 40.0
"""A search takes 36 ms of a core, 0.1% at this interval. Even beside a mount that hangs, a new file
is watched within a minute."""

ONCE_SECONDS = 2.0
"""Maximum time for a search on which a command, or the start of the service, waits. The start of
its process does not count: on a busy machine, it may take longer."""

log = logging.getLogger(__name__)


def with_files(settings: Settings) -> Settings:
    """Return settings with the files that their patterns match now, if there are patterns.

    A pattern whose search does not end in time keeps the files that it had.
    """
    finder = _start(settings, ONCE_SECONDS)
    if finder is None:
        return settings
    finder.wait()
    finder.close()
    return with_found(settings, finder.matches)


def over(snapshot: Snapshot | None) -> set[str]:
    """Return the databases whose file is gone, which needs nobody, or nobody any more."""
    return {
        status.database.name
        for status in (snapshot.databases if snapshot else ())
        if status.reading.code in GONE and not status.needs_you
    }


class PatternSearch:
    """Searches again and again, each time in a process of its own. For one thread."""

    def __init__(self) -> None:
        self._finder: Finder | None = None
        self._is_reported = False
        self._due = time.monotonic() + SEARCH_EVERY_SECONDS

    def poll(self, settings: Settings) -> Found | None:
        """Return once what a search found, without waiting; start the next one if it is due."""
        finder = self._finder
        if finder and not self._is_reported:
            self._is_reported = finder.poll()
            return finder.matches if self._is_reported else None
        is_stuck = finder is not None and finder.process.poll() is None  # in the kernel
        if time.monotonic() >= self._due and not is_stuck:
            self._due = time.monotonic() + SEARCH_EVERY_SECONDS
            self._finder, self._is_reported = _start(settings), False
        return None

    def close(self) -> None:
        """End a search that is running."""
        if self._finder:
            self._finder.close()


def _start(settings: Settings, seconds: float = 10.0) -> Finder | None:
    """Start a search; return None if there is no pattern, or no process can be started."""
    if not (patterns := [pattern.path for pattern in settings.patterns]):
        return None
    try:
        return Finder({"patterns": patterns}, seconds)
    except OSError as error:
        log.error("cannot search for the files of patterns: %s", error)
        return None
