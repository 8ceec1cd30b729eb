"""The demo's temporary folder. Its lock tells a running demo's folder from a leftover."""

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
    """Create a private folder that is locked while in the context and removed afterwards.

    Raise OSError.
    """
    folder, descriptor = _new_folder()
    try:
        yield folder
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)
        os.close(descriptor)


def remove_leftovers() -> None:
    """Remove the folders of demos that were killed. Ignore those that cannot be removed."""
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
        with suppress(FileNotFoundError):  # another demo removed it before it was locked
            return folder, _lock(folder, fcntl.LOCK_EX)


def _lock(folder: Path, operation: int) -> int:
    """Lock the folder itself, not a file in it, because systemd-tmpfiles skips locked folders.

    Return the descriptor that holds the lock; child processes do not inherit it. Raise OSError:
    BlockingIOError if the lock is taken, FileNotFoundError if the folder is gone, another if it is
    a link or not a folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, operation)
        folder.stat()
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
