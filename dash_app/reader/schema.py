"""Read a database's schema: objects, columns, versions and counters."""

import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from dash_app.model.reading import HOUSEKEEPING, Reading
from dash_app.reader.connection import cpu_limit

Row = tuple[bytes, bytes, bytes, bytes, int]
"""A row of the schema table: type, name, table, SQL, root page (0 for virtual tables)."""

ROWS = """
    SELECT coalesce(type, '') || '', coalesce(name, '') || '', coalesce(tbl_name, '') || '',
        coalesce(sql, '') || '', CASE typeof(rootpage) WHEN 'integer' THEN rootpage ELSE 0 END
    FROM main.sqlite_schema
"""
"""All columns as text, since a damaged file may hold anything there."""

MAX_NAME_CHARACTERS = 1000
MAX_OBJECTS_CHARACTERS = 4_000_000
"""Three times what 2,000 tables of 20 columns take. A hostile file of 30 kB can ask for 20 MB."""

SEQUENCES = """
    SELECT name, seq, min(rowid) FROM main.sqlite_sequence
    WHERE typeof(seq) = 'integer' AND name IN (SELECT name || '' FROM main.sqlite_schema)
    GROUP BY name
"""
"""Any program may write to this table, so rows that are not the counter of a table are ignored. Of
two rows for a table, which a migration may leave, SQLite uses the first."""

COLUMNS = """
    SELECT made.name, part.name, part.type
    FROM main.sqlite_schema AS made JOIN pragma_table_xinfo(made.name) AS part
    WHERE made.type = 'table' AND made.rootpage > 0 AND made.sql LIKE 'CREATE TABLE%'
"""
"""Without virtual tables, whose columns may need a module that is missing here, and without views,
whatever type they claim to have: see `list_tables`."""

UNIQUE = """
    SELECT made.name, max(part.name)
    FROM main.sqlite_schema AS made JOIN pragma_index_list(made.name) AS own
    JOIN pragma_index_info(own.name) AS part
    WHERE made.type = 'table' AND made.rootpage > 0 AND own."unique"
    GROUP BY made.name, own.name HAVING count(*) = 1
"""
REFERENCES = """
    SELECT made.name, part."from"
    FROM main.sqlite_schema AS made JOIN pragma_foreign_key_list(made.name) AS part
    WHERE made.type = 'table' AND made.rootpage > 0
"""

MAX_DESCRIBED, MAX_DESCRIBED_BYTES = 50_000, 200
"""Maximum number of columns in a description, and size of the names of one: 10 MB at most."""

PRAGMAS = ("user_version", "application_id", "freelist_count", "page_size", "schema_version")

HOUSEKEEPING_TABLES = tuple(name.encode() for name in HOUSEKEEPING)
STATISTICS = "SELECT substr(tbl || idx || stat, 1, 200) FROM main.sqlite_stat1 LIMIT 2000"
"""Enough to see whether `ANALYZE` was run, and limited: a hostile file may hold anything there."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A reading with the fields of the schema filled in."""

    reading: Reading
    fingerprint: int
    """Changes with the schema, but not by VACUUM."""
    housekeeping_pages: frozenset[int]
    """Pages that are written without any content: the first page, and the roots of `HOUSEKEEPING`
    tables, which have few rows."""


def list_tables(connection: sqlite3.Connection) -> list[tuple[bytes, bytes, bool]]:
    """List all tables and views as name, kind and whether it is WITHOUT ROWID.

    SQLite would prepare a SELECT from each view to learn its columns. No interrupt ends that, and
    for views that join each other it takes forever. If the SELECT is denied, SQLite lists them
    without it. Raise sqlite3.Error.
    """
    connection.set_authorizer(_deny_select)
    try:
        listed = connection.execute("PRAGMA main.table_list").fetchall()
    finally:
        connection.set_authorizer(None)
    return sorted((name, kind, bool(without)) for _, name, kind, _, without, *_ in listed)


def _deny_select(action: int, *_: object) -> int:
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_SELECT else sqlite3.SQLITE_OK


def describe_tables(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return the fields of `model.schema.Schema` for a message, as far as it has room for them.

    Raise sqlite3.Error.
    """
    shadows = {name for name, kind, _ in list_tables(connection) if kind == b"shadow"}
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(COLUMNS).fetchmany(MAX_DESCRIBED):
        is_own = table not in shadows and not table.startswith((b"sqlite_", *HOUSEKEEPING_TABLES))
        if is_own and len(table) + len(column) + len(kind) <= MAX_DESCRIBED_BYTES:
            tables.setdefault(short_name(table), {})[short_name(column)] = short_name(kind).upper()
    pairs: dict[str, list[tuple[str, str]]] = {"unique": [], "references": []}
    for field, sql in (("unique", UNIQUE), ("references", REFERENCES)):
        for row in connection.execute(sql).fetchmany(MAX_DESCRIBED):
            table, column = (short_name(name or b"") for name in row)
            if column in tables.get(table, ()):
                pairs[field].append((table, column))
    return {"tables": tables, **pairs}


def read_schema(
    connection: sqlite3.Connection, reading: Reading, before: Schema | None, limit_seconds: float
) -> Schema | None:
    """Fill in the fields of a reading that come from the schema.

    Its objects are those of `before` if the schema is the same. Return None if the schema cannot
    be read within the limit, which a busy machine alone does not exceed: without its schema, moved
    rows would seem lost. Raise sqlite3.Error if the error concerns the file.
    """
    try:
        with cpu_limit(connection, limit_seconds):
            return _read_schema(connection, reading, before)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname in {"SQLITE_INTERRUPT", "SQLITE_ERROR"}:
            return None
        raise


def _read_schema(connection: sqlite3.Connection, reading: Reading, before: Schema | None) -> Schema:
    user_version, application_id, free_pages, page_bytes, schema_version = (
        connection.execute(f"PRAGMA main.{name}").fetchone()[0] for name in PRAGMAS
    )
    rows = connection.execute(ROWS).fetchall()
    # Without root pages, which VACUUM moves. The schema cookie would not do: another file under the
    # same name may have the same.
    fingerprint = hash(tuple(row[:-1] for row in rows))
    is_same = before is not None and before.fingerprint == fingerprint
    roots = {
        short_name(name): page
        for kind, name, *_, page in rows
        if kind == b"table" and page > 1  # virtual tables have 0
    }
    pages = {page for _, _, table, _, page in rows if table.startswith(HOUSEKEEPING_TABLES)}
    sequences = _query(connection, "sqlite_sequence", SEQUENCES)
    statistics = _query(connection, "sqlite_stat1", STATISTICS)
    reading = replace(
        reading,
        user_version=user_version,
        application_id=application_id,
        free_bytes=free_pages * page_bytes,
        objects=before.reading.objects if before and is_same else _objects(connection, rows),
        sequences={short_name(name): seq for name, seq, _ in sequences or ()},
        roots=roots,
        schema_version=schema_version,
        statistics=None if statistics is None else zlib.crc32(repr(statistics).encode()),
    )
    return Schema(reading, fingerprint, frozenset({1} | pages))


def _objects(connection: sqlite3.Connection, rows: list[Row]) -> dict[str, str] | None:
    """Return the definitions of a schema by name; None if they are too large to keep."""
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
            # Ordinary tables are compared by their columns: their SQL changes when a table that
            # they refer to is renamed.
            is_ordinary = kind == b"table" and not sql.upper().startswith(b"CREATE VIRTUAL")
            tables |= {name} if kind == b"table" else set()
            definition = (
                "" if is_ordinary else b" ".join(sql.split()).decode(errors="backslashreplace")
            )
            yield f"{short_name(kind)} {short_name(name)}", definition
    for table, column, kind in connection.execute(COLUMNS):
        if table in tables:
            yield f"column {short_name(table)}.{short_name(column)}", short_name(kind).upper()


def _query(connection: sqlite3.Connection, table: str, sql: str) -> list[Any] | None:
    """Run a query on a table that may be missing; then return None."""
    exists = "SELECT 1 FROM main.sqlite_schema WHERE name = ? AND rootpage > 1"
    found = connection.execute(exists, (table,)).fetchone()
    return connection.execute(sql).fetchall() if found else None


def short_name(name: bytes) -> str:
    """Decode a name, which may hold bytes that are not UTF-8; cut it after 1,000 characters.

    SQLite allows names of a million bytes. The length and a checksum distinguish names that were
    cut.
    """
    whole = name.decode(errors="backslashreplace")
    if len(whole) <= MAX_NAME_CHARACTERS:
        return whole
    return f"{whole[:MAX_NAME_CHARACTERS]}… ({len(whole)} characters, {zlib.crc32(name):08x})"
