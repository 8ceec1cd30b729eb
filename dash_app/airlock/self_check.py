"""Whether we keep our own promises: what this process and its children hold, write and take.

Asked of the kernel through `/proc`, which opens no watched file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dash_app.airlock.airlock import Airlock
from dash_app.model.reading import Reading
from dash_app.system.processes import bytes_written, count_open_files, record_locks


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise: what was measured, and the greatest value at which it is kept."""

    name: str
    measured: int
    most: int

    @property
    def kept(self) -> bool:
        """Whether it holds."""
        return self.measured <= self.most


class SelfCheck:
    """What was seen of ourselves so far. For one thread; any may read its numbers."""

    def __init__(self, deadline_seconds: float) -> None:
        """Take how long a database may be open."""
        self._deadline_seconds = deadline_seconds
        self._written_by_ended = 0
        self._written_by: dict[int, int] = {}
        self._longest_open_seconds = 0.0
        self._locks_held = 0
        self._files_open = 0
        self.pids: tuple[int, ...] = ()
        self.guards: tuple[str, ...] = ()
        self.sidecars_left = 0
        self.ticks = 0
        self.ticks_missed = 0
        self.ticks_seconds = 0.0

    def ticked(self, took_seconds: float, missed: int) -> None:
        """Count a tick, and those that had to be left out because it took too long."""
        self.ticks += 1
        self.ticks_seconds += took_seconds
        self.ticks_missed += missed

    def look(self, airlock: Airlock, readings: Iterable[Reading]) -> None:
        """Look at ourselves, after a tick: while a reading goes on, its file is rightly open."""
        self.pids, self.guards = tuple(airlock.pids), airlock.guards or ()
        self._longest_open_seconds = airlock.longest_open_seconds
        self.sidecars_left = airlock.sidecars_left
        watched = {reading.file for reading in readings if reading.file}
        self._files_open = count_open_files("self", watched)
        if not airlock.is_reading:
            self._count_written(airlock.answered_bytes)
            self._files_open += sum(count_open_files(pid, watched) for pid in self.pids)
            self._locks_held = locks_held({os.getpid(), *self.pids}, watched)

    def promises(self) -> list[Promise]:
        """Return our promises to those who write the databases."""
        return [
            Promise("bytesWritten", self._written_by_ended + sum(self._written_by.values()), 0),
            Promise("locksHeldBetweenReadings", self._locks_held, 0),
            Promise("watchedFilesLeftOpen", self._files_open, 0),
            Promise(
                "longestReadMs",
                round(self._longest_open_seconds * 1000),
                round(self._deadline_seconds * 1000),
            ),
        ]

    def _count_written(self, answered_bytes: Mapping[int, int]) -> None:
        """Count all that the children wrote, except their answers to us."""
        self._written_by_ended += sum(
            written for pid, written in self._written_by.items() if pid not in answered_bytes
        )
        self._written_by = {
            pid: max(bytes_written(pid) - answered, 0) for pid, answered in answered_bytes.items()
        }


def locks_held(pids: set[int], files: set[str]) -> int:
    """Count the record locks that processes hold on files, which are given as "DEVICE:INODE"."""
    held = [lock for lock in record_locks() if lock.pid in pids]
    return sum("{}:{}".format(*lock.file) in files for lock in held)
