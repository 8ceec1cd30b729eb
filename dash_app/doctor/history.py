"""Whether the history file can be written."""

from __future__ import annotations

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
    closed = next((needed for needed in _needed(path) if not _can_write(needed)), None)
    if closed is None:
        yield Check("well", "history", f"History {shown} can be written.")
        return
    text = f"History {shown} cannot be written: {_why(closed)}"
    yield Check("fault", "history_not_writable", text, _cure(closed, place))


def _needed(path: Path) -> Iterator[Path]:
    """Yield what must be writable: the nearest existing folder, and the files in it."""
    yield next(folder for folder in path.parents if _is_there(folder))
    sides = (path.with_name(f"{path.name}{side}") for side in ("", "-wal", "-shm"))
    yield from (side for side in sides if _is_there(side))


def _is_there(path: Path) -> bool:
    """Whether a path exists. Unlike `exists`, this does not raise behind a closed folder."""
    return os.access(path, os.F_OK)


def _can_write(path: Path) -> bool:
    return os.access(path, os.W_OK | os.X_OK if path.is_dir() else os.W_OK)


def _is_read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _why(closed: Path) -> str:
    shown = numbers.short_path(closed)
    if _is_read_only(closed):
        return f"the file system of {shown} is read-only."
    return (
        f"{shown} belongs to {user_name(closed.stat().st_uid)} and cannot be written by this user."
    )


def _cure(closed: Path, place: WordingContext) -> str:
    own = home()
    if _is_read_only(closed) or own is None or not closed.is_relative_to(own):
        # Never suggest to change the owner of a system folder.
        return f"Set another `path` under [history] in {place.config}."
    if closed.stat().st_uid == os.geteuid():
        return f"chmod u+rwX {shlex.quote(str(closed))}"
    return f"sudo chown {place.user}: {shlex.quote(str(closed))}"
