"""How events are logged: a line each, with its priority where systemd's journal reads along."""

from __future__ import annotations

import logging
import os
import time
import traceback
from pathlib import Path

PRIORITIES = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    logging.INFO: 6,
    logging.DEBUG: 7,
}
"""Those of sd-daemon(3), which `journalctl --priority` chooses by."""


MAX_LINE_CHARACTERS = 1000
"""A longer line is cut: a client or a database may have written the texts in it."""

MAX_LINES, MINUTE_SECONDS = 200, 60.0
"""Maximum number of lines that one place in the code logs per minute."""


class Flood(logging.Filter):
    """Holds back, and counts, further lines of a place in the code that logs too many."""

    def __init__(self) -> None:
        """Start with nothing logged."""
        super().__init__()
        self._lines: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record. The first one after a flood counts those held back."""
        place, now = (record.pathname, record.lineno), time.monotonic()
        since, lines = self._lines.get(place, (now, 0))
        held_back = max(0, lines - MAX_LINES)
        if now - since >= MINUTE_SECONDS:
            since, lines = now, 0
            if held_back:
                _append(record, f"({held_back} more like this before)")
        self._lines[place] = since, lines + 1
        if lines + 1 == MAX_LINES:
            _append(record, "(more like this are left out for a minute)")
        return lines < MAX_LINES


def _append(record: logging.LogRecord, text: str) -> None:
    record.msg, record.args = f"{record.getMessage()[:MAX_LINE_CHARACTERS]} {text}", ()


class OneLine(logging.Formatter):
    """A line an event, whatever the message holds; of an exception, what and where it was."""

    def __init__(self, *, for_journal: bool) -> None:
        """Take whether the journal reads the lines."""
        super().__init__()
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = f"{record.levelname} {record.name}: {record.getMessage()}"
        if record.exc_info and record.exc_info[1]:
            text += f": {described(record.exc_info[1])}"
        line = " ".join(text.splitlines())[: MAX_LINE_CHARACTERS + 1]
        # Text of others could move the cursor of a terminal, or have journalctl hide the line.
        line = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)
        if len(line) > MAX_LINE_CHARACTERS:
            line = f"{line[:MAX_LINE_CHARACTERS]}…"
        return f"<{PRIORITIES[record.levelno]}>{line}" if self._for_journal else line


def described(error: BaseException) -> str:
    """Return an exception as what it says, and the file and line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{error!r}{place}"


def start() -> None:
    """Log to standard error from now on."""
    handler = logging.StreamHandler()
    # systemd sets it for a service whose output it keeps, systemd.exec(5).
    handler.setFormatter(OneLine(for_journal="JOURNAL_STREAM" in os.environ))
    handler.addFilter(Flood())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("waitress").setLevel(logging.WARNING)  # or a line for each client that leaves
