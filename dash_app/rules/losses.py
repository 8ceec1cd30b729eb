"""Which tables lost rows between two readings, and whose rows only moved to another table.

Pure functions over two readings and a drop policy. A reading that the next one is compared with
carries a `trail`: facts about recent readings, for moves and drops that take several of them.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from itertools import islice
from math import inf
from typing import NamedTuple

from dash_app.model.event import Facts
from dash_app.model.reading import Reading
from dash_app.rules.drop_policy import (
    MIN_LOST_ROWS,
    RECENTLY,
    DropPolicy,
    count_families,
    family_of,
)

TOLERANCE_PERCENT = 5
NEW_TABLE_PERCENT = 150
"""How far the rows that a table gained may differ from those that another one lost, if they moved:
an existing table gained about as many, a new one may have grown to this share of them since."""

MAX_COMPARED = 100
"""Maximum number of drops, and of gains, that are compared with each other."""

MAX_GAINS = 20
"""Maximum number of gains in a trail: the largest."""

Drop = tuple[int, int | None]
"""The rows of a table before and after a drop; None after if the table is gone."""


class Gain(NamedTuple):
    """The rows that a table gained in one reading, and its time; None if the table was new."""

    table: str
    rows: int | None
    at: str


def lost_rows(before: Reading, after: Reading, policy: DropPolicy) -> dict[str, Drop]:
    """Return the tables that lost too many rows between two readings of one file.

    Rows that moved to another table are not lost, nor are those of a table created recently, nor
    those of a dropped table that was only a copy.
    """
    new_tables = _tables_created_recently(before, after) - policy.habits.rewritten.keys()
    drops = {
        name: drop
        for name, drop in _drops(before, after).items()
        if policy.is_reportable(name, drop[0], drop[1] or 0)
        and (name not in new_tables or policy.is_configured(name))
    }
    for name in _dropped_copies(drops, before, after):
        if not policy.is_configured(name):
            del drops[name]
    # A new table may start on the first page of a dropped one, as if that had been renamed.
    gone = count_families(name for name in drops if name not in after.tables)
    usual = {family for family, n in gone.items() if n <= policy.habits.families.get(family, 0)}
    drops = {
        name: drop
        for name, drop in drops.items()
        if name in after.tables or family_of(name) not in usual or policy.is_configured(name)
    }
    return _without_moved(drops, before, after)


def rows_missing_in_copy(before: Reading, after: Reading, policy: DropPolicy) -> dict[str, Drop]:
    """Return the tables that have fewer rows in another copy or file that replaced the file.

    Empty if fewer than `MIN_LOST_ROWS` rows are missing in total and no table lost too many. If a
    replacement is expected, only configured limits count.
    """
    drops = {
        name: drop
        for name, drop in _without_moved(_drops(before, after), before, after).items()
        if (
            policy.is_reportable(name, drop[0], drop[1] or 0)
            if policy.is_configured(name)
            else not policy.rules.expects_replacement
        )
    }
    missing = sum(was - (now or 0) for was, now in drops.values())
    is_loss = any(policy.is_reportable(name, was, now or 0) for name, (was, now) in drops.items())
    return drops if is_loss or missing >= MIN_LOST_ROWS else {}


def next_trail(before: Reading, after: Reading, more: Facts) -> Facts:
    """Return the trail of a reading, given the one before it.

    - `recent`: recent gains, as lists of the fields of `Gain`
    - `filled`: tables that grew recently from fewer than `MIN_LOST_ROWS` rows, and when
    - `copies`: tables that were created as a copy of another one, that table, and its name then
    - `waiting` (from `more`): pending drops: their rows before and after, and until when they are
      pending
    - `copied` (from `more`): tables not counted yet in a copy, and the newest state before it

    A table that took over older rows, as in a migration, is in neither of the first two.
    """
    gains, filled = _recent_gains(before, after), _filled_by_now(before, after)
    new = {gain.table: gain for gain in gains if gain.rows is None}
    takers = _tables_with_older_rows(before, after) if new or filled else set()
    new = {table: gain for table, gain in new.items() if table not in takers}
    filled = {table: at for table, at in filled.items() if table not in takers}
    grown = [gain for gain in gains if (gain.rows or 0) >= MIN_LOST_ROWS and gain.table not in new]
    largest = sorted(grown, key=lambda gain: gain.rows or 0, reverse=True)[:MAX_GAINS]
    copies = _copies(before, after)
    trail = {"recent": [*new.values(), *largest], "filled": filled, "copies": copies, **more}
    return {name: value for name, value in trail.items() if value}


def move_trail(trail: Facts, by: timedelta) -> Facts:
    """Return a trail with all times moved, after the clock was set."""

    def moved(at: str) -> str:
        return (datetime.fromisoformat(at) + by).isoformat()

    waiting = trail.get("waiting", {}).items()
    return {
        **trail,
        "recent": [(table, rows, moved(at)) for table, rows, at in trail.get("recent", ())],
        "filled": {table: moved(at) for table, at in trail.get("filled", {}).items()},
        "waiting": {table: {**drop, "until": moved(drop["until"])} for table, drop in waiting},
    }


def split_pending(
    before: Reading, after: Reading, lost: Mapping[str, Drop], policy: DropPolicy
) -> tuple[dict[str, Drop], dict[str, Facts]]:
    """Return the drops that are losses now, and those that stay pending as they may be usual work.

    A pending drop ends when its table grows again. It is a loss once its time is up.
    """
    now, filled = after.verified_at, _filled_recently(before, after)
    pending = {}
    for table, drop in before.trail.get("waiting", {}).items():
        count = after.tables.get(table)
        if table not in lost and (count is None or (count.rows or 0) <= (drop["left"] or 0)):
            pending[table] = drop
    for table, (was, left) in lost.items():
        is_emptied = table in filled and (left or 0) < MIN_LOST_ROWS
        time = policy.pending_time(table, was, is_emptied=is_emptied)
        until = "" if time is None else (now + time).isoformat()
        pending[table] = {"rows": was, "left": left, "until": until}
    losses = {
        table: (drop["rows"], drop["left"])
        for table, drop in pending.items()
        if drop["until"] < now.isoformat()
    }
    return losses, {table: drop for table, drop in pending.items() if table not in losses}


def inexact_tables(after: Reading, tables: Iterable[str]) -> list[str]:
    """Return those of the given tables that exist but have no exact count."""
    return [name for name in tables if name in after.tables and not after.tables[name].is_exact]


def _drops(before: Reading, after: Reading) -> dict[str, Drop]:
    """Return each table that has fewer rows than before, both under its old and its new name.

    VACUUM moves first pages, so a table that kept its name may look renamed.
    """
    names = renamed_tables(before, after)
    drops: dict[str, Drop] = {}
    known = {name: count.rows or 0 for name, count in before.tables.items() if count.is_known}
    for name, rows in known.items():
        counts = [after.tables.get(now) for now in dict.fromkeys((names.get(name, name), name))]
        found = [count for count in counts if count is not None]
        left = [count.rows or 0 for count in found if count.is_exact]
        if not found and rows:
            drops[name] = rows, None
        elif found and len(left) == len(found) and max(left) < rows:
            drops[name] = rows, max(left)
    return drops


def _without_moved(drops: Mapping[str, Drop], before: Reading, after: Reading) -> dict[str, Drop]:
    """Return the drops whose rows no other table took over."""
    moved = _match_moves(drops, before, after)
    rest = {name: drop for name, drop in drops.items() if name not in moved}
    lost = sum(was - (now or 0) for was, now in rest.values())
    takers = {taker for tables in moved.values() for taker in tables}
    gained = sum(rows for table, rows in row_gains(before, after).items() if table not in takers)
    # The rows of several tables may be merged into one, or those of one be split over several.
    # Only an equal number shows that: a busy table may gain about as many rows at the same time.
    return {} if gained == lost else rest


def _match_moves(
    drops: Mapping[str, Drop], before: Reading, after: Reading
) -> dict[str, list[str]]:
    """Return the tables that took over the rows of each drop. A gain explains only one drop."""
    if not drops:
        return {}
    found = []
    for table, gained, _at in _recent_gains(before, after):
        count = after.tables[table]
        all_rows = count.rows if count.is_known else None
        found.append(_Target(table, all_rows if gained is None else gained, gained is None))
    # Rows that are not counted may be any number.
    found.sort(key=lambda target: inf if target.rows is None else target.rows, reverse=True)
    left = found[:MAX_COMPARED]
    was_columns, columns = _columns(before), _columns(after)
    largest = sorted(drops.items(), key=lambda drop: drop[1][0], reverse=True)
    moved: dict[str, list[str]] = {}
    for name, (was, now) in largest[:MAX_COMPARED]:
        lost, own = was - (now or 0), was_columns.get(name)
        others = [target for target in left if target.table != name]
        similar = [one for one in others if _is_similar(own, columns.get(one.table))]
        equal = (target for target in others if target.is_new and target.rows == lost)
        target = next((one for one in similar if one.may_hold(lost)), None) or next(equal, None)
        parts = [part for part in similar if part.is_new]  # such as one table per month
        if target:
            left.remove(target)
            moved[name] = [target.table]
        elif _Target(name, sum(part.rows or 0 for part in parts), is_new=True).may_hold(lost):
            moved[name] = [part.table for part in parts]
    return moved


class _Target(NamedTuple):
    """A table that may have taken over rows: those it gained in one reading, or all if it is new.

    `rows` is None if they are not counted.
    """

    table: str
    rows: int | None
    is_new: bool

    def may_hold(self, lost: int) -> bool:
        """Whether these may be the rows that another table lost.

        A copy may leave out a few rows. A new table may have grown since.
        """
        if self.rows is None:
            return self.is_new
        tolerance = lost * TOLERANCE_PERCENT // 100
        limit = lost * NEW_TABLE_PERCENT // 100 if self.is_new else lost
        return lost - tolerance <= self.rows <= limit + tolerance


def _recent_gains(before: Reading, after: Reading) -> list[Gain]:
    """Return the recent gains, including those in `after`, by the present names of the tables."""
    names, now = renamed_tables(before, after), after.verified_at.isoformat()
    known = {names.get(table, table) for table in before.tables}
    found = [
        gain._replace(table=names.get(gain.table, gain.table))
        for gain in _earlier_gains(before, after)
    ]
    found += [Gain(table, None, now) for table in after.tables if table not in known]
    found += [Gain(table, rows, now) for table, rows in row_gains(before, after).items()]
    return [gain for gain in found if gain.table in after.tables]


def _earlier_gains(before: Reading, after: Reading) -> list[Gain]:
    """Return the recent gains in the trail of `before`, by the names of the tables then."""
    earliest = (after.verified_at - RECENTLY).isoformat()
    gains = [Gain(*gain) for gain in before.trail.get("recent", ())]
    return [gain for gain in gains if gain.at > earliest]


def _tables_created_recently(before: Reading, after: Reading) -> set[str]:
    return {gain.table for gain in _earlier_gains(before, after) if gain.rows is None}


def _filled_recently(before: Reading, after: Reading) -> dict[str, str]:
    """Return the tables filled recently, by their names then, and when."""
    earliest = (after.verified_at - RECENTLY).isoformat()
    return {table: at for table, at in before.trail.get("filled", {}).items() if at > earliest}


def _filled_by_now(before: Reading, after: Reading) -> dict[str, str]:
    """Return the tables filled recently, including those in `after`, by their present names."""
    names, now = renamed_tables(before, after), after.verified_at.isoformat()
    filled = {names.get(table, table): at for table, at in _filled_recently(before, after).items()}
    for table, rows in exact_rows(before).items():
        count = after.tables.get(names.get(table, table))
        if rows < MIN_LOST_ROWS <= ((count and count.rows) or 0):
            filled[names.get(table, table)] = now
    return filled


def _tables_with_older_rows(before: Reading, after: Reading) -> set[str]:
    """Return the tables that took over rows of a table neither created nor filled recently."""
    recent = {*_tables_created_recently(before, after), *_filled_recently(before, after)}
    drops = {
        name: (was, now)
        for name, (was, now) in _drops(before, after).items()
        if was - (now or 0) >= MIN_LOST_ROWS and name not in recent
    }
    return {taker for takers in _match_moves(drops, before, after).values() for taker in takers}


def _copies(before: Reading, after: Reading) -> dict[str, tuple[str, str]]:
    """Return the tables that began with the rows of another one, by their present names.

    A cautious migration keeps the table that it replaced, or a backup of it, for days. Tables of
    one family may have equally many rows by chance.
    """
    names = renamed_tables(before, after)
    former = {now: name for name, now in names.items()}
    earlier = before.trail.get("copies", {}).items()
    copies = {names.get(copy, copy): (names.get(of, of), name) for copy, (of, name) in earlier}
    new = [gain.table for gain in _recent_gains(before, after) if gain.rows is None]
    if new := [table for table in new[-MAX_GAINS:] if table not in copies]:
        rows, columns = exact_rows(after), _columns(after)
        for table in new:
            same = (other for other, count in rows.items() if count == rows.get(table) != 0)
            for other in islice(same, MAX_COMPARED):
                is_family = (family_of(table) or table) == (family_of(other) or other)
                if not is_family and _is_similar(columns.get(table), columns.get(other)):
                    copies.setdefault(table, (other, former.get(other, other)))
    found = [(copy, of) for copy, of in copies.items() if {copy, of[0]} <= after.tables.keys()]
    return dict(found[-MAX_GAINS:])


def _dropped_copies(drops: Iterable[str], before: Reading, after: Reading) -> list[str]:
    """Return the dropped tables whose rows another table still has, as one is a copy of the other.

    Of the two, the one that has the name of the original is in use.
    """
    rows, was = exact_rows(after), exact_rows(before)
    pairs = {}
    for copy, (original, name) in before.trail.get("copies", {}).items():
        unused, used = (original, copy) if copy == name else (copy, original)
        pairs[unused] = used
    gone = [name for name in drops if name not in after.tables and name in pairs]
    return [name for name in gone if rows.get(pairs[name], -1) >= was.get(name, 0)]


def row_gains(before: Reading, after: Reading) -> dict[str, int]:
    """Return the number of rows that each existing table gained, if any."""
    names = renamed_tables(before, after)
    gains = {}
    for name, was in exact_rows(before).items():
        count = after.tables.get(names.get(name, name))
        if count and count.is_known and count.rows and count.rows > was:
            gains[names.get(name, name)] = count.rows - was
    return gains


def renamed_tables(before: Reading, after: Reading) -> dict[str, str]:
    """Return the new name of each renamed table: its B-tree starts at the same page of the file.

    The page of a dropped table is used again, so the columns must be similar. Auto-vacuum moves a
    B-tree to the place of a dropped one; then the page from which it moved is no longer used.
    """
    if before.file != after.file or before.roots == after.roots:
        return {}
    by_page = {page: name for name, page in after.roots.items()}
    was_columns, columns = _columns(before), _columns(after)
    names = {}
    for name, page in before.roots.items():
        now = by_page.get(page, name)
        has_moved = now in before.roots and before.roots[now] not in by_page
        is_similar = _is_similar(was_columns.get(name), columns.get(now))
        if now != name and not has_moved and is_similar:
            names[name] = now
    return names


def _is_similar(was: AbstractSet[str] | None, now: AbstractSet[str] | None) -> bool:
    """Whether another table has at least half of a table's columns."""
    return 2 * len((was or set()) & (now or set())) >= len(was or ())


def _columns(reading: Reading) -> dict[str, set[str]]:
    """Return the column names of each table."""
    columns: dict[str, set[str]] = {}
    for name in reading.objects or ():
        if name.startswith("column "):
            table, _, column = name.removeprefix("column ").rpartition(".")
            columns.setdefault(table, set()).add(column)
    return columns


def exact_rows(reading: Reading) -> dict[str, int]:
    """Return the rows of each table that has an exact count."""
    return {name: count.rows or 0 for name, count in reading.tables.items() if count.is_exact}
