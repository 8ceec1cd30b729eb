"""The page-check process: looks for damage in one database, in short steps with long rests.

Argument: the parent's pid. Request, one line: `path`, `share` (of one core, from 0 to 1), and how
far an earlier process got: `done` (names of tables) and `progress`. Messages:
- `{"rests_until": TIME, "sidecars": COUNT}`: nothing is open until then (monotonic clock)
- `{"progress": {...}, "share": SHARE}`: from here, another process can continue
- `{"bytes": {NAME: BYTES, ...}, "tables": {INDEX: TABLE, ...}}` once all pages were read
- `{"damaged": TABLE, "pages": COUNT}` as soon as damage is certain; `TABLE` is empty for the schema
  and for unused pages
- `{"checked": TABLE, "note": TEXT}` once a table was checked to its end
- `{"ended": true}` or `{"failed": REASON}` last
"""

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from dash_app.reader import sandbox
from dash_app.reader.files import UnreadableError
from dash_app.reader.protocol import MAX_DATA_BYTES, OUT_OF_MEMORY, Message, from_line, send
from dash_app.reader.rowid_scan import MIN_ROWID, Rowids
from dash_app.reader.short_reads import (
    BUSY_SECONDS,
    MAX_ATTEMPTS,
    STILL_SECONDS,
    Answer,
    GiveUpError,
    Limits,
    ShortReads,
    TooLongError,
)
from dash_app.reader.sweep import PageSweep, Suspect, Target, read_targets
from dash_app.reader.table_check import (
    UNCOUNTED,
    UNNAMED,
    UNSWEPT,
    WITHOUT_ROWID,
    DamagedError,
    NotComparedError,
    OrderError,
    Plan,
    Position,
    check_slice,
    check_whole,
    compare_counts,
    read_bounds,
    read_plan,
    read_rows,
)
from dash_app.system.processes import limit_memory

SCHEMA_TABLE = "sqlite_schema"
"""Its check includes the freelist (sqlite.org/pragma.html#pragma_integrity_check)."""

WHOLE_CHECKS = ("integrity_check", "quick_check")
"""Checks of a table in one statement, the most thorough first."""

SLICE_SECONDS, SLICES_SECONDS = 0.002, 0.05
"""Target time of a slice, and maximum time that a database is open for several of them."""

PAUSE_FACTOR = 3
"""Beside a writer, pause after each slice, as a multiple of its duration."""

FIRST_ROWS, MAX_ROWS = 100, 20_000
SWEEP_SECONDS, MIN_REST_SECONDS = 0.02, 0.01
MAX_RANGES = 20
"""Maximum number of suspect pages per table about which SQLite is asked one by one."""

SAVE_SECONDS = 10.0
SCHEMA_ATTEMPTS = 5
"""A busy machine may not let a schema be read within its 2 s. At a share of 1%, each attempt that
uses them is 200 s in which no other database is checked."""


class PageCheck:
    """The check of one database."""

    def __init__(
        self, request: Message, send: Callable[[Message], None], *, writes_denied: bool
    ) -> None:
        self._path: str = request["path"]
        self._reads = ShortReads(
            self._path, Limits(request["share"]), send, writes_denied=writes_denied
        )
        self._done: set[str] = set(request["done"])
        self._progress: Message = {"sweep": None, **request["progress"]}
        self._send = send
        self._is_swept = False
        self._saved_at = 0.0
        self._span = 0.0, 1.0

    def run(self) -> None:
        """Check everything that was not checked yet. Raise GiveUpError."""
        targets, sizes = self._sweep()
        total = sum(sizes.get(target.name, 1) for target in targets)
        before = 0.5
        for table in dict.fromkeys(target.table for target in targets):
            part = sum(sizes.get(t.name, 1) for t in targets if t.table == table) / total / 2
            if _shown(table) not in self._done:
                self._span = before, part
                if self._progress.get("table") != table:
                    self._progress |= {"table": table, "first": MIN_ROWID}
                note = self._check_table(table)
                self._send({"checked": _shown(table), "note": note})
                self._save(before + part, is_due=True)
            before += part
        self._send({"ended": True})

    def _sweep(self) -> tuple[list[Target], Mapping[str, int]]:
        """Read all pages, and ask SQLite about the suspects. Return the B-trees and their sizes."""
        for _attempt in range(MAX_ATTEMPTS):
            targets, version = self._schema(read_targets)
            sweep = PageSweep(self._path, targets, version, self._progress["sweep"])
            attempts = 0
            while not (sweep.is_done or sweep.is_outdated or attempts == MAX_ATTEMPTS):
                try:
                    sweep.step(SWEEP_SECONDS)
                    is_blocked = sweep.blocked is not None
                except UnreadableError:  # such as of a WAL that was removed meanwhile
                    is_blocked = True
                attempts = attempts + 1 if is_blocked else 0
                self._reads.rest(BUSY_SECONDS if is_blocked else MIN_REST_SECONDS)
                self._progress["sweep"] = sweep.progress
                self._save(sweep.share / 2)
            if not sweep.is_outdated:
                break
        else:
            raise GiveUpError("its schema changes all the time")
        if sweep.is_done:
            self._is_swept = True
            tables = {t.name: t.table for t in targets if t.name != t.table}
            self._send({"bytes": sweep.bytes_by_name, "tables": tables})
        for table in {suspect.table for suspect in sweep.suspects}:
            self._confirm(table, [suspect for suspect in sweep.suspects if suspect.table == table])
        return targets, sweep.bytes_by_name

    def _confirm(self, table: str, suspects: Sequence[Suspect]) -> None:
        """Report the suspect pages of a table that SQLite finds damaged too."""
        plan = self._plan(table or SCHEMA_TABLE)
        if plan is None:
            return
        ranges = [(one.page, one.rowids) for one in suspects if one.rowids and plan.rowid]
        damaged = {
            page
            for page, rowids in ranges[:MAX_RANGES]
            if self._damage(partial(read_rows, plan=plan, rowids=rowids)) is not None
        }
        whole = partial(check_whole, plan=plan, pragma="quick_check")
        pages = damaged or self._damage(whole, STILL_SECONDS)
        if pages is not None:
            self._report(table, pages)

    def _damage(
        self, work: Callable[[sqlite3.Connection], None], seconds: float | None = None
    ) -> set[int] | None:
        """Return the damaged pages; None if there is no damage, or the work cannot be done."""
        try:
            self._reads.read(work, seconds)
        except (NotComparedError, OrderError, TooLongError):
            pass
        except DamagedError as error:
            return error.pages
        return None

    def _check_table(self, table: str) -> str | None:
        """Check a table and its indexes. Return what was not compared; None if everything was."""
        plan = self._plan(table)
        try:
            if plan:
                return self._check_in_any_order(plan)
        except NotComparedError as error:
            # The table or an index may have been removed meanwhile.
            return str(error) if self._plan(table) == plan else self._check_table(table)
        targets, _version = self._schema(read_targets)
        return UNNAMED if any(target.table == table for target in targets) else None

    def _check_in_any_order(self, plan: Plan) -> str | None:
        """Check a table, without the order of its texts if its program has defined another one.

        In any order, an index has an entry per row.
        """
        try:
            return self._check(plan) or None
        except OrderError:
            plan, reordered = plan.without_order()
        notes = [self._check(plan)]
        try:
            notes.append(self._compare_counts(reordered))
        except DamagedError:
            self._report(plan.table.decode(), set())
        return ", ".join(filter(None, notes)) or None

    def _check(self, plan: Plan) -> str | None:
        table, note = plan.table.decode(), plan.note
        for pragma in WHOLE_CHECKS:
            try:
                self._reads.read(partial(check_whole, plan=plan, pragma=pragma))
            except TooLongError:
                continue
            except NotComparedError as error:
                note = str(error)
                continue
            except OrderError:
                raise
            except DamagedError as error:
                self._report(table, error.pages)
                return note
            if pragma == "integrity_check" or not plan.indexes:
                return note
        if plan.rowid is None and not plan.keys:
            return WITHOUT_ROWID
        notes = [note, None if self._is_swept else UNSWEPT]
        try:
            self._check_rows(plan)
            notes.append(self._compare_counts(plan))
        except OrderError:
            raise
        except DamagedError:
            self._report(table, set())
        return ", ".join(filter(None, notes)) or None

    def _compare_counts(self, plan: Plan) -> str | None:
        """Compare the number of each index's entries with that of the rows; return a note.

        Raise DamagedError if they differ.
        """
        note = None
        for index in plan.indexes:
            try:
                self._reads.read(partial(compare_counts, plan=plan, index=index))
            except TooLongError:
                note = UNCOUNTED
        return note

    def _check_rows(self, plan: Plan) -> None:
        """Check the rows and their entries in the indexes, in slices. Raise DamagedError."""
        lowest, highest = self._bounds(plan)
        first: Position | None = self._progress["first"]
        rows, failures = FIRST_ROWS, 0
        while first is not None:
            work = partial(self._check_slices, plan=plan, first=first, rows=rows)
            try:
                first, rows = self._reads.read(work, 2 * SLICES_SECONDS)
                failures = 0
            except TooLongError:  # if the disk is slow, the next attempt finds the pages in memory
                failures = failures + 1 if self._progress["first"] == first else 0
                first, rows = self._progress["first"], max(rows // 4, 1)
                if failures > MAX_ATTEMPTS:
                    raise NotComparedError("reading it takes too long") from None
            self._progress["first"] = first
            before, part = self._span
            position = first if isinstance(first, int) else highest
            share = (position - lowest) / max(highest - lowest, 1)
            self._save(before + part * min(max(share, 0), 1))

    def _bounds(self, plan: Plan) -> Rowids:
        try:
            return (0, 0) if plan.keys else self._reads.read(partial(read_bounds, plan=plan))
        except (DamagedError, TooLongError):  # the slices will show which
            return 0, 0

    def _check_slices(
        self, connection: sqlite3.Connection, plan: Plan, first: Position, rows: int
    ) -> tuple[Position | None, int]:
        """Check slices for a while. Return the next position, and the rows of a slice."""
        # Whatever was written meanwhile makes a reading without locks invalid.
        ends = time.monotonic() + (0 if self._reads.is_restless else SLICES_SECONDS)
        while True:
            started = time.monotonic()
            following = check_slice(connection, plan, first, rows)
            now = time.monotonic()
            factor = min(max(SLICE_SECONDS / max(now - started, 1e-5), 0.25), 2)
            rows = min(max(int(rows * factor), 1), MAX_ROWS)
            if following is None or now > ends:
                return following, rows
            first = following
            if self._reads.is_shared:  # then no later write can make it invalid
                self._progress["first"] = first
                time.sleep(PAUSE_FACTOR * (now - started))

    def _plan(self, table: str) -> Plan | None:
        """Plan the check of a table. Return None if it was removed meanwhile."""
        return self._schema(partial(read_plan, table=table.encode()))

    def _schema(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        for _attempt in range(SCHEMA_ATTEMPTS):
            try:
                return self._reads.read(work, STILL_SECONDS)
            except TooLongError:
                self._reads.rest(BUSY_SECONDS)
            except (DamagedError, NotComparedError):
                break
        raise GiveUpError("its schema cannot be read")

    def _report(self, table: str, pages: set[int]) -> None:
        """Report damage of a table, with the pages that are known."""
        self._send({"damaged": _shown(table), "pages": max(len(pages), 1)})

    def _save(self, share: float, *, is_due: bool = False) -> None:
        now = time.monotonic()
        if is_due or now - self._saved_at > SAVE_SECONDS:
            self._saved_at = now
            self._send({"progress": self._progress, "share": round(share, 4)})


def _shown(table: str) -> str:
    return "" if table == SCHEMA_TABLE else table


def main() -> None:
    """Check the database that the parent names."""
    sandbox.die_with_parent(int(sys.argv[1]))
    limit_memory(MAX_DATA_BYTES)
    writes_denied = bool(sandbox.deny_writes())
    request = from_line(sys.stdin.buffer.read())
    try:
        PageCheck(request, send, writes_denied=writes_denied).run()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except GiveUpError as error:
        send({"failed": str(error)})
    os._exit(0)


if __name__ == "__main__":
    main()
