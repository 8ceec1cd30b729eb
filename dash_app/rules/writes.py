"""When the content of a database was last written, as opposed to its files.

Checkpoints, the last program that closes a database, `ANALYZE` and replicators write files too.
Pure functions over two readings.
"""

from datetime import datetime

from dash_app.model.reading import HOUSEKEEPING, Reading, TableCount


def last_write(before: Reading | None, now: Reading) -> datetime | None:
    """Return when content was last written; `before` is the last reading with tables, if any.

    If anything else explains what changed, it does not count as a write. An UPDATE is missed if the
    WAL is checkpointed and removed within the same tick.
    """
    written_at = now.wal_modified if now.content_commit else now.last_modified
    if before is None or written_at is None or before.last_modified is None:
        return written_at
    return written_at if _was_written(before, now) else before.last_modified


def _was_written(before: Reading, now: Reading) -> bool:
    if before.file != now.file or _have_rows_changed(before, now):
        return True
    if None not in {before.schema_version, now.schema_version}:
        if (before.objects, before.sequences) != (now.objects, now.sequences):
            return True
        if (before.schema_version, before.statistics) != (now.schema_version, now.statistics):
            return False  # VACUUM or ANALYZE: schema, rows and sequences are the same
    if now.content_commit:
        return now.content_commit != before.content_commit
    return now.file_modified != before.file_modified and _was_main_file_written(before, now)


def _was_main_file_written(before: Reading, now: Reading) -> bool:
    """Whether a main file with a new time was written by more than a checkpoint."""
    if now.journal_mode == "wal":
        # Its last commits may have been checkpointed since, or it has only those of a replicator.
        was_behind = bool(before.wal_bytes) and before.surroundings.backlog_bytes != 0
        return not was_behind and not now.wal_bytes
    is_same = now.change_counter == before.change_counter
    return not is_same or any("write" in holder.uses for holder in now.surroundings.holders or ())


def _have_rows_changed(before: Reading, now: Reading) -> bool:
    """Whether a table was added, removed or has other rows, except housekeeping tables."""
    was, new = (
        {name: count for name, count in reading.tables.items() if not name.startswith(HOUSEKEEPING)}
        for reading in (before, now)
    )
    if was.keys() != new.keys():
        return True
    return any(_has_changed(was[name], count) for name, count in new.items())


def _has_changed(was: TableCount, now: TableCount) -> bool:
    """Whether a table has other rows, or larger rowids: VACUUM only makes them smaller."""
    has_other_rows = was.is_exact and now.is_exact and was.rows != now.rows
    return has_other_rows or bool(was.rowids and now.rowids and now.rowids[1] > was.rowids[1])
