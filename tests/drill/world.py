"""Simulated databases and their writers, and the readings of them at an instant."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from heapq import merge
from random import Random
from typing import Any

from dash_app.model.conflict import Conflict
from dash_app.model.database import Database
from dash_app.model.host_facts import Disk, Holder, Surroundings
from dash_app.model.reading import Code, Reading, TableCount
from tests.drill.rhythms import RHYTHMS, Rhythm

START = datetime(2026, 10, 1, tzinfo=UTC)
"""Clocks go forward in Sydney on the 4th, and back in Paris on the 25th."""

TABLES_PER_DATABASE = 3
FOLDERS = 4
FIRST_PID = 4000
MAIL = ("db02", "db03", "db05")
"""The databases of one writer."""

GB = 1_000_000_000


@dataclass
class Table:
    """A table. It is written while `stoppages` is 0.

    `pending_rows` could not be written because the file was missing; they are written once it is
    back.
    """

    name: str
    rhythm: Rhythm
    rows: int
    last_rowid: int
    stoppages: int = 0
    pending_rows: int = 0


@dataclass
class Store:
    """A database file and the process that has it open. `code` is why it cannot be read."""

    database: Database
    pid: int
    command: str
    tables: dict[str, Table]
    process_started: datetime
    device: int = 1
    code: Code | None = None
    detail: Mapping[str, str] = field(default_factory=dict)
    is_running: bool = True
    inode: int = 100
    changes: int = 1
    columns: int = 2
    wal_bytes: int = 4_000_000
    free_bytes: int = 100 * GB
    written_at: datetime | None = None
    conflicts: tuple[Conflict, ...] = ()
    is_dirty: bool = True
    last: Reading | None = None

    def write(self, table: Table, rows: int, wall: datetime) -> None:
        """Add rows to a table at a time of the wall clock."""
        table.rows += rows
        table.last_rowid += rows
        self.changes += 1
        self.written_at = wall
        self.is_dirty = True

    def come_back(self, wall: datetime) -> None:
        """Make the file readable again and write the pending rows."""
        self.code = None
        for table in self.tables.values():
            if table.pending_rows:
                self.write(table, table.pending_rows, wall)
                table.pending_rows = 0

    def reading(self, wall: datetime) -> Reading:
        """Return the reading that the airlock would return now."""
        if self.code is not None:
            self.is_dirty = True
            return Reading(wall, wall, code=self.code, detail=self.detail)
        if self.is_dirty or self.last is None:
            self.is_dirty = False
            self.last = self._read(wall)
        else:
            self.last = replace(self.last, verified_at=wall)
        return self.last

    def _read(self, wall: datetime) -> Reading:
        name = self.database.name
        holder = Holder(self.pid, self.command, ("open",), self.process_started)
        disk = Disk(self.device, self.free_bytes, 500 * GB)
        objects = {f"table {table}": "CREATE" for table in self.tables}
        objects |= {f"column {name}.{number}": "TEXT" for number in range(self.columns)}
        return Reading(
            read_at=wall,
            verified_at=wall,
            tables={
                table.name: TableCount(table.rows, wall, rowids=(1, max(table.last_rowid, 1)))
                for table in self.tables.values()
            },
            last_modified=self.written_at,
            size_bytes=50_000_000,
            wal_bytes=self.wal_bytes,
            journal_mode="wal",
            file=f"{self.device}:{self.inode}",
            file_modified=self.written_at,
            change_counter=self.changes,
            content_commit=str(self.changes),
            objects=objects,
            surroundings=Surroundings(
                holders=(holder,) if self.is_running else (),
                backlog_bytes=0,
                disk=disk,
                conflicts=self.conflicts,
            ),
        )


class World:
    """All databases at the instant `now`. The wall clock may be off by `wall_offset`."""

    def __init__(self, databases: Sequence[Database], duration: timedelta, seed: int) -> None:
        self.now, self.end = START, START + duration
        self.wall_offset = timedelta(0)
        self.is_asleep = False
        self.stores = {
            database.name: _store(number, database) for number, database in enumerate(databases)
        }
        self._writes = merge(*self._plan_writes(Random(seed)), key=lambda write: write[0])
        self._next = next(self._writes, None)

    @property
    def wall(self) -> datetime:
        """The time of the wall clock."""
        return self.now + self.wall_offset

    def advance(self, until: datetime) -> None:
        """Let the writers write until an instant."""
        while self._next and self._next[0] <= until:
            instant, name, table_name, rows = self._next
            store = self.stores[name]
            table = store.tables[table_name]
            if store.code in {"file_missing", "folder_missing"}:
                table.pending_rows += rows
            elif not self.is_asleep and store.is_running and not table.stoppages:
                store.write(table, rows, instant + self.wall_offset)
            self._next = next(self._writes, None)
        self.now = until

    def readings(self) -> dict[str, Reading]:
        """Return the present reading of each database."""
        return {name: store.reading(self.wall) for name, store in self.stores.items()}

    def _plan_writes(self, random: Random) -> Iterator[list[tuple[datetime, str, str, int]]]:
        for name, store in self.stores.items():
            for table in store.tables.values():
                # A random offset, so that writes don't fall on the minutes of the ticks.
                since = START - timedelta(days=4) + random.random() * timedelta(minutes=50)
                writes = table.rhythm.writes(random, since, self.end)
                yield [(instant, name, table.name, rows) for instant, rows in sorted(writes)]


def configuration(databases: int) -> dict[str, Any]:
    """Return the configuration of a person who knows the rhythms, without `[history]`."""
    return {
        "sampler": {"interval": "1m"},
        "databases": [
            {
                "name": f"db{number:02}",
                "path": f"/srv/{number % FOLDERS}/db{number:02}.db",
                "max_wal": "1GB",
                "integrity": "off",
                "tables": {
                    table: rhythm.configuration for table, rhythm in _rhythms(number).items()
                },
            }
            for number in range(databases)
        ],
    }


def _rhythms(number: int) -> dict[str, Rhythm]:
    """Return the rhythms of a database's tables by name; databases take turns at them."""
    first = TABLES_PER_DATABASE * number
    rhythms = [RHYTHMS[(first + n) % len(RHYTHMS)] for n in range(TABLES_PER_DATABASE)]
    return {f"t{n}_{rhythm.name.replace(' ', '_')}": rhythm for n, rhythm in enumerate(rhythms)}


def _store(number: int, database: Database) -> Store:
    tables = {name: Table(name, rhythm, 1000, 1000) for name, rhythm in _rhythms(number).items()}
    started, pid, command = START - timedelta(days=4), FIRST_PID + number, f"writer-{number}"
    if database.name in MAIL:
        pid, command = FIRST_PID - 1, "agent-mail"
    return Store(database, pid, command, tables, started)
