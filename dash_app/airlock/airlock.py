"""Ask child processes for readings, and replace a child that dies or hangs.

All databases share one child. When it dies or exceeds a deadline, the databases that it was reading
become suspects. Each suspect is then read by a child of its own, so that the next failure affects
only that database and shows which one it is.
"""

import logging
import os
import select
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from typing import Self

from dash_app.airlock.child_process import ChildProcess, Limits
from dash_app.model.database import Database
from dash_app.model.host_facts import Surroundings
from dash_app.model.reading import Code, Reading
from dash_app.model.snapshot import DatabaseState
from dash_app.reader.protocol import Message
from dash_app.settings import Settings
from dash_app.system.decoding import decode_parsed
from dash_app.system.processes import cpu_seconds

MAX_ABANDONED = 8
"""Maximum number of killed children still stuck in the kernel, for example on a hung mount. Beyond
it, no child is started; from half of it on, none for a suspect."""

MAX_ALONE = 2
"""Maximum number of suspects read at a time. Each such child may use a core until its deadline."""

ALONE_NICE = 10

REST_FACTOR = 4
"""After a suspect has failed again, all suspects rest for this multiple of the processor time that
it used. Together they use at most a fifth of a core."""

MAX_REPLACEMENTS = 3
"""Maximum number of children replaced in one call that failed without reading anything. The next
call tries again."""

LOCKED_SECONDS = 60.0
"""Minimum time of a lock before it is reported. A shorter one is an ordinary transaction."""

DAMAGE_CODES: tuple[Code, ...] = ("corrupt", "not_a_database")
REST_SECONDS = 3.0
"""A main file written within this time may be half of a copy in progress, which takes no locks:
`cp`, `rsync --inplace` and restores pause for less."""

NOTED_SECONDS = 10.0
"""A reading that could not be renewed for this time is marked as such."""

BACK_OFF_SECONDS = 5.0
MAX_BACK_OFF_SECONDS = 30.0
CHECK_SECONDS = 0.05
MAX_LOGGED_NAMES = 8

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Suspect:
    """A database that is read alone: its number of failures, and the time of the next attempt."""

    failures: int = 0
    retry_at: float = 0.0
    child: ChildProcess | None = None
    killed: ChildProcess | None = None
    reading: Reading | None = None

    def is_ready(self) -> bool:
        """Whether its pause is over and the child that it hung has exited."""
        return time.monotonic() >= self.retry_at and (
            self.killed is None or self.killed.has_exited()
        )

    def fail(self, code: Code, detail: Mapping[str, str] | None = None) -> None:
        """Store a failure as the database's reading, and double the pause before the next one."""
        now = datetime.now(UTC)
        self.reading = Reading(read_at=now, verified_at=now, code=code, detail=detail or {})
        pause_seconds = min(BACK_OFF_SECONDS * 2**self.failures, MAX_BACK_OFF_SECONDS)
        self.failures += 1
        self.killed, self.child = self.child, None
        self.retry_at = time.monotonic() + pause_seconds


class Airlock:
    """Reads databases in child processes. Not thread-safe.

    `guards` are the names of the kernel features that deny the children all writes.
    `longest_open_seconds` is the longest time that any database was open. `sidecars_left` is the
    number of WAL files left behind because their last writer closed during a reading.
    """

    def __init__(self, databases: Iterable[Database], limits: Limits) -> None:
        """Prepare to read databases. The first child starts with the first reading."""
        self._paths = {database.name: os.path.abspath(database.path) for database in databases}
        self._limits = limits
        self._shared: ChildProcess | None = None
        self._suspects: dict[str, Suspect] = {}
        self._abandoned: list[ChildProcess] = []
        self._readings: dict[str, Reading] = {}
        self._last_good: dict[str, Reading] = {}
        self._read_at: dict[str, float] = {}
        self._locked_since: dict[str, float] = {}
        self._damaged_since: dict[str, float] = {}
        self._rest_until = 0.0
        self.guards: tuple[str, ...] | None = None
        self.longest_open_seconds = 0.0
        self.sidecars_left = 0

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Create an airlock for the configured databases."""
        sampler = settings.sampler
        limits = Limits(sampler.deadline.total_seconds(), sampler.table_budget.total_seconds())
        return cls(settings.databases, limits)

    def restore(self, states: Mapping[str, DatabaseState | None]) -> None:
        """Continue from the states before a restart, by database name."""
        for name, state in states.items():
            if state and state.code is None and state.baseline:
                self._last_good[name] = state.baseline
            elif state and state.code == "locked":
                # If there was a good reading before, it has already been kept for LOCKED_SECONDS.
                age_seconds = (datetime.now(UTC) - state.since).total_seconds()
                locked_seconds = inf if state.last_good else max(age_seconds, 0)
                self._locked_since[name] = time.monotonic() - locked_seconds

    def start(self) -> None:
        """Start a child before the first reading."""
        self._shared = self._shared or self._start()

    def read(self, wait_seconds: float) -> Mapping[str, Reading]:
        """Return the newest reading of each database that has one.

        Wait for all answers, but at most `wait_seconds`, counted from the start of the first child.
        The next call returns any later answer.
        """
        ends = time.monotonic() + wait_seconds
        self._reap()
        for child in self._children():
            child.restart_silence()
        replacements = 0
        self._request_all()
        while self._pending() and (left_seconds := ends - time.monotonic()) > 0:
            if self.guards is None:  # the first child starts slowly on a busy machine
                ends = time.monotonic() + wait_seconds
            suspects = len(self._suspects)
            self._exchange(min(left_seconds, CHECK_SECONDS))
            has_failed = self._kill_failed()
            if has_failed and len(self._suspects) > suspects:
                self._request_all()  # the databases in its queue are read at once
            elif has_failed and replacements < MAX_REPLACEMENTS:
                replacements += 1
                self._request_all()
            elif has_failed or len(self._suspects) < suspects:
                self._request_suspects()
        failures = {name: suspect.reading for name, suspect in self._suspects.items()}
        return self._readings | {name: reading for name, reading in failures.items() if reading}

    def close(self) -> None:
        """Kill all children, and wait for each up to a second."""
        for child in self._children():
            self._abandon(child)
        for child in self._abandoned:
            child.join(1)
        self._shared = None
        self._suspects.clear()

    @property
    def is_idle(self) -> bool:
        """Whether no child reads a database or has anything to send, and none was killed lately."""
        return not self._abandoned and all(child.is_idle for child in self._children())

    @property
    def answered_bytes(self) -> Mapping[int, int]:
        """The total size of the answers of each running child, by process id."""
        return {child.pid: child.received_bytes for child in self._children()}

    @property
    def pids(self) -> list[int]:
        """The process ids of the running children, the shared one first."""
        return [child.pid for child in self._children()]

    def _children(self) -> list[ChildProcess]:
        alone = [suspect.child for suspect in self._suspects.values()]
        return [child for child in (self._shared, *alone) if child is not None]

    def _pending(self) -> set[str]:
        return set().union(*(child.pending for child in self._children()))

    def _request_all(self) -> None:
        """Request every database that is not already being read."""
        pending = self._pending()
        shared = [name for name in self._paths if name not in self._suspects.keys() | pending]
        if shared and (child := self._shared or self._start()):
            self._shared = child
            child.request_readings({name: self._paths[name] for name in shared})
        self._request_suspects()

    def _request_suspects(self) -> None:
        """Request up to `MAX_ALONE` suspects, those with the fewest failures first."""
        free = MAX_ALONE - sum(suspect.child is not None for suspect in self._suspects.values())
        ready = [
            (suspect.failures, suspect.retry_at, name)
            for name, suspect in self._suspects.items()
            if suspect.child is None and suspect.is_ready()
        ]
        for failures, _retry_at, name in sorted(ready):
            is_resting = failures and time.monotonic() < self._rest_until
            nice = ALONE_NICE if failures else 0  # the first time, a busy machine may explain it
            if free <= 0 or is_resting or (child := self._start(alone=True, nice=nice)) is None:
                return
            free -= 1
            self._suspects[name].child = child
            child.request_readings({name: self._paths[name]})

    def _start(self, *, alone: bool = False, nice: int = 0) -> ChildProcess | None:
        self._reap()
        if len(self._abandoned) >= MAX_ABANDONED // (2 if alone else 1):
            log.error("airlock: %d killed children have not exited yet", len(self._abandoned))
            return None
        try:
            return ChildProcess(self._limits, alone=alone, nice=nice)
        except OSError as error:
            log.error("airlock: could not start a child: %s", error)
            return None

    def _exchange(self, wait_seconds: float) -> None:
        """Send the rest of the requests, and process all answers that have arrived."""
        poll = select.poll()
        children = self._children()
        for child in children:
            child.register(poll)
        poll.poll(wait_seconds * 1000)
        for child in children:
            child.send()
            for message in child.readings():
                self._store(message)
            self.guards = child.guards or self.guards
            child.add_workers_if_stalled()

    def _store(self, message: Message) -> None:
        name = message["name"]
        open_seconds, sidecars_left = message["cost"]
        self.longest_open_seconds = max(self.longest_open_seconds, open_seconds)
        self.sidecars_left += sidecars_left
        before = self._readings.get(name)
        if "reading" in message:
            message["reading"].setdefault("objects", before and before.objects)
            reading = decode_parsed(Reading, message["reading"])
        else:
            reading = replace(
                self._readings[name],
                verified_at=decode_parsed(datetime, message["verified_at"]),
                surroundings=decode_parsed(Surroundings, message["surroundings"]),
            )
        self._readings[name] = self._keep_while_locked(name, reading)
        if suspect := self._suspects.pop(name, None):
            log.info("airlock: %s can be read again", name)
            if suspect.child:
                self._abandon(suspect.child)

    def _keep_while_locked(self, name: str, reading: Reading) -> Reading:
        """Return the last good reading while a database is locked, for up to `LOCKED_SECONDS`.

        Its `detail` then explains why there is no newer one. Without a good reading, a lock
        `is_new` for the same time. A database that is written without a pause is not locked, so its
        last good reading is kept without limit.
        """
        if self._may_be_copied(name, reading):
            reading = replace(reading, code="locked", detail={"writes": "yes"})
        if reading.code != "locked":
            self._locked_since.pop(name, None)
            self._last_good.pop(name, None)
            if reading.code is None:
                self._last_good[name] = reading
                self._read_at[name] = time.monotonic()
            return reading
        now = time.monotonic()
        # If the last reading is older, something else prevented readings before the lock.
        read_at = max(self._read_at.get(name, now), now - NOTED_SECONDS)
        if reading.wait_reason == "writes":
            self._locked_since.pop(name, None)
            locked_seconds = 0.0
        else:
            locked_seconds = now - self._locked_since.setdefault(name, read_at)
        if locked_seconds >= LOCKED_SECONDS:
            return reading
        last = self._last_good.get(name)
        if last and last.file == reading.file:
            age_seconds = (reading.verified_at - last.verified_at).total_seconds()
            is_noted = {"is_noted": "yes"} if age_seconds >= NOTED_SECONDS else {}
            detail = {**reading.detail, **is_noted}
            return replace(last, detail=detail, surroundings=reading.surroundings)
        return replace(reading, detail={**reading.detail, "is_new": "yes"})

    def _may_be_copied(self, name: str, reading: Reading) -> bool:
        """Whether a database may only seem damaged because a copy over it is in progress.

        For up to `LOCKED_SECONDS`, and only if the database was read before.
        """
        if reading.code not in DAMAGE_CODES:
            if reading.code != "locked":
                self._damaged_since.pop(name, None)
            return False
        now = time.monotonic()
        damaged_seconds = now - self._damaged_since.setdefault(name, now)
        if name not in self._last_good or not reading.file_modified:
            return False
        # The last of several attempts may have seen a write later than `verified_at`.
        rested_seconds = abs((reading.verified_at - reading.file_modified).total_seconds())
        return rested_seconds < REST_SECONDS and damaged_seconds < LOCKED_SECONDS

    def _kill_failed(self) -> bool:
        """Kill each child that has exited, hangs or is overdue; return whether there was one."""
        failed = [c for c in self._children() if c.is_closed or c.is_hung() or c.overdue()]
        for child in failed:
            spent_seconds = cpu_seconds(child.pid)
            code, detail = child.failure()
            cause = ", ".join([code, *(f"{key} {value}" for key, value in detail.items())])
            self._abandon(child)
            if child is self._shared:
                self._shared = None
                self._add_suspects(child, cause)
            for name, suspect in self._suspects.items():
                if suspect.child is child:
                    log.warning("airlock: %s, read alone: %s", name, cause)
                    suspect.fail(code, detail)
                    self._rest_until = time.monotonic() + REST_FACTOR * spent_seconds
        return bool(failed)

    def _add_suspects(self, child: ChildProcess, cause: str) -> None:
        """Make suspects of the databases that a failed child was reading."""
        names = child.overdue() or set(child.started)
        more = f" and {len(names) - MAX_LOGGED_NAMES} more" if len(names) > MAX_LOGGED_NAMES else ""
        listed = ", ".join(sorted(names)[:MAX_LOGGED_NAMES]) or "nothing"
        log.warning("airlock: while reading %s%s: %s", listed, more, cause)
        for name in names:
            self._suspects[name] = Suspect()

    def _reap(self) -> None:
        self._abandoned = [child for child in self._abandoned if not child.has_exited()]

    def _abandon(self, child: ChildProcess) -> None:
        child.kill()
        self._abandoned.append(child)
