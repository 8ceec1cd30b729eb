"""The parent's side: asks the child for readings, and replaces one that dies or hangs.

All databases share one child. When it dies or overruns a deadline, the databases it was working
on become suspects: each is then read by a child of its own, so that the next failure costs that
database alone and says which it is.
"""

from __future__ import annotations

import logging
import os
import select
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from subprocess import TimeoutExpired
from typing import Self

from dash_app.airlock.child_process import ChildProcess, Limits
from dash_app.model.database import Database
from dash_app.model.host_facts import Surroundings
from dash_app.model.reading import Code, Reading
from dash_app.model.snapshot import DatabaseState
from dash_app.reader.protocol import Message
from dash_app.settings import Settings
from dash_app.system.decoding import decode_parsed

MAX_ABANDONED = 8
"""Maximum number of killed children still stuck in the kernel, for instance on a hung mount. Then
none are started, and from half as many on none for one database alone."""

MAX_ALONE = 2
"""Databases read alone at a time: each such child takes up to a core until its deadline."""

ALONE_NICE = 10

REST_SHARE = 4
"""After a child that failed alone, others that failed before rest this multiple of the processor
time that it took: all of them together take a fifth of a core."""

MAX_REPLACEMENTS = 3
"""Of children within one call that failed without reading anything: a broken one is started again
at the next."""

LOCKED_SECONDS = 60.0
"""A lock that keeps us from reading for less is a transaction like any other."""

DAMAGE_CODES: tuple[Code, ...] = ("corrupt", "not_a_database")
REST_SECONDS = 3.0
"""A main file that was written within this time may be half of a copy that is being made, which has
no locks: `cp`, `rsync --inplace` and restores pause for less."""

NOTED_SECONDS = 10.0
"""A reading that could not be renewed for this long says so."""

BACK_OFF_SECONDS = 5.0
MAX_BACK_OFF_SECONDS = 30.0
CHECK_SECONDS = 0.05
LOGGED_NAMES = 8

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Suspect:
    """A database that is read alone: how often that failed, and when to try again."""

    failures: int = 0
    retry_at: float = 0.0
    child: ChildProcess | None = None
    killed: ChildProcess | None = None
    reading: Reading | None = None

    def may_be_asked(self) -> bool:
        """Whether its pause is over and the kernel has let go of the child that it hung."""
        return time.monotonic() >= self.retry_at and (self.killed is None or self.killed.gone())

    def fail(self, code: Code, detail: Mapping[str, str] | None = None) -> None:
        """Note a failure as the database's reading, and wait longer before the next try."""
        now = datetime.now(UTC)
        self.reading = Reading(read_at=now, verified_at=now, code=code, detail=detail or {})
        pause_seconds = min(BACK_OFF_SECONDS * 2**self.failures, MAX_BACK_OFF_SECONDS)
        self.failures += 1
        self.killed, self.child = self.child, None
        self.retry_at = time.monotonic() + pause_seconds


class Airlock:
    """Readings of databases, whatever the files do. For one thread at a time.

    `guards` names what denies the children every write, `longest_open_seconds` is how long any
    database was open, and `sidecars_left` how often a log stayed because its last writer met us.
    """

    def __init__(self, databases: Iterable[Database], limits: Limits) -> None:
        """Nothing is started before the first reading."""
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
    def of(cls, settings: Settings) -> Self:
        """Return the airlock over the databases of some settings."""
        sampler = settings.sampler
        limits = Limits(sampler.deadline.total_seconds(), sampler.table_budget.total_seconds())
        return cls(settings.databases, limits)

    def resume(self, memories: Mapping[str, DatabaseState | None]) -> None:
        """Continue with what was known of the databases before the start, by name."""
        for name, memory in memories.items():
            if memory and memory.code is None and memory.baseline:
                self._last_good[name] = memory.baseline
            elif memory and memory.code == "locked":
                # With a good reading before, it was kept for as long as a lock is none.
                age_seconds = (datetime.now(UTC) - memory.since).total_seconds()
                lasted_seconds = inf if memory.last_good else max(age_seconds, 0)
                self._locked_since[name] = time.monotonic() - lasted_seconds

    def start(self) -> None:
        """Have a child start now, and not with the first reading."""
        self._shared = self._shared or self._start()

    def read(self, wait_seconds: float) -> Mapping[str, Reading]:
        """Return the newest reading of each database that has ever had one.

        Waits until all have answered, but no longer than so many seconds from the first child's
        start on: a later answer is in the next call's result.
        """
        ends = time.monotonic() + wait_seconds
        self._reap()
        for child in self._children():
            child.resume()
        replacements = 0
        self._ask()
        while self._awaited() and (left_seconds := ends - time.monotonic()) > 0:
            if self.guards is None:  # a busy machine starts its first child slowly
                ends = time.monotonic() + wait_seconds
            suspects = len(self._suspects)
            self._exchange(min(left_seconds, CHECK_SECONDS))
            has_failed = self._kill_failed()
            if has_failed and len(self._suspects) > suspects:
                self._ask()  # the databases in its queue are read at once
            elif has_failed and replacements < MAX_REPLACEMENTS:
                replacements += 1
                self._ask()
            elif has_failed or len(self._suspects) < suspects:
                self._ask_alone()
        failures = {name: suspect.reading for name, suspect in self._suspects.items()}
        return self._readings | {name: found for name, found in failures.items() if found}

    def close(self) -> None:
        """End every child."""
        for child in self._children():
            self._abandon(child)
        for child in self._abandoned:
            with suppress(TimeoutExpired):
                child.wait()
        self._shared = None
        self._suspects.clear()

    @property
    def is_reading(self) -> bool:
        """Whether a reading is under way, or a child that had one may not be gone yet."""
        return bool(self._awaited() or self._abandoned)

    @property
    def answered_bytes(self) -> Mapping[int, int]:
        """The size of the answers of each living child so far, by process id."""
        return {child.pid: child.received_bytes for child in self._children()}

    @property
    def pids(self) -> list[int]:
        """The process ids of the living children, the shared one first."""
        return [child.pid for child in self._children()]

    def _children(self) -> list[ChildProcess]:
        alone = [suspect.child for suspect in self._suspects.values()]
        return [child for child in (self._shared, *alone) if child is not None]

    def _awaited(self) -> set[str]:
        return set().union(*(child.asked for child in self._children()))

    def _ask(self) -> None:
        """Ask for every database whose reading is not under way."""
        awaited = self._awaited()
        shared = [name for name in self._paths if name not in self._suspects.keys() | awaited]
        if shared and (child := self._shared or self._start()):
            self._shared = child
            child.ask({name: self._paths[name] for name in shared})
        self._ask_alone()

    def _ask_alone(self) -> None:
        """Ask for databases that are read alone, a few at a time; new suspects come first."""
        free = MAX_ALONE - sum(one.child is not None for one in self._suspects.values())
        waiting = [
            (one.failures, one.retry_at, name)
            for name, one in self._suspects.items()
            if one.child is None and one.may_be_asked()
        ]
        for failures, _retry_at, name in sorted(waiting):
            is_resting = failures and time.monotonic() < self._rest_until
            if free <= 0 or is_resting or (child := self._start(alone=True)) is None:
                return
            free -= 1
            self._suspects[name].child = child
            child.ask({name: self._paths[name]})

    def _start(self, *, alone: bool = False) -> ChildProcess | None:
        self._reap()
        if len(self._abandoned) >= MAX_ABANDONED // (2 if alone else 1):
            log.error("airlock: %d children cannot be killed yet", len(self._abandoned))
            return None
        try:
            return ChildProcess(self._limits, nice=ALONE_NICE if alone else 0)
        except OSError as error:
            log.error("airlock: no child can be started: %s", error)
            return None

    def _exchange(self, wait_seconds: float) -> None:
        """Send what is left of requests, and take all answers that have come in."""
        poll = select.poll()
        children = self._children()
        for child in children:
            poll.register(child.answers_descriptor, select.POLLIN)
            if (requests := child.requests_descriptor) is not None:
                poll.register(requests, select.POLLOUT)
        poll.poll(wait_seconds * 1000)
        for child in children:
            child.send()
            for message in child.receive():
                self._take(message)
            self.guards = child.guards or self.guards
            child.add_workers_if_stalled()

    def _take(self, message: Message) -> None:
        name = message["name"]
        open_seconds, sidecars_left = message["toll"]
        self.longest_open_seconds = max(self.longest_open_seconds, open_seconds)
        self.sidecars_left += sidecars_left
        if "reading" in message:
            known = self._readings.get(name)
            message["reading"].setdefault("objects", known and known.objects)
            self._readings[name] = self._bridge(name, decode_parsed(Reading, message["reading"]))
        else:
            verified_at = decode_parsed(datetime, message["verified_at"])
            around = decode_parsed(Surroundings, message["surroundings"])
            renewed = replace(self._readings[name], verified_at=verified_at, surroundings=around)
            self._readings[name] = self._bridge(name, renewed)
        if suspect := self._suspects.pop(name, None):
            log.info("airlock: %s answers again", name)
            if suspect.child:
                self._abandon(suspect.child)

    def _bridge(self, name: str, reading: Reading) -> Reading:
        """Return the last good reading while a database is locked, for up to `LOCKED_SECONDS`.

        Its `detail` then says why there is no newer one. Without a good one, a lock `is_new` for
        that long. A database that is written without pause is not locked, however long it lasts.
        """
        if self._is_copied(name, reading):
            reading = replace(reading, code="locked", detail={"writes": "yes"})
        if reading.code != "locked":
            self._locked_since.pop(name, None)
            self._last_good.pop(name, None)
            if reading.code is None:
                self._last_good[name] = reading
                self._read_at[name] = time.monotonic()
            return reading
        now = time.monotonic()
        # If the last reading is older, another obstacle came before the lock.
        read_at = max(self._read_at.get(name, now), now - NOTED_SECONDS)
        if reading.wait_reason == "writes":
            self._locked_since.pop(name, None)
            lasted_seconds = 0.0
        else:
            lasted_seconds = now - self._locked_since.setdefault(name, read_at)
        if lasted_seconds >= LOCKED_SECONDS:
            return reading
        last = self._last_good.get(name)
        if last and last.file == reading.file:
            age_seconds = (reading.verified_at - last.verified_at).total_seconds()
            is_noted = {"is_noted": "yes"} if age_seconds >= NOTED_SECONDS else {}
            detail = {**reading.detail, **is_noted}
            return replace(last, detail=detail, surroundings=reading.surroundings)
        return replace(reading, detail={**reading.detail, "is_new": "yes"})

    def _is_copied(self, name: str, reading: Reading) -> bool:
        """Whether a database only seems to be damaged, since a copy over it may be under way.

        So for `LOCKED_SECONDS` at most, if it was read before.
        """
        if reading.code not in DAMAGE_CODES:
            if reading.code != "locked":
                self._damaged_since.pop(name, None)
            return False
        now = time.monotonic()
        lasted_seconds = now - self._damaged_since.setdefault(name, now)
        if name not in self._last_good or not reading.file_modified:
            return False
        # The last of several attempts may have read a write that is later than their start.
        rested_seconds = abs((reading.verified_at - reading.file_modified).total_seconds())
        return rested_seconds < REST_SECONDS and lasted_seconds < LOCKED_SECONDS

    def _kill_failed(self) -> bool:
        """Kill each child that has died, hangs or overruns; return whether there was one."""
        failed = [c for c in self._children() if c.ended or c.hangs() or c.overdue()]
        for child in failed:
            spent_seconds = child.cpu_seconds()
            code, detail = child.failure()
            self._abandon(child)
            if child is self._shared:
                self._shared = None
                self._suspect(child, code)
            for name, suspect in self._suspects.items():
                if suspect.child is child:
                    log.warning("airlock: %s, read alone: %s%s", name, code, _told(detail))
                    suspect.fail(code, detail)
                    self._rest_until = time.monotonic() + REST_SHARE * spent_seconds
        return bool(failed)

    def _suspect(self, child: ChildProcess, code: Code) -> None:
        """Have the databases read alone that a failed child was working on."""
        names = child.overdue() or set(child.began)
        more = f" and {len(names) - LOGGED_NAMES} more" if len(names) > LOGGED_NAMES else ""
        listed = ", ".join(sorted(names)[:LOGGED_NAMES]) or "nothing"
        log.warning("airlock: %s while reading %s%s", code, listed, more)
        for name in names:
            self._suspects[name] = Suspect()

    def _reap(self) -> None:
        """Forget killed children that the kernel has let go of."""
        self._abandoned = [child for child in self._abandoned if not child.gone()]

    def _abandon(self, child: ChildProcess) -> None:
        child.kill()
        self._abandoned.append(child)


def _told(detail: Mapping[str, str]) -> str:
    """Return details as the end of a log line."""
    return "".join(f", {name} {value}" for name, value in detail.items())
