"""Whether the history file can be written."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from dash_app.doctor.check import Check
from dash_app.system.users import home, user_name
from dash_app.words import numbers
from dash_app.words.errors import WordingContext


def examine(path: Path, place: WordingContext) -> Iterator[Check]:
    """Yield the first obstacle to writing the history, or that there is none."""
    shown = numbers.short_path(path)
    for needed in _needed(path):
        if not os.access(needed, os.W_OK | os.X_OK if needed.is_dir() else os.W_OK):
            yield _obstacle(needed, shown, place)
            return
    yield Check("well", "history", f"History {shown} can be written.")


def _needed(path: Path) -> Iterator[Path]:
    """Yield what must be writable: the nearest existing folder, and the files in it."""
    yield next(folder for folder in path.parents if _is_there(folder))
    sides = (path.with_name(f"{path.name}{side}") for side in ("", "-wal", "-shm"))
    yield from (side for side in sides if _is_there(side))


def _is_there(path: Path) -> bool:
    """Whether a path exists. Unlike `exists`, this does not raise behind a closed folder."""
    return os.access(path, os.F_OK)


def _obstacle(closed: Path, history: str, place: WordingContext) -> Check:
    is_read_only = bool(os.statvfs(closed).f_flag & os.ST_RDONLY)
    owner, own = closed.stat().st_uid, home()
    shown = numbers.short_path(closed)
    why = f"{shown} belongs to {user_name(owner)} and cannot be written by this user."
    if is_read_only:
        why = f"the file system of {shown} is read-only."
    if is_read_only or own is None or not closed.is_relative_to(own):
        # Never suggest to change the owner of a system folder.
        cure = f"Set another `path` under [history] in {place.config}."
    elif owner == os.geteuid():
        cure = f"chmod u+rwX {shlex.quote(str(closed))}"
    else:
        cure = f"sudo chown {place.user}: {shlex.quote(str(closed))}"
    text = f"History {history} cannot be written: {why}"
    return Check("fault", "history_not_writable", text, cure)
