"""Writes the history: one writer, a transaction a minute."""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dash_app.history.schema import UnusableHistoryError, migrate
from dash_app.model import HISTORY_APPLICATION_ID, LastGood, Memory
from dash_app.surroundings import Surroundings
from dash_app.watched.protocol import reading_from_message, reading_to_message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from dash_app.model import Database, DatabaseStatus, Event, Reading, Snapshot
    from dash_app.settings import HistorySettings

    Key = tuple[str, str | None, str]

GAP_FACTOR = 3
"""Nothing recorded for so many times the usual pause: we were not watching."""

BUSY_SECONDS = 0.25
"""How long a record may wait for somebody else's lock: the sampler's next tick waits with it."""

PRUNE_EVERY = timedelta(hours=1)
ROOM_SHARES = (0.1, 0.3, 0.7)
"""How much of the recorded time is given up, one after the other, when the file is full.

A page becomes free once little is left of it: with few points a series, a tenth frees none.
"""


class History:
    """The record of what was read. For one thread; see `query` for reading beside it."""

    def __init__(self, settings: HistorySettings) -> None:
        """Open the file, made for its owner alone where there is none.

        Raises OSError, sqlite3.Error, UnusableHistoryError.
        """
        self._settings = settings
        self._connection = _open(settings.path, settings.max_size)
        self._series: dict[Key, int] = self._load_series()
        self._last: dict[int, int | None] = {}
        self._pruned_at: datetime | None = None

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self._settings.path

    def record(self, snapshot: Snapshot) -> None:
        """Store what changed since the last record, and that we watched.

        Gives up the oldest record where the file has reached its greatest size. Raises
        sqlite3.Error.
        """
        for share in ROOM_SHARES:
            try:
                return self._record(snapshot)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname != "SQLITE_FULL" or not self._is_grown():
                    raise
                self._make_room(share)
        return self._record(snapshot)

    def fill(self, points: Iterable[tuple[str, str, datetime, int]]) -> None:
        """Store row counts of earlier times: database, table, time and rows, in order of time.

        Raises sqlite3.Error.
        """
        spans: dict[str, tuple[int, int]] = {}
        with self._connection:
            for database, table, time, rows in points:
                at = int(time.timestamp())
                self._store(at, (database, table, "rows"), rows)
                spans[database] = (spans.get(database, (at, at))[0], at)
            self._connection.executemany(
                "INSERT OR REPLACE INTO watched VALUES (?, ?, ?)",
                [(database, since, until) for database, (since, until) in spans.items()],
            )

    def memory_of(self, database: Database) -> Memory | None:
        """Return what is remembered of a database at its path. Raises sqlite3.Error."""
        row = self._connection.execute(
            "SELECT status, code, since, read_at, total_rows, tables, absence, baseline FROM memory"
            " WHERE database = ? AND path = ?",
            (database.name, str(database.path)),
        ).fetchone()
        if row is None:
            return None
        status, code, since, read_at, rows, tables, absence, baseline = row
        good = LastGood(datetime.fromisoformat(read_at), rows, tables) if read_at else None
        known = reading_from_message(json.loads(baseline)) if baseline else None
        return Memory(status, code, datetime.fromisoformat(since), good, absence, known)

    def remember(self, database: Database, memory: Memory, events: Iterable[Event] = ()) -> None:
        """Keep a memory of a database at its path, and what happened to it, both or neither.

        An event that is stored already takes its end. Raises sqlite3.Error.
        """
        good = memory.last_good
        with self._connection:
            for event in events:
                self._keep(event)
            self._connection.execute(
                "INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    database.name,
                    str(database.path),
                    memory.status,
                    memory.code,
                    memory.since.isoformat(),
                    good and good.read_at.isoformat(),
                    good and good.total_rows,
                    good and good.tables,
                    memory.absence,
                    memory.baseline and _as_json(memory.baseline),
                ),
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _record(self, snapshot: Snapshot) -> None:
        at = int(snapshot.taken_at.timestamp())
        try:
            with self._connection:
                for status in snapshot.databases:
                    if status.status == "connected" and status.level != "unknown":
                        self._watch(status.database.name, at)
                        self._store_all(at, status)
                self._prune(snapshot.taken_at)
        except sqlite3.Error:
            self._series, self._last = self._load_series(), {}  # what was rolled back is unknown
            raise

    def _keep(self, event: Event) -> None:
        """Store an event, or the end of one that is stored."""
        key = (event.database, event.kind, event.at.isoformat())
        ended_at = event.ended_at and event.ended_at.isoformat()
        stored = self._connection.execute(
            "UPDATE event SET ended_at = ? WHERE database = ? AND kind = ? AND at = ?",
            (ended_at, *key),
        )
        if stored.rowcount == 0:
            self._connection.execute(
                "INSERT INTO event (database, kind, at, before, after, ended_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (*key, json.dumps(event.before), json.dumps(event.after), ended_at),
            )

    def _load_series(self) -> dict[Key, int]:
        rows = self._connection.execute('SELECT database, "table", metric, id FROM series')
        return {(database, table, metric): identity for database, table, metric, identity in rows}

    def _store_all(self, at: int, status: DatabaseStatus) -> None:
        """Store every number of a database; what it had once and has no more becomes unknown."""
        name = status.database.name
        known = {key: None for key in self._series if key[0] == name}
        for key, value in (known | dict(_values(status))).items():
            self._store(at, key, value)

    def _watch(self, database: str, at: int) -> None:
        """Prolong the span in which a database was watched, or begin a new one."""
        earliest = at - int(GAP_FACTOR * self._settings.every.total_seconds())
        prolonged = self._connection.execute(
            "UPDATE watched SET until = max(until, :at) WHERE database = :database AND since ="
            " (SELECT max(since) FROM watched WHERE database = :database) AND until >= :earliest",
            {"at": at, "database": database, "earliest": earliest},
        )
        if prolonged.rowcount == 0:
            self._connection.execute(
                "INSERT OR REPLACE INTO watched VALUES (?, ?, ?)", (database, at, at)
            )

    def _store(self, at: int, key: Key, value: int | None) -> None:
        series = self._series_id(key)
        if series not in self._last:
            row = self._connection.execute(
                "SELECT value FROM point WHERE series = ? ORDER BY at DESC LIMIT 1", (series,)
            ).fetchone()
            if row:
                self._last[series] = row[0]
        if series not in self._last or self._last[series] != value:
            self._connection.execute(
                "INSERT OR REPLACE INTO point VALUES (?, ?, ?)", (series, at, value)
            )
            self._last[series] = value

    def _series_id(self, key: Key) -> int:
        if key not in self._series:
            self._connection.execute(
                'INSERT OR IGNORE INTO series (database, "table", metric) VALUES (?, ?, ?)', key
            )
            self._series[key] = self._connection.execute(
                'SELECT id FROM series WHERE database = ? AND "table" IS ? AND metric = ?', key
            ).fetchone()[0]
        return self._series[key]

    def _prune(self, now: datetime) -> None:
        if self._pruned_at is None or now - self._pruned_at > PRUNE_EVERY:
            self._pruned_at = now
            self._forget_before(int((now - self._settings.retention).timestamp()))

    def _is_grown(self) -> bool:
        """Whether the file is near its greatest size, so that it is not the disk that is full."""
        pages, most = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "max_page_count")
        )
        return bool(pages > 0.9 * most)

    def _make_room(self, share: float) -> None:
        oldest, newest = self._connection.execute("SELECT min(at), max(at) FROM point").fetchone()
        with self._connection:
            self._forget_before(int(oldest + (newest - oldest) * share) + 1)

    def _forget_before(self, at: int) -> None:
        """Drop older points, but for the newest of each series: its value still stands at `at`."""
        self._connection.execute(
            "DELETE FROM point WHERE at < :at AND EXISTS (SELECT 1 FROM point AS later WHERE"
            " later.series = point.series AND later.at > point.at AND later.at <= :at)",
            {"at": at},
        )
        self._connection.execute("DELETE FROM watched WHERE until < ?", (at,))
        self._connection.execute("DELETE FROM event WHERE unixepoch(at) < ?", (at,))


def _values(status: DatabaseStatus) -> Iterator[tuple[Key, int | None]]:
    name, reading = status.database.name, status.reading
    for table, count in reading.tables.items():
        yield (name, table, "rows"), count.rows
    yield (name, None, "size_bytes"), reading.size_bytes
    yield (name, None, "wal_bytes"), reading.wal_bytes


def _as_json(reading: Reading) -> str:
    """Return a reading without what was around it then."""
    message = reading_to_message(replace(reading, surroundings=Surroundings()))
    return json.dumps(message, separators=(",", ":"))


def _open(path: Path, max_bytes: int) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    _claim(connection)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {max_bytes // page_bytes}")
    migrate(connection)
    return connection


def _claim(connection: sqlite3.Connection) -> None:
    """Mark a new file as ours, before its log begins; refuse one that is somebody else's.

    Raises UnusableHistoryError.
    """
    pages, mark = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "application_id")
    )
    if pages and mark != HISTORY_APPLICATION_ID:
        raise UnusableHistoryError("it is a database, but no history of Mission Control")
    if not pages:
        connection.execute(f"PRAGMA application_id = {HISTORY_APPLICATION_ID}")
