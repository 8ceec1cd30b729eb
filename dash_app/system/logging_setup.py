"""Log one line per event, with its priority if systemd's journal receives it."""

import logging
import os
import time
import traceback
from collections.abc import Hashable
from pathlib import Path

PRIORITIES = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    logging.INFO: 6,
    logging.DEBUG: 7,
}
"""Priorities of sd-daemon(3), by which `journalctl --priority` filters."""

MAX_LINE_CHARACTERS = 1000
"""Longer lines are cut, since they may contain text from a client or a database."""

HOUR_SECONDS = 3600.0
MAX_LINES, MINUTE_SECONDS = 200, 60.0
"""Maximum number of lines per minute from one place in the code."""


class Flood(logging.Filter):
    """Drops and counts the lines of a place in the code that logs too many."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record. The first one after a flood reports the dropped lines."""
        place, now = (record.pathname, record.lineno), time.monotonic()
        since, lines = self._lines.get(place, (now, 0))
        dropped = max(0, lines - MAX_LINES)
        if now - since >= MINUTE_SECONDS:
            since, lines = now, 0
            if dropped:
                _append(record, f"({dropped} lines like this were dropped)")
        self._lines[place] = since, lines + 1
        if lines + 1 == MAX_LINES:
            _append(record, "(further lines like this are dropped for a minute)")
        return lines < MAX_LINES


def _append(record: logging.LogRecord, text: str) -> None:
    record.msg, record.args = f"{record.getMessage()[:MAX_LINE_CHARACTERS]} {text}", ()


class OneLine(logging.Formatter):
    """Formats an event as one line. An exception is reduced to its text and place."""

    def __init__(self, *, for_journal: bool) -> None:
        """Add priorities if the lines are `for_journal`."""
        super().__init__()
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        text = f"{record.levelname} {record.name}: {record.getMessage()}"
        if record.exc_info and record.exc_info[1]:
            text += f": {describe_error(record.exc_info[1])}"
        line = " ".join(text.splitlines())[: MAX_LINE_CHARACTERS + 1]
        # Control characters could move the cursor of a terminal, or make journalctl hide the line.
        line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
        if len(line) > MAX_LINE_CHARACTERS:
            line = f"{line[:MAX_LINE_CHARACTERS]}…"
        return f"<{PRIORITIES[record.levelno]}>{line}" if self._for_journal else line


class OncePerHour:
    """Allows each key once per hour, and at most `max_keys` keys per hour. Not thread-safe."""

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._allowed_at: dict[Hashable, float] = {}

    def allows(self, key: Hashable) -> bool:
        """Whether to log something about a key now; if so, it counts as logged."""
        now = time.monotonic()
        recent = {k: at for k, at in self._allowed_at.items() if now - at < HOUR_SECONDS}
        is_allowed = key not in recent and len(recent) < self._max_keys
        self._allowed_at = recent | {key: now} if is_allowed else recent
        return is_allowed


def describe_error(error: BaseException) -> str:
    """Describe an exception by its text, and the file and line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{error!r}{place}"


def configure() -> None:
    """Log to standard error."""
    handler = logging.StreamHandler()
    # systemd sets this variable if the journal receives the output (systemd.exec(5)).
    handler.setFormatter(OneLine(for_journal="JOURNAL_STREAM" in os.environ))
    handler.addFilter(Flood())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # At INFO, it logs each client that disconnects.
    logging.getLogger("waitress").setLevel(logging.WARNING)
