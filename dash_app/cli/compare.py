"""The command `compare`: the rows that only one of several copies of a database has."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import click

from dash_app.cli.terminal import fail
from dash_app.doctor.rescue import is_in_use
from dash_app.reader.counts import count_whole
from dash_app.reader.locks import FLOCK
from dash_app.reader.table_check import (
    DamagedError,
    NotComparedError,
    OrderError,
    check_whole,
    read_plan,
)
from dash_app.reader.wal_index import OPEN_LOCK_BYTE
from dash_app.words.commands import RUN
from dash_app.words.numbers import join_names, plural

IS_TABLE = "type = 'table' AND rootpage > 0"
READ_LOCK = FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, OPEN_LOCK_BYTE, 1, 0)
EXAMPLES = f"""\b
Examples:
  {RUN} compare ~/rescue/1.db ~/rescue/2.db  after the copies that `doctor` shows how to make
"""


@click.command(short_help="Compare copies of a database.", epilog=EXAMPLES)
@click.argument("copies", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def compare(copies: Sequence[Path]) -> None:
    """Apply the WAL of each of the COPIES, check it, and count the rows that no other copy has.

    Only for copies: opening a database in danger can destroy rows.
    """
    for copy in copies:
        if is_in_use(copy.resolve()):
            fail(f"A program has {copy} open. Compare copies only.")
    readable = []
    for copy in copies:
        try:
            click.echo(f"{copy}: {_check(copy)}")
            readable.append(copy)
        except sqlite3.Error as error:
            click.echo(f"{copy}: cannot be read: {error}")
    differences = [line for copy in readable for line in _own_rows(copy, readable)]
    if len(readable) > 1:
        click.echo("\n".join(differences) or "No copy has rows that the others lack.")


def _check(copy: Path) -> str:
    """Apply a copy's WAL, which leaves one file; check it and count its rows."""
    with _trusted_index(copy), closing(sqlite3.connect(copy)) as connection:
        connection.text_factory = bytes
        sql = f"SELECT name FROM main.sqlite_master WHERE {IS_TABLE}"  # noqa: S608
        tables = [name for (name,) in connection.execute(sql)]
        sound = {table: _is_sound(connection, table) for table in (b"sqlite_schema", *tables)}
        counts = [_rows(connection, table) for table in tables]
        # SQLite 3.53 does not do so when it closes, because of the lock of the index.
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    named = {table.decode(errors="replace"): is_sound for table, is_sound in sound.items()}
    if damaged := [table for table, is_sound in named.items() if is_sound is False]:
        return f"damaged: {join_names(damaged)}"
    rows = plural(sum(count or 0 for count in counts), "row")
    unknown = [table for table, is_sound in named.items() if is_sound is None]
    rest = f"; not fully checked: {join_names(unknown)}" if unknown else ""
    return f"{rows}{' counted' if None in counts else ''}, no damage found{rest}"


def _is_sound(connection: sqlite3.Connection, table: bytes) -> bool | None:
    """Return whether a table has no damage; None if only its own program can check all of it."""
    try:
        if plan := read_plan(connection, table):
            check_whole(connection, plan, "integrity_check")
    except (OrderError, NotComparedError, UnicodeError):
        return None
    except DamagedError:
        return False
    except sqlite3.Error as error:
        is_damage = getattr(error, "sqlite_errorname", "").startswith("SQLITE_CORRUPT")
        return False if is_damage else None
    return True


def _rows(connection: sqlite3.Connection, table: bytes) -> int | None:
    try:
        return count_whole(connection, table)
    except (sqlite3.Error, UnicodeError):
        return None


@contextmanager
def _trusted_index(copy: Path) -> Iterator[None]:
    """Let SQLite use the copied index of a WAL instead of making a new one.

    It does so as long as another connection seems to have it open, by a lock on byte 128
    (sqlite.org/walformat.html). Two programs that write to one WAL overwrite each other's
    checksums, so that a new index would lack what follows.
    """
    index = Path(f"{copy}-shm")
    if not index.exists():
        yield
        return
    with index.open("rb") as file:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, READ_LOCK)
        yield


def _own_rows(copy: Path, copies: Sequence[Path]) -> Iterator[str]:
    """Describe the rows of a copy that no other one has, table by table."""
    with closing(sqlite3.connect(copy)) as connection:
        others = {f"other{n}": other for n, other in enumerate(copies) if other != copy}
        for name, other in others.items():
            connection.execute(f"ATTACH ? AS {name}", (str(other),))
        for table in _tables(connection, "main"):
            same = [name for name in others if table in _tables(connection, name)]
            try:
                count = _count(connection, *(f"{name}.{table}" for name in ("main", *same)))
            except sqlite3.Error as error:
                yield f"{table} of {copy.name} cannot be compared: {error}"
            else:
                if count:
                    yield f"Only in {copy.name}: {plural(count, 'row')} of {table}"


def _tables(connection: sqlite3.Connection, schema: str) -> list[str]:
    """Return the quoted names of all tables, except virtual ones."""
    sql = f"SELECT printf('\"%w\"', name) FROM {schema}.sqlite_master WHERE {IS_TABLE}"  # noqa: S608
    return [name for (name,) in connection.execute(sql)]


def _count(connection: sqlite3.Connection, first: str, *others: str) -> int:
    """Count the rows of a table that the same table of other copies lacks."""
    selects = [f"SELECT * FROM {table} NOT INDEXED" for table in (first, *others)]  # noqa: S608
    sql = f"SELECT count(*) FROM ({' EXCEPT '.join(selects)})"  # noqa: S608
    (count,) = connection.execute(sql).fetchone()
    return int(count)
