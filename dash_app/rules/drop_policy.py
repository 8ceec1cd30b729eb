"""Which drops of a table's rows are reported, from its rules and from the habits of its database.

Habits are learned from the events of the last 30 days, so that queues, rewritten tables and rotated
tables are reported once and not each time.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from dash_app.model.event import Event
from dash_app.model.expectation import Rules
from dash_app.model.leftovers import leftover_reason

MAX_DROP_PERCENT = 50
MIN_LOST_ROWS = 20
"""The default limit: a drop is reported if it takes more than this share of a table's rows, and at
least this number. A queue of a few tasks empties all the time."""

HABIT_WINDOW = timedelta(days=30)
HABIT_MIN_EVENTS = 3
"""Minimum number of drops that make a table a queue, and of replacements without lost rows that
make regular replacement of a file a habit."""

HABIT_FACTOR = 10
"""A queue that drops more than this many times its largest earlier drop may have lost rows."""

RECENTLY = timedelta(hours=1)
"""A table that was created within this time is a working table, which may be dropped when its work
is done. One that was filled within this time may stay nearly empty as long before its next work."""

REWRITE_PENDING = timedelta(hours=1)
QUEUE_PENDING = timedelta(days=7)
"""How long a rewritten table may be missing (or three times its longest absence, if that is more),
and how long a queue may be empty, before its rows count as lost."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What a database does regularly."""

    queues: Mapping[str, int] = field(default_factory=dict)
    """Tables that often drop rows, with the most rows that one had before a drop."""

    rewritten: Mapping[str, timedelta] = field(default_factory=dict)
    """Tables that were dropped and created again, with the longest time between."""

    families: Mapping[str, int] = field(default_factory=dict)
    """Patterns of table names, with the most tables of the pattern that were dropped at once."""

    is_replaced: bool = False
    """Whether the file is regularly replaced by another one without losing rows."""


def learn_habits(events: Iterable[Event]) -> Habits:
    """Return the habits of a database from its events within `HABIT_WINDOW`, newest first."""
    drops: Counter[str] = Counter()
    max_rows: dict[str, int] = {}
    rewritten: dict[str, timedelta] = {}
    families: dict[str, int] = {}
    replacements: list[bool] = []
    for event in events:
        was, now = event.before.get("rows", {}), event.after.get("rows", {})
        if event.kind in {"replaced", "rolled_back"}:
            replacements.append(event.kind == "replaced" and (not was or is_rotation(event)))
            continue
        for table, rows in was.items():
            if now.get(table) is None and event.ended_at:
                absence = event.ended_at - event.at
                rewritten[table] = max(absence, rewritten.get(table, absence))
            if event.kind == "rows_dropped" and "schemaVersion" not in event.before:
                drops[table] += 1
                max_rows[table] = max(rows, max_rows.get(table, 0))
        objects = event.before.get("objects", ())
        gone = (name for name in was if now.get(name) is None or f"table {name}" in objects)
        for family, tables in count_families(gone).items():
            families[family] = max(tables, families.get(family, 0))
    queues = {table: max_rows[table] for table, n in drops.items() if n >= HABIT_MIN_EVENTS}
    newest = replacements[:HABIT_MIN_EVENTS]
    return Habits(queues, rewritten, families, len(newest) == HABIT_MIN_EVENTS and all(newest))


def is_rotation(event: Event) -> bool:
    """Whether the file that was replaced lies beside the new one, and not because it is damaged."""
    name = event.after.get("movedTo")
    return name is not None and leftover_reason(name) != "damaged"


@dataclass(frozen=True, slots=True)
class DropPolicy:
    """Which drops of a table's rows are reported: those beyond a configured or default limit."""

    rules: Rules = field(default_factory=Rules)
    habits: Habits = field(default_factory=Habits)

    def is_reportable(self, table: str, was: int, now: int) -> bool:
        """Whether a table dropped more rows at once than its limit allows."""
        rules = self.rules.for_table(table)
        if rules.paused:
            return False
        if rules.max_drop_percent is not None:
            return 100 * (was - now) > rules.max_drop_percent * was
        return was - now >= MIN_LOST_ROWS and 100 * (was - now) > MAX_DROP_PERCENT * was

    def is_configured(self, table: str) -> bool:
        """Whether the configuration limits the drops of a table."""
        rules = self.rules.for_table(table)
        return rules.paused or rules.max_drop_percent is not None

    def pending_time(self, table: str, was: int, *, is_emptied: bool = False) -> timedelta | None:
        """Return how long a reportable drop stays pending as usual work; None if it is a loss now.

        `is_emptied` is whether all rows of the table came recently and almost all are gone again.
        """
        if self.is_configured(table):
            return None
        if table in self.habits.rewritten:
            return max(REWRITE_PENDING, 3 * self.habits.rewritten[table])
        max_rows = self.habits.queues.get(table)
        is_queue = max_rows is not None and was <= HABIT_FACTOR * max_rows
        return QUEUE_PENDING if is_queue else RECENTLY if is_emptied else None


DEFAULT_POLICY = DropPolicy()


def count_families(tables: Iterable[str]) -> Counter[str]:
    """Return the number of tables per pattern of names."""
    return Counter(family for table in tables if (family := family_of(table)))


def family_of(table: str) -> str | None:
    """Return the pattern of a numbered or dated name: logs_# for logs_2026; otherwise None."""
    family = re.sub(r"[0-9a-f]{8,}|[0-9]+", "#", table)
    return family if family != table else None
