"""Run a user's query so that it can only read, and take numbers and labels from what it returns.

The query may be careless or hostile, and so may the schema of its database: a view can call any
function, and a table can be virtual.
"""

import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from math import isfinite

from dash_app.model.measure import MAX_LABEL_CHARACTERS, MAX_ROWS, MAX_TABLES
from dash_app.reader.errors import one_line
from dash_app.reader.schema import list_tables

MAX_VALUE_BYTES = 64_000_000
"""Maximum size of a text, a blob or a row, and of what SQLite needs for a query."""

OF_TIME = """current_date current_time current_timestamp date datetime julianday strftime time
timediff unixepoch"""
OF_ANYTHING = """-> ->> abs acos acosh asin asinh atan atan2 atanh avg bm25 ceil ceiling char
coalesce concat concat_ws cos cosh count cume_dist degrees dense_rank exp first_value floor format
glob group_concat hex highlight if ifnull iif instr json json_array json_array_length
json_error_position json_extract json_group_array json_group_object json_insert json_object
json_patch json_pretty json_quote json_remove json_replace json_set json_type json_valid jsonb
jsonb_array jsonb_extract jsonb_group_array jsonb_group_object jsonb_insert jsonb_object jsonb_patch
jsonb_remove jsonb_replace jsonb_set lag last_value lead length like likelihood likely ln log log10
log2 lower ltrim match matchinfo max median min mod nth_value ntile nullif octet_length offsets
percent_rank percentile percentile_cont percentile_disc pi pow power printf quote radians random
rank replace round row_number rtrim sign sin sinh snippet soundex sqlite_version sqrt string_agg
substr substring subtype sum tan tanh total trim trunc typeof unhex unicode unistr unlikely upper"""
TIME_FUNCTIONS = frozenset(OF_TIME.split())
FUNCTIONS = TIME_FUNCTIONS.union(OF_ANYTHING.split())
"""Functions of SQLite without side effects (sqlite.org/lang_corefunc.html and its neighbours)."""

OTHER_ACTIONS = """alter table, analyze, attach, create index, create table, create temp table,
create temp trigger, create temp view, create trigger, create view, create vtable, delete, detach,
drop table, drop view, insert, pragma, reindex, savepoint, transaction, update"""
ACTIONS = {
    getattr(sqlite3, f"SQLITE_{name.upper().replace(' ', '_')}"): name
    for name in re.split(r",\s", OTHER_ACTIONS)
}
QUOTED = re.compile(r"""["']|(?<!^fts5): """)
"""What comes before a value in a message: no such column: x; near 'x'; fts5: syntax error."""

SCANS = {b"Rewind", b"Last", b"Count"}
SCHEMA_TABLES = ("sqlite_master", "sqlite_temp_master", "sqlite_schema")
WRITES = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}
RTREE_TABLES = ("_node", "_parent", "_rowid")
"""The tables of an R-Tree: SQLite prepares its writes to them even for reading it."""

SECONDS, MILLISECONDS = (1e8, 1e10), (1e11, 1e13)
"""Times since 1970 in these units: from 1973 to 2286."""

JULIAN_DAYS, DAY_OF_1970 = (2.4e6, 2.6e6), 2_440_587.5
"""Julian days from 1858 to 2406, and that of 1 January 1970."""

OTHER_UNITS = {1e14: "microseconds", 1e17: "nanoseconds"}
AHEAD_SECONDS = 86_400
"""A time that is further ahead is wrong; clocks and time zones differ by less."""

Number = int | float


class QueryError(Exception):
    """A query that has no answer: a code of `words.measures`, and facts for its sentence."""

    def __init__(self, code: str, **detail: str) -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


class Guard:
    """What a connection may do while it runs a query.

    `uses_time`: whether the query calls a date or time function, so that its answer changes while
    the database does not. `refused`: what was refused.
    """

    def __init__(self, connection: sqlite3.Connection, pragma: str = "") -> None:
        """Put the guard on a connection. It allows one pragma.

        `trusted_schema` stays on: no function of the schema can do more than these, and without it
        SQLite 3.40 refuses JSON functions and FTS5 in views.
        """
        self.uses_time = False
        self.refused = ""
        self._pragmas = {"data_version", pragma}
        connection.execute(f"PRAGMA hard_heap_limit = {MAX_VALUE_BYTES}")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        connection.set_authorizer(self._authorize)

    def _authorize(
        self, action: int, first: str | None, second: str | None, _database: str | None, _by: object
    ) -> int:
        """Allow reading, and what SQLite asks itself while it connects a virtual table.

        For `json_each` it updates columns of the schema, in words only (`sqlite3_declare_vtab`),
        FTS5 looks whether the file has changed, and an R-Tree prepares writes. The connection is
        read-only in any case.
        """
        if action in {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}:
            return sqlite3.SQLITE_OK
        name = (second or "").lower()
        if action == sqlite3.SQLITE_FUNCTION and name in FUNCTIONS:
            self.uses_time = self.uses_time or name in TIME_FUNCTIONS
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_UPDATE and first in SCHEMA_TABLES:
            return sqlite3.SQLITE_OK
        if action in WRITES and (first or "").endswith(RTREE_TABLES):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() in self._pragmas:
            return sqlite3.SQLITE_OK
        is_function = action == sqlite3.SQLITE_FUNCTION
        what = f"the function {name}()" if is_function else ACTIONS.get(action, "that").upper()
        self.refused = self.refused or one_line(what)
        return sqlite3.SQLITE_DENY


def count_rows(cursor: sqlite3.Cursor) -> int:
    """Return the number of rows of an answer, counted up to `MAX_ROWS`."""
    return sum(1 for _row in _rows(cursor))


def read_values(cursor: sqlite3.Cursor, *, is_age: bool) -> list[tuple[str | None, Number | None]]:
    """Return the labels and numbers of an answer: a single number has no label.

    Of an age, the numbers are times in seconds since 1970. Raise QueryError.
    """
    columns = len(cursor.description or ())
    if columns not in {1, 2}:
        raise QueryError("columns", columns=str(columns))
    values = [
        (None if columns == 1 else label_of(row[0]), _number(row[-1], is_age=is_age))
        for row in _rows(cursor)  # one at a time: each may have 64 MB
    ]
    if len(values) > (1 if columns == 1 else MAX_ROWS - 1):
        raise QueryError("rows" if columns == 1 else "labels")
    labels = [label for label, _ in values]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise QueryError("label_twice", label=twice)
    return values


def _rows(cursor: sqlite3.Cursor) -> Iterator[tuple[object, ...]]:
    for number, row in enumerate(cursor, 1):
        yield row
        if number == MAX_ROWS:
            return


def label_of(value: object) -> str:
    """Return a label for a value in the first column, in one line."""
    if value is None:
        return "(none)"
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    line = " ".join(text[: 4 * MAX_LABEL_CHARACTERS].split())
    line = "".join(character for character in line if character.isprintable())
    return line[:MAX_LABEL_CHARACTERS].rstrip() or "(empty)"


def _number(value: object, *, is_age: bool) -> Number | None:
    if is_age and value is not None:
        return _time(value)
    if value is None or (isinstance(value, int | float) and isfinite(value)):
        return value
    raise QueryError("not_a_number", type=_type(value))


def _type(value: object) -> str:
    return "text" if isinstance(value, bytes) else "infinity"


def _time(value: object) -> float:
    """Return a time of any of SQLite's usual forms, in seconds since 1970. Raise QueryError."""
    if isinstance(value, bytes):
        seconds = _parsed_time(value)
    elif isinstance(value, int | float):
        seconds = _scaled_time(value)
    else:
        raise QueryError("not_a_time")
    ahead_seconds = seconds - datetime.now(UTC).timestamp()
    if ahead_seconds > AHEAD_SECONDS:
        raise QueryError("future", days=str(int(ahead_seconds // 86_400)))
    return seconds


def _parsed_time(value: bytes) -> float:
    try:
        text = value[:100].decode().strip()
        if text.replace(".", "", 1).isdigit():
            return _scaled_time(float(text))
        time = datetime.fromisoformat(text)
    except ValueError:
        raise QueryError("not_a_time") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _scaled_time(value: float) -> float:
    if SECONDS[0] <= value < SECONDS[1]:
        return value
    if MILLISECONDS[0] <= value < MILLISECONDS[1]:
        return value / 1000
    if JULIAN_DAYS[0] <= value < JULIAN_DAYS[1]:
        return (value - DAY_OF_1970) * 86_400
    for least, unit in OTHER_UNITS.items():
        if least <= value < 1000 * least:
            raise QueryError("time_unit", unit=unit)
    raise QueryError("not_a_time")


def scanned_tables(connection: sqlite3.Connection, sql: str) -> list[str]:
    """Return the tables that a query reads from their first row to the last, by its program.

    Its plan has only aliases (sqlite.org/opcode.html; `p2` of OpenRead is a root page).
    """
    program = connection.execute(f"EXPLAIN {sql}").fetchmany(10_000)
    roots = {row[2]: row[3] for row in program if row[1] == b"OpenRead"}
    pages = {roots.get(row[2], 0) for row in program if row[1] in SCANS} - {0}
    find = "SELECT tbl_name || '' FROM main.sqlite_schema WHERE rootpage = ?"
    names = [connection.execute(find, (page,)).fetchone() for page in sorted(pages)[:MAX_TABLES]]
    return sorted({one_line(name[0].decode(errors="replace")) for name in names if name})


def table_names(connection: sqlite3.Connection) -> list[str]:
    """Return the tables and views that exist, without those of FTS5 or SQLite, up to a maximum."""
    names = [name for name, kind, _ in list_tables(connection) if kind != b"shadow"]
    names = [name for name in names if not name.startswith(b"sqlite_")]
    return [one_line(name.decode(errors="replace")) for name in names[:MAX_TABLES]]


def error_text(connection: sqlite3.Connection, sql: str, error: Exception) -> str:
    """Return SQLite's message in one line.

    A message from the run may quote the content of a row: it ends before that.
    """
    text = str(error).rstrip(".")
    try:
        connection.execute(f"EXPLAIN {sql}").close()
    except (sqlite3.Error, sqlite3.Warning, UnicodeError):
        return one_line(text)
    return one_line(QUOTED.split(text)[0].strip())
