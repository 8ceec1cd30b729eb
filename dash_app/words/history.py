"""Sentences about Mission Control's own history: paused, new, or short of disk space."""

from datetime import datetime
from pathlib import Path

from dash_app.model.snapshot import Snapshot
from dash_app.words.numbers import short_path
from dash_app.words.problems import disk_line

HISTORY_UNREADABLE = "History can't be read now. Live counts continue."


def history_disk(snapshot: Snapshot) -> str:
    """Describe the history's disk; empty if it has space, or if a database shows the same disk."""
    disk = snapshot.history_disk
    disks = [status.reading.surroundings.disk for status in snapshot.databases]
    if disk is None or not disk.is_worth_showing or disk.device in {d.device for d in disks if d}:
        return ""
    return f"The history's {disk_line(disk).replace('Disk', 'disk')}."


def history_paused(sqlite_error: str) -> str:
    """Return why the history is paused, from SQLite's name of the error."""
    why = "the disk is full" if sqlite_error == "SQLITE_FULL" else "its file can't be written"
    return f"History paused: {why}. Live counts continue."


def history_not_opened(error: Exception) -> str:
    """Return why the history cannot be started again."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    return f"History paused: {why}. Live counts continue."


def history_lost(at: datetime, problem: str, kept: Path | None) -> str:
    """Describe the start of a new history; `kept` is the path of the old file."""
    old_file = f" The old file is kept as {short_path(kept)}." if kept else ""
    return f"The history starts again on {at:%d %b, %H:%M} UTC: {problem}.{old_file}"
