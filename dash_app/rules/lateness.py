"""How the databases compare with their expectations, reading after reading."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from dash_app.history.coverage import Coverage, find_coverage
from dash_app.model.database import Database
from dash_app.model.expectation import (
    OVERDUE,
    Expectation,
    ExpectationReport,
    ExpectationState,
    Rules,
    TableRules,
    elapsed_and_due,
    state_after,
)
from dash_app.model.quiet_hours import QuietHours
from dash_app.model.reading import Reading, rows_inserted
from dash_app.rules.state import StateStore

NOTHING = timedelta(0)

log = logging.getLogger(__name__)


def load_trackers(
    databases: Iterable[Database],
    max_gap: timedelta,
    path: Path,
    states: StateStore,
    now: datetime,
) -> dict[str, ExpectationTracker]:
    """Return a tracker for each database, by name, that continues from the history at `path`.

    If the history cannot be read, elapsed time counts from the first reading.
    """
    trackers = {}
    for database in databases:
        last = states.baseline_of(database)
        coverage = Coverage(last=last)
        try:
            if last and database.rules.expects_writes:
                coverage = find_coverage(path, database.name, last, now)
        except sqlite3.Error as error:
            log.error("history of %s cannot be read: %s", database.name, error)
        trackers[database.name] = ExpectationTracker(database.rules, max_gap, coverage)
    return trackers


class ExpectationTracker:
    """Compares one database with its expectations.

    Its only clock are the times of readings. The time from one reading to the next counts unless
    it is negative or longer than `max_gap`: then the database was not watched.
    """

    def __init__(self, rules: Rules, max_gap: timedelta, coverage: Coverage) -> None:
        self._max_gap = max_gap
        self._before = coverage.last
        self._read_at = coverage.watched[-1][1] if coverage.watched else None
        quiet_hours = {rules.quiet, *(table.quiet for table in rules.tables.values())}
        clocks = {quiet: _ActiveClock(quiet) for quiet in quiet_hours}
        self._clocks = tuple(clocks.values())
        modified = coverage.last.last_modified if coverage.last else None
        self._file = _last_write(rules, clocks[rules.quiet], coverage, modified)
        tables = {
            name: _last_write(table, clocks[table.quiet], coverage, coverage.written.get(name))
            for name, table in rules.tables.items()
        }
        self._tables = {name: write for name, write in tables.items() if write}
        self._report: ExpectationReport | None = None
        if self._file or self._tables:
            self._report = self._compare(self._read_at, is_gap=False)

    def update(self, reading: Reading) -> ExpectationReport | None:
        """Return the report after a reading; None if there are no expectations.

        While the database cannot be read, the report stays the same.
        """
        if self._report and reading.code is None:
            since = self._advance(reading.verified_at)
            self._record_writes(reading, since)
            self._before = reading
            self._report = self._compare(reading.verified_at, is_gap=since is None)
        return self._report

    def _advance(self, at: datetime) -> datetime | None:
        """Add the time since the last reading to the clocks; return its start, None after a gap."""
        before, self._read_at = self._read_at, at
        if before is None or not NOTHING <= at - before <= self._max_gap:
            return None
        for clock in self._clocks:
            clock.elapsed += clock.quiet.active_time(before, at)
        return before

    def _record_writes(self, reading: Reading, since: datetime | None) -> None:
        """Record the writes since the previous reading; `since` is its time, None after a gap."""
        before, now = self._before, reading.verified_at
        if self._file:
            modified, clock = reading.last_modified or now, self._file.clock
            if before is None or before.last_modified != modified:
                ago = clock.quiet.active_time(max(modified, since), now) if since else NOTHING
                self._file.record(modified, ago)
            self._file.known_at = clock.elapsed
        is_new_reading = before is None or before.read_at != reading.read_at
        for name, write in self._tables.items():
            if before and is_new_reading and _has_lost_newest(before, reading, name):
                write.removed_at = write.clock.elapsed
            write.may_miss = _may_miss_rows(reading, name, write)
            if before and is_new_reading and rows_inserted(before, reading, name):
                write.record(now)
            elif _is_unwritten(before, reading, name):
                write.known_at = write.clock.elapsed

    def _compare(self, now: datetime | None, *, is_gap: bool) -> ExpectationReport:
        own = self._file.state(now, is_gap=is_gap) if self._file else None
        tables = {name: one.state(now, is_gap=is_gap) for name, one in self._tables.items()}
        return ExpectationReport(own, tables)


@dataclass(slots=True)
class _ActiveClock:
    """The time since the start that was watched and is not in these quiet hours."""

    quiet: QuietHours
    elapsed: timedelta = NOTHING


@dataclass(slots=True)
class _LastWrite:
    """The last write of a file or table, and what is known of the time since.

    All durations are readings of `clock`.
    """

    expect: Expectation
    clock: _ActiveClock
    is_paused: bool
    last_at: datetime | None
    written_at: timedelta
    due_at: datetime | None
    known_at: timedelta = NOTHING
    """Until when there was certainly no other write: a table may have been written since if its
    count is an old estimate."""

    removed_at: timedelta | None = None
    """When the newest rows were last seen to be deleted."""

    may_miss: bool = False
    """Whether rows may have been written and deleted since, between two readings."""

    def record(self, at: datetime, ago: timedelta = NOTHING) -> None:
        """Record a write; `ago` is the active time since."""
        self.last_at, self.due_at = at, None
        self.written_at, self.known_at = self.clock.elapsed - ago, self.clock.elapsed

    def state(self, now: datetime | None, *, is_gap: bool) -> ExpectationState:
        """Return the state; `now` is None before the first reading."""
        if now and (is_gap or self.due_at is None):
            left = self.expect.every - (self.clock.elapsed - self.written_at)
            if left > NOTHING:
                self.due_at = self.clock.quiet.add_active_time(now, left)
        elapsed, is_new = self.known_at - self.written_at, self.last_at is None
        state = "paused" if self.is_paused else state_after(self.expect, elapsed, is_new=is_new)
        if self.may_miss and state in OVERDUE:
            state = "unknown"
        due_at = None if self.is_paused else self.due_at
        return ExpectationState(state, self.expect, self.last_at, due_at)


def _last_write(
    rules: TableRules, clock: _ActiveClock, coverage: Coverage, last_at: datetime | None
) -> _LastWrite | None:
    """Return the last write of a file or table according to the history.

    None if there is no expectation.
    """
    if rules.expect is None:
        return None
    every = rules.expect.every
    elapsed, due = elapsed_and_due(rules.quiet, coverage.watched, last_at, every)
    return _LastWrite(rules.expect, clock, rules.paused, last_at, -elapsed, due)


def _is_unwritten(before: Reading | None, now: Reading, table: str) -> bool:
    """Whether a count that did not grow proves that nothing was written until now.

    An estimate proves it only if new rows would show in the largest rowid or in the sequence, or if
    the estimate is new.
    """
    count = now.tables.get(table)
    if count is None or count.is_exact or table in now.sequences:
        return True
    if not count.is_known or (count.rowids and count.is_packed):
        return count.is_known
    was = before.tables.get(table) if before else None
    return was is None or was.counted_at != count.counted_at


def _has_lost_newest(before: Reading, now: Reading, table: str) -> bool:
    was, count = before.tables.get(table), now.tables.get(table)
    if was is None or was.rowids is None or count is None:
        return False
    return count.rowids[1] < was.rowids[1] if count.rowids else count.rows == 0


def _may_miss_rows(reading: Reading, table: str, write: _LastWrite) -> bool:
    """Whether rows may have been written into a table and deleted between two readings.

    Unless the table is AUTOINCREMENT, SQLite reuses the rowid of the newest row once that row is
    deleted (sqlite.org/autoinc.html). So a table that is empty, or whose newest rows get deleted,
    may look unchanged while its database is written.
    """
    count, limit = reading.tables.get(table), write.expect.every + write.expect.grace
    modified = reading.last_modified
    if count is None or table in reading.sequences or modified is None:
        return False
    is_in_use = write.removed_at is not None and write.clock.elapsed - write.removed_at <= limit
    return (count.rows == 0 or is_in_use) and reading.verified_at - modified <= limit
