"""One database's reader: look, open only if something changed, read, close."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple

from dash_app.model.host_facts import Surroundings
from dash_app.model.reading import Reading
from dash_app.reader.commits import Commit, newest_commit
from dash_app.reader.connection import Route, connect
from dash_app.reader.counts import (
    Budget,
    CountState,
    count_tables,
    due,
    needs_only_extensions,
    outdated,
    user_tables,
)
from dash_app.reader.errors import fault_of
from dash_app.reader.files import (
    Files,
    Header,
    Mark,
    UnreadableError,
    journal_is_hot,
    look,
    read_header,
    unreadable,
)
from dash_app.reader.locks import find_write_lock, holder_of
from dash_app.reader.permissions import access_to
from dash_app.reader.rowid_scan import Table
from dash_app.reader.schema import Shape, shape_of, short_name
from dash_app.reader.surroundings import (
    HostView,
    find_stranger,
    is_index_used,
    look_around,
)
from dash_app.system.disk import disk_of
from dash_app.system.processes import process_label

REREAD_SECONDS = 600
"""Read again this often though nothing seems to have changed: timestamps can be set back."""

LOCK_FREE_WAL_BYTES, ALONE_WAL_BYTES = 64_000_000, 256_000_000
"""Maximum sizes of a WAL whose index is rebuilt in our own memory, which takes 0.1 s for 64 MB. The
second is for a WAL that is being written and can be read in no other way."""

ATTEMPTS = 10
ATTEMPTS_SECONDS = 0.5
"""Bounds of the attempts at one reading; the first one may take longer."""

STRANGER_PROBES, STRANGER_PAUSE_SECONDS = 5, 0.03
"""How often in a row a lock without a WAL must be seen: none of 6,500 looks at starting and closing
programs saw one through five."""

PAUSE_SECONDS = 0.005
"""Pause after an attempt that met a writer: a small commit takes about as long."""

TICK_SECONDS = 0.02
"""A write this soon after another may leave a file's time as it is: before Linux 6.13, its clock
advances 100 to 1,000 times per second."""


@dataclass(frozen=True, slots=True)
class CachedReading:
    """The last reading, with the files and tallies behind it.

    `settled` is whether any later write must show in the files' timestamps.
    """

    reading: Reading
    files: Files | None = None
    settled: bool = False
    shape: Shape | None = None
    tables: tuple[Table, ...] = ()
    tallies: dict[bytes, CountState] = field(default_factory=dict)


class ReadCost(NamedTuple):
    """What one look cost: the longest time a connection was open, and logs left behind."""

    open_seconds: float = 0.0
    sidecars_left: int = 0


class Reader:
    """Reads one database, and remembers its last reading in between."""

    def __init__(
        self,
        path: str,
        budget: Budget,
        turn: Callable[[tuple[int, int]], AbstractContextManager[object]] = lambda _: nullcontext(),
        *,
        guarded: bool = False,
    ) -> None:
        """Take an absolute path, and what grants one reader at a time a device and inode.

        `guarded` is whether the kernel refuses every write of this process.
        """
        self._path = path
        self._budget = budget
        self._turn = turn
        self._guarded = guarded
        self._found: CachedReading | None = None
        self._sight: HostView | None = None
        self._commit: Commit | None = None
        self._own_wal: tuple[int, int] | None = None
        self._elsewhere: Mark | None = None
        self._changes: int | None = None
        self.toll = ReadCost()

    def read(self) -> Reading:
        """Return the newest reading: the last one, verified, if nothing can have changed."""
        now = datetime.now(UTC)
        self.toll = ReadCost()
        around = Surroundings(disk=disk_of(self._path), access=access_to(self._path))
        files = None
        try:
            files = self._look_again()
            with self._turn(files.identity):
                self._sight = look_around(files, self._sight, now)
                around = self._sight.surroundings
                self._found = self._verified(files, now) or self._read(files, now)
            return replace(self._found.reading, surroundings=around)
        except (UnreadableError, OSError) as error:
            fault = error if isinstance(error, UnreadableError) else unreadable(error, self._path)
            seen = _stat_only(files, now) if files else Reading(read_at=now, verified_at=now)
            if "holder" in fault.detail and not around.holders:  # one of another namespace
                around = replace(around, holders=None)
            reading = replace(seen, code=fault.code, detail=fault.detail, surroundings=around)
            if fault.code != "locked":  # then the last finding may still hold
                self._found = CachedReading(reading)
            return reading

    def _verified(self, files: Files, now: datetime) -> CachedReading | None:
        """Return the last finding, verified, or None where the file has to be read again."""
        found, sight = self._found, self._sight
        if found is None or not found.settled or found.files != files:
            return None
        if sight and sight.is_write_locked and files.wal is None:
            return None
        if sight and sight.has_strangers and found.reading.journal_mode == "wal":
            return None
        if abs((now - found.reading.read_at).total_seconds()) > REREAD_SECONDS:  # a clock was set
            return None
        if due(found.tallies, self._budget.core_share, time.monotonic()):
            return None
        return replace(found, reading=replace(found.reading, verified_at=now))

    def _read(self, files: Files, now: datetime) -> CachedReading:
        """Return a finding by the least intrusive route that yields a valid one.

        Raise UnreadableError if there is none, with the code "locked" if its writers left no moment
        in which it could be read.
        """
        ends = time.monotonic() + ATTEMPTS_SECONDS
        found, route = None, None
        before = self._changes
        for _attempt in range(ATTEMPTS):
            header = read_header(files)
            before, self._changes = before or self._changes, header.change_counter
            self._look_for_wal(files, header)
            if not self._is_being_written(files, header):
                route = self._route(files, now)
                attempt = self._read_by(route, files, header, now)
                if attempt.reading.code != "locked":
                    found = attempt
                    is_snapshot = route == "shared" and found.files is not None
                    if is_snapshot or self._stood_still(files, header):
                        return found
            if time.monotonic() > ends:
                break
            time.sleep(PAUSE_SECONDS)
            files = self._look_again()
        if found and route == "shared":
            return found
        # Commits in between show that it is not one lock that lasts.
        is_committed = before not in {None, self._changes}
        raise self._unread(files, now, was_free=found is not None or is_committed)

    def _look_for_wal(self, files: Files, header: Header) -> None:
        """Raise UnreadableError("wal_elsewhere") if a program has its WAL elsewhere.

        In WAL mode, each connection holds a read lock on the main file. That one has the file open
        by another name: a hard link, or a mount of the file alone, since the WAL lies beside the
        name by which the file was opened. Or its WAL was removed, and perhaps made again by another
        program. A connection that opens or closes looks like that for an instant.
        """
        if not header.is_wal:
            return
        if not (self._sight and self._sight.has_strangers) and files.wal_bytes:
            self._own_wal = files.identity
            return
        pid = None
        for _probe in range(STRANGER_PROBES):
            if (pid := find_stranger(files)) is None:
                self._own_wal = files.identity if is_index_used(files.path) else self._own_wal
                return
            time.sleep(STRANGER_PAUSE_SECONDS)
        if pid is not None:
            self._elsewhere = files.main
            raise UnreadableError("wal_elsewhere", holder=process_label(pid))

    def _in_doubt(self, reading: Reading, files: Files, header: Header) -> Reading:
        """Return a reading with the doubt that a WAL under another name of the file leaves.

        Counts are estimates if a program that had one there went without writing it back.
        """
        if files.wal_bytes or not header.is_wal or self._own_wal == files.identity:
            return reading
        if self._elsewhere == files.main:
            return _of_main_file(reading)
        return replace(reading, detail={"names": str(files.links)}) if files.links > 1 else reading

    def _is_being_written(self, files: Files, header: Header) -> bool:
        """Whether a transaction may be under way whose pages reach the main file before its commit.

        The locks decide, since a transaction may keep its journal in memory, or none.
        """
        if files.has_journal and journal_is_hot(files):
            return True
        in_wal = files.wal_bytes or (header.is_wal and files.wal is not None)
        return not in_wal and find_write_lock(files.path) is not None

    def _stood_still(self, files: Files, header: Header) -> bool:
        """Whether nobody can have written to the files since they were looked at."""
        if self._is_being_written(files, header):
            return False
        return look(self._path) == files and read_header(files) == header

    def _look_again(self) -> Files:
        """Return the files, once the next write to them must show in their times."""
        files = look(self._path)
        if 0 <= time.time() - files.changed_ns / 1e9 < TICK_SECONDS:
            time.sleep(TICK_SECONDS)
            files = look(self._path)
        return files

    def _read_by(self, route: Route, files: Files, header: Header, now: datetime) -> CachedReading:
        look_only = replace(
            _stat_only(files, now),
            journal_mode="wal" if header.is_wal else "delete",
            change_counter=header.change_counter,
            sqlite_version=header.sqlite_version,
        )
        began = time.monotonic()
        try:
            with self._connect(files, route) as connection:
                known = self._found_in(files)
                shape = shape_of(
                    connection, known.shape if known else None, self._budget.table_seconds
                )
                budget = self._budget_left(began, beside_writer=route == "shared")
                is_same = shape and known and known.shape and known.shape.digest == shape.digest
                tables = known.tables if known and is_same else user_tables(connection)
                tallies = count_tables(connection, tables, self._before(files), budget)
        except (sqlite3.Error, UnicodeError) as error:
            fault = fault_of(error, files, header)
            return CachedReading(replace(look_only, code=fault.code, detail=fault.detail))
        if not tallies:
            return CachedReading(replace(look_only, code="no_tables"))
        if what := needs_only_extensions(tallies.values()):
            return CachedReading(replace(look_only, code="needs_extension", detail={"what": what}))
        reading = _reading(look_only, shape, tallies)
        reading = replace(reading, content_commit=self._newest_commit(files, shape))
        reading = self._in_doubt(reading, files, header)
        return CachedReading(reading, files, files.settled(now), shape, tables, tallies)

    def _newest_commit(self, files: Files, shape: Shape | None) -> str | None:
        """Return the newest commit in the WAL that wrote content; None if there is none."""
        if not files.wal_bytes:
            return None
        index = self._sight.index if self._sight else None
        if index is None or shape is None:
            return f"at {files.wal and files.wal.mtime_ns}"
        self._commit = newest_commit(f"{files.path}-wal", index, shape.housekeeping, self._commit)
        return self._commit.content

    @contextmanager
    def _connect(self, files: Files, route: Route) -> Iterator[sqlite3.Connection]:
        """Open a database, and note what that cost those who write it. Raises sqlite3.Error."""
        were_others = route == "shared" and is_index_used(files.path)
        began = time.monotonic()
        try:
            with connect(files.path, route) as connection:
                yield connection
        finally:
            open_seconds = max(self.toll.open_seconds, time.monotonic() - began)
            # The last one to close removes the log; that its writer met us kept it from doing so,
            # and nothing of ours may.
            left = were_others and os.path.exists(f"{files.path}-wal")
            left = left and not is_index_used(files.path)
            self.toll = ReadCost(open_seconds, self.toll.sidecars_left + left)

    def _budget_left(self, began: float, *, beside_writer: bool) -> Budget:
        """Return the budget for counting, less what was spent: 0.5 s for a schema of 20,000 tables.

        Something is always counted, or no table would ever have its turn.
        """
        seconds = self._budget.reading_seconds
        left_seconds = max(seconds - (time.monotonic() - began), seconds / 10)
        return replace(self._budget, beside_writer=beside_writer, reading_seconds=left_seconds)

    def _before(self, files: Files) -> dict[bytes, CountState]:
        """Return the tallies that still say something about these files."""
        found = self._found_in(files)
        if found is None:
            return {}
        if found.settled and found.files == files:
            return found.tallies
        return outdated(found.tallies)

    def _unread(self, files: Files, now: datetime, *, was_free: bool) -> UnreadableError:
        """Return why there is no reading of files; `was_free` is whether one was tried.

        A journal that nobody is left to finish needs recovery: a transaction that ended while we
        looked would show in the files.
        """
        holder = holder_of(files)
        is_left = files.has_journal and journal_is_hot(files) and holder is None
        if is_left and files.settled(now) and look(self._path) == files:
            return UnreadableError("needs_recovery")
        detail = {"writes" if was_free else "lock": "yes"}
        if self._sight and self._sight.surroundings.is_foreign:
            detail = {"engine": "other", **detail}
        return UnreadableError("locked", **detail, **({"holder": holder} if holder else {}))

    def _found_in(self, files: Files) -> CachedReading | None:
        """Return the last finding, if it is one of tables and the same file."""
        found = self._found
        same = found and found.files and found.files.identity == files.identity
        return found if same else None

    def _route(self, files: Files, now: datetime) -> Route:
        if not files.wal_bytes:
            return "immutable"
        is_quiet = files.settled(now)
        is_lock_free = is_quiet and files.wal_bytes <= LOCK_FREE_WAL_BYTES
        if not is_lock_free:
            # A program that locks the main file beside a WAL keeps everyone else out. Without an
            # index, such as after a crash, nobody could read it like any other reader.
            is_alone = find_write_lock(files.path) is not None
            is_alone = is_alone or not os.path.exists(f"{files.path}-shm")
            is_lock_free = is_alone and (is_quiet or files.wal_bytes <= ALONE_WAL_BYTES)
        return "lock_free" if is_lock_free and self._guarded else "shared"


def _stat_only(files: Files, now: datetime) -> Reading:
    """Return the facts about a database that need no byte of it."""
    return Reading(
        read_at=now,
        verified_at=now,
        last_modified=files.last_modified,
        size_bytes=files.main.size_bytes,
        wal_bytes=files.wal_bytes,
        file="{}:{}".format(*files.identity),
        file_modified=files.main_modified,
        wal_modified=files.wal_modified,
    )


def _reading(
    look_only: Reading, shape: Shape | None, tallies: Mapping[bytes, CountState]
) -> Reading:
    counted = replace(look_only, tables={short_name(name): t.count for name, t in tallies.items()})
    if shape is None:
        return counted
    return replace(
        counted,
        user_version=shape.user_version,
        application_id=shape.application_id,
        free_bytes=shape.free_bytes,
        objects=shape.objects,
        sequences=shape.sequences,
        roots=shape.roots,
        schema_version=shape.schema_version,
        statistics=shape.statistics,
    )


def _of_main_file(reading: Reading) -> Reading:
    """Return a reading whose counts are estimates, since rows in a WAL are not among them."""
    tables = {
        name: replace(count, estimate="about") if count.is_exact else count
        for name, count in reading.tables.items()
    }
    return replace(reading, tables=tables, detail={"main_only": "yes"})
