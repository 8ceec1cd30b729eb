"""Read the pages of a database without SQLite, in short steps, and find those that are damaged."""

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from dash_app.reader.schema import ROWS, list_tables, short_name


class Target(NamedTuple):
    """A B-tree: a table or an index."""

    name: str
    table: str
    """The table of an index; for a table its own name."""
    root: int
    is_index: bool
    """Whether its pages are those of an index: also true for a table WITHOUT ROWID."""


class Suspect(NamedTuple):
    """A page whose bytes were wrong in two moments, at least 0.3 s apart, without a write between.

    SQLite has not confirmed it.
    """

    page: int
    name: str
    """The table or index; empty for the freelist."""
    table: str
    reason: str
    rowids: tuple[int, int] | None
    """The lowest and the highest rowid that its parent allows; None for pages of an index."""


def read_targets(connection: sqlite3.Connection) -> tuple[list[Target], int]:
    """Return the B-trees of a schema, and the schema's version. Raise sqlite3.Error."""
    version: int = connection.execute("PRAGMA main.schema_version").fetchone()[0]
    without_rowid = {name for name, _, is_without in list_tables(connection) if is_without}
    targets = [Target("sqlite_schema", "sqlite_schema", 1, is_index=False)]
    for kind, name, table, _, root in connection.execute(ROWS):
        if root > 1:  # views, triggers and virtual tables have 0
            is_index = kind == b"index" or name in without_rowid
            targets.append(Target(short_name(name), short_name(table), root, is_index))
    return targets, version


class PageSweep:
    """A pass over all pages of one database, which steps continue.

    `schema_version` is that of the moment when the targets were read. `progress` is that of an
    earlier object for the same file and schema; any other is ignored.
    """

    is_done = False
    is_outdated = False
    """Whether the schema or the file has changed: read the targets again and start a new pass."""
    blocked: str | None = None
    """Why the last step could read nothing, in a sentence; None if it could."""
    unrelated_pages = 0
    """Pages that never stood still, so that only their own bytes were checked."""
    free_pages = 0

    def __init__(
        self, path: str, targets: Sequence[Target], schema_version: int, progress: object = None
    ) -> None:
        self._given = path, targets, schema_version, progress
        self.suspects: list[Suspect] = []
        self.bytes_by_name: dict[str, int] = {}

    @property
    def share(self) -> float:
        """The share of the pages that was read, from 0 to 1."""
        raise NotImplementedError

    @property
    def progress(self) -> dict[str, Any]:
        """All that a new object needs to continue, as JSON."""
        raise NotImplementedError

    def step(self, seconds: float) -> None:
        """Read for about so many seconds, less if it is done.

        No connection of this process to the database may be open meanwhile: see
        `files.read_start`. Raise OSError or UnreadableError.
        """
        raise NotImplementedError
