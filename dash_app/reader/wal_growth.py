"""How long a write-ahead log has been large and unable to start over: measured look by look.

A writer starts the WAL over at its front once all of it is checkpointed and nobody reads it. One
that never does so grows until its disk is full, either because nobody checkpoints, or because
readers take turns so that there is always one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dash_app.model.host_facts import WalGrowth
from dash_app.reader.files import read_start

LARGE_BYTES, HUGE_BYTES = 64_000_000, 1_000_000_000
"""A WAL is large above the first if it also exceeds its main file, and always above the second.
SQLite checkpoints at 4 MB by default."""

LASTING_SECONDS = 600.0

GENERATION_BYTES = slice(16, 24)
"""The salts in a WAL's header, which change as it starts over (sqlite.org/fileformat2.html)."""

MAX_READERS = 100

Instant = tuple[float, datetime]
"""Seconds on the monotonic clock, and the time of day."""


@dataclass(frozen=True, slots=True)
class Look:
    """The size of a WAL at one look: all of its frames, and those that are not yet checkpointed.

    `generation` stays the same until it starts over. `used_bytes` is the size of the file if its
    index is not known, and `backlog_bytes` then None. `readers` are the processes that read it;
    `writers` are those that write, which read it too.
    """

    generation: str
    used_bytes: int
    backlog_bytes: int | None
    main_bytes: int
    readers: Iterable[str] = ()
    writers: Iterable[str] = ()


@dataclass(frozen=True, slots=True)
class Growth:
    """What earlier looks found.

    `full_since` is when its frames became too large in this generation, `behind_since` when the
    part not yet checkpointed did. `grown_at` and the times of processes are on the monotonic clock.
    """

    last: Look | None = None
    grown_at: float = 0.0
    full_since: Instant | None = None
    behind_since: Instant | None = None
    readers: Mapping[str, float] = field(default_factory=dict)
    writers: Mapping[str, float] = field(default_factory=dict)


def follow(before: Growth, look: Look | None, at: float, now: datetime) -> Growth:
    """Return the growth after another look, which is None if the WAL is small.

    `at` is its instant on the monotonic clock, `now` its time of day.
    """
    if look is None:
        return Growth()
    last = before.last if before.last and before.last.generation == look.generation else None
    # At first sight it is taken to have just grown, since that cannot be known.
    has_grown = last is None or look.used_bytes > last.used_bytes
    full_since = (last and before.full_since) or (at, now)
    behind_since = before.behind_since or (at, now)
    return Growth(
        look,
        at if has_grown else before.grown_at,
        full_since if _is_large(look.used_bytes, look.main_bytes) else None,
        behind_since if _is_large(look.backlog_bytes or 0, look.main_bytes) else None,
        _recent(before.readers, look.readers, at),
        _recent(before.writers, look.writers, at),
    )


def summary(growth: Growth, at: float) -> WalGrowth | None:
    """Return since when a WAL has been unable to start over, if it seems to be.

    Frames that were appended to a large WAL show that it could not start over instead.
    """
    is_growing = at - growth.grown_at < LASTING_SECONDS
    since = [one for one in (growth.behind_since, is_growing and growth.full_since) if one]
    if growth.last is None or not since:
        return None
    first, time = min(since)
    return WalGrowth(
        since=time,
        is_lasting=at - first >= LASTING_SECONDS,
        generation=growth.last.generation,
        is_checkpointed=_is_checkpointed(growth.last),
        readers=tuple(name for name in growth.readers if name not in growth.writers),
    )


def generation_of(path: str) -> str:
    """Return the generation of the WAL of a database; empty if it cannot be read."""
    try:
        return read_start(f"{path}-wal", GENERATION_BYTES.stop)[GENERATION_BYTES].hex()
    except OSError:
        return ""


def _recent(before: Mapping[str, float], names: Iterable[str], at: float) -> Mapping[str, float]:
    """Return the processes of the last ten minutes, `MAX_READERS` at most, with their last time."""
    seen = {**before, **dict.fromkeys(names, at)}
    recent = [name for name, last in seen.items() if at - last < LASTING_SECONDS]
    return {name: seen[name] for name in recent[-MAX_READERS:]}


def _is_large(size_bytes: int, main_bytes: int) -> bool:
    return size_bytes > max(LARGE_BYTES, min(main_bytes, HUGE_BYTES))


def _is_checkpointed(look: Look) -> bool | None:
    """Return whether more than a tenth of a WAL is checkpointed; None if not known."""
    if look.backlog_bytes is None:
        return None
    return look.backlog_bytes < 0.9 * look.used_bytes
