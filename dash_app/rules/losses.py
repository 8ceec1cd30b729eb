"""Decides which tables lost rows, and whose rows moved, or come and go as work is done.

Pure functions over two readings, the rules of a database, and the events of its history.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from typing import NamedTuple

from dash_app.model.event import Event, Facts
from dash_app.model.expectation import NO_RULES, Rules
from dash_app.model.reading import Reading, TableCount

MAX_DROP_PERCENT = 50
MIN_LOST_ROWS = 20
"""A table without a configured limit lost rows if more than this share and at least this number of
its rows are gone: a queue of a few tasks empties all the time."""

ABOUT_PERCENT = 5
NEW_TABLE_PERCENT = 150
"""How far the rows of a table that took over those of another may differ from them: an existing
table grew by about as many, a new one may have grown further since."""

MAX_COMPARED, MAX_GAINS = 100, 20
"""Maximum number of drops, and of gains, that are compared with each other, and of gains that are
remembered: the largest."""

RECENTLY = timedelta(hours=1)
"""A table that came within this time is a working table: if it goes again, its work is done. One
that was nearly empty within this time, and is again, may wait as long for its next work."""

HABIT = timedelta(days=30)
HABIT_TIMES = 3
"""A table that fell this often within that time is a queue, and a file that was replaced this often
without losing rows is meant to be replaced."""

HABIT_FACTOR = 10
"""A queue that loses this many times the rows of any earlier fall did not just do its work."""

REWRITE_PATIENCE = timedelta(hours=1)
QUEUE_PATIENCE = timedelta(days=7)
"""How long a table that is rewritten may stay away, and how long a queue may stay empty."""

Rows = tuple[int, int | None]
"""Rows of a table before and after; None after if the table is gone."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What a database does regularly, learned from the events of its history.

    `queues` maps tables that fell often to the most rows that one of them lost at once. `rewritten`
    maps tables that were dropped and came back to the longest time that they were away. `families`
    maps a pattern of table names to the most tables of it that went at once. `is_replaced` is
    whether the file is meant to be replaced by another one.
    """

    queues: Mapping[str, int] = field(default_factory=dict)
    rewritten: Mapping[str, timedelta] = field(default_factory=dict)
    families: Mapping[str, int] = field(default_factory=dict)
    is_replaced: bool = False


NO_HABITS = Habits()


def habits_among(events: Iterable[Event]) -> Habits:
    """Return the habits of one database, from its events of the last `HABIT`, newest first."""
    falls: Counter[str] = Counter()
    most: dict[str, int] = {}
    rewritten: dict[str, timedelta] = {}
    families: dict[str, int] = {}
    replacements: list[bool] = []
    for event in events:
        was, now = event.before.get("rows", {}), event.after.get("rows", {})
        if event.kind in {"replaced", "rolled_back"}:
            replacements.append(event.kind == "replaced" and not was)
            continue
        for table, rows in was.items():
            if now.get(table) is None and event.ended_at:
                away = event.ended_at - event.at
                rewritten[table] = max(away, rewritten.get(table, away))
            if event.kind == "rows_dropped" and "schemaVersion" not in event.before:
                falls[table] += 1
                most[table] = max(rows, most.get(table, 0))
        dropped = event.before.get("objects", ())
        gone = (t for t in was if now.get(t) is None or f"table {t}" in dropped)
        for family, tables in _families(gone).items():
            families[family] = max(tables, families.get(family, 0))
    queues = {table: most[table] for table, times in falls.items() if times >= HABIT_TIMES}
    newest = replacements[:HABIT_TIMES]
    return Habits(queues, rewritten, families, len(newest) == HABIT_TIMES and all(newest))


@dataclass(frozen=True, slots=True)
class DropPolicy:
    """Which drops of a table's rows are reported: by configuration, otherwise by default."""

    rules: Rules = NO_RULES
    habits: Habits = NO_HABITS

    def is_reportable(self, table: str, was: int, now: int) -> bool:
        """Return whether a table lost too many rows at once."""
        rules = self.rules.for_table(table)
        if rules.paused:
            return False
        if rules.max_drop_percent is not None:
            return 100 * (was - now) > rules.max_drop_percent * was
        return was - now >= MIN_LOST_ROWS and 100 * (was - now) > MAX_DROP_PERCENT * was

    def is_configured(self, table: str) -> bool:
        """Return whether the configuration limits how many rows a table may lose."""
        rules = self.rules.for_table(table)
        return rules.paused or rules.max_drop_percent is not None

    def patience(self, table: str, was: int, *, is_filled: bool = False) -> timedelta | None:
        """Return for how long a reportable drop of a table may be usual work; None if never.

        `is_filled` is whether all of its rows came recently, and almost all are gone again.
        """
        if self.is_configured(table):
            return None
        if table in self.habits.rewritten:
            return max(REWRITE_PATIENCE, 3 * self.habits.rewritten[table])
        most = self.habits.queues.get(table)
        is_queue = most is not None and was <= HABIT_FACTOR * most
        return QUEUE_PATIENCE if is_queue else RECENTLY if is_filled else None


DEFAULT_POLICY = DropPolicy()


class Recent(NamedTuple):
    """The rows that a table gained in one step, None if the table came then, and when that was."""

    table: str
    rows: int | None
    at: str


def lost_rows(before: Reading, after: Reading, policy: DropPolicy) -> dict[str, Rows]:
    """Return the tables that lost too many rows between two readings of one file.

    Neither rows that another table has now, nor tables that were made recently, are lost.
    """
    young = {gain.table for gain in _recent(before, after) if gain.rows is None}
    fallen = {
        name: rows
        for name, rows in _falls(before, after).items()
        if policy.is_reportable(name, rows[0], rows[1] or 0)
        and (name not in young or name in policy.habits.rewritten or policy.is_configured(name))
    }
    # A new table may begin at the page of one that was dropped, as if that had been renamed.
    went = _families(name for name in fallen if name not in after.tables)
    usual = {family for family, n in went.items() if n <= policy.habits.families.get(family, 0)}
    fallen = {
        name: rows
        for name, rows in fallen.items()
        if name in after.tables or _family(name) not in usual or policy.is_configured(name)
    }
    return _without_moved(fallen, before, after)


def fewer_rows(before: Reading, after: Reading, policy: DropPolicy) -> dict[str, Rows]:
    """Return the tables that have fewer rows in another copy or file that took a file's place.

    Nothing if fewer than `MIN_LOST_ROWS` rows are missing altogether, unless a table lost too many.
    """
    falls = {
        name: rows
        for name, rows in _without_moved(_falls(before, after), before, after).items()
        if not policy.is_configured(name) or policy.is_reportable(name, rows[0], rows[1] or 0)
    }
    missing = sum(was - (now or 0) for was, now in falls.values())
    is_much = any(policy.is_reportable(name, was, now or 0) for name, (was, now) in falls.items())
    return falls if is_much or missing >= MIN_LOST_ROWS else {}


def leave_trail(before: Reading, after: Reading, more: Facts) -> Facts:
    """Return the facts about recent readings that the next ones are compared with.

    `recent` has the tables that came recently, with None for their rows, and the rows that others
    gained, each with its time; `filled` the tables that grew recently from fewer than
    `MIN_LOST_ROWS` rows. Neither has a table that took over older rows, as in a migration. `more`
    has the drops that are `waiting` since they may be usual work, each with its rows before and
    after, and until when it is not a loss; and what was `copied`: tables that are not counted yet
    in a copy, with the newest state.
    """
    recent, filled = _recent_gains(before, after), _newly_filled(before, after)
    new = {gain.table: gain for gain in recent if gain.rows is None}
    takers = _takers(before, after) if new or filled else set()
    new = {table: gain for table, gain in new.items() if table not in takers}
    filled = {table: at for table, at in filled.items() if table not in takers}
    grown = [gain for gain in recent if (gain.rows or 0) >= MIN_LOST_ROWS and gain.table not in new]
    largest = sorted(grown, key=lambda gain: gain.rows or 0, reverse=True)[:MAX_GAINS]
    trail = {"recent": [*new.values(), *largest], "filled": filled, **more}
    return {name: value for name, value in trail.items() if value}


def move_trail(trail: Facts, by: timedelta) -> Facts:
    """Return a trail whose times have moved by as much as the clock was set."""

    def moved(at: str) -> str:
        return (datetime.fromisoformat(at) + by).isoformat()

    waiting = trail.get("waiting", {}).items()
    return {
        **trail,
        "recent": [(table, rows, moved(at)) for table, rows, at in trail.get("recent", ())],
        "filled": {table: moved(at) for table, at in trail.get("filled", {}).items()},
        "waiting": {table: {**drop, "until": moved(drop["until"])} for table, drop in waiting},
    }


def split_waiting(
    before: Reading, after: Reading, lost: Mapping[str, Rows], policy: DropPolicy
) -> tuple[dict[str, Rows], dict[str, Facts]]:
    """Return the drops that are losses now, and those that may still be usual work.

    A drop that waits is over when its table has grown again. It is a loss when its time is up.
    """
    now, filled = after.verified_at, _filled(before, after)
    drops = {
        table: drop
        for table, drop in before.trail.get("waiting", {}).items()
        if table not in lost and not _has_grown(after.tables.get(table), drop["left"])
    }
    for table, (was, left) in lost.items():
        is_filled = table in filled and (left or 0) < MIN_LOST_ROWS
        patience = policy.patience(table, was, is_filled=is_filled)
        until = "" if patience is None else (now + patience).isoformat()
        drops[table] = {"rows": was, "left": left, "until": until}
    losses = {
        table: (drop["rows"], drop["left"])
        for table, drop in drops.items()
        if drop["until"] < now.isoformat()
    }
    return losses, {table: drop for table, drop in drops.items() if table not in losses}


def _has_grown(count: TableCount | None, left: int | None) -> bool:
    return count is not None and (count.rows or 0) > (left or 0)


def uncounted(after: Reading, tables: Iterable[str]) -> list[str]:
    """Return the tables that exist and have no exact count."""
    return [name for name in tables if name in after.tables and not after.tables[name].is_exact]


def _falls(before: Reading, after: Reading) -> dict[str, Rows]:
    """Return each table that has fewer rows than before, under its name and under a new one.

    VACUUM moves first pages about, and so may seem to rename a table that kept its name.
    """
    names = renamed(before, after)
    falls: dict[str, Rows] = {}
    for name, rows in known_rows(before).items():
        counts = [after.tables.get(one) for one in dict.fromkeys((names.get(name, name), name))]
        found = [count for count in counts if count is not None]
        left = [count.rows or 0 for count in found if count.is_exact]
        if not found and rows:
            falls[name] = rows, None
        elif found and len(left) == len(found) and max(left) < rows:
            falls[name] = rows, max(left)
    return falls


def _without_moved(fallen: Mapping[str, Rows], before: Reading, after: Reading) -> dict[str, Rows]:
    """Return the drops whose rows no other table has taken over."""
    moved = _moves(fallen, before, after)
    rest = {name: rows for name, rows in fallen.items() if name not in moved}
    lost = sum(was - (now or 0) for was, now in rest.values())
    takers = {taker for tables in moved.values() for taker in tables}
    gained = sum(rows for table, rows in gains(before, after).items() if table not in takers)
    # Rows of several tables may be merged into one, or those of one be sorted into several. Only an
    # equal number shows that: about as many rows may come to a busy table in the same second.
    return {} if gained == lost else rest


def _moves(fallen: Mapping[str, Rows], before: Reading, after: Reading) -> dict[str, list[str]]:
    """Return which tables took over the rows of each drop. Each gain explains one drop."""
    if not fallen:
        return {}
    found = (_gain(gain, after) for gain in _recent_gains(before, after))
    left = sorted(found, key=_Gain.size, reverse=True)[:MAX_COMPARED]
    was_columns, columns = _columns(before), _columns(after)
    largest = sorted(fallen.items(), key=lambda fall: fall[1][0], reverse=True)
    moved: dict[str, list[str]] = {}
    for name, (was, now) in largest[:MAX_COMPARED]:
        lost, own = was - (now or 0), was_columns.get(name)
        others = [gain for gain in left if gain.table != name]
        alike = [gain for gain in others if _are_alike(own, columns.get(gain.table))]
        same = (gain for gain in others if gain.is_new and gain.rows == lost)
        gain = next((gain for gain in alike if gain.covers(lost)), None) or next(same, None)
        parts = [gain for gain in alike if gain.is_new]  # such as one table per month
        if gain:
            left.remove(gain)
            moved[name] = [gain.table]
        elif _Gain(name, sum(part.rows or 0 for part in parts), is_new=True).covers(lost):
            moved[name] = [part.table for part in parts]
    return moved


class _Gain(NamedTuple):
    """Rows that a table gained: in one step, or altogether if it is new. None if not counted."""

    table: str
    rows: int | None
    is_new: bool

    def size(self) -> float:
        """Return the rows, which may be any number while they are not counted."""
        return inf if self.rows is None else self.rows

    def covers(self, lost: int) -> bool:
        """Return whether they may be the rows that another table lost.

        A copy may leave out a few rows. A new table may have grown further since.
        """
        if self.rows is None:
            return self.is_new
        slack = lost * ABOUT_PERCENT // 100
        limit = lost * NEW_TABLE_PERCENT // 100 if self.is_new else lost
        return lost - slack <= self.rows <= limit + slack


def _gain(recent: Recent, after: Reading) -> _Gain:
    if recent.rows is not None:
        return _Gain(recent.table, recent.rows, is_new=False)
    count = after.tables[recent.table]
    return _Gain(recent.table, count.rows if count.is_known else None, is_new=True)


def _recent_gains(before: Reading, after: Reading) -> list[Recent]:
    """Return the gains of tables recently and in this step, by their present names."""
    names, now = renamed(before, after), after.verified_at.isoformat()
    known = {names.get(table, table) for table in before.tables}
    found = [
        gain._replace(table=names.get(gain.table, gain.table)) for gain in _recent(before, after)
    ]
    found += [Recent(table, None, now) for table in after.tables if table not in known]
    found += [Recent(table, rows, now) for table, rows in gains(before, after).items()]
    return [gain for gain in found if gain.table in after.tables]


def _recent(before: Reading, after: Reading) -> list[Recent]:
    """Return the gains of the last hour in the trail of a reading, by the names of that time."""
    earliest = (after.verified_at - RECENTLY).isoformat()
    recent = [Recent(*gain) for gain in before.trail.get("recent", ())]
    return [gain for gain in recent if gain.at > earliest]


def _filled(before: Reading, after: Reading) -> dict[str, str]:
    """Return the tables that were filled within the last hour, by the names of then, and when."""
    earliest = (after.verified_at - RECENTLY).isoformat()
    return {table: at for table, at in before.trail.get("filled", {}).items() if at > earliest}


def _newly_filled(before: Reading, after: Reading) -> dict[str, str]:
    """Return the tables that were filled recently or in this step, by the names of now."""
    names, now = renamed(before, after), after.verified_at.isoformat()
    filled = {names.get(table, table): at for table, at in _filled(before, after).items()}
    for table, rows in exact_rows(before).items():
        count = after.tables.get(names.get(table, table))
        if rows < MIN_LOST_ROWS <= ((count and count.rows) or 0):
            filled[names.get(table, table)] = now
    return filled


def _takers(before: Reading, after: Reading) -> set[str]:
    """Return the tables that took over rows of a table that did not come, or fill, recently."""
    young = {gain.table for gain in _recent(before, after) if gain.rows is None}
    falls = {
        name: (was, now)
        for name, (was, now) in _falls(before, after).items()
        if was - (now or 0) >= MIN_LOST_ROWS and name not in {*young, *_filled(before, after)}
    }
    return {taker for takers in _moves(falls, before, after).values() for taker in takers}


def gains(before: Reading, after: Reading) -> dict[str, int]:
    """Return the number of rows that each existing table gained."""
    was, names = exact_rows(before), renamed(before, after)
    now = {name: after.tables.get(names.get(name, name)) for name in was}
    return {
        names.get(name, name): count.rows - was[name]
        for name, count in now.items()
        if count and count.is_known and count.rows and count.rows > was[name]
    }


def renamed(before: Reading, after: Reading) -> dict[str, str]:
    """Return the new name of each renamed table: its B-tree begins at the same page of the file.

    The page of a dropped table is used again, so the columns must be alike. Auto-vacuum moves a
    B-tree into the place of a dropped one: then its own former page is no longer used.
    """
    if before.file != after.file or before.roots == after.roots:
        return {}
    by_page = {page: name for name, page in after.roots.items()}
    was_columns, columns = _columns(before), _columns(after)
    names = {}
    for name, page in before.roots.items():
        now = by_page.get(page, name)
        has_moved = now in before.roots and before.roots[now] not in by_page
        is_alike = _are_alike(was_columns.get(name), columns.get(now))
        if now != name and not has_moved and is_alike:
            names[name] = now
    return names


def _are_alike(was: AbstractSet[str] | None, now: AbstractSet[str] | None) -> bool:
    """Return whether at least half of a table's columns are in another table too."""
    return 2 * len((was or set()) & (now or set())) >= len(was or ())


def _columns(reading: Reading) -> dict[str, set[str]]:
    """Return the names of the columns of each table."""
    columns: dict[str, set[str]] = {}
    for name in reading.objects or ():
        if name.startswith("column "):
            table, _, column = name.removeprefix("column ").rpartition(".")
            columns.setdefault(table, set()).add(column)
    return columns


def exact_rows(reading: Reading) -> dict[str, int]:
    """Return the rows of each table that has an exact count."""
    counts = reading.tables.items()
    return {n: count.rows for n, count in counts if count.is_exact and count.rows is not None}


def known_rows(reading: Reading) -> dict[str, int]:
    """Return the rows of each table that was counted, also while it was being written."""
    counts = reading.tables.items()
    return {n: count.rows for n, count in counts if count.is_known and count.rows is not None}


def _families(tables: Iterable[str]) -> Counter[str]:
    """Return the number of tables per pattern of names."""
    return Counter(family for table in tables if (family := _family(table)))


def _family(table: str) -> str | None:
    """Return the pattern of a numbered or dated name: logs_# for logs_2026; None for others."""
    family = re.sub(r"[0-9a-f]{8,}|[0-9]+", "#", table)
    return family if family != table else None
