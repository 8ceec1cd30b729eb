"""Problems that need no configuration: those left by events, and those of the WAL.

Pure functions over the model. A problem ends with its cause. One that an event left behind also
ends when a person acknowledges it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from dash_app.model.event import Event
from dash_app.model.level import Level
from dash_app.model.problem import FindingKind, Problem
from dash_app.model.reading import Reading
from dash_app.rules.changes import WHOLE
from dash_app.words.problems import REMEDIES, event_sentence, log_held, remedy_for, wal_growing

LOG_HELD_BYTES = 64_000_000
LOG_HELD = timedelta(minutes=1)
"""SQLite checkpoints every 4 MB by default. If a reader this old holds back this much, it will not
end soon."""


def problem_of(event: Event) -> Problem | None:
    """Return the problem that an event leaves behind, if any."""
    has_lost_rows = bool(event.before.get("rows"))
    kinds: dict[str, FindingKind] = {"rolled_back": "rolled_back", "replaced": "replaced"}
    kind = kinds.get(event.kind, "rows_dropped" if has_lost_rows else None)
    if kind is None or WHOLE in event.before:
        return None
    level: Level = "notice" if kind == "replaced" and not has_lost_rows else "fault"
    text, remedy = event_sentence(event), remedy_for(event, kind)
    return Problem(kind, level, event.at, text, remedy, event.database, needs_acknowledgement=True)


def wal_problems(database: str, reading: Reading) -> Iterator[Problem]:
    """Yield the problem of a WAL that cannot be checkpointed, or does not start over."""
    host = reading.surroundings
    pins = [(holder.pins_since, holder) for holder in host.holders or () if holder.pins_since]
    if pins and (host.backlog_bytes or 0) >= LOG_HELD_BYTES:
        since, holder = min(pins, key=lambda pin: pin[0])
        if reading.verified_at - since >= LOG_HELD:
            text = log_held(reading, holder, since)
            yield Problem("log_held", "notice", since, text, REMEDIES["log_held"], database)
            return
    growth = host.wal_growth
    if growth and growth.is_lasting:
        text, remedy = wal_growing(reading, growth)
        yield Problem("wal_growing", "notice", growth.since, text, remedy, database)


def with_earlier_growth(reading: Reading, last: Reading | None) -> Reading:
    """Return a reading whose WAL growth starts as early as in `last`, if it is the same growth.

    `last` is the last good reading, which may be from before a restart. A WAL of the same
    generation has not started over since.
    """
    growth = reading.surroundings.wal_growth
    earlier = last.surroundings.wal_growth if last else None
    if not growth or not earlier or earlier.generation != growth.generation:
        return reading
    since, is_lasting = min(growth.since, earlier.since), growth.is_lasting or earlier.is_lasting
    growth = replace(growth, since=since, is_lasting=is_lasting)
    return replace(reading, surroundings=replace(reading.surroundings, wal_growth=growth))
