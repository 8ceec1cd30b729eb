"""Whether we keep our own promises: what this process and its children hold, write and take.

Asked of the kernel through `/proc`, which opens no watched file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from dash_app.airlock.airlock import Airlock
from dash_app.model.reading import Reading
from dash_app.model.self_check import Promise, SelfReport
from dash_app.system.processes import bytes_written, count_open_files, record_locks


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
        self._ticks = 0
        self._ticks_missed = 0
        self._ticks_seconds = 0.0

    def ticked(self, took_seconds: float, missed: int) -> None:
        """Count a tick, and those that had to be left out because it took too long."""
        self._ticks += 1
        self._ticks_seconds += took_seconds
        self._ticks_missed += missed

    def measure(self, airlock: Airlock, readings: Iterable[Reading]) -> SelfReport:
        """Measure this process and its children.

        While a reading goes on, its file is open and locked as it should be; then the children keep
        their previous measures.
        """
        pids = tuple(airlock.pids)
        self._longest_open_seconds = airlock.longest_open_seconds
        watched = {reading.file for reading in readings if reading.file}
        self._files_open = count_open_files("self", watched)
        if not airlock.is_reading:
            self._count_written(airlock.answered_bytes)
            self._files_open += sum(count_open_files(pid, watched) for pid in pids)
            self._locks_held = locks_held({os.getpid(), *pids}, watched)

        return SelfReport(
            promises=self._promises(),
            reader_pids=pids,
            guards=airlock.guards or (),
            sidecars_left=airlock.sidecars_left,
            ticks=self._ticks,
            ticks_missed=self._ticks_missed,
            ticks_seconds=self._ticks_seconds,
        )

    def _promises(self) -> tuple[Promise, ...]:
        return (
            Promise("bytesWritten", self._written_by_ended + sum(self._written_by.values()), 0),
            Promise("locksHeldBetweenReadings", self._locks_held, 0),
            Promise("watchedFilesLeftOpen", self._files_open, 0),
            Promise(
                "longestReadMs",
                round(self._longest_open_seconds * 1000),
                round(self._deadline_seconds * 1000),
            ),
        )

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
