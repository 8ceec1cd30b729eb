"""The expectations of a database and its tables, and how each compares with them.

Pure functions: the current time is an argument.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Literal

from dash_app.model.quiet_hours import NO_QUIET_HOURS, QuietHours, TimeRange

State = Literal["new", "on_time", "late", "down", "unknown", "paused"]
"""A table is "unknown" if it seems overdue, but rows may come and go between two readings."""

OVERDUE: frozenset[State] = frozenset({"late", "down"})

NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class Expectation:
    """The longest time between writes: late after `every`, down after `every + grace`."""

    every: timedelta
    grace: timedelta


@dataclass(frozen=True, slots=True)
class TableRules:
    """The rules of one table, or of one database as far as these are the same.

    `expect` concerns new rows; `quiet` hours don't count. A drop of up to `max_drop_percent` of the
    rows between two readings is not reported (None: the default limit). Problems of a `paused`
    table are not reported.
    """

    expect: Expectation | None = None
    quiet: QuietHours = NO_QUIET_HOURS
    paused: bool = False
    min_rows: int | None = None
    max_drop_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Rules(TableRules):
    """The rules of one database.

    `expect` concerns writes to its files, `min_rows` the rows of all tables together. `tables` has
    the rules of each table that has its own, `ignored_tables` patterns of tables that are counted
    but not judged.
    """

    max_wal_bytes: int | None = None
    max_size_bytes: int | None = None
    min_free_bytes: int | None = None
    tables: Mapping[str, TableRules] = field(default_factory=dict)
    ignored_tables: tuple[str, ...] = ()
    expects_replacement: bool = False
    """Whether other programs replace the file on purpose, also by one with fewer rows."""

    @property
    def expects_writes(self) -> bool:
        """Whether writes to the database or to any table are expected."""
        return self.expect is not None or any(table.expect for table in self.tables.values())

    def for_table(self, table: str) -> TableRules:
        """Return the rules of a table, or those that its database passes on if it has none."""
        own = self.tables.get(table)
        return own or TableRules(max_drop_percent=self.max_drop_percent, paused=self.paused)

    def ignores(self, table: str) -> bool:
        """Whether a table is not judged. In patterns, only `*` and `?` have a meaning."""
        patterns = (pattern.replace("[", "[[]") for pattern in self.ignored_tables)
        return any(fnmatchcase(table, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class ExpectationState:
    """How a database or table compares with its expectation.

    `last_at` is the last write seen, None if never. `due_at` is when the next write is, or was,
    due; None while paused.
    """

    state: State
    expect: Expectation
    last_at: datetime | None
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class ExpectationReport:
    """How a database and its tables compare with their expectations.

    `own` is None if no writes to the database as a whole are expected.
    """

    own: ExpectationState | None = None
    tables: Mapping[str, ExpectationState] = field(default_factory=dict)

    @property
    def states(self) -> dict[str | None, ExpectationState]:
        """All states by table; None is the database as a whole."""
        own: dict[str | None, ExpectationState] = {None: self.own} if self.own else {}
        own.update(self.tables)
        return own

    @property
    def state(self) -> State:
        """The worst state; "paused" only if all are."""
        states = {expectation.state for expectation in self.states.values()}
        order: tuple[State, ...] = ("down", "late", "unknown", "on_time", "new")
        return next((state for state in order if state in states), "paused")

    @property
    def due_at(self) -> datetime | None:
        """When the earliest of the next writes is, or was, due."""
        due = [state.due_at for state in self.states.values() if state.due_at]
        return min(due, default=None)


def state_after(expect: Expectation, elapsed: timedelta, *, is_new: bool) -> State:
    """Return the state after an active time without a write.

    `is_new` is whether no write was ever seen; then the time counts from the first reading.
    """
    if elapsed > expect.every + expect.grace:
        return "down"
    if elapsed > expect.every:
        return "late"
    return "new" if is_new else "on_time"


def elapsed_and_due(
    quiet: QuietHours, covered: Iterable[TimeRange], since: datetime | None, every: timedelta
) -> tuple[timedelta, datetime | None]:
    """Return the time since an instant, or ever, that is in `covered` ranges and not quiet.

    Also return when it reached `every`; None if it did not.
    """
    elapsed, due = NOTHING, None
    for begin, end in covered:
        start = begin if since is None else max(begin, since)
        active = quiet.active_time(start, end)
        if due is None and elapsed + active >= every:
            due = quiet.add_active_time(start, every - elapsed)
        elapsed += active
    return elapsed, due
