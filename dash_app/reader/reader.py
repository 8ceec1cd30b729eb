"""Read one database: stat its files, open it only if something changed, read, close."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple

from dash_app.model.host_facts import Surroundings
from dash_app.model.reading import Reading
from dash_app.reader.commits import SearchedCommits, find_content_commit
from dash_app.reader.conflicts import Look, Tripwire, find_pid_with_other_wal
from dash_app.reader.connection import Route, connect
from dash_app.reader.counts import (
    Budget,
    CountState,
    count_tables,
    due_tables,
    follow_renames,
    mark_outdated,
    missing_extension,
    user_tables,
)
from dash_app.reader.errors import explain_error
from dash_app.reader.files import (
    Files,
    FileStamp,
    Header,
    UnreadableError,
    explain_os_error,
    find_access,
    find_renamed,
    journal_is_hot,
    read_header,
    stat_files,
)
from dash_app.reader.holders import HostView, view_host
from dash_app.reader.locks import (
    LockList,
    is_wal_index_open,
    list_locks,
    write_lock_holder,
)
from dash_app.reader.routes import choose_route, is_being_written, is_unchanged, stat_settled
from dash_app.reader.rowid_scan import Table
from dash_app.reader.schema import Schema, read_schema, short_name
from dash_app.reader.wal_index import Pace
from dash_app.system.disk import disk_of, is_mount_point
from dash_app.system.processes import process_label

REREAD_SECONDS = 600
"""Read again after this time even if nothing seems to have changed: file times can be set back."""

MAX_ATTEMPTS = 10
ATTEMPTS_SECONDS = 0.5
"""Limits for the attempts at one reading. The first attempt may take longer."""

OTHER_WAL_PROBES, OTHER_WAL_PAUSE_SECONDS = 5, 0.03
"""Number of consecutive probes that must find a lock without a WAL. In 6,500 readings beside
programs that start and exit, none found one five times in a row."""

PASSING = {"locked", "needs_recovery", "cannot_read"}
"""Codes that prove nothing if the files have changed: a program that opens or closes the database
makes or removes a WAL at the same moment."""

RETRY_SECONDS = 0.005
"""Pause after an attempt that met a writer: about the time of a small commit."""


@dataclass(frozen=True, slots=True)
class CachedReading:
    """The last reading, with the facts that the next one can reuse."""

    reading: Reading
    files: Files | None = None
    shows_later_writes: bool = False
    """Whether any later write must change the stamps of the files."""
    schema: Schema | None = None
    tables: tuple[Table, ...] = ()
    counts: dict[bytes, CountState] = field(default_factory=dict)
    housekeeping_pages: frozenset[int] = frozenset()
    """As in the last schema, from this reading or an earlier one; empty if there was none."""

    @property
    def is_schema_missed(self) -> bool:
        """Whether there was no time for the schema, although there was before."""
        return self.schema is None and bool(self.housekeeping_pages)

    def is_current(self, files: Files) -> bool:
        """Whether the files cannot have been written since."""
        return self.shows_later_writes and self.files == files

    def known_counts(
        self, files: Files, tables: Iterable[Table], schema: Schema | None
    ) -> dict[bytes, CountState]:
        """Return the counts that a new reading of the files begins with."""
        counts = self.counts if self.is_current(files) else mark_outdated(self.counts)
        if schema is None or self.schema is None or schema.fingerprint == self.schema.fingerprint:
            return counts
        return follow_renames(counts, tables, self.schema.reading, schema.reading)


class ReadCost(NamedTuple):
    """The cost of a reading for the writers of the database."""

    open_seconds: float = 0.0
    """The longest time that a connection was open."""
    sidecars_left: int = 0
    """The number of WALs that stayed because their last writer closed during the reading."""


class Reader:
    """Reads one database, and keeps its last reading."""

    def __init__(
        self,
        path: str,
        budget: Budget,
        file_lock: Callable[[tuple[int, int]], AbstractContextManager[object]] | None = None,
        *,
        writes_denied: bool = False,
    ) -> None:
        """Prepare to read an absolute path.

        `file_lock` returns the lock for a device and inode. It keeps two readers of this process
        from opening the same file, because closing it drops the locks of both. `writes_denied` is
        whether the kernel denies this process all writes.
        """
        self._path = path
        self._budget = budget
        self._file_lock = file_lock or (lambda _: nullcontext())
        self._writes_denied = writes_denied
        self._cached: CachedReading | None = None
        self._host = HostView()
        self._tripwire = Tripwire()
        self._commits: SearchedCommits | None = None
        self._is_wal_doubted = False
        self._pace = Pace()
        self._own_wal_seen_at: tuple[int, int] | None = None
        self._other_wal_seen_at: FileStamp | None = None
        self._change_counter: int | None = None
        self._last_good: FileStamp | None = None
        self.cost = ReadCost()

    def read(self, locks: LockList | None = None) -> Reading:
        """Return the newest reading; the last one, verified again, if nothing can have changed.

        `locks` were listed just now; without them, they are listed here.
        """
        now = datetime.now(UTC)
        self.cost = ReadCost()
        surroundings = Surroundings(disk=disk_of(self._path), access=find_access(self._path))
        files = None
        try:
            files = stat_settled(self._path)
            with self._file_lock(files.identity):
                look = Look.take(files, locks or list_locks())
                self._host = view_host(look, self._host, surroundings, now)
                surroundings = self._host.surroundings
                self._pace.note(self._host.index)
                try:
                    cached = self._verify(files, now)
                    if cached is None and self._tripwire.is_foreign(look):
                        raise UnreadableError("locked", engine="other", writes="yes")
                    self._cached = cached or self._with_previous_name(self._read(files, now))
                finally:
                    surroundings = self._with_conflicts(look, surroundings, now)
            reading = replace(self._cached.reading, surroundings=surroundings)
            detail = {**reading.detail, "one_generation": "yes"}
            return _estimated(reading, detail) if self._tripwire.is_suspected else reading
        except (UnreadableError, OSError) as error:
            if isinstance(error, OSError):
                error = explain_os_error(error, self._path)
            reading = files.reading(now) if files else Reading(read_at=now, verified_at=now)
            if "holder" in error.detail and not surroundings.holders:  # of another pid namespace
                surroundings = replace(surroundings, holders=None)
            reading = replace(
                reading, code=error.code, detail=error.detail, surroundings=surroundings
            )
            if error.code != "locked":  # while it is locked, the cached reading may stay valid
                self._cached = CachedReading(reading)
            return reading

    def _with_previous_name(self, result: CachedReading) -> CachedReading:
        """Add the present name of the file that was read before, if another one took its place."""
        before, files = self._last_good, result.files
        if not files:
            return result
        self._last_good = files.main
        if before is None or before[:2] == files.identity:
            return result
        name = find_renamed(files.path, before)
        return replace(result, reading=replace(result.reading, previous_name=name))

    def _with_conflicts(self, look: Look, surroundings: Surroundings, at: datetime) -> Surroundings:
        host = self._host
        is_empty = look.files.wal is not None and not look.files.wal_bytes
        lacks_frames = is_empty and host.index is not None and host.index.frames > 0
        look.salts = host.index.salts if host.index else b""
        compare = self._is_wal_doubted or lacks_frames
        conflicts = self._tripwire.check(look, at, compare=compare, is_hidden=host.is_hidden)
        # Both are compared only once: the WAL may have started over since it was read.
        self._is_wal_doubted &= self._tripwire.is_suspected
        return replace(surroundings, **conflicts)

    def _verify(self, files: Files, now: datetime) -> CachedReading | None:
        """Return the cached reading if it is still valid; None if the file must be read again."""
        cached, host = self._cached, self._host
        if cached is None or cached.is_schema_missed or not cached.is_current(files):
            return None
        if host.is_write_locked and files.wal is None:
            return None
        is_doubted = host.may_have_other_wal and not self._tripwire.is_suspected
        if is_doubted and cached.reading.journal_mode == "wal":
            return None
        # The difference is negative if the clock was set back.
        if abs((now - cached.reading.read_at).total_seconds()) > REREAD_SECONDS:
            return None
        if due_tables(cached.counts, self._budget.core_share, time.monotonic()):
            return None
        return replace(cached, reading=replace(cached.reading, verified_at=now))

    def _read(self, files: Files, now: datetime) -> CachedReading:
        """Read by the least intrusive route whose result is valid.

        Raise UnreadableError if there is none, with the code "locked" if writers left no moment in
        which the database could be read.
        """
        ends = time.monotonic() + ATTEMPTS_SECONDS
        result, route = None, None
        before = self._change_counter
        for _attempt in range(MAX_ATTEMPTS):
            header = read_header(files)
            before, self._change_counter = before or self._change_counter, header.change_counter
            self._reject_other_wal(files, header)
            if not is_being_written(files, header):
                route = choose_route(files, now, writes_denied=self._writes_denied)
                attempt = self._read_by(route, files, header, now)
                code, is_valid = attempt.reading.code, route == "shared" and attempt.files
                if code != "locked" and (is_valid or is_unchanged(files, header)):
                    return attempt
                result = result if code in PASSING else attempt
            if time.monotonic() > ends:
                break
            time.sleep(RETRY_SECONDS)
            files = stat_settled(self._path)
        if result and route == "shared":
            return result
        # Commits in between show that it was not a single lock.
        has_commits = before not in {None, self._change_counter}
        raise self._explain_no_reading(files, now, was_free=result is not None or has_commits)

    def _reject_other_wal(self, files: Files, header: Header) -> None:
        """Raise UnreadableError("wal_elsewhere") if a program uses the file with another WAL.

        In WAL mode, each connection holds a read lock on the main file. The WAL is beside the name
        by which that program opened the file, which may be a hard link, or a mount of the file
        alone. Or its WAL was removed, and perhaps made again by another program. A connection that
        is opened or closed looks the same for an instant, so probe repeatedly.
        """
        if not header.is_wal:
            return
        if not self._host.may_have_other_wal and files.wal_bytes:
            self._own_wal_seen_at = files.identity
            return
        if self._tripwire.is_suspected:
            return
        for _probe in range(OTHER_WAL_PROBES):
            look = Look.take(files, list_locks())
            pid = find_pid_with_other_wal(look)
            if pid is None:
                if is_wal_index_open(files.path):
                    self._own_wal_seen_at = files.identity
                return
            time.sleep(OTHER_WAL_PAUSE_SECONDS)
        if pid is not None and not self._tripwire.is_split(look, pid):
            self._other_wal_seen_at = files.main
            alone = {"mounted": "yes"} if is_mount_point(files.path) else {}
            raise UnreadableError("wal_elsewhere", **alone, holder=process_label(pid))

    def _with_wal_doubt(self, reading: Reading, files: Files, header: Header) -> Reading:
        """Mark a reading that may lack rows in a WAL beside another name of the file.

        Its counts become estimates if a program with such a WAL has exited without checkpoint.
        """
        if files.wal_bytes or not header.is_wal or self._own_wal_seen_at == files.identity:
            return reading
        if self._other_wal_seen_at == files.main:
            return _estimated(reading, {"main_only": "yes"})
        return replace(reading, detail={"names": str(files.links)}) if files.links > 1 else reading

    def _read_by(self, route: Route, files: Files, header: Header, now: datetime) -> CachedReading:
        reading = replace(
            files.reading(now),
            journal_mode="wal" if header.is_wal else "delete",
            change_counter=header.change_counter,
            sqlite_version=header.sqlite_version,
            lacks_bytes=header.lacks_bytes(files),
        )
        started = time.monotonic()
        cached = self._cached
        if cached is None or not cached.files or cached.files.identity != files.identity:
            cached = CachedReading(reading)
        before = cached.schema
        try:
            with self._connect(files, route) as connection:
                schema = read_schema(connection, reading, before, self._budget.table_seconds)
                budget = self._budget_left(started)
                if route == "shared":
                    budget = budget.beside_writer(is_burst=self._pace.is_burst)
                is_same = schema and before and schema.fingerprint == before.fingerprint
                tables = cached.tables if is_same else user_tables(connection)
                known = cached.known_counts(files, tables, schema)
                counts = count_tables(connection, tables, known, budget)
        except (sqlite3.Error, UnicodeError) as error:
            self._is_wal_doubted = True
            return _failed(reading, explain_error(error, files, header), files, route)
        if not counts:
            return CachedReading(replace(reading, code="no_tables"))
        if extension := missing_extension(counts.values()):
            detail = {"what": extension}
            return CachedReading(replace(reading, code="needs_extension", detail=detail))
        pages = schema.housekeeping_pages if schema else cached.housekeeping_pages
        reading = replace(
            schema.reading if schema else reading,
            tables={short_name(name): state.count for name, state in counts.items()},
            content_commit=self._content_commit(files, pages),
        )
        reading = self._with_wal_doubt(reading, files, header)
        quiet = files.shows_writes_after(now)
        return CachedReading(reading, files, quiet, schema, tables, counts, pages)

    def _content_commit(self, files: Files, housekeeping: frozenset[int]) -> str | None:
        """Identify the newest commit in the WAL that wrote content; None if there is none."""
        self._is_wal_doubted = False
        if not files.wal_bytes:
            return None
        index = self._host.index
        if index is None or not housekeeping:
            return f"at {files.wal and files.wal.mtime_ns}"
        self._commits = find_content_commit(f"{files.path}-wal", index, housekeeping, self._commits)
        self._is_wal_doubted = not self._commits.fits
        return self._commits.content

    @contextmanager
    def _connect(self, files: Files, route: Route) -> Iterator[sqlite3.Connection]:
        """Open a database, and record the cost for its writers. Raise sqlite3.Error."""
        had_others = route == "shared" and is_wal_index_open(files.path)
        started = time.monotonic()
        try:
            with connect(files.path, route) as connection:
                yield connection
        finally:
            open_seconds = max(self.cost.open_seconds, time.monotonic() - started)
            # The last connection to close removes the WAL. If a writer closed while ours was open,
            # it could not do so, and ours may not.
            is_left = had_others and os.path.exists(f"{files.path}-wal")
            is_left = is_left and not is_wal_index_open(files.path)
            self.cost = ReadCost(open_seconds, self.cost.sidecars_left + is_left)

    def _budget_left(self, started: float) -> Budget:
        """Return the budget less the time already spent: 0.5 s for a schema of 20,000 tables.

        At least a tenth is left for counting, or no table would ever have its turn.
        """
        seconds = self._budget.reading_seconds
        left_seconds = max(seconds - (time.monotonic() - started), seconds / 10)
        return replace(self._budget, reading_seconds=left_seconds)

    def _explain_no_reading(
        self, files: Files, now: datetime, *, was_free: bool
    ) -> UnreadableError:
        """Explain why there is no valid reading. `was_free` is whether there were moments to read.

        A journal that no process will finish needs recovery. A transaction that ended meanwhile
        would have changed the files.
        """
        holder = write_lock_holder(files)
        is_left = files.has_journal and journal_is_hot(files) and holder is None
        # On file systems without locks, SQLite may lock by a folder (sqlite.org/vfs.html).
        is_left = is_left and not os.path.isdir(f"{files.path}.lock")
        if is_left and files.shows_writes_after(now) and stat_files(self._path) == files:
            return UnreadableError("needs_recovery")
        detail = {"writes" if was_free else "lock": "yes"}
        if self._host.surroundings.is_foreign:
            detail = {"engine": "other", **detail}
        return UnreadableError("locked", **detail, **({"holder": holder} if holder else {}))


def _failed(
    reading: Reading, failure: UnreadableError, files: Files, route: Route
) -> CachedReading:
    """Add an error to a reading. That of damage stays as long as the file stands still.

    Counting anew would find damage again only once it reached the damaged page.
    """
    reading = replace(reading, code=failure.code, detail=failure.detail)
    stays = failure.code == "corrupt" and route != "shared"
    stays = stays and files.shows_writes_after(reading.read_at)
    return CachedReading(reading, files if stays else None, stays)


def _estimated(reading: Reading, detail: Mapping[str, str]) -> Reading:
    """Turn exact counts into estimates: rows may be in a WAL that was not read."""
    tables = {
        name: replace(count, estimate="about") if count.is_exact else count
        for name, count in reading.tables.items()
    }
    return replace(reading, tables=tables, detail=detail)
