"""Read small text files that a person wrote: configuration, tokens, URLs."""

import os
import stat
from pathlib import Path

MAX_BYTES = 1_000_000
"""Twice the size of a configuration of a thousand databases."""


def read_text(path: Path, max_bytes: int = MAX_BYTES) -> tuple[str, int]:
    """Read a regular file of UTF-8; return its text and its permission bits.

    A byte order mark is removed. Pipes and devices are rejected before they are opened. Raise
    ValueError with the reason, or OSError.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # opening a device can have side effects
        raise ValueError("is not a regular file")
    # Without O_NONBLOCK, a pipe that replaced the file meanwhile would block here.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("is not a regular file")
        content = file.read(max_bytes + 1)
    if content is None:  # a kernel file that has no data yet
        raise ValueError("is not a regular file")
    if len(content) > max_bytes:
        raise ValueError(f"is larger than {max_bytes // 1000} kB")
    try:
        return content.decode("utf-8-sig"), stat.S_IMODE(mode)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"is not UTF-8 text (line {line}): save it as UTF-8") from None
