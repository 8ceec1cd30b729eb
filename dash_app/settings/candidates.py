"""Measures that may be worth having, by packs and by the names and types of columns.

Each has a probe, a query for one number: how many different values a column has, or which form its
times have. The number decides whether the measure is worth having, and with which query.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from dash_app.model.measure import AGE, MeasureKind
from dash_app.model.naming import is_of_a_period, label, slug
from dash_app.model.schema import Schema
from dash_app.settings.measures import FOREIGN_KEYS
from dash_app.settings.packs import packs
from dash_app.settings.toml_edit import toml_string

MAX_NAME_CHARACTERS = 60
NOT_COUNTED = "not counted, since it is being written"

TIMES = (
    *("created_at", "created", "created_on", "inserted_at", "added_at", "received_at", "sent_at"),
    *("recorded_at", "occurred_at", "started_at", "timestamp", "time", "ts", "at", "date"),
)
STATUSES = (
    *("status", "state", "outcome", "result", "phase", "stage", "level", "severity", "kind"),
    *("type", "priority", "role", "channel"),
)
"""Names of columns with the time of a row, and with few values. The likeliest come first."""

KEYS = (
    *("uuid", "guid", "external_id", "slug", "url", "uri", "email", "hash", "sha256"),
    *("fingerprint", "dedupe_key", "dedup_key", "idempotency_key"),
)
COST, TOKENS = r"(.*_)?(costs?|spend|usd)(_.*)?", r"(?!max_|limit_)(.*_)?tokens(_.*)?"

NUMBER_TYPE, TEXT_TYPE, TIME_TYPE = "^$|INT|REAL|FLO|DOU|NUM|DEC", "^$|CHAR|TEXT|INT", "^[^B]*$"
"""The types that fit (sqlite.org/datatype3.html, 3.1). BLOB and BOOLEAN are no times."""

KEYWORDS = """add all and as between by case check default delete distinct else end escape exists
from group having if in index insert into is isnull join limit not notnull null on or order primary
references returning select set table then to transaction union unique update using values when
where"""
RESERVED = frozenset(KEYWORDS.split())

FORM = (
    "SELECT CASE WHEN newest LIKE '____-__-__ %' THEN 1 WHEN newest LIKE '____-__-__T%' THEN 2"
    " WHEN typeof(newest) = 'text' THEN 0 WHEN newest BETWEEN 1e8 AND 1e10 THEN 3"
    " WHEN newest BETWEEN 1e11 AND 1e13 THEN 4 END FROM (SELECT max({time}) AS newest FROM {table})"
)
DAY_AGO = {
    1: "datetime('now', '-1 day')",
    2: "strftime('%Y-%m-%dT%H:%M:%S', 'now', '-1 day')",
    3: "strftime('%s', 'now') - 86400",
    4: "(strftime('%s', 'now') - 86400) * 1000",
}
"""The time a day ago in the form that `FORM` finds: text with a space or a T, seconds, or
milliseconds."""

VALUES = "SELECT count(*) FROM (SELECT 1 FROM {table} GROUP BY {column} LIMIT 13)"
FEW = range(1, 13)
"""Numbers of different values. Faces show at most 12."""

BY_VALUE = "SELECT {column}, count(*) FROM {table} GROUP BY {column}"
SUM = "SELECT coalesce(sum({column}), 0) FROM {table} WHERE {time} > "
NEWEST = "SELECT max({time}) FROM {table}"
REPEATED = "SELECT count({column}) - count(DISTINCT {column}) FROM {table}"
REPEATED_OF_MANY = (
    "SELECT CASE WHEN count({column}) >= 20 THEN count({column}) - count(DISTINCT {column}) END"
    " FROM {table}"
)
"""Fewer values of a key may be unique by chance."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A measure that may be worth having, and its probe: a query, or a measure of another kind."""

    name: str
    kind: MeasureKind
    probe: str
    toml: Callable[[int | None], str | None]
    """Return its settings with the reason, by the number that the probe found; None if the measure
    is not worth having. Without a number, because there was no moment to read, names must do."""


class _Table:
    """A table of a schema. `time` is the column with the time of a row, if there is one."""

    def __init__(self, schema: Schema, name: str) -> None:
        self.name = name
        self._types = schema.tables[name]
        keys = schema.unique | schema.references
        self._keys = {column for table, column in keys if table == name}
        times = self.columns(TIMES, TIME_TYPE)
        self.time = next((column for _words, column in times), None)

    def columns(self, names: Iterable[str], kind: str) -> Iterator[tuple[str, str]]:
        """Yield the columns with such names and types, with their names as words."""
        for name in names:
            for column, declared in self._types.items():
                words = _words(column)
                if re.fullmatch(f"(?:{name})(_ms|_ts|_utc)?", words) and re.search(kind, declared):
                    yield words, column

    def is_key(self, column: str) -> bool:
        """Whether the column is unique, or refers to another table."""
        return column in self._keys

    def sql(self, template: str, column: str = "") -> str:
        """Return a query of the table."""
        names = {"table": self.name, "time": self.time or "", "column": column}
        return template.format_map({key: _quoted(name) for key, name in names.items()})


def candidates(schema: Schema) -> Iterator[Candidate]:
    """Yield measures for a schema: those of packs, and for other tables the most telling first."""
    fitting = [pack for pack in packs() if pack.fits(schema)]
    for pack in fitting:
        for text in pack.measures:
            own = tomllib.loads(text)
            lines = f"# From the pack {pack.name}.\n{text}"
            yield Candidate(own["name"], "no_rows", own["sql"], partial(_settings, lines))
    if schema.references:
        text = "# It has foreign keys. Rows whose parent is missing: {}\nforeign_keys = true"
        yield Candidate(FOREIGN_KEYS, "foreign_keys", "", partial(_settings, text))
    others = schema.tables.keys() - {table for pack in fitting for table in pack.tables}
    others = {table for table in others if not is_of_a_period(table)}
    tables = [
        _Table(schema, name)
        for name in sorted(others)
        if all("]" not in text and text.isprintable() for text in (name, *schema.tables[name]))
    ]
    for kind in (_by_status, _sums, _duplicates, _newest):
        for table in tables:
            yield from kind(table)


def _settings(text: str, number: int | None) -> str:
    return text.replace("{}", NOT_COUNTED if number is None else str(number), 1)


def _by_status(table: _Table) -> Iterator[Candidate]:
    """Yield the number of rows by the likeliest column with a status."""
    names = [f"(\\w+_)?{name}" for name in STATUSES]
    for words, column in table.columns(names, TEXT_TYPE):
        if not table.is_key(column):
            reason = f"{table.name}.{column} has few different values: {{}}"
            queries = dict.fromkeys((None, *FEW), table.sql(BY_VALUE, column))
            name = f"{table.name}_by_{words}"
            yield _candidate(name, table.sql(VALUES, column), queries, reason)
            return


def _sums(table: _Table) -> Iterator[Candidate]:
    """Yield the sum per day of each column with costs or tokens."""
    for words, column in table.columns((COST, TOKENS), NUMBER_TYPE) if table.time else ():
        is_cost = re.fullmatch(COST, words)
        title = label(f"{table.name} {words}".removesuffix("_usd"))[:MAX_NAME_CHARACTERS]
        what = "a cost" if is_cost else "a number of tokens"
        yield _candidate(
            f"{table.name}_{words}_24h",
            table.sql(FORM),
            {form: table.sql(SUM, column) + ago for form, ago in DAY_AGO.items()},
            f"By their names, {table.name}.{column} is {what}, and {table.time} the time of a row",
            label=f"{title} in 24 h",
            unit=("USD" if "usd" in words else "") if is_cost else "tokens",
        )


def _duplicates(table: _Table) -> Iterator[Candidate]:
    """Yield the number of rows that repeat a natural key that is not unique by the schema."""
    own_key = f"{_words(table.name).removesuffix('s')}_id"
    for words, column in table.columns((*KEYS, re.escape(own_key)), TEXT_TYPE):
        if not table.is_key(column):
            yield _candidate(
                f"{table.name}_repeated_{words}",
                table.sql(REPEATED_OF_MANY, column),
                {0: table.sql(REPEATED, column)},
                f"By its name, {table.name}.{column} is a key. No value repeats so far",
                max=0,
                every="10m",
                level="notice",
            )


def _newest(table: _Table) -> Iterator[Candidate]:
    """Yield the age of the newest row."""
    if table.time:
        queries = dict.fromkeys((None, *DAY_AGO), table.sql(NEWEST))
        reason = f"By its name, {table.name}.{table.time} is the time of a row"
        yield _candidate(f"newest_{table.name}", table.sql(FORM), queries, reason, unit=AGE)


def _candidate(
    name: str, probe: str, queries: Mapping[int | None, str], reason: str, **settings: str | int
) -> Candidate:
    """Return a measure with these queries, by the number that its probe finds."""
    name = slug(_words(name))[:MAX_NAME_CHARACTERS].strip("_-")

    def toml(number: int | None) -> str | None:
        if number not in queries:
            return None
        own = {"name": name, "sql": queries[number], **settings}
        lines = (
            f"{key} = {value if isinstance(value, int) else toml_string(value)}"
            for key, value in own.items()
            if value != ""
        )
        return "\n".join([f"# {_settings(reason, number)}", *lines])

    return Candidate(name, "number", probe, toml)


def _words(name: str) -> str:
    """Return a name in lower case with underscores: created_at for createdAt."""
    return re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _quoted(name: str) -> str:
    """Return a name in SQL. In a TOML string, brackets need no escape as double quotes do."""
    is_plain = re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in RESERVED
    return name if is_plain else f"[{name}]"
