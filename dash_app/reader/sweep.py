"""Sweep through the pages of a database without SQLite, in short steps, and find damaged ones.

Each tree is walked from its root. What is read together, for up to 10 ms, is a unit: it counts only
if the file stood still meanwhile, and is read again otherwise. No lock is taken and nothing is kept
open, so the sweep holds back neither a writer nor its WAL.
"""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dash_app.reader.files import explain_os_error, identity_of
from dash_app.reader.page_walk import LOWEST, Position, Walk
from dash_app.reader.raw_pages import NotStillError, RawPages, open_pages
from dash_app.reader.schema import ROWS, list_tables, short_name

UNIT_SECONDS = 0.01
RETRY_SECONDS = 0.005
MAX_SUSPECTS = 1000
VERSION = 2
"""The version of the format of `progress`."""


class Target(NamedTuple):
    """A B-tree: a table or an index."""

    name: str
    table: str
    """The table of an index; for a table its own name."""
    root: int
    is_index: bool
    """Whether its pages are those of an index: also true for a table WITHOUT ROWID."""


FREELIST = Target("", "", 0, is_index=False)


class Suspect(NamedTuple):
    """A page that cannot be right. SQLite has not confirmed it."""

    page: int
    name: str
    """The table or index; empty for the freelist."""
    table: str
    reason: str
    rowids: tuple[int, int] | None
    """The lowest and the highest rowid that its parents allow; None for pages of an index."""


def read_targets(connection: sqlite3.Connection) -> tuple[list[Target], int]:
    """Return the B-trees of a schema, and the schema's version. Raise sqlite3.Error."""
    signed_version: int = connection.execute("PRAGMA main.schema_version").fetchone()[0]
    version = signed_version & 0xFFFFFFFF  # as in the header
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
    earlier object.

    `is_outdated`: the schema or the file has changed; read the targets, and continue with a new
      object.
    `blocked`: why the last step could read nothing, in a sentence; None if it could.
    """

    def __init__(
        self,
        path: str,
        targets: Sequence[Target],
        schema_version: int,
        progress: Mapping[str, Any] | None = None,
    ) -> None:
        self.suspects: list[Suspect] = []
        self.is_outdated = False
        self.blocked: str | None = None
        self.free_pages = 0
        self.page_bytes = 0
        self._path = path
        self._schema_version = schema_version
        self._file = identity_of(path)
        self._key = [VERSION, *(self._file or ())]
        self._count = 0
        self._trees: dict[Target, tuple[int, Position | None]] = {}
        self._left = [*targets, FREELIST]
        if progress and progress["key"] == self._key:
            self._restore(progress)

    @property
    def is_done(self) -> bool:
        """Whether all trees and the freelist were read."""
        return not self._left

    @property
    def share(self) -> float:
        """The share of the pages that was read, from 0 to 1."""
        if self.is_done:
            return 1.0
        read = sum(pages for pages, _ in self._trees.values())
        return min(read / self._count, 1.0) if self._count else 0.0

    @property
    def bytes_by_name(self) -> dict[str, int]:
        """The bytes of the pages of each table and index that was read to its end."""
        return {
            target.name: pages * self.page_bytes
            for target, (pages, following) in self._trees.items()
            if following is None and target != FREELIST
        }

    @property
    def progress(self) -> dict[str, Any]:
        """All that a new object needs to continue, as JSON."""
        return {
            "key": self._key,
            "count": self._count,
            "page_bytes": self.page_bytes,
            "trees": [(target, *read) for target, read in self._trees.items()],
            "suspects": self.suspects,
        }

    def step(self, seconds: float) -> None:
        """Read for about `seconds`, less if nothing is left to read now.

        No connection of this process to the database may be open meanwhile: see
        `files.read_start`. Raise UnreadableError.
        """
        deadline = time.monotonic() + seconds
        reason, has_read = None, False
        while self._left and not self.is_outdated:
            now = time.monotonic()
            if now >= deadline:
                break
            try:
                with open_pages(self._path) as pages:
                    self._read_unit(pages, min(deadline, now + UNIT_SECONDS))
                has_read = True
            except NotStillError as error:
                reason = str(error)
                time.sleep(RETRY_SECONDS)
            except OSError as error:
                raise explain_os_error(error, self._path) from error
        self.blocked = None if has_read else reason

    def _read_unit(self, pages: RawPages, deadline: float) -> None:
        if (self._file, self._schema_version) != (pages.identity, pages.schema_version):
            self.is_outdated = True
            return
        target = self._left[0]
        known, position = self._trees.get(target, (0, LOWEST))
        walk = Walk(pages, is_index=target.is_index)
        following: Position | None = None
        if target == FREELIST:
            walk.freelist()
        elif position is not None:
            following = walk.tree(target.root, position, deadline)
        if not pages.stood_still():
            raise NotStillError("It is written without a pause.")
        self._count, self.page_bytes = pages.count, pages.page_bytes
        self.free_pages = pages.free_count
        read = len(walk.claims) - walk.above + walk.skipped
        self._trees[target] = known + read, following
        self._left = self._left if following is not None else self._left[1:]
        for page, reason, rowids in walk.problems:
            suspect = Suspect(page, target.name, target.table, reason, rowids)
            self.suspects += [] if suspect in self.suspects else [suspect]
        del self.suspects[MAX_SUSPECTS:]

    def _restore(self, progress: Mapping[str, Any]) -> None:
        """Continue where an earlier object stopped, except in trees that are gone."""
        trees = {Target(*target): (pages, at) for target, pages, at in progress["trees"]}
        self._trees = {target: trees[target] for target in self._left if target in trees}
        self._left = [t for t in self._left if self._trees.get(t, (0, LOWEST))[1] is not None]
        self._count, self.page_bytes = progress["count"], progress["page_bytes"]
        names = {target.name for target in self._trees}
        for *about, rowids in progress["suspects"]:
            suspect = Suspect._make([*about, rowids and tuple(rowids)])
            self.suspects += [suspect] if suspect.name in names else []
