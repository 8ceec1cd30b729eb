"""Databases with their writers by a clock of their own, and what reading them would find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from heapq import merge
from random import Random
from typing import Any

from dash_app.model.database import Database
from dash_app.model.host_facts import Disk, Holder, Surroundings
from dash_app.model.reading import Code, Reading, TableCount
from tests.drill.rhythms import RHYTHMS, Rhythm

START = datetime(2026, 10, 1, tzinfo=UTC)
"""Clocks go forward in Sydney on the 4th, and back in Paris on the 25th."""

TABLES_EACH = 3
FOLDERS = 4
FIRST_PID = 4000
MAIL = ("db02", "db03", "db05")
"""The databases of one writer."""

GB = 1_000_000_000


@dataclass
class Table:
    """One table: its rhythm, how many rows it has, and whether anybody writes it now.

    `waiting` are rows for which there was no file: they are written once there is one.
    """

    name: str
    rhythm: Rhythm
    rows: int
    last_rowid: int
    stopped: int = 0
    waiting: int = 0


@dataclass
class Store:
    """A database file and the process that has it open. What is amiss with it stands in `code`."""

    database: Database
    pid: int
    command: str
    tables: dict[str, Table]
    began: datetime
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
    is_dirty: bool = True
    last: Reading | None = None

    def write(self, table: Table, rows: int, wall: datetime) -> None:
        """Add rows, as its writer does."""
        table.rows += rows
        table.last_rowid += rows
        self.touch(wall)

    def touch(self, wall: datetime) -> None:
        """Mark the file as written at a time by the clock on the wall."""
        self.changes += 1
        self.written_at = wall
        self.is_dirty = True

    def come_back(self, wall: datetime) -> None:
        """Be there again, and have written what waited for that."""
        self.code = None
        for table in self.tables.values():
            if table.waiting:
                self.write(table, table.waiting, wall)
                table.waiting = 0

    def reading(self, wall: datetime) -> Reading:
        """Return what reading it now would find."""
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
        holder = Holder(self.pid, self.command, ("open",), self.began)
        disk = Disk(self.device, self.free_bytes, 500 * GB)
        objects = {f"table {table}": "CREATE" for table in self.tables}
        objects |= {f"column {name}.{number}": "TEXT" for number in range(self.columns)}
        return Reading(
            read_at=wall,
            verified_at=wall,
            tables={
                one.name: TableCount(one.rows, wall, rowids=(1, max(one.last_rowid, 1)))
                for one in self.tables.values()
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
                holders=(holder,) if self.is_running else (), backlog_bytes=0, disk=disk
            ),
        )


class World:
    """All of it, at one instant. Instants of the world go on; the clock on the wall may be set."""

    def __init__(self, databases: Sequence[Database], lasts: timedelta, seed: int) -> None:
        """Lay out what will be written in so much time."""
        self.now, self.ends = START, START + lasts
        self.clock_is_off = timedelta(0)
        self.is_asleep = False
        self.stores = {one.name: _store(number, one) for number, one in enumerate(databases)}
        self._writes = merge(*self._lay_out(Random(seed)), key=lambda write: write[0])
        self._next = next(self._writes, None)

    @property
    def wall(self) -> datetime:
        """What the clock on the wall shows."""
        return self.now + self.clock_is_off

    def go_on(self, until: datetime) -> None:
        """Let the writers write until an instant."""
        while self._next and self._next[0] <= until:
            instant, name, table, rows = self._next
            store = self.stores[name]
            one = store.tables[table]
            if store.code in {"file_missing", "folder_missing"}:
                one.waiting += rows
            elif not self.is_asleep and store.is_running and not one.stopped:
                store.write(one, rows, instant + self.clock_is_off)
            self._next = next(self._writes, None)
        self.now = until

    def readings(self) -> dict[str, Reading]:
        """Return what reading each database would find now."""
        return {name: store.reading(self.wall) for name, store in self.stores.items()}

    def _lay_out(self, random: Random) -> Iterator[list[tuple[datetime, str, str, int]]]:
        for name, store in self.stores.items():
            for table in store.tables.values():
                # So that none is written on the very minutes on which it is looked at.
                since = START - timedelta(days=4) + random.random() * timedelta(minutes=50)
                writes = table.rhythm.writes(random, since, self.ends)
                yield [(instant, name, table.name, rows) for instant, rows in sorted(writes)]


def configuration(stores: int) -> dict[str, Any]:
    """Return what a person who knows the rhythms has configured, but for where history lies."""
    return {
        "sampler": {"interval": "1m"},
        "databases": [
            {
                "name": f"db{number:02}",
                "path": f"/srv/{number % FOLDERS}/db{number:02}.db",
                "max_wal": "1GB",
                "tables": {
                    table: rhythm.configuration for table, rhythm in _rhythms(number).items()
                },
            }
            for number in range(stores)
        ],
    }


def _rhythms(number: int) -> dict[str, Rhythm]:
    """Return the tables of a database and their rhythms, in turns."""
    turn = (RHYTHMS[(TABLES_EACH * number + n) % len(RHYTHMS)] for n in range(TABLES_EACH))
    return {f"t{n}_{one.name.replace(' ', '_')}": one for n, one in enumerate(turn)}


def _store(number: int, database: Database) -> Store:
    """Return a database with its tables and a writer of its own."""
    tables = {name: Table(name, one, 1000, 1000) for name, one in _rhythms(number).items()}
    began, pid, command = START - timedelta(days=4), FIRST_PID + number, f"writer-{number}"
    if database.name in MAIL:
        pid, command = FIRST_PID - 1, "agent-mail"
    return Store(database, pid, command, tables, began)
