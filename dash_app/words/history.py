"""Sentences on Mission Control's own history, if it is paused, new or short of disk space."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from dash_app.model.snapshot import Snapshot
from dash_app.words.numbers import short_path
from dash_app.words.problems import disk_line


def history_disk(snapshot: Snapshot) -> str:
    """Return how full the disk of our own record is, if that matters and no card says so."""
    disk = snapshot.history_disk
    disks = [status.reading.surroundings.disk for status in snapshot.databases]
    told = {one.device for one in disks if one}
    if disk is None or not disk.is_worth_a_line or disk.device in told:
        return ""
    return f"The history's {disk_line(disk).replace('Disk', 'disk')}."


HISTORY_UNREADABLE = "The history can't be read now. Live counts go on."


def history_paused(sqlite_error: str) -> str:
    """Return why our own record stands still, by SQLite's name for it."""
    why = "the disk is full" if sqlite_error == "SQLITE_FULL" else "its file can't be written"
    return f"History paused: {why}. Live counts go on."


def history_not_opened(error: Exception) -> str:
    """Return why our own record cannot begin again."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    return f"History paused: {why}. Live counts go on."


def history_lost(at: datetime, problem: str, kept: Path | None) -> str:
    """Return since when and why our own record begins again."""
    held = f" The lost file is kept as {short_path(kept)}." if kept else ""
    return f"The history begins again on {at:%d %b, %H:%M} UTC: {problem}.{held}"
