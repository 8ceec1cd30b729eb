"""Compares a reading with what was known before: what happened to a database, told once.

Pure functions over the model; the sampler calls them, the history keeps what they return.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dash_app.expectations import NO_RULES
from dash_app.model import (
    ABSENCES,
    Absence,
    Event,
    EventKind,
    LastGood,
    Memory,
    Reading,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dash_app.expectations import Rules
    from dash_app.model import Code, Status

MAX_DROP_PERCENT = 50
"""A table that loses more of its rows at once is told, where nothing else is said."""

HABIT = timedelta(days=7)
HABIT_TIMES = 3
"""A table that fell this often within that time is a queue that empties as its work is done."""

CHANGES = "changes"
"""The header's change counter (sqlite.org/fileformat2.html#file_change_counter)."""

TIME = "time of the file"
OLDER_SECONDS = 60
"""A clock that is corrected by less than that makes no older copy."""

Differences = dict[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Falls:
    """Which falls of a table are told: by what a person said, or else unless it is a queue."""

    rules: Rules
    queues: frozenset[str] = frozenset()

    def is_too_far(self, table: str, was: int, now: int) -> bool:
        """Whether a table lost too many rows at once."""
        rules = self.rules.of(table)
        percent = rules.max_drop_percent
        if rules.paused or (percent is None and table in self.queues):
            return False
        return 100 * (was - now) > (MAX_DROP_PERCENT if percent is None else percent) * was


def follow(
    database: str,
    reading: Reading,
    before: Memory | None,
    rules: Rules = NO_RULES,
    queues: frozenset[str] = frozenset(),
) -> tuple[Memory, tuple[Event, ...]]:
    """Return what to remember after a reading, and what happened since the one before it.

    `rules` say which falls of a table are told; `queues` are tables that may fall without a word
    where nothing is said. The first reading tells nothing.
    """
    told = Falls(rules, queues)
    memory = remember(reading, before)
    if before is None or before.baseline is None:
        return replace(memory, baseline=reading if reading.code is None else None), ()
    baseline = before.baseline
    if reading.code is not None:
        absence = _absence(reading, baseline)
        new = absence if before.absence is None else None
        events = [_event(database, new, reading, _absent(baseline, reading))] if new else []
        return replace(memory, absence=before.absence or absence, baseline=baseline), tuple(events)
    events = []
    if before.absence:
        rows = baseline.total_rows, reading.total_rows
        lasted = {"since": (before.since.isoformat(), None), "totalRows": rows}
        events.append(_event(database, "back", reading, lasted))
    kind, found = _compare(baseline, reading, told, returned=before.absence is not None)
    if kind:
        events.append(_event(database, kind, reading, found))
    return replace(memory, baseline=_newest_exact(baseline, reading)), tuple(events)


def in_view_of(baseline: Reading | None, reading: Reading) -> Reading:
    """Return a reading of what is not SQLite in view of the last one with tables at its path.

    The same file was damaged or encrypted since; another one took its place.
    """
    if reading.code != "not_a_database" or baseline is None:
        return reading
    if reading.file == baseline.file:
        return replace(reading, code="corrupt", detail={"head": "overwritten"})
    return replace(reading, detail={"was_read": "before"})


def remember(reading: Reading, before: Memory | None) -> Memory:
    """Return what to remember after a reading, given what was remembered before it."""
    last_good = before.last_good if before else None
    if reading.code is None:
        last_good = LastGood(reading.read_at, reading.total_rows or 0, len(reading.tables))
    status = status_of(reading.code, last_good)
    unchanged = before is not None and (before.status, before.code) == (status, reading.code)
    since = before.since if before is not None and unchanged else reading.verified_at
    return Memory(status, reading.code, since, last_good)


def status_of(code: Code | None, last_good: LastGood | None) -> Status:
    """Return what a reading's code means for a database with this past."""
    if code is None:
        return "connected"
    return "not_initialized" if code in ABSENCES and last_good is None else "error"


def queues_among(events: Iterable[Event]) -> frozenset[str]:
    """Return the tables that fell often enough to do so by habit, of the events of that time."""
    falls = Counter(
        table
        for event in events
        if event.kind == "rows_dropped"
        for table in event.before.get("rows", {})
    )
    return frozenset(table for table, times in falls.items() if times >= HABIT_TIMES)


def _absence(reading: Reading, baseline: Reading) -> Absence | None:
    """Return how the tables went away, if that is why there is no reading of them.

    SQLite calls a file malformed that is shorter than its header says.
    """
    if reading.code in {"file_missing", "folder_missing"}:
        return "gone"
    if reading.code in ABSENCES:
        return "emptied"
    shorter = (reading.size_bytes or 0) < (baseline.size_bytes or 0)
    return "truncated" if reading.code == "corrupt" and shorter else None


def _absent(baseline: Reading, reading: Reading) -> Differences:
    return {
        "sizeBytes": (baseline.size_bytes, reading.size_bytes),
        "totalRows": (baseline.total_rows, None),
        "tables": (len(baseline.tables), None),
    }


def _compare(
    before: Reading, after: Reading, told: Falls, *, returned: bool
) -> tuple[EventKind | None, Differences]:
    """Return the gravest name for what differs, with all of it: one cause is one report."""
    found = _pair("counters", *_moved_back(before, after, returned=returned))
    if before.file != after.file and not returned:
        found["file"] = (before.file, after.file)
    found |= _pair("rows", *_fallen(before, after, told))
    found |= _pair("objects", *_changed(before.objects, after.objects))
    versions = (
        ("userVersion", before.user_version, after.user_version),
        ("applicationId", before.application_id, after.application_id),
    )
    for name, was, now in versions:
        if None not in {was, now} and was != now:
            found[name] = (was, now)
    return _kind(found, same_kin=bool(before.tables.keys() & after.tables.keys())), found


def _kind(found: Differences, *, same_kin: bool) -> EventKind | None:
    if "counters" in found and same_kin:
        return "rolled_back"
    if "counters" in found or "file" in found:
        return "replaced"
    if "objects" in found:
        return "schema_changed"
    if "rows" in found:
        return "rows_dropped"
    return "version_changed" if found else None


def _fallen(
    before: Reading, after: Reading, told: Falls
) -> tuple[dict[str, int], dict[str, int | None]]:
    """Return the tables that fell too far, or away: rows before and after."""
    was, new = _exact(before), after.tables.keys() - before.tables.keys()
    renamed = {after.tables[name].rows for name in new}
    fallen: dict[str, int | None] = {}
    for name, rows in was.items():
        count = after.tables.get(name)
        if count is None and rows and rows not in renamed and told.is_too_far(name, rows, 0):
            fallen[name] = None
        elif count and count.is_exact and told.is_too_far(name, rows, count.rows or 0):
            fallen[name] = count.rows
    return {name: was[name] for name in fallen}, fallen


def _changed(
    before: Mapping[str, str] | None, after: Mapping[str, str] | None
) -> tuple[list[str], list[str]]:
    """Return the objects that are gone or were otherwise, and those that are new or are so now.

    The columns of a table that came or went as a whole go without saying.
    """
    if before is None or after is None:
        return [], []
    removed = sorted(name for name, sql in before.items() if after.get(name) != sql)
    added = sorted(name for name, sql in after.items() if before.get(name) != sql)
    return _without_columns(removed), _without_columns(added)


def _without_columns(objects: list[str]) -> list[str]:
    tables = [one.removeprefix("table ") for one in objects if one.startswith("table ")]
    whole = tuple(f"column {table}." for table in tables)
    return [one for one in objects if not one.startswith(whole)]


def _moved_back(
    before: Reading, after: Reading, *, returned: bool
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the counters that only move forward in one database, and stand lower than before.

    A copy made anew, as by VACUUM INTO, counts its changes from the start; an older copy is known
    by its time. A file that was away may have come back as another one with the same inode.
    """
    was, now = _counters(before), _counters(after)
    back = {name for name in was.keys() & now.keys() if now[name] < was[name]}
    clock_was_set_back = after.verified_at < before.verified_at
    may_have_grown = _has_estimates(after) or (after.total_rows or 0) > (before.total_rows or 0)
    by_seconds = was.get(TIME, 0) - now.get(TIME, 0)
    if clock_was_set_back or may_have_grown or by_seconds < OLDER_SECONDS:
        back.discard(TIME)
    if back == {CHANGES} and (returned or before.file != after.file):
        back.clear()
    return {name: was[name] for name in sorted(back)}, {name: now[name] for name in sorted(back)}


def _counters(reading: Reading) -> dict[str, int]:
    counters = {f"sequence of {table}": seq for table, seq in reading.sequences.items()}
    if reading.change_counter is not None:
        counters[CHANGES] = reading.change_counter
    if reading.file_modified is not None:
        counters[TIME] = int(reading.file_modified.timestamp())
    return counters


def _exact(reading: Reading) -> dict[str, int]:
    counts = reading.tables.items()
    return {n: count.rows for n, count in counts if count.is_exact and count.rows is not None}


def _has_estimates(reading: Reading) -> bool:
    return any(count.estimate for count in reading.tables.values())


def _newest_exact(before: Reading, after: Reading) -> Reading:
    """Return a reading to compare the next one with: each table by its newest exact count."""
    tables = {
        name: count if count.is_exact else before.tables.get(name, count)
        for name, count in after.tables.items()
    }
    objects = before.objects if after.objects is None else after.objects
    modified = before.file_modified if _has_estimates(after) else after.file_modified
    return replace(after, tables=tables, objects=objects, file_modified=modified)


def _pair(name: str, before: Any, after: Any) -> Differences:  # noqa: ANN401
    return {name: (before, after)} if before or after else {}


def _event(database: str, kind: EventKind, reading: Reading, found: Differences) -> Event:
    before = {name: was for name, (was, _) in found.items()}
    after = {name: now for name, (_, now) in found.items()}
    if reading.code:
        after["code"] = reading.code
    return Event(database, kind, reading.verified_at, before, after)
