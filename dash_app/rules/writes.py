"""Decides when a database's content was last written, as opposed to its files.

Checkpoints, the last program that closes a database, `ANALYZE` and replicators write
files too. Pure functions over two readings.
"""

from __future__ import annotations

from datetime import datetime

from dash_app.model.reading import HOUSEKEEPING, Reading, TableCount


def last_write(before: Reading | None, now: Reading) -> datetime | None:
    """Return when content was last written, given the last reading with tables, if any.

    If another explanation fits all that was seen, it was not written again. A change in place
    within the tick in which the WAL is checkpointed and removed cannot be seen.
    """
    written_at = now.wal_modified if now.content_commit else now.last_modified
    if before is None or written_at is None or before.last_modified is None:
        return written_at
    return written_at if _was_written(before, now) else before.last_modified


def _was_written(before: Reading, now: Reading) -> bool:
    """Return whether content was written between two readings."""
    if before.file != now.file or _have_rows_changed(before, now):
        return True
    if None not in {before.schema_version, now.schema_version}:
        if before.objects != now.objects:
            return True
        was, new = ((one.schema_version, one.statistics) for one in (before, now))
        if was != new:
            return False  # the same schema, rows and numbering after VACUUM or ANALYZE
    if now.content_commit:
        return now.content_commit != before.content_commit
    return now.file_modified != before.file_modified and _was_main_file_written(before, now)


def _was_main_file_written(before: Reading, now: Reading) -> bool:
    """Return whether a main file that has another time was written by more than a checkpoint."""
    if now.journal_mode == "wal":
        # Its last commits may have been checkpointed since, or it has those of a replicator alone.
        backlog = before.surroundings.backlog_bytes
        was_behind = bool(before.wal_bytes) and backlog != 0
        return not was_behind and not now.wal_bytes
    is_same = now.change_counter == before.change_counter
    return not is_same or any("write" in one.uses for one in now.surroundings.holders or ())


def _have_rows_changed(before: Reading, now: Reading) -> bool:
    """Return whether a table came, went or has other rows, except housekeeping tables."""
    was, new = (
        {name: count for name, count in reading.tables.items() if not name.startswith(HOUSEKEEPING)}
        for reading in (before, now)
    )
    if was.keys() != new.keys() or before.sequences != now.sequences:
        return True
    return any(_has_changed(was[name], count) for name, count in new.items())


def _has_changed(was: TableCount, now: TableCount) -> bool:
    """Return whether a table has other rows, or larger rowids: VACUUM only makes them smaller."""
    has_other_rows = was.is_exact and now.is_exact and was.rows != now.rows
    return has_other_rows or bool(was.rowids and now.rowids and now.rowids[1] > was.rowids[1])
