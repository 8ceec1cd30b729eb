"""What a database is made of, as SQLite tells it: objects, columns, versions and counters."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dash_app.model.reading import HOUSEKEEPING
from dash_app.reader.connection import time_limit

Row = tuple[bytes, bytes, bytes, bytes, int]
"""Of the schema table: type, name, table, SQL, root page (0 for virtual tables)."""

ROWS = """
    SELECT coalesce(type, '') || '', coalesce(name, '') || '', coalesce(tbl_name, '') || '',
        coalesce(sql, '') || '', CASE typeof(rootpage) WHEN 'integer' THEN rootpage ELSE 0 END
    FROM main.sqlite_schema
"""
"""As text, whatever a damaged file holds there."""

MAX_NAME_CHARACTERS = 1000
MAX_OBJECTS_CHARACTERS = 4_000_000
"""Three times what 2,000 tables of 20 columns take; a hostile file of 30 kB can ask for 20 MB."""

SEQUENCES = """
    SELECT name, seq FROM main.sqlite_sequence
    WHERE typeof(seq) = 'integer' AND name IN (SELECT name || '' FROM main.sqlite_schema)
"""
"""Anybody may write anything there: what is no counter of a table is left out."""

COLUMNS = """
    SELECT made.name, part.name, part.type
    FROM main.sqlite_schema AS made JOIN pragma_table_xinfo(made.name) AS part
    WHERE made.type = 'table' AND made.rootpage > 0 AND made.sql LIKE 'CREATE TABLE%'
"""
"""Without virtual tables, whose columns may need a module that we do not have, and without views,
whatever type they claim to be: see `list_tables`."""

PRAGMAS = ("user_version", "application_id", "freelist_count", "page_size", "schema_version")

KEPT_TABLES = tuple(name.encode() for name in HOUSEKEEPING)
STATISTICS = "SELECT substr(tbl || idx || stat, 1, 200) FROM main.sqlite_stat1 LIMIT 2000"
"""As much as says whether `ANALYZE` was run; a hostile file may hold anything there."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What only moves forward or seldom changes; None where it could not be told in time.

    `objects` maps "table tasks", "column tasks.owner" and the like to a normalised definition, so
    that VACUUM and ANALYZE change nothing in it. `sequences` are the counters of AUTOINCREMENT
    tables, which survive the deletion of rows (sqlite.org/autoinc.html). `roots` maps tables to
    the first page of their B-trees (sqlite.org/schematab.html). `housekeeping` are the pages that
    are written without any content: the first one, and the roots of `HOUSEKEEPING` tables, which
    have few rows.
    """

    digest: int
    user_version: int
    application_id: int
    free_bytes: int
    objects: Mapping[str, str] | None
    sequences: Mapping[str, int] = field(default_factory=dict)
    roots: Mapping[str, int] = field(default_factory=dict)
    schema_version: int | None = None
    statistics: int | None = None
    housekeeping: frozenset[int] = frozenset()


def list_tables(connection: sqlite3.Connection) -> list[tuple[bytes, bytes, bool]]:
    """Return name, kind and whether it is WITHOUT ROWID of each table and view.

    SQLite would prepare a SELECT from each view to learn its columns, which no interrupt ends and
    which takes for ever for views that join each other. Denied that, it lists them all the same.
    Raise sqlite3.Error.
    """
    connection.set_authorizer(_deny_select)
    try:
        listed = connection.execute("PRAGMA main.table_list").fetchall()
    finally:
        connection.set_authorizer(None)
    return sorted((name, kind, bool(without)) for _, name, kind, _, without, *_ in listed)


def _deny_select(action: int, *_: object) -> int:
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_SELECT else sqlite3.SQLITE_OK


def shape_of(
    connection: sqlite3.Connection, before: Shape | None, limit_seconds: float
) -> Shape | None:
    """Return a database's shape; its objects are those of `before` where its schema is the same.

    None where it cannot be told within the limit. Raises sqlite3.Error for what concerns the file.
    """
    try:
        with time_limit(connection, limit_seconds):
            return _shape(connection, before)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname in {"SQLITE_INTERRUPT", "SQLITE_ERROR"}:
            return None
        raise


def _shape(connection: sqlite3.Connection, before: Shape | None) -> Shape:
    user, application, free_pages, page_bytes, schema_version = (
        connection.execute(f"PRAGMA main.{name}").fetchone()[0] for name in PRAGMAS
    )
    rows = connection.execute(ROWS).fetchall()
    digest = hash(tuple(row[:-1] for row in rows))  # VACUUM moves root pages
    # Not by the schema cookie: another file under the same name may happen to have the same.
    unchanged = before is not None and before.digest == digest
    return Shape(
        digest,
        user,
        application,
        free_pages * page_bytes,
        before.objects if before and unchanged else _objects(connection, rows),
        _sequences(connection),
        {short_name(name): page for kind, name, *_, page in rows if kind == b"table" and page > 1},
        schema_version,
        _statistics(connection),
        frozenset({1} | {page for _, _, table, _, page in rows if table.startswith(KEPT_TABLES)}),
    )


def _statistics(connection: sqlite3.Connection) -> int | None:
    if not _exists(connection, "sqlite_stat1"):
        return None
    return zlib.crc32(repr(connection.execute(STATISTICS).fetchall()).encode())


def _objects(connection: sqlite3.Connection, rows: list[Row]) -> dict[str, str] | None:
    """Return what a schema defines; None where it is too much to compare and to keep."""
    objects: dict[str, str] = {}
    characters = 0
    for name, definition in _definitions(connection, rows):
        characters += len(name) + len(definition)
        if characters > MAX_OBJECTS_CHARACTERS:
            return None
        objects[name] = definition
    return objects


def _definitions(connection: sqlite3.Connection, rows: list[Row]) -> Iterator[tuple[str, str]]:
    shadows = {name for name, kind, _ in list_tables(connection) if kind == b"shadow"}
    tables = set()
    for kind, name, table, sql, _ in rows:
        if table not in shadows and not name.startswith(b"sqlite_"):
            # A table's columns stand for it: its SQL changes with every renamed neighbour.
            plain = kind == b"table" and not sql.upper().startswith(b"CREATE VIRTUAL")
            tables |= {name} if kind == b"table" else set()
            definition = "" if plain else text(b" ".join(sql.split()))
            yield f"{short_name(kind)} {short_name(name)}", definition
    for table, column, kind in connection.execute(COLUMNS):
        if table in tables:
            yield f"column {short_name(table)}.{short_name(column)}", short_name(kind).upper()


def _sequences(connection: sqlite3.Connection) -> dict[str, int]:
    if not _exists(connection, "sqlite_sequence"):
        return {}
    return {short_name(name): seq for name, seq in connection.execute(SEQUENCES).fetchall()}


def _exists(connection: sqlite3.Connection, table: str) -> bool:
    sql = "SELECT 1 FROM main.sqlite_schema WHERE name = ? AND rootpage > 1"
    return connection.execute(sql, (table,)).fetchone() is not None


def text(name: bytes) -> str:
    """Return a name as people see it: a schema may hold what is no UTF-8."""
    return name.decode("utf-8", "backslashreplace")


def short_name(name: bytes) -> str:
    """Return a name as people see it. A name of more than 1,000 characters is cut.

    SQLite allows names of a million bytes; its length and a checksum tell a cut one apart.
    """
    whole = text(name)
    if len(whole) <= MAX_NAME_CHARACTERS:
        return whole
    return f"{whole[:MAX_NAME_CHARACTERS]}… ({len(whole)} characters, {zlib.crc32(name):08x})"
