"""How events are logged: a line each, with its priority where systemd's journal reads along."""

from __future__ import annotations

import logging
import os
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
        line = " ".join(text.splitlines())
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
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a line for each waiting request
