"""A measure: a number of the user's own, by an SQL query or by a rule, and the limits it must keep.

Some measures have one number, others one for each label: tasks by status.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import timedelta

    from dash_app.model.quiet_hours import QuietHours

MeasureKind = Literal["number", "no_rows", "foreign_keys", "rows_written"]
"""number: what the query returns. no_rows: how many rows it returns, of which none is allowed.
foreign_keys: rows whose parent is missing. rows_written: rows that a table gained in a window."""

MeasureLevel = Literal["notice", "fault"]

AGE = "age"
"""The unit of a measure whose query returns a time: its value is the age of that time."""

MAX_ROWS = 1_000
"""Maximum number of labels of a measure, and of rows that are counted."""

MAX_TABLES = 20
"""Maximum number of tables that an error names."""

MAX_SHOWN, MAX_LABEL_CHARACTERS = 12, 60
OTHERS = "others"
"""The label of the sum of the values that are not shown."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A configured measure. `table`, `rows_written` and `window` are those of `rows_written`."""

    name: str
    label: str
    every: timedelta
    kind: MeasureKind = "number"
    sql: str = ""
    unit: str = ""
    """`bytes`, `s`, `ms`, `%`, `age` or any other text; empty for a plain number."""
    least: float | None = None
    greatest: float | None = None
    equals: float | None = None
    level: MeasureLevel = "fault"
    """The level of a value outside these limits."""
    is_pinned: bool = False
    """Whether it is on the card."""
    table: str = ""
    window: QuietHours | None = None
    """The times of a week in which rows are expected."""

    @property
    def metric(self) -> str:
        """Its name among the metrics of the history."""
        return f"measure:{self.name}"

    @property
    def question(self) -> str:
        """What is asked. The answer to another question says nothing about this one."""
        return f"{self.kind} {AGE if self.unit == AGE else ''} {self.sql}"

    @property
    def has_limits(self) -> bool:
        """Whether any value can be out of range."""
        return any(limit is not None for limit in (self.least, self.greatest, self.equals))

    def allows(self, number: float) -> bool:
        """Whether a number is within the limits."""
        return (
            (self.least is None or number >= self.least)
            and (self.greatest is None or number <= self.greatest)
            and (self.equals is None or number == self.equals)
        )


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a measure."""

    label: str | None
    """None if the measure has one number."""
    number: int | float | None
    """None if it is unknown."""
    time: datetime | None = None
    """The time whose age the number is."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a measure could not be had: a code of `words.measures`, and facts for its sentence."""

    code: str
    since: datetime
    """When the first of successive failures with this code happened."""
    detail: Mapping[str, str] = field(default_factory=dict)


def missing_table(measure: Measure, tables: Collection[str], now: datetime) -> Failure | None:
    """Return the failure of a measure whose table is not among those of its database."""
    if not measure.table or not tables or measure.table in tables:
        return None
    names = ", ".join(sorted(tables)[:MAX_TABLES])
    return Failure("no_table", now, {"table": measure.table, "tables": names})


@dataclass(frozen=True, slots=True)
class Answer:
    """The newest values of a measure, and why there are no newer ones."""

    values: tuple[Value, ...] = ()
    """In the order of the query, at most `MAX_ROWS`. An age is the time itself, in seconds since
    1970."""
    measured_at: datetime | None = None
    """When the values were true; None if there are none."""
    failure: Failure | None = None
    is_current: bool = True
    """Whether the file has not changed since then, as far as is known. If it has, an age no longer
    grows: there may be a newer time."""


@dataclass(frozen=True, slots=True)
class MeasureReport:
    """A measure with its newest values, as all faces show it."""

    measure: Measure
    values: tuple[Value, ...] = ()
    """As in `Answer`, but an age is in seconds: that of the snapshot, or that of
    `measured_at` if the file has changed since."""
    measured_at: datetime | None = None
    level: Literal["well", "notice", "unknown", "fault"] = "unknown"
    """That of its values, or a notice if they could not be had; unknown without a value."""
    error: str | None = None
    """Why the values could not be renewed, in sentences."""
    remedy: str = ""
    """What to do about the error."""
    is_old: bool = False
    """Whether there are values that could not be renewed in time."""

    @property
    def is_single(self) -> bool:
        """Whether it has one number, without a label."""
        return len(self.values) == 1 and self.values[0].label is None

    @property
    def number(self) -> float | None:
        """The number of a measure that has one; None if it is unknown."""
        return self.values[0].number if self.is_single else None

    @property
    def out_of_range(self) -> tuple[Value, ...]:
        """The values outside the limits."""
        return tuple(value for value in self.values if self._is_wrong(value))

    @property
    def ranked(self) -> list[Value]:
        """The values, those out of range first, then the greatest."""
        return sorted(self.values, key=lambda v: (not self._is_wrong(v), -(v.number or 0)))

    def _is_wrong(self, value: Value) -> bool:
        return value.number is not None and not self.measure.allows(value.number)

    @property
    def shown(self) -> tuple[Value, ...]:
        """The values that faces show: the greatest `MAX_SHOWN`, in order, and `OTHERS`.

        A value with that label of its own is one of the others.
        """
        if len(self.values) <= MAX_SHOWN:
            return self.values
        ranked = sorted(self.values, key=lambda v: (v.label == OTHERS, -(v.number or 0)))
        greatest = ranked[:MAX_SHOWN]
        shown = tuple(value for value in self.values if value in greatest)
        return (*shown, Value(OTHERS, self.combined(ranked[MAX_SHOWN:])))

    def combined(self, values: list[Value]) -> float | None:
        """Return what stands for several values: their sum, or the greatest age."""
        numbers = [value.number for value in values if value.number is not None]
        if not numbers:
            return None
        if self.measure.unit == AGE:
            return max(numbers)
        total = sum(numbers)
        return total if isfinite(total) else None
