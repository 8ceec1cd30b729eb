"""What a person expects of a database and its tables, and how they stand to it.

Pure functions of times and one `now`: nothing here asks a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from dash_app.model.quiet_hours import NEVER, Quiet, TimeRange

State = Literal["new", "on_time", "late", "down", "unknown", "paused"]
"""A table is unknown if it seems overdue, while rows may come and go in it between two readings."""

SILENCE: frozenset[State] = frozenset({"late", "down"})
"""What is overdue."""

NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class Expectation:
    """Something is written each time so long at the latest; `grace` more, and it is down."""

    every: timedelta
    grace: timedelta


@dataclass(frozen=True, slots=True)
class TableRules:
    """What is expected of one table.

    `expect` is of rows written; no time counts that is `quiet`. It may lose `max_drop_percent` of
    its rows at once without a word, None for what goes without saying. Nothing is told of one that
    is `paused`.
    """

    expect: Expectation | None = None
    quiet: Quiet = NEVER
    paused: bool = False
    min_rows: int | None = None
    max_drop_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What is expected of one database: `expect` of its last write, `min_rows` of all its rows.

    `tables` has rules of their own for some tables.
    """

    expect: Expectation | None = None
    quiet: Quiet = NEVER
    paused: bool = False
    min_rows: int | None = None
    max_drop_percent: float | None = None
    max_wal_bytes: int | None = None
    max_size_bytes: int | None = None
    min_free_bytes: int | None = None
    tables: Mapping[str, TableRules] = field(default_factory=dict)

    @property
    def expects_writes(self) -> bool:
        """Whether any is expected, of the file or of a table."""
        return self.expect is not None or any(one.expect for one in self.tables.values())

    def of(self, table: str) -> TableRules:
        """Return the rules of a table, which has those of its database where it has none."""
        own = self.tables.get(table)
        return own or TableRules(max_drop_percent=self.max_drop_percent, paused=self.paused)


NO_RULES = Rules()


@dataclass(frozen=True, slots=True)
class ExpectationState:
    """How something stands to what is expected of it.

    `last_at` is when it was last seen to be written, None if never. `due_at` is by when the next
    write is expected, or was; None while it is paused.
    """

    state: State
    expect: Expectation
    last_at: datetime | None
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class ExpectationReport:
    """How a database and its tables stand; `own` is None where nothing is expected of the file."""

    own: ExpectationState | None = None
    tables: Mapping[str, ExpectationState] = field(default_factory=dict)

    @property
    def standings(self) -> dict[str | None, ExpectationState]:
        """Of what something is expected: a table by its name, the file without one."""
        own: dict[str | None, ExpectationState] = {None: self.own} if self.own else {}
        own.update(self.tables)
        return own

    @property
    def state(self) -> State:
        """The worst state of any; paused where nothing else is."""
        states = {one.state for one in self.standings.values()}
        order: tuple[State, ...] = ("down", "late", "unknown", "on_time", "new")
        return next((one for one in order if one in states), "paused")

    @property
    def due_at(self) -> datetime | None:
        """By when the first of the next writes is expected, or was."""
        due = [one.due_at for one in self.standings.values() if one.due_at]
        return min(due, default=None)


def state_of(expect: Expectation, counted: timedelta, *, is_new: bool) -> State:
    """Return how something stands after so much time that counts.

    `is_new` is whether nothing was ever written; then the time counts from the first look.
    """
    if counted > expect.every + expect.grace:
        return "down"
    if counted > expect.every:
        return "late"
    return "new" if is_new else "on_time"


def counted(quiet: Quiet, watched: Iterable[TimeRange], since: datetime | None) -> timedelta:
    """Return how much time counts since an instant, or ever: watched, and not quiet."""
    return sum((quiet.loud(*part) for part in _since(watched, since)), NOTHING)


def due_at(
    quiet: Quiet,
    watched: Iterable[TimeRange],
    since: datetime | None,
    now: datetime,
    every: timedelta,
) -> datetime:
    """Return when so much time will have counted, or had: what is to come counts if not quiet."""
    left = every
    for begin, end in _since(watched, since):
        counts = quiet.loud(begin, end)
        if counts >= left:
            return quiet.after(begin, left)
        left -= counts
    return quiet.after(now if since is None else max(now, since), left)


def _since(watched: Iterable[TimeRange], since: datetime | None) -> Iterable[TimeRange]:
    return watched if since is None else ((max(begin, since), end) for begin, end in watched)
