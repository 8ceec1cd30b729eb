"""Check a table and its indexes by means of SQLite: in one statement, or in slices of its rows."""

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from dash_app.reader.rowid_scan import MAX_ROWID, Rowids, quote, rowid_names
from dash_app.reader.schema import list_tables

EXPRESSION, WITHOUT_ROWID = "expression index", "WITHOUT ROWID"
UNSWEPT, UNCOUNTED = "pages, written without a pause", "entries without a row"
"""What a check in slices leaves out."""
OWN_COLLATION = "order by a collation of its program"
UNNAMED = "name too long, or not UTF-8"
"""Why nothing of a table can be compared: no statement of ours can name it."""

VALUE_MESSAGES = re.compile("(NULL|TEXT|NUMERIC|non-[A-Z]+) value in |CHECK constraint failed in ")
"""Messages of `integrity_check` about values that a program may have written."""

INDEX_MESSAGE = re.compile(
    r"(?:row \d+ missing from|entries in|entry in|for row \d+ of|from) index "
    r"|row not in PRIMARY KEY order for "
)
PAGE = re.compile(r"[Pp]age (\d+)")
SQL_TOKEN = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^]]*\]|--[^\n]*|/\*.*?\*/|[()]|\bWHERE\b""",
    re.DOTALL | re.IGNORECASE,
)


class DamagedError(Exception):
    """SQLite found damage, in these pages as far as it names them, or entries are missing."""

    def __init__(self, pages: set[int]) -> None:
        """Keep the pages that are known."""
        super().__init__(pages)
        self.pages = pages


class OrderError(DamagedError):
    """Entries are not where SQLite's collation puts them, and the program may define that anew.

    Many programs replace NOCASE, so that it knows more letters than those of ASCII.
    """


class NotComparedError(Exception):
    """SQLite lacks something here, or cannot compare it; the text is a short note."""


Position = int | list[int | float | str]
"""Where a check of a table continues: from this rowid on; or from the first row on whose key begins
with this value, but for a number of rows."""

MAX_SKIPPED_ROWS = 20_000
MAX_MESSAGES = 100
"""`integrity_check` ends after so many."""

FUNCTIONS = (b"Function", b"PureFunc")
OTHER_COLLATION = re.compile(rb"\b(NOCASE|RTRIM)\b")


class Index(NamedTuple):
    """An index whose entries can be compared with the rows of its table."""

    name: bytes
    columns: tuple[tuple[bytes, bytes], ...]
    """The names of its columns and of their collations."""
    where: str = "1"
    """The condition of a partial index."""

    @property
    def is_reordered(self) -> bool:
        """Whether it is in an order that the program may define: see `OrderError`."""
        return any(collation != b"BINARY" for _, collation in self.columns)


class Plan(NamedTuple):
    """How to check a table: its rowid, its last column and its indexes."""

    table: bytes
    rowid: str | None
    """The name of its rowid; None if it has none that can be read."""
    last_column: bytes
    keys: tuple[bytes, ...] = ()
    """The primary key of a table WITHOUT ROWID, if its columns ascend."""
    indexes: tuple[Index, ...] = ()
    left_out: frozenset[str] = frozenset()
    """Names of the indexes that are not compared."""
    reordered: frozenset[str] = frozenset()
    """Names of the indexes, and of the table if it is WITHOUT ROWID, with another collation than
    BINARY in their order."""
    note: str | None = None
    """What slices do not compare; None if they compare all."""

    @property
    def source(self) -> str:
        """The table in a statement. Raise UnicodeDecodeError."""
        return quote(self.table)

    def without_order(self) -> tuple["Plan", "Plan"]:
        """Return the plan without what is `reordered`, and that of the indexes left out thereby."""
        kept = tuple(index for index in self.indexes if _text(index.name) not in self.reordered)
        left = tuple(index for index in self.indexes if index not in kept)
        plan = self._replace(
            keys=() if _text(self.table) in self.reordered else self.keys,
            indexes=kept,
            left_out=self.left_out | self.reordered,
            note=", ".join(filter(None, (self.note, OWN_COLLATION))),
        )
        return plan, self._replace(indexes=left)


def read_plan(connection: sqlite3.Connection, table: bytes) -> Plan | None:
    """Plan the check of a table; return None if there is no such table. Raise sqlite3.Error."""
    sql = "SELECT name, hidden FROM pragma_table_xinfo(?)"
    kinds: dict[bytes, int] = dict(connection.execute(sql, (_text(table),)).fetchall())
    if not kinds:
        return None
    has_rowid = table not in {name for name, _, is_without in list_tables(connection) if is_without}
    rowid = rowid_names(connection).get(table, "rowid") if has_rowid else None
    last = [column for column, kind in kinds.items() if kind == 0][-1:]
    plan = Plan(table, rowid, last[0] if last else b"rowid")
    sql = "SELECT name FROM pragma_index_list(?)"
    names = [name for (name,) in connection.execute(sql, (_text(table),)).fetchall()]
    found = {name: _read_index(connection, plan, name, kinds) for name in names}
    indexes = tuple(index for index in found.values() if index)
    left_out = frozenset(_text(name) for name, index in found.items() if index is None)
    reordered = frozenset(_text(index.name) for index in indexes if index.is_reordered)
    plan = plan._replace(left_out=left_out, reordered=reordered)
    if not has_rowid:
        return _with_keys(connection, plan)
    note = EXPRESSION if left_out else None
    return plan._replace(indexes=indexes, note=note) if rowid else plan


def _with_keys(connection: sqlite3.Connection, plan: Plan) -> Plan:
    sql = """
        SELECT list.origin = 'pk', part.desc, part.name, part.coll
        FROM pragma_index_list(?) AS list, pragma_index_xinfo(list.name) AS part
        WHERE part.key ORDER BY part.seqno
    """
    parts = connection.execute(sql, (_text(plan.table),)).fetchall()
    keys = [part for is_key, *part in parts if is_key]
    if any(collation != b"BINARY" for *_, collation in keys):
        plan = plan._replace(reordered=plan.reordered | {_text(plan.table)})
    note = WITHOUT_ROWID if len(keys) < len(parts) else None
    ascending = () if any(descends for descends, *_ in keys) else tuple(name for _, name, _ in keys)
    return plan._replace(note=note, keys=ascending)


def _read_index(
    connection: sqlite3.Connection, plan: Plan, name: bytes, kinds: Mapping[bytes, int]
) -> Index | None:
    """Read how an index is made. Return None if its entries cannot be compared with the rows.

    It has an expression, a generated column, or a collation of the writing program; or its
    condition has a function or collation, which the program may have replaced.
    """
    sql = "SELECT name, coll FROM pragma_index_xinfo(?) WHERE key"
    columns = connection.execute(sql, (_text(name),)).fetchall()
    if any(kinds.get(column, 1) for column, _ in columns):  # an expression has no name
        return None
    made = connection.execute("SELECT sql FROM main.sqlite_schema WHERE name = ?", (_text(name),))
    (made_by,) = made.fetchone() or (None,)
    index = Index(name, tuple(columns), _condition(_text(made_by)) if made_by else "1")
    explain = f"EXPLAIN SELECT 1 FROM {plan.source} NOT INDEXED WHERE {index.where}"  # noqa: S608
    try:
        program = connection.execute(explain).fetchall()
        if plan.rowid:
            connection.execute(f"EXPLAIN SELECT ({_probe(plan, index)}) FROM {plan.source} AS o")  # noqa: S608
    except sqlite3.OperationalError as error:
        if not getattr(error, "sqlite_errorname", "").startswith("SQLITE_ERROR"):
            raise
        return None
    is_replaceable = any(
        row[1].startswith(FUNCTIONS) or OTHER_COLLATION.search(row[5] or b"") for row in program
    )
    return None if is_replaceable else index


def _condition(sql: str) -> str:
    """Return the condition of a partial index from the statement that made it."""
    depth = 0
    for token in SQL_TOKEN.finditer(sql):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0 and token[0].upper() == "WHERE":
            return sql[token.end() :]
    return "1"


def check_whole(connection: sqlite3.Connection, plan: Plan, pragma: str) -> None:
    """Check a table by `quick_check` or `integrity_check`.

    Raise DamagedError, NotComparedError or sqlite3.Error.
    """
    connection.execute("PRAGMA ignore_check_constraints = 1")
    rows = connection.execute(f"PRAGMA main.{pragma}({_quoted(plan.table)})").fetchall()
    lines = [line for (text,) in rows for line in _text(text).splitlines()]
    if damage := list(_damage(lines, plan.left_out)):
        is_order = not list(_damage(damage, plan.reordered))
        pages = {int(page) for line in damage for page in PAGE.findall(line)[:1]}
        raise OrderError(pages) if is_order else DamagedError(pages)
    if len(rows) >= MAX_MESSAGES:
        raise NotComparedError(plan.note or "")


def _damage(lines: Iterable[str], left_out: frozenset[str]) -> Iterator[str]:
    for line in lines:
        about_index = INDEX_MESSAGE.search(line)
        is_left_out = about_index and line[about_index.end() :] in left_out
        is_harmless = line in {"ok", ""} or line.startswith("***") or VALUE_MESSAGES.match(line)
        if not (is_harmless or is_left_out):
            yield line


def check_slice(
    connection: sqlite3.Connection, plan: Plan, first: Position, rows: int
) -> Position | None:
    """Read rows from a position on, each with its entries in the indexes.

    Return the next position, None at the end. Raise DamagedError if an entry is missing or a key is
    out of order, sqlite3.Error if a page on the way is damaged, or NotComparedError.
    """
    if plan.keys:
        return _check_keys(connection, plan, first if isinstance(first, list) else [], rows)
    missing = "".join(
        f", ({index.where}) AND NOT EXISTS ({_probe(plan, index)})" for index in plan.indexes
    )
    names = [f"m{number}" for number in range(len(plan.indexes))]
    columns = ", ".join(["r", "c", *names])
    totals = (" + ".join(["0", *(f"total({m})" for m in part)]) for part in _by_order(plan, names))
    sql = f"""
        WITH part({columns}) AS (
            SELECT o.{plan.rowid}, typeof(o.{_quoted(plan.last_column)}){missing}
            FROM {plan.source} AS o NOT INDEXED
            WHERE o.{plan.rowid} >= ? ORDER BY o.{plan.rowid} LIMIT ?
        )
        SELECT count(c), max(r), {", ".join(totals)} FROM part
    """  # noqa: S608 - names are quoted, conditions are from the schema
    read, last, lacking, out_of_order = connection.execute(sql, (first, rows)).fetchone()
    if lacking or out_of_order:
        raise DamagedError(set()) if lacking else OrderError(set())
    return None if read < rows or last == MAX_ROWID else last + 1


def _by_order(plan: Plan, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide names, one per index of a plan, by whether the index is reordered."""
    pairs = list(zip(plan.indexes, names, strict=True))
    return (
        [name for index, name in pairs if not index.is_reordered],
        [name for index, name in pairs if index.is_reordered],
    )


def _check_keys(
    connection: sqlite3.Connection, plan: Plan, start: list[int | float | str], rows: int
) -> Position | None:
    """Check that keys are in order, from the last row of the slice before on."""
    keys = [_quoted(key) for key in plan.keys]
    columns, first = ", ".join(keys), keys[0]
    before = ", ".join(f"lag({key}) OVER ()" for key in keys)
    skip = int(start[1]) if start else 0
    # A condition on more than one column would hide rows that are out of order.
    sql = f"""
        SELECT ({columns}) <= ({before}), {first} = last_value({first}) OVER whole, {first},
            typeof({first})
        FROM (
            SELECT {columns} FROM {plan.source} {f"WHERE {first} >= ?" if start else ""}
            ORDER BY {columns} LIMIT ? OFFSET ?
        ) WINDOW whole AS (ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
    """  # noqa: S608
    rows = max(rows, 2)
    found = connection.execute(sql, (*start[:1], rows, skip)).fetchall()
    if any(is_wrong for is_wrong, *_ in found):
        raise OrderError(set()) if _text(plan.table) in plan.reordered else DamagedError(set())
    if len(found) < rows:
        return None
    same = sum(is_same for _, is_same, *_ in found)
    skip = same - 1 + (skip if same == rows else 0)
    *_, value, kind = found[-1]
    with suppress(UnicodeDecodeError):
        if kind != b"blob" and skip < MAX_SKIPPED_ROWS:
            return [value.decode() if isinstance(value, bytes) else value, skip]
    raise NotComparedError(WITHOUT_ROWID)


def compare_counts(connection: sqlite3.Connection, plan: Plan, index: Index) -> None:
    """Compare the number of an index's entries with that of the rows.

    Raise DamagedError if it differs, or sqlite3.Error.
    """
    rows = f"SELECT count(*) FROM {plan.source}"  # noqa: S608
    sql = f"SELECT ({rows} NOT INDEXED WHERE {index.where})"
    sql += f" = ({rows} {_by(index)} WHERE {index.where})"
    if not connection.execute(sql).fetchone()[0]:
        raise DamagedError(set())


def read_bounds(connection: sqlite3.Connection, plan: Plan) -> Rowids:
    """Return the lowest and the highest rowid of a table, both 0 if it is empty."""
    sql = f"SELECT min({plan.rowid}), max({plan.rowid}) FROM {plan.source} NOT INDEXED"  # noqa: S608
    first, last = connection.execute(sql).fetchone()
    return first or 0, last or 0


def read_rows(connection: sqlite3.Connection, plan: Plan, rowids: Rowids) -> None:
    """Read all rows between two rowids. Raise sqlite3.Error if a page on the way is damaged."""
    where = f"WHERE {plan.rowid} BETWEEN ? AND ?"
    sql = f"SELECT count(typeof({_quoted(plan.last_column)})) FROM {plan.source} NOT INDEXED"  # noqa: S608
    connection.execute(f"{sql} {where}", rowids).fetchone()


def _probe(plan: Plan, index: Index) -> str:
    same = "".join(
        f"i.{_quoted(name)} COLLATE {_quoted(collation)} IS o.{_quoted(name)} AND "
        for name, collation in index.columns
    )
    return (
        f"SELECT 1 FROM {plan.source} AS i {_by(index)}"  # noqa: S608
        f" WHERE {same} i.{plan.rowid} = o.{plan.rowid} AND ({index.where})"
    )


def _by(index: Index) -> str:
    return f"INDEXED BY {_quoted(index.name)}"


def _quoted(name: bytes) -> str:
    return '"' + _text(name).replace('"', '""') + '"'


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
