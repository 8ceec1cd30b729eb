"""What changed in a database between two readings, as events: each change is reported once.

Pure functions over the model.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from dash_app.model.event import Absence, Event, EventKind, Facts
from dash_app.model.expectation import Rules
from dash_app.model.reading import ABSENCES, LastGood, Reading
from dash_app.model.snapshot import DatabaseState, Status
from dash_app.rules.drop_policy import DEFAULT_POLICY, DropPolicy
from dash_app.rules.ignored import judged_objects, without_ignored
from dash_app.rules.losses import (
    Drop,
    exact_rows,
    inexact_tables,
    lost_rows,
    next_trail,
    renamed_tables,
    row_gains,
    rows_missing_in_copy,
    split_pending,
)

CHANGES = "changes"
"""The header's change counter (sqlite.org/fileformat2.html#file_change_counter)."""

TIME = "time of the file"
MIN_OLDER_SECONDS = 60
"""A file time that is earlier by less than this may come from a clock that was corrected."""

MAX_WITHOUT_SCHEMA = timedelta(minutes=1)

NEWEST = "newest"
"""Key of the progress that a database had made when another copy or file replaced it."""

WHOLE = "schemaVersion"
"""Key of the schema versions before and after a rewrite of the whole file. Rows that are missing
then make an event, but no problem."""

MOVED = "movedTo"
"""Key of the present name of the file that another one replaced."""

Differences = dict[str, tuple[Any, Any]]
"""Values before and after, by name."""


def apply_reading(
    database: str,
    reading: Reading,
    before: DatabaseState | None,
    policy: DropPolicy = DEFAULT_POLICY,
) -> tuple[DatabaseState, tuple[Event, ...]]:
    """Return the new state of a database, and the events since the previous reading.

    `policy` decides which drops of a table's rows are reported. The first reading has no events.
    """
    state = next_state(reading, before)
    if before is None or before.baseline is None:
        return replace(state, baseline=reading if reading.code is None else None), ()
    baseline = with_device_of(reading, before.baseline)
    if reading.code is not None:
        absence = before.absence or _absence(reading, baseline)
        state = replace(state, absence=absence, baseline=baseline)
        if absence is None or before.absence:
            return state, ()
        return state, (_event(database, absence, reading, _absent(baseline, reading)),)
    if _lacks_schema(baseline, reading):
        return replace(state, absence=before.absence, baseline=baseline), ()
    is_back = before.absence is not None
    kind, found, trail = _compare(baseline, reading, policy, is_back=is_back)
    events = []
    if is_back:
        rows = baseline.total_rows, reading.total_rows
        lost: Differences = {"since": (before.since.isoformat(), None), "totalRows": rows}
        if kind != "rolled_back":
            lost |= {name: found.pop(name) for name in ("rows", NEWEST) if name in found}
            moved = found.pop(MOVED, None)
            lost |= {MOVED: moved} if moved and "rows" in lost else {}
            kind = _kind(found)
        events.append(_event(database, "back", reading, lost))
    if kind:
        events.append(_event(database, kind, reading, found))
    trail = next_trail(baseline, reading, trail)
    return replace(state, baseline=_next_baseline(baseline, reading, trail)), tuple(events)


def _lacks_schema(before: Reading, after: Reading) -> bool:
    """Whether tables came or went and a very busy machine left no time to read the schema.

    Without it, moved rows seem lost. The next reading has it, or it cannot be had.
    """
    is_unread = after.schema_version is None is not before.schema_version
    is_soon = after.verified_at - before.verified_at < MAX_WITHOUT_SCHEMA
    return is_unread and is_soon and before.tables.keys() != after.tables.keys()


def with_device_of(reading: Reading, baseline: Reading) -> Reading:
    """Return the last reading with the device number that its file has now.

    Disks, and btrfs, overlay or network mounts, may get another number each time they are mounted.
    The inode stays, and the content is no older.
    """
    was, now = ((one.file or "").rpartition(":")[2] for one in (baseline, reading))
    is_older = _lower_counters(baseline, reading).keys() & {CHANGES, TIME}
    return replace(baseline, file=reading.file) if was == now and not is_older else baseline


def refine_code(baseline: Reading | None, reading: Reading) -> Reading:
    """Return a reading of a file that is not SQLite, with what the last good reading reveals.

    If it is the same file, it was damaged or encrypted since; otherwise another file replaced it.
    """
    if reading.code != "not_a_database" or baseline is None:
        return reading
    if reading.file == baseline.file:
        return replace(reading, code="corrupt", detail={"head": "overwritten"})
    return replace(reading, detail={"was_read": "before"})


def next_state(reading: Reading, before: DatabaseState | None) -> DatabaseState:
    """Return the state after a reading, without absence and baseline.

    A reading that decides nothing does not end an error: what it was, and since when, stays.
    """
    last_good = before.last_good if before else None
    status: Status = "error"
    if reading.code is None:
        last_good = LastGood(reading.read_at, reading.total_rows or 0, len(reading.tables))
        status = "connected"
    elif reading.code in ABSENCES and last_good is None:
        status = "not_initialized"
    code, since = reading.code, reading.verified_at
    is_passing = code == "not_read_yet" or "is_new" in reading.detail
    if before and before.status == status and (before.code == code or is_passing):
        code, since = before.code, before.since
    return DatabaseState(status, code, since, last_good)


def _absence(reading: Reading, baseline: Reading) -> Absence | None:
    """Return how the tables disappeared, if that is why they cannot be read.

    SQLite calls a file malformed if it is shorter than its header says.
    """
    if reading.code in {"file_missing", "folder_missing"}:
        return "gone"
    if reading.code in ABSENCES:
        return "emptied"
    is_shorter = (reading.size_bytes or 0) < (baseline.size_bytes or 0)
    return "truncated" if reading.code == "corrupt" and is_shorter else None


def _absent(baseline: Reading, reading: Reading) -> Differences:
    return {
        "sizeBytes": (baseline.size_bytes, reading.size_bytes),
        "totalRows": (baseline.total_rows, None),
        "tables": (len(baseline.tables), None),
    }


def _compare(
    before: Reading, after: Reading, policy: DropPolicy, *, is_back: bool
) -> tuple[EventKind | None, Differences, Facts]:
    """Return the most serious kind of all differences, these differences, and facts for the trail.

    One cause makes one event. `is_back` is whether the tables were absent in between.
    """
    before, after = (without_ignored(reading, policy.rules) for reading in (before, after))
    is_other_file = before.file != after.file
    lower = _lower_counters(before, after)
    is_older = _is_older(before, after, lower)
    is_overwritten = not is_other_file and CHANGES in lower
    found: Differences = {}
    if before.file and is_other_file and not is_back:
        found["file"] = (before.file, after.file)
    if is_older or (is_overwritten and not is_back):
        found["counters"] = _split(lower)
    elif is_other_file and _is_time_older(before, after, MIN_OLDER_SECONDS):
        found["counters"] = _split({TIME: lower[TIME]})
    if before.file and is_other_file and after.previous_name:
        found[MOVED] = None, after.previous_name
    is_continued = is_back and _was_written_since(before, after)
    if is_other_file or is_overwritten or is_older or (is_back and not is_continued):
        rows, trail = _compare_copy(before, after, policy, is_back=is_back)
    else:
        rows, trail = _compare_same_file(before, after, policy)
    found |= {**rows, **_schema_differences(before, after, policy.rules)}
    if policy.rules.expects_replacement:
        is_older = False
        found = {name: found[name] for name in found.keys() - {"file", "counters", NEWEST, MOVED}}
    return "rolled_back" if is_older else _kind(found), found, trail


def _compare_copy(
    before: Reading, after: Reading, policy: DropPolicy, *, is_back: bool
) -> tuple[Differences, Facts]:
    """Return the rows that are missing in another copy, and facts for the trail.

    Tables that are not counted yet in the copy are compared once they are.
    """
    rows = rows_missing_in_copy(before, after, policy)
    found: Differences = {}
    if rows or not is_back:
        found[NEWEST] = progress(before), progress(after)
    if rows:
        found["rows"] = _split(rows)
    tables = inexact_tables(after, exact_rows(before))
    copied = {NEWEST: progress(before), "tables": tables} if tables else None
    waiting = None if policy.rules.expects_replacement else before.trail.get("waiting")
    return found, {"waiting": waiting, "copied": copied}


def _compare_same_file(
    before: Reading, after: Reading, policy: DropPolicy
) -> tuple[Differences, Facts]:
    """Return the rows that the same file lost, and facts for the trail."""
    rows, waiting = split_pending(before, after, lost_rows(before, after, policy), policy)
    found: Differences = {}
    copied = before.trail.get("copied")
    if copied:
        missing = rows_missing_in_copy(before, after, policy)
        rows |= {name: missing[name] for name in copied["tables"] if name in missing}
        if rows.keys() & copied["tables"]:
            found[NEWEST] = copied[NEWEST], progress(after)
        tables = inexact_tables(after, copied["tables"])
        copied = {**copied, "tables": tables} if tables else None
    if rows:
        found["rows"] = _split(rows)
    else:
        found = _missing_after_rewrite(before, after, policy)
    return found, {"waiting": waiting, "copied": copied}


def _missing_after_rewrite(before: Reading, after: Reading, policy: DropPolicy) -> Differences:
    """Return the rows that are missing after SQLite rewrote the whole file.

    Its backup function and VACUUM do that: the schema stays the same and its version increases by
    one (dropping and creating a table increases it by two). Whether an older copy was restored or
    rows were deleted cannot be seen.
    """
    was, now = before.schema_version, after.schema_version
    is_whole = None not in {was, now} and now == (was or 0) + 1 and before.objects == after.objects
    if not is_whole or row_gains(before, after):
        return {}
    rows = rows_missing_in_copy(before, after, policy)
    return {"rows": _split(rows), WHOLE: (was, now)} if rows else {}


def _schema_differences(before: Reading, after: Reading, rules: Rules) -> Differences:
    versions = {
        "userVersion": (before.user_version, after.user_version),
        "applicationId": (before.application_id, after.application_id),
    }
    found = {n: both for n, both in versions.items() if None not in both and both[0] != both[1]}
    objects = _changed_objects(before.objects, after.objects, rules)
    return {"objects": objects, **found} if any(objects) else found


def _kind(found: Differences) -> EventKind | None:
    if "counters" in found or "file" in found:
        return "replaced"
    if "objects" in found:
        return "schema_changed"
    if "rows" in found:
        return "rows_dropped"
    return "version_changed" if found.keys() - {NEWEST, MOVED} else None


def _split(pairs: Mapping[str, Drop]) -> tuple[dict[str, int], dict[str, int | None]]:
    """Return the first and the second value of each pair, by name."""
    return {n: was for n, (was, _) in pairs.items()}, {n: now for n, (_, now) in pairs.items()}


def progress(reading: Reading) -> dict[str, Any]:
    """Return how far a database has come, to compare the age of two states."""
    return {
        "totalRows": reading.total_rows,
        "changes": reading.change_counter,
        "modified": reading.file_modified and reading.file_modified.isoformat(),
    }


def _changed_objects(
    before: Mapping[str, str] | None, after: Mapping[str, str] | None, rules: Rules
) -> tuple[list[str], list[str]]:
    """Return the objects removed and added; an object whose SQL changed is both.

    The columns of a table that was itself removed or added are left out.
    """
    if before is None or after is None:
        return [], []
    removed = sorted(name for name, sql in before.items() if after.get(name) != sql)
    added = sorted(name for name, sql in after.items() if before.get(name) != sql)
    removed, added = judged_objects(removed, before, rules), judged_objects(added, after, rules)
    return _without_columns(removed), _without_columns(added)


def _without_columns(objects: list[str]) -> list[str]:
    tables = [name.removeprefix("table ") for name in objects if name.startswith("table ")]
    columns = tuple(f"column {table}." for table in tables)
    return [name for name in objects if not name.startswith(columns)]


def _lower_counters(before: Reading, after: Reading) -> dict[str, tuple[int, int]]:
    """Return the counters that are lower than before, but only ever increase in one file."""
    was, now = _counters(before), _counters(after)
    return {name: (was[name], now[name]) for name in was.keys() & now if now[name] < was[name]}


def _is_older(before: Reading, after: Reading, lower: Mapping[str, tuple[int, int]]) -> bool:
    """Whether several independent signs show that the content of a file is an older state.

    A lower change counter, time or sequence proves nothing by itself: `VACUUM INTO` counts changes
    from the start, a copy may keep the time of its source, and a table that is rebuilt or cleared
    starts its sequence again.
    """
    if not before.tables.keys() & after.tables.keys() or _was_written_since(before, after):
        return False
    was, now = exact_rows(before), exact_rows(after)
    has_fewer = any(now[table] < rows for table, rows in was.items() if table in now)
    min_seconds = 0 if has_fewer else MIN_OLDER_SECONDS
    return (has_fewer or CHANGES in lower) and _is_time_older(before, after, min_seconds)


def _was_written_since(before: Reading, after: Reading) -> bool:
    was, now = before.change_counter or 0, after.change_counter or 0
    return before.file == after.file and now > was


def _is_time_older(before: Reading, after: Reading, min_seconds: int) -> bool:
    """Whether the time of the file is earlier than before, and no clock explains that.

    A file time in the future comes from a clock that was set back since.
    """
    was, now = before.file_modified, after.file_modified
    if was is None or now is None or after.verified_at < before.verified_at:
        return False
    has_grown = _has_estimates(after) or (after.total_rows or 0) > (before.total_rows or 0)
    is_older = now < was and (was - now).total_seconds() >= min_seconds
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


def _next_baseline(before: Reading, after: Reading, trail: Facts) -> Reading:
    """Return the reading to compare the next one with: each table with its newest exact count.

    A table that is written all the time may never have an exact count; it has its newest estimate.
    """
    former_names = {now: name for name, now in renamed_tables(before, after).items()}
    # If a renamed table's old name is in use again, its new name may be a new table at its page.
    doubtful = {now for now, name in former_names.items() if name in after.tables}
    tables = dict(after.tables)
    for name, count in after.tables.items():
        former = before.tables.get(former_names.get(name, name))
        # An estimate made before the rename may belong to another table that had the name.
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
