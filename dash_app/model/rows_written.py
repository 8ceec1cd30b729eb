"""Count the rows written into a table between two readings, including rows deleted since."""

from __future__ import annotations

from dash_app.model.reading import Reading, TableCount

PACKED_ROWS = 1000
"""Unused rowids that a packed table may have, whatever its size."""


def rows_inserted(before: Reading, after: Reading, table: str) -> int:
    """Return the number of rows written into a table between two readings; a lower bound.

    Deletions hide insertions from a row count, but not from rowids that are given out in sequence:
    AUTOINCREMENT promises that, and packed rowids show it.
    """
    was, now = before.tables.get(table), after.tables.get(table)
    if now is None or not now.is_known:
        return 0
    if was is None or not was.is_known:
        return 0 if was else now.rows or 0
    net = (now.rows or 0) - (was.rows or 0)
    if table in before.sequences and table in after.sequences:
        return max(net, after.sequences[table] - before.sequences[table], 0)
    if not was.rowids or not now.rowids or not is_packed(now):
        return max(net, 0)
    return max(net, now.rowids[1] - was.rowids[1], 0)


def is_packed(count: TableCount) -> bool:
    """Whether most rowids are in use, as with sequence numbers, unlike times or hashes."""
    first, last = count.rowids or (0, 0)
    return last - first < 2 * (count.rows or 0) + PACKED_ROWS
