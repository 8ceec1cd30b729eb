"""The demo's temporary folder: locked as long as it is in use, so that leftovers can be told."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "mission-control-demo-"


@contextmanager
def held_folder() -> Iterator[Path]:
    """Make a folder for this user alone, locked while in the context and removed after it.

    Raises OSError.
    """
    folder, descriptor = _new_folder()
    try:
        yield folder
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)
        os.close(descriptor)


def sweep() -> None:
    """Remove the folders of demos that ended without doing so; leave whatever cannot be removed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            descriptor = _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    shutil.rmtree(folder)
            finally:
                os.close(descriptor)


def _new_folder() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        with suppress(FileNotFoundError):  # swept by another demo before it was locked
            return folder, _lock(folder, fcntl.LOCK_EX)


def _lock(folder: Path, how: int) -> int:
    """Lock a folder itself, not a file in it: systemd-tmpfiles leaves locked folders alone.

    Returns the descriptor that holds the lock, which no child process inherits. Raises OSError:
    BlockingIOError when it is held, FileNotFoundError when the folder is gone, others when it is a
    link or no folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, how)
        folder.stat()
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
