"""What was seen of a database and its tables against what is expected of them, look by look."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from dash_app.history.coverage import Past, past_of
from dash_app.model.database import Database
from dash_app.model.expectation import (
    OVERDUE,
    Expectation,
    ExpectationReport,
    ExpectationState,
    Rules,
    TableRules,
    due_at,
    elapsed_active_time,
    state_after,
)
from dash_app.model.quiet_hours import QuietHours
from dash_app.model.reading import Reading
from dash_app.model.rows_written import is_packed, rows_inserted
from dash_app.rules.state import StateStore

NOTHING = timedelta(0)

log = logging.getLogger(__name__)


def expected_of(
    databases: Iterable[Database], gap: timedelta, path: Path, ledger: StateStore
) -> dict[str, Expected]:
    """Return each database against what is expected of it, from what a history knows, by name."""
    found = {}
    for one in databases:
        last = ledger.last_of(one)
        past = Past(last=last)
        try:
            if last and one.rules.expects_writes:
                past = past_of(path, one.name, last)
        except sqlite3.Error as error:
            log.error("history of %s cannot be read: %s", one.name, error)
        found[one.name] = Expected(one.rules, gap, past)
    return found


class Expected:
    """One database against what is expected of it.

    It has no clock of its own: a reading says when it was true. Time counts from one such instant
    to the next, unless they are turned, or further apart than `gap`: that nobody watched.
    """

    def __init__(self, rules: Rules, gap: timedelta, past: Past) -> None:
        """Take what is expected, the longest pause between two looks, and what is known."""
        self._gap = gap
        self._before = past.last
        self._looked_at = past.watched[-1][1] if past.watched else None
        quiets = {rules.quiet, *(table.quiet for table in rules.tables.values())}
        clocks = {quiet: _Clock(quiet) for quiet in quiets}
        self._clocks = tuple(clocks.values())
        modified = past.last.last_modified if past.last else None
        self._file = _sign(rules, clocks[rules.quiet], past, modified)
        self._tables = {
            name: sign
            for name, table in rules.tables.items()
            if (sign := _sign(table, clocks[table.quiet], past, past.written.get(name)))
        }
        self._watch: ExpectationReport | None = None
        if self._file or self._tables:
            self._watch = self._standing(self._looked_at, is_gap=False)

    def look(self, reading: Reading) -> ExpectationReport | None:
        """Take a reading; return how all stands, None where nothing is expected.

        While a database cannot be read, it stands as it stood.
        """
        if self._watch and reading.code is None:
            since = self._count(reading.verified_at)
            self._see(reading, since)
            self._before = reading
            self._watch = self._standing(reading.verified_at, is_gap=since is None)
        return self._watch

    def _count(self, at: datetime) -> datetime | None:
        """Count the time since the last look; return when that was, None for too long ago."""
        before, self._looked_at = self._looked_at, at
        if before is None or not NOTHING <= at - before <= self._gap:
            return None
        for clock in self._clocks:
            clock.counted += clock.quiet.active_time(before, at)
        return before

    def _see(self, reading: Reading, since: datetime | None) -> None:
        """Take what was written since the reading before, and since the last look if it counts."""
        before, now = self._before, reading.verified_at
        if self._file:
            modified, clock = reading.last_modified or now, self._file.clock
            if before is None or before.last_modified != modified:
                ago = clock.quiet.active_time(max(modified, since), now) if since else NOTHING
                self._file.write(modified, ago)
            self._file.known_at = clock.counted
        is_read_anew = before is None or before.read_at != reading.read_at
        for name, sign in self._tables.items():
            if before and is_read_anew and _has_lost_newest(before, reading, name):
                sign.fell_at = sign.clock.counted
            sign.may_hide = _may_hide_rows(reading, name, sign)
            if before and is_read_anew and rows_inserted(before, reading, name):
                sign.write(now)
            elif _is_known(before, reading, name):
                sign.known_at = sign.clock.counted

    def _standing(self, now: datetime | None, *, is_gap: bool) -> ExpectationReport:
        own = self._file.standing(now, is_gap=is_gap) if self._file else None
        tables = {name: one.standing(now, is_gap=is_gap) for name, one in self._tables.items()}
        return ExpectationReport(own, tables)


@dataclass(slots=True)
class _Clock:
    """How much time counted since the begin: watched, and not quiet by these hours."""

    quiet: QuietHours
    counted: timedelta = NOTHING


@dataclass(slots=True)
class _Sign:
    """The last sign of life of a file or a table, and what counts since.

    `written_at` is when it came by the clock, `known_at` up to when it is known that none came
    since: a table whose count is an old estimate may have been written. `fell_at` is when its
    newest rows were last seen to be removed, `may_hide` whether rows may have come and gone since.
    """

    expect: Expectation
    clock: _Clock
    is_paused: bool
    last_at: datetime | None
    written_at: timedelta
    due_at: datetime | None
    known_at: timedelta = NOTHING
    fell_at: timedelta | None = None
    may_hide: bool = False
    last: ExpectationState | None = None

    def write(self, at: datetime, ago: timedelta = NOTHING) -> None:
        """Take a sign of life, since which so much time counts already."""
        self.last_at, self.due_at = at, None
        self.written_at, self.known_at = self.clock.counted - ago, self.clock.counted

    def standing(self, now: datetime | None, *, is_gap: bool) -> ExpectationState:
        """Return how it stands; the very value as before where nothing differs.

        `now` is None before the first look.
        """
        if now and (is_gap or self.due_at is None):
            left = self.expect.every - (self.clock.counted - self.written_at)
            if left > NOTHING:
                self.due_at = self.clock.quiet.add_active_time(now, left)
        lasted, is_new = self.known_at - self.written_at, self.last_at is None
        state = "paused" if self.is_paused else state_after(self.expect, lasted, is_new=is_new)
        if self.may_hide and state in OVERDUE:
            state = "unknown"
        due_at = None if self.is_paused else self.due_at
        last = self.last
        if last is None or (last.state, last.last_at, last.due_at) != (state, self.last_at, due_at):
            last = self.last = ExpectationState(state, self.expect, self.last_at, due_at)
        return last


def _sign(
    rules: Rules | TableRules, clock: _Clock, past: Past, last_at: datetime | None
) -> _Sign | None:
    """Return how a file or a table stands by what is known of it; None if nothing is expected."""
    if rules.expect is None:
        return None
    already, due = elapsed_active_time(rules.quiet, past.watched, last_at), None
    if already >= rules.expect.every:
        now = past.watched[-1][1]
        due = due_at(rules.quiet, past.watched, last_at, now, rules.expect.every)
    return _Sign(rules.expect, clock, rules.paused, last_at, -already, due)


def _is_known(before: Reading | None, now: Reading, table: str) -> bool:
    """Whether a count that did not grow means that nothing was written until now.

    An estimate says so only where new rows show in the greatest rowid or in a sequence, or when it
    was made anew.
    """
    count = now.tables.get(table)
    if count is None or count.is_exact or table in now.sequences:
        return True
    if not count.is_known or (count.rowids and is_packed(count)):
        return count.is_known
    was = before.tables.get(table) if before else None
    return was is None or was.counted_at != count.counted_at


def _has_lost_newest(before: Reading, now: Reading, table: str) -> bool:
    """Return whether a table lost its newest rows between two readings."""
    was, count = before.tables.get(table), now.tables.get(table)
    if was is None or was.rowids is None or count is None:
        return False
    return count.rowids[1] < was.rowids[1] if count.rowids else count.rows == 0


def _may_hide_rows(reading: Reading, table: str, sign: _Sign) -> bool:
    """Return whether rows may have been written into a table and removed again, unseen.

    SQLite gives the rowid of the newest row again once that row is removed, unless the table is
    AUTOINCREMENT (sqlite.org/autoinc.html). So a table that is empty, or from which the newest rows
    are taken, looks the same before and after, while its database is being written.
    """
    count, lasts = reading.tables.get(table), sign.expect.every + sign.expect.grace
    written_at = reading.last_modified
    if count is None or table in reading.sequences or written_at is None:
        return False
    is_worked_on = sign.fell_at is not None and sign.clock.counted - sign.fell_at <= lasts
    return (count.rows == 0 or is_worked_on) and reading.verified_at - written_at <= lasts
