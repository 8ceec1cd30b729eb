"""What the page check found in a database, and how much of it was checked."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

IntegrityState = Literal["clean", "checking", "damaged", "unchecked"]
"""clean: no damage found. checking: not all of it was checked yet. unchecked: see `reason`."""

NOT_YET = "not checked yet"
"""The reason of a check that has not begun."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Damaged pages of one table, its indexes included, confirmed by SQLite."""

    table: str
    """Name of the table; empty for pages of no table, such as the freelist."""
    pages: int
    """The number of damaged pages found; 1 where only SQLite's message is known."""
    found_at: datetime


@dataclass(frozen=True, slots=True)
class TableCheck:
    """The newest check of one table and its indexes."""

    checked_at: datetime | None = None
    """When it was last checked to its end; None if never."""
    note: str | None = None
    """What was not compared: "expression index"; None if nothing was left out."""


@dataclass(frozen=True, slots=True)
class Integrity:
    """The state of the page check of one database."""

    state: IntegrityState
    checked_at: datetime | None = None
    """When the last check of all tables ended; None if there was none yet."""
    checked_share: float = 0.0
    """The checked share of the present check's pages, from 0 to 1; 1 after its end."""
    reason: str | None = None
    """Why it is not checked, in a few words without a full stop; None if it is."""
    damage: tuple[Damage, ...] = ()
    """Damage that no later clean check of its table has refuted, the greatest first."""
    tables: Mapping[str, TableCheck] = field(default_factory=dict)
    table_bytes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of each table and index by its name; empty until measured."""
    index_tables: Mapping[str, str] = field(default_factory=dict)
    """The table of each index in `table_bytes`, by the name of the index."""

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return the bytes of each table with its indexes, and of these alone, largest first."""
        wholes: Counter[str] = Counter()
        indexes: Counter[str] = Counter()
        for name, size_bytes in self.table_bytes.items():
            table = self.index_tables.get(name)
            wholes[table or name] += size_bytes
            if table:
                indexes[table] += size_bytes
        return {table: (whole, indexes[table]) for table, whole in wholes.most_common()}
