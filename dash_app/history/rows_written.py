"""Tells rows that were written from rows that are left: a pruned table is not a dead one."""

from __future__ import annotations

from dash_app.model.reading import Reading, TableCount

PACKED_ROWS = 1000
"""So many rowids may be out of use, whatever the size of the table."""


def rows_inserted(before: Reading, after: Reading, table: str) -> int:
    """Return how many rows were written into a table between two readings, as far as can be told.

    Deletions hide insertions from a count, but not from rowids: those of a table that numbers its
    rows one by one, which AUTOINCREMENT promises and closely packed rowids show.
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
    """Whether rowids are numbers in a row, and not times or the like: most of them are in use."""
    least, greatest = count.rowids or (0, 0)
    return greatest - least < 2 * (count.rows or 0) + PACKED_ROWS
