"""Compares a reading with what was known before: what happened to a database, told once.

Pure functions over the model; the sampler calls them, the history keeps what they return.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dash_app.model.event import Absence, Event, EventKind, Facts
from dash_app.model.reading import ABSENCES, Code, LastGood, Reading
from dash_app.model.snapshot import DatabaseState, Status
from dash_app.rules.losses import (
    DEFAULT_POLICY,
    DropPolicy,
    Rows,
    exact_rows,
    fewer_rows,
    gains,
    leave_trail,
    lost_rows,
    renamed,
    split_waiting,
    uncounted,
)

CHANGES = "changes"
"""The header's change counter (sqlite.org/fileformat2.html#file_change_counter)."""

TIME = "time of the file"
OLDER_SECONDS = 60
"""A clock that is corrected by less than that makes no older copy."""

NEWEST = "newest"
"""How far a database had come when another copy or file took its place."""

WHOLE = "schemaVersion"
"""Marks rows that are missing after the whole file was rewritten: worth remembering, no problem."""

HOW_FAR = ("totalRows", "changes")

Differences = dict[str, tuple[Any, Any]]


def follow(
    database: str,
    reading: Reading,
    before: DatabaseState | None,
    policy: DropPolicy = DEFAULT_POLICY,
) -> tuple[DatabaseState, tuple[Event, ...]]:
    """Return what to remember after a reading, and what happened since the one before it.

    `policy` says which drops of a table's rows are reported. There is no event for the first
    reading.
    """
    memory = remember(reading, before)
    if before is None or before.baseline is None:
        return replace(memory, baseline=reading if reading.code is None else None), ()
    baseline = before.baseline
    if reading.code is not None:
        absence = _absence(reading, baseline)
        new = absence if before.absence is None else None
        events = [_event(database, new, reading, _absent(baseline, reading))] if new else []
        return replace(memory, absence=before.absence or absence, baseline=baseline), tuple(events)
    is_back = before.absence is not None
    kind, found, trail = _compare(baseline, reading, policy, returned=is_back)
    events = []
    if is_back:
        rows = baseline.total_rows, reading.total_rows
        lasted = {"since": (before.since.isoformat(), None), "totalRows": rows}
        if kind != "rolled_back":
            lasted |= {name: found.pop(name) for name in ("rows", NEWEST) if name in found}
            kind = _kind(found)
        events.append(_event(database, "back", reading, lasted))
    if kind:
        events.append(_event(database, kind, reading, found))
    trail = leave_trail(baseline, reading, trail)
    return replace(memory, baseline=_newest_exact(baseline, reading, trail)), tuple(events)


def in_view_of(baseline: Reading | None, reading: Reading) -> Reading:
    """Return a reading of what is not SQLite in view of the last one with tables at its path.

    The same file was damaged or encrypted since; another one took its place.
    """
    if reading.code != "not_a_database" or baseline is None:
        return reading
    if reading.file == baseline.file:
        return replace(reading, code="corrupt", detail={"head": "overwritten"})
    return replace(reading, detail={"was_read": "before"})


def remember(reading: Reading, before: DatabaseState | None) -> DatabaseState:
    """Return what to remember after a reading, given what was remembered before it."""
    last_good = before.last_good if before else None
    if reading.code is None:
        last_good = LastGood(reading.read_at, reading.total_rows or 0, len(reading.tables))
    status = status_of(reading.code, last_good)
    unchanged = before is not None and (before.status, before.code) == (status, reading.code)
    since = before.since if before is not None and unchanged else reading.verified_at
    return DatabaseState(status, reading.code, since, last_good)


def status_of(code: Code | None, last_good: LastGood | None) -> Status:
    """Return what a reading's code means for a database with this past."""
    if code is None:
        return "connected"
    return "not_initialized" if code in ABSENCES and last_good is None else "error"


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
    before: Reading, after: Reading, policy: DropPolicy, *, returned: bool
) -> tuple[EventKind | None, Differences, Facts]:
    """Return the gravest name for what differs, with all of it: one cause is one report.

    The third value is for the trail.
    """
    found: Differences = {}
    is_other = before.file != after.file
    if before.file and is_other and not returned:
        found["file"] = (before.file, after.file)
    back = _moved_back(before, after)
    is_older = _is_older(before, after, back)
    is_overwritten = not is_other and CHANGES in back
    if is_older or (is_overwritten and not returned):
        found["counters"] = _split(back)
    elif is_other and _time_went_back(before, after, OLDER_SECONDS):
        found["counters"] = _split({TIME: back[TIME]})
    is_copy = is_other or is_overwritten or is_older or (returned and not _went_on(before, after))
    rows, trail = (_rows_of_copy if is_copy else _rows_of_same)(before, after, policy)
    if is_copy and (rows or not returned):
        found[NEWEST] = _state(before), _state(after)
    elif not is_copy and rows.keys() & before.trail.get("copied", {}).get("tables", ()):
        found[NEWEST] = before.trail["copied"][NEWEST], _state(after)
    if rows:
        found["rows"] = _split(rows)
    elif not is_copy:
        found |= _rewritten(before, after, policy)
    if any(objects := _changed(before.objects, after.objects)):
        found["objects"] = objects
    versions = {
        "userVersion": (before.user_version, after.user_version),
        "applicationId": (before.application_id, after.application_id),
    }
    found |= {n: both for n, both in versions.items() if None not in both and both[0] != both[1]}
    return "rolled_back" if is_older else _kind(found), found, trail


def _rewritten(before: Reading, after: Reading, policy: DropPolicy) -> Differences:
    """Return the rows that are missing after a file was rewritten as a whole, by SQLite itself.

    Its backup function does so, and VACUUM: the schema is the same, and its version is one more,
    while a table that is dropped and created makes it two. Nothing shows whether an older copy was
    restored or rows were removed.
    """
    was, now = before.schema_version, after.schema_version
    is_whole = None not in {was, now} and now == (was or 0) + 1 and before.objects == after.objects
    rows = fewer_rows(before, after, policy) if is_whole and not gains(before, after) else {}
    return {"rows": _split(rows), WHOLE: (was, now)} if rows else {}


def _rows_of_copy(
    before: Reading, after: Reading, policy: DropPolicy
) -> tuple[dict[str, Rows], Facts]:
    """Return the tables that have fewer rows in another copy, and the trail.

    Tables that are not counted yet in the copy are compared once they are.
    """
    tables = uncounted(after, exact_rows(before))
    trail = {
        "waiting": before.trail.get("waiting"),
        "copied": {NEWEST: _state(before), "tables": tables} if tables else None,
    }
    return fewer_rows(before, after, policy), trail


def _rows_of_same(
    before: Reading, after: Reading, policy: DropPolicy
) -> tuple[dict[str, Rows], Facts]:
    """Return the tables that lost rows in the same file, and the trail."""
    rows, waiting = split_waiting(before, after, lost_rows(before, after, policy), policy)
    copied = before.trail.get("copied")
    if copied:
        fewer = fewer_rows(before, after, policy)
        rows |= {name: fewer[name] for name in copied["tables"] if name in fewer}
        tables = uncounted(after, copied["tables"])
        copied = {**copied, "tables": tables} if tables else None
    return rows, {"waiting": waiting, "copied": copied}


def _kind(found: Differences) -> EventKind | None:
    if "counters" in found or "file" in found:
        return "replaced"
    if "objects" in found:
        return "schema_changed"
    if "rows" in found:
        return "rows_dropped"
    return "version_changed" if found.keys() - {NEWEST} else None


def _split(pairs: Mapping[str, tuple[Any, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the first and the second of each pair, by name."""
    return {n: was for n, (was, _) in pairs.items()}, {n: now for n, (_, now) in pairs.items()}


def _state(reading: Reading) -> dict[str, Any]:
    """Return how far a database had come, to compare its states by age."""
    return {
        "totalRows": reading.total_rows,
        "changes": reading.change_counter,
        "modified": reading.file_modified and reading.file_modified.isoformat(),
    }


def has_newest(event: Event, reading: Reading) -> bool:
    """Return whether a reading has come as far as the state that an event found newest."""
    newest, now = event.before[NEWEST], _state(reading)
    return all(newest[one] is None or (now[one] or 0) >= newest[one] for one in HOW_FAR)


def is_same_copy(event: Event, reading: Reading) -> bool:
    """Return whether a file has the time and the rows again that an event found newest."""
    newest = event.before[NEWEST]
    return bool(newest["modified"]) and _state(reading) == newest != event.after[NEWEST]


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


def _moved_back(before: Reading, after: Reading) -> dict[str, tuple[int, int]]:
    """Return the counters that only increase in one file, and are lower than before."""
    was, now = _counters(before), _counters(after)
    return {one: (was[one], now[one]) for one in was.keys() & now.keys() if now[one] < was[one]}


def _is_older(before: Reading, after: Reading, back: Mapping[str, tuple[int, int]]) -> bool:
    """Return whether several independent signs say that a file's content is an older state.

    A change counter, a time or the numbering of a table that is lower proves nothing by itself:
    `VACUUM INTO` counts changes from the start, a copy keeps the time of its source, and a table
    that is rebuilt or cleared is numbered from the start.
    """
    if not before.tables.keys() & after.tables.keys() or _went_on(before, after):
        return False
    was, now = exact_rows(before), exact_rows(after)
    has_fewer = any(now[table] < rows for table, rows in was.items() if table in now)
    least_seconds = 0 if has_fewer else OLDER_SECONDS
    return (has_fewer or CHANGES in back) and _time_went_back(before, after, least_seconds)


def _went_on(before: Reading, after: Reading) -> bool:
    """Return whether the same file was written since."""
    changes = before.change_counter or 0, after.change_counter or 0
    return before.file == after.file and changes[1] > changes[0]


def _time_went_back(before: Reading, after: Reading, least_seconds: int) -> bool:
    """Return whether the file's time is older than before, and no clock was set back.

    A time from the future was given by a clock that has been set back since.
    """
    was, now = before.file_modified, after.file_modified
    if was is None or now is None or after.verified_at < before.verified_at:
        return False
    has_grown = _has_estimates(after) or (after.total_rows or 0) > (before.total_rows or 0)
    is_older = now < was and (was - now).total_seconds() >= least_seconds
    return is_older and was <= after.verified_at and not has_grown


def _counters(reading: Reading) -> dict[str, int]:
    counters = {f"sequence of {table}": seq for table, seq in reading.sequences.items()}
    if reading.change_counter is not None:
        counters[CHANGES] = reading.change_counter
    if reading.file_modified is not None:
        counters[TIME] = int(reading.file_modified.timestamp())
    return counters


def _has_estimates(reading: Reading) -> bool:
    return any(count.estimate for count in reading.tables.values())


def _newest_exact(before: Reading, after: Reading, trail: Mapping[str, Any]) -> Reading:
    """Return a reading to compare the next one with: each table by its newest exact count.

    A table that is written all the time may have none: then by its newest estimate.
    """
    formerly = {now: name for name, now in renamed(before, after).items()}
    # A name that is still in use went to another table, and this may be a new one at its page.
    doubtful = {now for now, name in formerly.items() if name in after.tables}
    tables = dict(after.tables)
    for name, count in after.tables.items():
        former = before.tables.get(formerly.get(name, name))
        # An estimate that was not made since may be of another table, which had that name before.
        is_new = count.is_known and count.counted_at >= before.read_at
        if name in doubtful and not count.is_exact:
            tables[name] = replace(count, rows=None, estimate=None)
        elif former and not count.is_exact and (former.is_exact or not is_new):
            tables[name] = former
    objects = before.objects if after.objects is None else after.objects
    modified = before.file_modified if _has_estimates(after) else after.file_modified
    return replace(after, tables=tables, objects=objects, file_modified=modified, trail=trail)


def _event(database: str, kind: EventKind, reading: Reading, found: Differences) -> Event:
    before = {name: was for name, (was, _) in found.items()}
    after = {name: now for name, (_, now) in found.items()}
    if reading.code:
        after["code"] = reading.code
    return Event(database, kind, reading.verified_at, before, after)
