"""Check the pages of all databases for damage, one database at a time, in a process of its own."""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dash_app.airlock.line_process import OneShot
from dash_app.model.database import Database
from dash_app.model.integrity import NOT_YET, Damage, Integrity, IntegrityState, TableCheck
from dash_app.model.reading import Reading
from dash_app.reader.protocol import OUT_OF_MEMORY, Message
from dash_app.settings.schema import IntegritySettings
from dash_app.system.processes import bytes_written, cpu_seconds

FIRST_SECONDS = 30.0
"""Time after the start in which nothing is checked."""

TURN_SECONDS = 600.0
"""Time after which a check gives way to another database that is due, and continues later."""

SILENT_SECONDS = 60.0
"""A process that sends nothing for this time hangs. Even at rest, it sends something every 5 s."""

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


class CheckProcess(OneShot):
    """The process that checks `database`.

    `rests_until`: on the monotonic clock, when it may open the database next. `sidecars_left`: as
    in `Airlock`. `bytes_written`: more than its messages to us. `end`: why it failed, empty if it
    sent its last message or was not needed any longer.
    """

    def __init__(self, database: str, path: Path, state: CheckState, share: float) -> None:
        """Start the check of a database, given by name and path. Raise OSError."""
        request: Message = {"path": os.path.abspath(path), "share": share}
        request |= {"done": state.done, "progress": state.progress}
        super().__init__("dash_app.reader.page_check", request)
        self.database = database
        self.started_at = self.received_at
        self.cpu_seconds = self.rests_until = 0.0
        self.sidecars_left = self.bytes_written = 0
        self.end: str | None = None

    def receive(self) -> Iterator[Message]:
        """Yield the messages that arrived, and measure the process."""
        written = bytes_written(self.pid)
        self.cpu_seconds = max(self.cpu_seconds, cpu_seconds(self.pid))
        for message in super().receive():
            match message:
                case {"rests_until": until, "sidecars": sidecars}:
                    self.rests_until, self.sidecars_left = until, sidecars
                case {"ended": _} | {"failed": _}:
                    self.end = ""
            yield message
        self.bytes_written = max(self.bytes_written, written - self.received_bytes)

    @property
    def is_hung(self) -> bool:
        """Whether it has sent nothing for too long."""
        return time.monotonic() - self.received_at > SILENT_SECONDS

    def kill(self, reason: str = "") -> None:
        """Kill it without waiting; `reason` is why the check failed, if it did."""
        self.process.kill()
        self.end = reason if self.end is None else self.end

    def failure(self) -> str:
        """Return why its check failed; empty if it did not. For a process that has exited."""
        if self.end is not None:
            return self.end
        is_full = self.process.returncode == OUT_OF_MEMORY
        return "its check needs too much memory" if is_full else "its check crashed"


class PageChecker:
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
        self._databases = databases
        self._share = settings.share / 100
        self._every = settings.every
        self.states = {one.name: states.get(one.name, CheckState()) for one in databases}
        self._bytes_written = self._sidecars_left = 0
        self._process: CheckProcess | None = None
        self._start_at = time.monotonic() + FIRST_SECONDS
        self._turn_ended_at: dict[str, float] = {}
        self._known: dict[str, tuple[CheckState, str | None, Integrity]] = {}

    @property
    def pids(self) -> list[int]:
        """The process id of the running check, if there is one."""
        return [self._process.pid] if self._process else []

    @property
    def bytes_written(self) -> int:
        """The number of bytes that all checks wrote, except their messages."""
        return self._bytes_written + (self._process.bytes_written if self._process else 0)

    @property
    def sidecars_left(self) -> int:
        """The number of WALs that stayed because their last writer closed during a step."""
        return self._sidecars_left + (self._process.sidecars_left if self._process else 0)

    @property
    def is_at_rest(self) -> bool:
        """Whether the running check has no file open, and will not open one within 50 ms."""
        return self._process is None or time.monotonic() + 0.05 < self._process.rests_until

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
            self._continue(self._process, now, reasons, is_awaited=len(due) > 1)
        elif due and time.monotonic() >= self._start_at:
            self._start(min(due)[-1], readings)
        for name in self.states.keys() & readings.keys():
            self._note_size(name, readings[name], now)
        return {name: self._integrity(name, reason) for name, reason in reasons.items()}

    def forget(self, name: str) -> None:
        """Forget what is known of a database."""
        if self._process and self._process.database == name:
            self._process.kill()
        self.states[name] = CheckState()

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.join(1.0)
            self._process = None

    def _start(self, name: str, readings: Mapping[str, Reading]) -> None:
        state = self.states[name] = self.states[name].started(readings[name].file or "")
        path = next(one.path for one in self._databases if one.name == name)
        try:
            self._process = CheckProcess(name, path, state, self._share)
        except OSError as error:
            log.error("page check: could not start: %s", error)
            self._start_at = time.monotonic() + SILENT_SECONDS

    def _continue(
        self,
        process: CheckProcess,
        now: datetime,
        reasons: Mapping[str, str | None],
        *,
        is_awaited: bool,
    ) -> None:
        """Receive messages, and end a check that hangs, must stop or gives way to another one."""
        has_exited = process.has_exited()
        name = process.database
        try:
            for message in process.receive():
                self.states[name] = self.states[name].updated(message, now)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            process.kill(f"its check sent an invalid message: {type(error).__name__}")
        turn_is_over = is_awaited and time.monotonic() - process.started_at > TURN_SECONDS
        if process.is_hung:
            process.kill("its check hung")
        elif reasons[name] or turn_is_over:
            process.kill()
        if has_exited:
            self._end(process, now)
            if reasons[name] is None:  # or it continues as soon as the obstacle is gone
                self._turn_ended_at[name] = time.monotonic()

    def _end(self, process: CheckProcess, now: datetime) -> None:
        name = process.database
        if failure := process.failure():
            log.warning("page check of %s: %s", name, failure)
            self.states[name] = self.states[name].failed(failure, now)
        self._process = None
        self._start_at = process.started_at + process.cpu_seconds / self._share
        self._bytes_written += process.bytes_written
        self._sidecars_left += process.sidecars_left

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
