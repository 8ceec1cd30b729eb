"""Write the history: one writer, about one transaction per minute."""

import logging
import os
import sqlite3
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dash_app.history.file import (
    DAMAGED,
    DELETED,
    HEAD_BYTES,
    REPLACED,
    connect,
    hold,
    is_damage,
    is_ours,
    is_sound,
    loss,
    set_aside,
    set_sides_aside,
    sides,
    suspects,
)
from dash_app.history.incidents import IncidentTable
from dash_app.history.measures import Key, measured_values
from dash_app.history.notifications import NotificationTable
from dash_app.history.openers import OpenerTable
from dash_app.history.read_only import Loss, StateTable, matches_in, state_in, states_in
from dash_app.history.retention import is_nearly_full, make_room, prune
from dash_app.history.rollups import DAY, roll_up
from dash_app.history.row_codec import to_row
from dash_app.history.schema import NotAFileError
from dash_app.model.database import Database
from dash_app.model.encoding import encode
from dash_app.model.event import Event
from dash_app.model.host_facts import Surroundings
from dash_app.model.match import Match
from dash_app.model.reading import Reading, rows_inserted
from dash_app.model.snapshot import DatabaseState, DatabaseStatus, Snapshot
from dash_app.settings.schema import HistorySettings
from dash_app.system.decoding import decode

Values = tuple[int | None, int | None, float | None]
"""A count or size, for a table the sum of all rows written up to then, the value of a measure."""

EVENT_FIELDS = ("database", "kind", "at", "before", "after", "ended_at")

GAP_FACTOR = 3
"""A pause between records that is longer than this multiple of the usual one was not watched."""

BACKFILL_GAP_SECONDS = 108_000
"""The same limit for a backfill, which has a point only when a table grew."""

PRUNE_EVERY = timedelta(hours=1)
MAX_PENDING = 1440
"""Maximum number of records kept in memory while the file cannot be written: one day."""

ROOM_SHARES = (0.1, 0.3, 0.7)
"""Shares of the recorded time to delete, one after the other, until the full file has room.

A page is free only once it is empty: with few points per series, a tenth may free none.
"""

WAL_DELETED = "its WAL was deleted"
"""The only loss without lost data: closing writes the content of the WAL into the file."""

log = logging.getLogger(__name__)


class History:
    """The history, for the one thread that writes it. Others read the file beside it."""

    def __init__(self, settings: HistorySettings) -> None:
        """Open the file, or create it. Raise OSError, sqlite3.Error or UnusableHistoryError."""
        self._settings = settings
        self.path = settings.path
        self.loss: Loss | None = None
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            if not (is_damage(error) and self._is_ours()):
                raise
            self._replace(DAMAGED)
        self.incidents = IncidentTable(self._connection)
        self.notifications = NotificationTable(self._connection)
        self.openers = OpenerTable(self._connection)
        self._is_open, self._problem = True, ""
        self._series = self._load_series()
        self._before = self._load_baselines()
        self._last: dict[int, Values] = {}
        self._changed: list[tuple[int, int]] = []
        self._pending: deque[Snapshot] = deque(maxlen=MAX_PENDING)
        self._at = 0
        self._pruned_at: datetime | None = None

    def reopen_if_lost(self) -> bool:
        """Open the file again if it was lost or damaged. Return whether it was.

        If so, all state must be stored again. A sound history at the path is used; anything else
        is set aside, except another program's database. Raise OSError, sqlite3.Error or
        UnusableHistoryError while nothing can be written there; the next call tries again.
        """
        is_suspect = self.path in suspects
        problem = self._find_loss() if self._is_open else self._problem
        problem = problem or (DAMAGED if is_suspect else None)
        if problem is None:
            return False
        if self._is_open:
            self._problem = problem
            self.close()
            if problem in {DELETED, REPLACED}:
                set_sides_aside(self.path, self._sides)
        before, lost = set(self._series), self.loss
        is_damaged = suspects.pop(self.path, False)
        if is_damaged or not self._open_sound(is_suspect=is_suspect):
            self._replace(problem)
        self._is_open = True
        self.incidents.connection = self._connection
        self.notifications.connection = self._connection
        self.openers.connection = self._connection
        self._series, self._last, self._changed = self._load_series(), {}, []
        self._pruned_at = None
        if self.loss is lost and (problem in {DELETED, REPLACED} or before - set(self._series)):
            self._note_loss(problem, None)
        return True

    def _open(self) -> None:
        self._hold = hold(self.path)
        try:
            self._connection = connect(self.path, self._settings.max_size)
        except BaseException:
            os.close(self._hold)
            raise
        self._sides = sides(self.path)

    def _find_loss(self) -> str | None:
        problem = loss(self.path, self._hold)
        return problem or (None if sides(self.path) == self._sides else WAL_DELETED)

    def _open_sound(self, *, is_suspect: bool) -> bool:
        """Open the file at the path; return False if it is not a file, or damaged."""
        try:
            self._open()
        except NotAFileError:
            return False
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                return False
            raise
        sound = is_sound(self._connection)
        if sound or (sound is None and not is_suspect):
            return True
        self._connection.close()
        os.close(self._hold)
        return False

    def _replace(self, problem: str) -> None:
        """Set aside the file at the path, and start a new one."""
        kept = set_aside(self.path)
        self._open()
        self._note_loss(problem, kept)

    def _note_loss(self, problem: str, kept: Path | None) -> None:
        self.loss = Loss(datetime.now(UTC), problem, kept)
        log.error("the history starts again: %s%s", problem, f"; kept as {kept}" if kept else "")

    def _is_ours(self) -> bool:
        with self.path.open("rb") as file:
            return is_ours(file.read(HEAD_BYTES))

    def record(self, snapshot: Snapshot) -> None:
        """Store every number that changed since the previous call, and that databases were watched.

        Times are whole seconds since 1970, sizes are bytes. If the file has reached its maximum
        size, delete the oldest points and retry. A snapshot that cannot be stored is stored by the
        next call that succeeds, for up to `MAX_PENDING` calls. Raise sqlite3.Error.
        """
        self._pending.append(snapshot)
        for share in ROOM_SHARES:
            try:
                return self._record()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname != "SQLITE_FULL" or not is_nearly_full(self._connection):
                    raise
                make_room(self._connection, self._settings.max_size, share)
        return self._record()

    def backfill(
        self,
        points: Iterable[tuple[str, str, datetime, int, int]],
        events: Iterable[Event],
        measured: Iterable[tuple[str, str, str | None, datetime, float]] = (),
    ) -> None:
        """Store earlier points, events and values of measures. Raise sqlite3.Error.

        A point is a database, a table, a time, its rows and the sum of its written rows, which
        begins at 0. Points are in order of time; a pause longer than `BACKFILL_GAP_SECONDS` was not
        watched. What was measured is a database, the name of a measure, a label or None, a time and
        a number.
        """
        with self._connection:
            for database, table, time, rows, written in points:
                at = int(time.timestamp())
                self._store(at, (database, table, "rows", None), (rows, written, None))
                self._watch(database, at, BACKFILL_GAP_SECONDS)
            for database, name, label, time, number in measured:
                key = database, None, f"measure:{name}", label
                self._store(int(time.timestamp()), key, (None, None, float(number)))
            for event in events:
                self._store_event(event)
            self._roll_up()

    def state_of(self, database: Database) -> DatabaseState | None:
        """Return the stored state of a database at its path. Raise sqlite3.Error."""
        return state_in(self._connection, database)

    def store_state(
        self, database: Database, state: DatabaseState, events: Iterable[Event] = ()
    ) -> None:
        """Store the state of a database at its path and its events, in one transaction.

        An event that is stored already gets its end. Raise sqlite3.Error.
        """
        good = state.last_good
        with self._connection:
            for event in events:
                self._store_event(event)
            self._connection.execute(
                "INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    database.name,
                    str(database.path),
                    *to_row(state, ("status", "code", "since")),
                    *(to_row(good, ("read_at", "total_rows", "tables")) if good else [None] * 3),
                    state.absence,
                    state.baseline and _as_json(state.baseline),
                ),
            )

    def states(self, table: StateTable) -> dict[tuple[str, str], str]:
        """Return the stored states by database and path. Raise sqlite3.Error."""
        return states_in(self._connection, table)

    def store_states(self, table: StateTable, states: Mapping[tuple[str, str], str]) -> None:
        """Store states by database and path. Raise sqlite3.Error."""
        with self._connection:
            self._connection.executemany(
                f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)",  # noqa: S608
                [(*key, state) for key, state in states.items()],
            )

    def matches(self) -> tuple[Match, ...]:
        """Return the files that patterns matched, in order of path. Raise sqlite3.Error."""
        return matches_in(self._connection)

    def store_matches(self, matches: Iterable[Match]) -> None:
        """Store files that patterns matched. Raise sqlite3.Error."""
        with self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO match VALUES (?, ?, ?, ?)",
                [(one.entry, str(one.path), one.name, one.is_watched) for one in matches],
            )

    def forget(self, database: Database, now: datetime) -> None:
        """Delete the state of a database and end its events; points stay. Raise sqlite3.Error."""
        with self._connection:
            for table in ("memory", "opener", "integrity", "answer"):
                self._connection.execute(
                    f"DELETE FROM {table} WHERE database = ?",  # noqa: S608
                    (database.name,),
                )
            self._connection.execute(
                "UPDATE event SET ended_at = ? WHERE database = ? AND ended_at IS NULL",
                (now.isoformat(), database.name),
            )
        self._before = {key: read for key, read in self._before.items() if key[0] != database.name}

    def close(self) -> None:
        """Close the file and release its lock."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            self._connection.close()
        finally:
            os.close(self._hold)

    def _record(self) -> None:
        before = dict(self._before)
        try:
            with self._connection:
                for snapshot in self._pending:
                    self._store_snapshot(snapshot)
                self._roll_up()
                self._prune(self._pending[-1].taken_at)
            self._pending.clear()
        except sqlite3.Error as error:
            if is_damage(error):
                suspects.setdefault(self.path, False)
            # The caches may contain rolled back values.
            self._before, self._last, self._changed = before, {}, []
            self._series = self._load_series()
            raise

    def _store_event(self, event: Event) -> None:
        """Insert an event, or update the end of a stored one."""
        database, kind, at, before, after, ended_at = to_row(event, EVENT_FIELDS)
        updated = self._connection.execute(
            "UPDATE event SET ended_at = ? WHERE database = ? AND kind = ? AND at = ?",
            (ended_at, database, kind, at),
        )
        if updated.rowcount == 0:
            self._connection.execute(
                "INSERT INTO event (database, kind, at, before, after, ended_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (database, kind, at, before, after, ended_at),
            )

    def _store_snapshot(self, snapshot: Snapshot) -> None:
        at = int(snapshot.taken_at.timestamp())
        if at < self._at:  # the clock was set back, so the cached values are of later times
            self._last = {}
        self._at = at
        for status in snapshot.databases:
            if status.status == "connected" and not status.is_stale:
                since = self._watch(status.database.name, at)
                self._store_all(at, status, since)

    def _load_baselines(self) -> dict[tuple[str, str], Reading]:
        rows = self._connection.execute(
            "SELECT database, path, baseline FROM memory WHERE baseline IS NOT NULL"
        )
        return {(name, path): decode(Reading, baseline) for name, path, baseline in rows}

    def _load_series(self) -> dict[Key, int]:
        rows = self._connection.execute('SELECT database, "table", metric, label, id FROM series')
        return {
            (database, table, metric, label): id_ for database, table, metric, label, id_ in rows
        }

    def _store_all(self, at: int, status: DatabaseStatus, since: int) -> None:
        """Store every number of a database that has been watched without a gap since a time.

        A missing table has 0 rows. What is unknown is NULL, also what was measured before the gap.

        The sizes of tables stay as they were until a check of all tables has measured them.
        """
        name, reading, integrity = status.database.name, status.reading, status.integrity
        is_measured = integrity is not None and integrity.checked_share == 1
        numbers: dict[Key, int | None] = {
            key: 0 if key[1] else None
            for key in self._series
            if key[0] == name and (is_measured or key[2] != "table_bytes")
        }
        for table, count in reading.tables.items():
            numbers[name, table, "rows", None] = count.rows if count.is_known else None
        for table, size_bytes in integrity.table_bytes.items() if integrity else ():
            numbers[name, table, "table_bytes", None] = size_bytes
        numbers[name, None, "size_bytes", None] = reading.size_bytes
        numbers[name, None, "wal_bytes", None] = reading.wal_bytes
        measured = measured_values(status, self._series, since)
        file = name, str(status.database.path)
        before = self._before.get(file, reading)
        for key, value in {**dict.fromkeys(measured), **numbers}.items():
            written = None
            if key[1] and key[2] == "rows":
                _, written_before, _ = self._last_values(self._series_id(key), at)
                written = (written_before or 0) + rows_inserted(before, reading, key[1])
            self._store(at, key, (value, written, measured.get(key)))
        self._before[file] = reading

    def _watch(self, database: str, at: int, gap_seconds: int = 0) -> int:
        """Extend the span in which a database was watched, or start a new one after a gap.

        Return the start of the span.
        """
        usual_seconds = int(GAP_FACTOR * self._settings.every.total_seconds())
        earliest = at - max(gap_seconds, usual_seconds)
        extended = self._connection.execute(
            "UPDATE watched SET until = max(until, :at) WHERE database = :database AND since ="
            " (SELECT max(since) FROM watched WHERE database = :database AND since <= :at)"
            " AND until >= :earliest RETURNING since",
            {"at": at, "database": database, "earliest": earliest},
        ).fetchall()
        if extended:
            return int(extended[0][0])
        self._connection.execute(
            "INSERT OR REPLACE INTO watched VALUES (?, ?, ?)", (database, at, at)
        )
        return at

    def _store(self, at: int, key: Key, values: Values) -> None:
        """Store a point if its values changed."""
        series = self._series_id(key)
        if self._last_values(series, at) != values or series not in self._last:
            self._connection.execute(
                "INSERT OR REPLACE INTO point VALUES (?, ?, ?, ?, ?)", (series, at, *values)
            )
            self._last[series] = values
            self._changed.append((series, at))

    def _roll_up(self) -> None:
        """Compute the hours and days of the points stored since the previous call."""
        roll_up(self._connection, self._changed)
        self._changed = []

    def _last_values(self, series: int, at: int) -> Values:
        """Return the last values of a series at a time; None for those that are unknown."""
        if series not in self._last:
            row = self._connection.execute(
                "SELECT value, written, number FROM point WHERE series = ? AND at <= ?"
                " ORDER BY at DESC LIMIT 1",
                (series, at),
            ).fetchone()
            if row:
                self._last[series] = row
        return self._last.get(series, (None, None, None))

    def _series_id(self, key: Key) -> int:
        if key not in self._series:
            self._connection.execute(
                'INSERT OR IGNORE INTO series (database, "table", metric, label)'
                " VALUES (?, ?, ?, ?)",
                key,
            )
            self._series[key] = self._connection.execute(
                'SELECT id FROM series WHERE database = ? AND "table" IS ? AND metric = ?'
                " AND label IS ?",
                key,
            ).fetchone()[0]
        return self._series[key]

    def _prune(self, now: datetime) -> None:
        """Delete everything older than the retention, once per hour.

        The age is counted from one day after the last record at most. Otherwise a clock that is
        years ahead for a moment, as one without a battery may be, would cost the whole history.
        """
        if self._pruned_at is None or not timedelta(0) <= now - self._pruned_at <= PRUNE_EVERY:
            self._pruned_at = now
            newest = self._connection.execute(
                "SELECT max(until) FROM watched WHERE since < ?", (int(now.timestamp()),)
            ).fetchone()[0]
            latest = now if newest is None else datetime.fromtimestamp(newest + DAY, UTC)
            prune(self._connection, min(now, latest), self._settings.retention)
            self._series, self._last = self._load_series(), {}


def _as_json(reading: Reading) -> str:
    """Encode a reading without its surroundings, except the growth of its WAL."""
    around = Surroundings(wal_growth=reading.surroundings.wal_growth)
    return encode(replace(reading, surroundings=around))
