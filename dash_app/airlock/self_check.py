"""Measure whether the service keeps its promises to the programs that write the databases.

The kernel reports through `/proc` which locks and files this process and its children hold and how
much they have written, so that no watched file is opened for the measurement.
"""

import os
from collections.abc import Iterable, Mapping, Sequence

from dash_app.airlock.airlock import Airlock
from dash_app.airlock.background import Background
from dash_app.model.reading import Reading
from dash_app.model.self_check import Promise, SelfReport
from dash_app.system.processes import bytes_written, count_open_files, record_locks


class SelfCheck:
    """The measurements so far. Not thread-safe."""

    def __init__(self, deadline_seconds: float) -> None:
        """Start without measurements; `deadline_seconds` is the limit for an open database."""
        self._deadline_seconds = deadline_seconds
        self._written_by_exited = 0
        self._written_by: dict[int, int] = {}
        self._locks_held = 0
        self._files_open = 0
        self._ticks = 0
        self._ticks_missed = 0
        self._ticks_seconds = 0.0

    def count_tick(self, seconds: float, missed: int) -> None:
        """Count a tick by its duration, and the ticks skipped because it took too long."""
        self._ticks += 1
        self._ticks_seconds += seconds
        self._ticks_missed += missed

    def measure(
        self, airlock: Airlock, others: Sequence[Background], readings: Iterable[Reading]
    ) -> SelfReport:
        """Measure this process and its children; `others` work in the background.

        While a child reads a database, the file is rightly open and locked, so the children keep
        their previous values.
        """
        pids = [*airlock.pids, *(pid for other in others for pid in other.pids)]
        files = {reading.file for reading in readings if reading.file}
        self._files_open = count_open_files("self", files)
        if airlock.is_idle and _are_at_rest(others):
            self._measure_written(airlock.answered_bytes)
            files_open = sum(count_open_files(pid, files) for pid in pids)
            locks_held = count_locks({os.getpid(), *pids}, files)
            if _are_at_rest(others):
                self._files_open += files_open
                self._locks_held = locks_held
        written = self._written_by_exited + sum(self._written_by.values())
        written += sum(other.bytes_written for other in others)
        return SelfReport(
            promises=(
                Promise("bytesWritten", written, 0),
                Promise("locksHeldBetweenReadings", self._locks_held, 0),
                Promise("watchedFilesLeftOpen", self._files_open, 0),
                Promise(
                    "longestReadMs",
                    round(airlock.longest_open_seconds * 1000),
                    round(self._deadline_seconds * 1000),
                ),
            ),
            reader_pids=tuple(pids),
            guards=airlock.guards or (),
            sidecars_left=airlock.sidecars_left + sum(other.sidecars_left for other in others),
            ticks=self._ticks,
            ticks_missed=self._ticks_missed,
            ticks_seconds=self._ticks_seconds,
        )

    def _measure_written(self, answered_bytes: Mapping[int, int]) -> None:
        """Measure the bytes that the children wrote, except their answers to the service."""
        self._written_by_exited += sum(
            written for pid, written in self._written_by.items() if pid not in answered_bytes
        )
        self._written_by = {
            pid: max(bytes_written(pid) - answered, 0) for pid, answered in answered_bytes.items()
        }


def _are_at_rest(others: Iterable[Background]) -> bool:
    return all(other.is_at_rest for other in others)


def count_locks(pids: set[int], files: set[str]) -> int:
    """Count the record locks that processes hold on files, which are given as "DEVICE:INODE"."""
    held = [lock for lock in record_locks() if lock.pid in pids]
    return sum("{}:{}".format(*lock.file) in files for lock in held)
