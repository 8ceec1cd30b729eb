"""Measure for how long a WAL has been large and could not start over.

A writer starts the WAL over at its front once all of it is checkpointed and no process reads it. A
WAL that never starts over grows until its disk is full. Either no process checkpoints it, or
readers alternate so that there is always one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dash_app.model.host_facts import WalGrowth
from dash_app.reader.files import read_start

LARGE_BYTES, HUGE_BYTES = 64_000_000, 1_000_000_000
"""Above the first limit, a WAL is large if it exceeds its main file; above the second, always.
SQLite checkpoints at 4 MB by default."""

LASTING_SECONDS = 600.0

GENERATION_BYTES = slice(16, 24)
"""The salts in a WAL's header, which change when it starts over (sqlite.org/fileformat2.html)."""

MAX_PROCESSES = 100

Instant = tuple[float, datetime]
"""Seconds on the monotonic clock, and the time of day."""


@dataclass(frozen=True, slots=True)
class WalSample:
    """The state of a large WAL at one reading."""

    generation: str
    """Changes when the WAL starts over."""
    used_bytes: int
    """The size of all frames, or of the file if the index is unknown."""
    backlog_bytes: int | None
    """The size of the frames not yet checkpointed; None if the index is unknown."""
    main_bytes: int
    readers: Iterable[str] = ()
    """Process labels. A process that writes is among the readers too."""
    writers: Iterable[str] = ()


@dataclass(frozen=True, slots=True)
class GrowthState:
    """The result of all samples so far. Times are on the monotonic clock."""

    last: WalSample | None = None
    grown_at: float = 0.0
    full_since: Instant | None = None
    """When the frames of this generation became too large."""
    behind_since: Instant | None = None
    """When the frames not yet checkpointed became too large."""
    readers: Mapping[str, float] = field(default_factory=dict)
    """The last time that each process was among the readers."""
    writers: Mapping[str, float] = field(default_factory=dict)

    def updated(self, sample: WalSample | None, at: float, now: datetime) -> GrowthState:
        """Return the state after another sample, which is None if the WAL is small.

        `at` is the time of the sample on the monotonic clock, `now` its time of day.
        """
        if sample is None:
            return GrowthState()
        is_same = self.last is not None and self.last.generation == sample.generation
        # The first sample counts as growth, since it is unknown when the WAL grew.
        has_grown = not (self.last and is_same) or sample.used_bytes > self.last.used_bytes
        full_since = (self.full_since if is_same else None) or (at, now)
        # It starts over only once all of it is checkpointed, maybe between two samples.
        behind_since = (self.behind_since if is_same else None) or (at, now)
        return GrowthState(
            sample,
            at if has_grown else self.grown_at,
            full_since if _is_large(sample.used_bytes, sample.main_bytes) else None,
            behind_since if _is_large(sample.backlog_bytes or 0, sample.main_bytes) else None,
            _recent(self.readers, sample.readers, at),
            _recent(self.writers, sample.writers, at),
        )

    def report(self, at: float) -> WalGrowth | None:
        """Report a WAL that has been unable to start over; None if it seems able to.

        Frames that were appended to a large WAL show that it could not start over instead.
        """
        is_growing = at - self.grown_at < LASTING_SECONDS
        starts = [self.behind_since, self.full_since if is_growing else None]
        if self.last is None or not any(starts):
            return None
        began_at, since = min(start for start in starts if start)
        backlog_bytes = self.last.backlog_bytes
        return WalGrowth(
            since=since,
            is_lasting=at - began_at >= LASTING_SECONDS,
            generation=self.last.generation,
            is_checkpointed=(
                None if backlog_bytes is None else backlog_bytes < 0.9 * self.last.used_bytes
            ),
            readers=tuple(name for name in self.readers if name not in self.writers),
        )


def read_generation(path: str) -> str:
    """Read the generation of a database's WAL; empty if it cannot be read."""
    try:
        return read_start(f"{path}-wal", GENERATION_BYTES.stop)[GENERATION_BYTES].hex()
    except OSError:
        return ""


def _recent(before: Mapping[str, float], names: Iterable[str], at: float) -> Mapping[str, float]:
    """Return the processes of the last ten minutes, at most `MAX_PROCESSES`, with their times."""
    last_times = {**before, **dict.fromkeys(names, at)}
    recent = [name for name, last in last_times.items() if at - last < LASTING_SECONDS]
    return {name: last_times[name] for name in recent[-MAX_PROCESSES:]}


def _is_large(size_bytes: int, main_bytes: int) -> bool:
    return size_bytes > max(LARGE_BYTES, min(main_bytes, HUGE_BYTES))
