"""Check the pages of all databases for damage, one database at a time, in a process of its own."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from dash_app.airlock.background import HUNG, SILENT_SECONDS, Background, BackgroundProcess
from dash_app.model.database import Database
from dash_app.model.integrity import NOT_YET, Damage, Integrity, IntegrityState, TableCheck
from dash_app.model.reading import Reading
from dash_app.reader.protocol import Message
from dash_app.settings.schema import IntegritySettings

FIRST_SECONDS = 30.0
"""Time after the start in which nothing is checked."""

TURN_SECONDS = 600.0
"""Time after which a check gives way to another database that is due, and continues later."""

RECHECK_DAMAGED = timedelta(hours=1)
RETRY, MAX_RETRY = timedelta(minutes=1), timedelta(days=1)
"""Time until a check continues that found no moment to read. Each crash or hang doubles it."""

COPY_SECONDS = 10.0
"""A file that was written within this time may be half of a copy in progress."""

OFF = "turned off in the configuration"
UNREADABLE = "it cannot be read"
ENDANGERED = "it is in danger"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CheckState:
    """How far the check of one database is, and what it found. The history keeps it."""

    file: str = ""
    """Device and inode of the file."""
    checked_at: datetime | None = None
    """When the last check of all tables ended."""
    is_running: bool = False
    """Whether the present check has not ended. It may wait for its turn."""
    share: float = 0.0
    done: tuple[str, ...] = ()
    """The tables that the present check has finished."""
    found: tuple[str, ...] = ()
    """The tables in which it found damage."""
    progress: Mapping[str, Any] = field(default_factory=dict)
    """Where the process continues."""
    damage: tuple[Damage, ...] = ()
    lacking_since: datetime | None = None
    """Since when the file ends before its last page does."""
    tables: Mapping[str, TableCheck] = field(default_factory=dict)
    table_bytes: Mapping[str, int] = field(default_factory=dict)
    index_tables: Mapping[str, str] = field(default_factory=dict)
    failures: int = 0
    """How often its process crashed, hung or had too little memory since a check last ended."""
    failed_at: datetime | None = None
    failure: str | None = None

    def is_due(self, file: str, now: datetime, every: timedelta) -> bool:
        """Whether a check should start or continue. A clock that was set back delays nothing."""
        if self.file != file:
            return True
        if self.failed_at:
            pause = min(RETRY * 2 ** min(self.failures, 11), MAX_RETRY)
            return not timedelta(0) <= now - self.failed_at < pause
        every = min(every, RECHECK_DAMAGED) if self.damage else every
        is_recent = self.checked_at and timedelta(0) <= now - self.checked_at < every
        return self.is_running or not is_recent

    def started(self, file: str) -> "CheckState":
        """Return the state with a check that starts, or continues on the same file."""
        if self.file != file:
            return CheckState(file, is_running=True, damage=self.damage)
        state = replace(self, failed_at=None, failure=None)
        if self.is_running:
            return state
        return replace(state, is_running=True, share=0.0, done=(), found=(), progress={})

    def updated(self, message: Message, now: datetime) -> "CheckState":
        """Return the state after a message of the process."""
        after = self
        match message:
            case {"progress": progress, "share": share}:
                after = replace(self, progress=progress, share=share)
            case {"bytes": sizes, "tables": tables}:
                after = replace(self, table_bytes=sizes, index_tables=tables)
            case {"damaged": table, "pages": pages}:
                found_at = next((one.found_at for one in self.damage if one.table == table), now)
                others = [one for one in self.damage if one.table != table]
                damage = sorted([*others, Damage(table, pages, found_at)], key=lambda d: -d.pages)
                found = dict.fromkeys((*self.found, table))
                after = replace(self, damage=tuple(damage), found=tuple(found))
            case {"checked": table, "note": note}:
                damage = [d for d in self.damage if d.table != table or table in self.found]
                checks = {**self.tables, table: TableCheck(now, note)}
                done = (*self.done, table)
                after = replace(self, damage=tuple(damage), tables=checks, done=done)
            case {"ended": True}:
                after = self._ended(now)
            case {"failed": reason}:
                after = replace(self, failed_at=now, failure=reason)
        return after

    def _ended(self, now: datetime) -> "CheckState":
        return CheckState(
            self.file,
            now,
            share=1.0,
            damage=tuple(damage for damage in self.damage if damage.table in self.found),
            lacking_since=self.lacking_since,
            tables={table: self.tables[table] for table in self.done},
            table_bytes=self.table_bytes,
            index_tables=self.index_tables,
        )

    def failed(self, reason: str, now: datetime) -> "CheckState":
        """Return the state after a failure, which says nothing about the database."""
        return replace(self, failures=self.failures + 1, failed_at=now, failure=reason)

    def integrity(self, reason: str | None) -> Integrity:
        """Return what is known; `reason` is why nothing is checked now, if it is not."""
        damage = self.damage
        if self.lacking_since:
            others = [one for one in damage if one.table]
            damage = (*others, Damage("", 1, self.lacking_since))
        reason = reason or self.failure
        state: IntegrityState
        if self.checked_at or damage:
            state = "damaged" if damage else "clean"
        else:
            state = "unchecked" if reason or not self.is_running else "checking"
            reason = (reason or NOT_YET) if state == "unchecked" else None
        return Integrity(
            state,
            self.checked_at,
            self.share,
            reason,
            damage,
            {table: check for table, check in self.tables.items() if table},
            self.table_bytes,
            self.index_tables,
        )


class PageChecker(Background):
    """The page checks of all databases. Not thread-safe.

    `states`: what is known of each database, by name.
    """

    def __init__(
        self,
        databases: Sequence[Database],
        settings: IntegritySettings,
        states: Mapping[str, CheckState],
    ) -> None:
        """Continue from the stored states of the databases that have one."""
        super().__init__(settings.share / 100, time.monotonic() + FIRST_SECONDS)
        self._databases = databases
        self._every = settings.every
        self.states = {one.name: states.get(one.name, CheckState()) for one in databases}
        self._checking = ""
        self._turn_ended_at: dict[str, float] = {}
        self._known: dict[str, tuple[CheckState, str | None, Integrity]] = {}

    def update(self, readings: Mapping[str, Reading], now: datetime) -> Mapping[str, Integrity]:
        """Receive what the process found, start the next check, and return what is known.

        Never wait.
        """
        reasons = {one.name: _obstacle(one, readings.get(one.name)) for one in self._databases}
        due = [
            (self._turn_ended_at.get(name, 0.0), readings[name].size_bytes or 0, name)
            for name, state in self.states.items()
            if reasons[name] is None and state.is_due(readings[name].file or "", now, self._every)
        ]
        if self._process:
            self._continue(self._process, now, reasons[self._checking], is_awaited=len(due) > 1)
        elif due and time.monotonic() >= self._start_at:
            self._start(min(due)[-1], readings)
        for name in self.states.keys() & readings.keys():
            self._note_size(name, readings[name], now)
        return {name: self._integrity(name, reason) for name, reason in reasons.items()}

    def forget(self, name: str) -> None:
        """Forget what is known of a database."""
        if self._process and self._checking == name:
            self._process.kill()
        self.states[name] = CheckState()

    def _start(self, name: str, readings: Mapping[str, Reading]) -> None:
        state = self.states[name] = self.states[name].started(readings[name].file or "")
        path = next(one.path for one in self._databases if one.name == name)
        request: Message = {"path": os.path.abspath(path), "share": self._share}
        request |= {"done": state.done, "progress": state.progress}
        try:
            self._process = BackgroundProcess("dash_app.reader.page_check", request)
            self._checking = name
        except OSError as error:
            log.error("page check: could not start: %s", error)
            self._start_at = time.monotonic() + SILENT_SECONDS

    def _continue(
        self,
        process: BackgroundProcess,
        now: datetime,
        obstacle: str | None,
        *,
        is_awaited: bool,
    ) -> None:
        """Receive messages, and end a check that hangs, must stop or gives way to another one."""
        is_over, name = process.is_over, self._checking
        try:
            for message in process.receive():
                self.states[name] = self.states[name].updated(message, now)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            process.kill(f"sent an invalid message: {type(error).__name__}")
        turn_is_over = is_awaited and time.monotonic() - process.started_at > TURN_SECONDS
        if process.is_hung:
            process.kill(HUNG)
        elif obstacle or turn_is_over:
            process.kill()
        if not is_over:
            return
        if failure := process.failure():
            failure = f"its check {failure}"
            log.warning("page check of %s: %s", name, failure)
            self.states[name] = self.states[name].failed(failure, now)
        self._forget_process(process)
        if obstacle is None:  # or it continues as soon as the obstacle is gone
            self._turn_ended_at[name] = time.monotonic()

    def _note_size(self, name: str, reading: Reading, now: datetime) -> None:
        """Note since when a file is shorter than its pages, unless a copy may be in progress."""
        if reading.code is not None or reading.file_modified is None:
            return
        state = self.states[name]
        since = state.lacking_since if reading.lacks_bytes else None
        rested_seconds = (reading.verified_at - reading.file_modified).total_seconds()
        if reading.lacks_bytes and since is None and abs(rested_seconds) > COPY_SECONDS:
            since = now
        if since != state.lacking_since:
            self.states[name] = replace(state, lacking_since=since)

    def _integrity(self, name: str, reason: str | None) -> Integrity:
        if reason == OFF:
            return Integrity("unchecked", reason=OFF)
        state = self.states[name]
        known = self._known.get(name)
        if known is None or known[0] is not state or known[1] != reason:
            known = self._known[name] = state, reason, state.integrity(reason)
        return known[2]


def _obstacle(database: Database, reading: Reading | None) -> str | None:
    """Return why a database cannot be checked now."""
    if not database.is_page_checked:
        return OFF
    if reading is None:
        return NOT_YET
    if reading.surroundings.conflicts or reading.surroundings.is_foreign:
        return ENDANGERED
    # Of a damaged database, the check finds which tables are damaged.
    return None if reading.code in {None, "corrupt"} else UNREADABLE
