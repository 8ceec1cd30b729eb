"""Add databases, or settings of tables, to a configuration file and keep everything else as it is.

The result is parsed again and compared with the intended settings, so that a file is refused rather
than spoiled.
"""

import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Comment, Item, Key, Table, Whitespace

BARE = re.compile(r"[A-Za-z0-9_-]+")

Additions = dict[str, dict[str, str]]
"""Lines of settings, by database name and table name."""

Items = list[tuple[Key | None, Item]]
"""The lines of a TOML table, comments and blank lines too."""

Place = tuple[Items, int, str]
"""Where lines belong: the lines of a table, an index, and the lines to insert."""

UNCLEAR = "it is written in a way that cannot be added to safely"


class NotUnderstoodError(Exception):
    """Nothing can be added to the file safely; the text says why."""


def toml_string(value: str) -> str:
    """Return a string as TOML. Characters that a terminal may act on are escaped."""
    plain = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in value)
    return f'"{"".join(plain)}"'


def add_settings(text: str, additions: Additions) -> str:
    """Return a configuration with the additions, each next to the settings of its database.

    Raise NotUnderstoodError if the file is written in a way to which nothing can be added safely.
    """
    intended = tomllib.loads(text)
    for number, database in enumerate(intended.get("databases", [])):
        for table, settings in additions.get(database.get("name"), {}).items():
            own = database.setdefault("tables", {}).setdefault(table, {})
            own.update(tomllib.loads(settings))
            text = _with_lines(text, number, partial(_place_of, table, settings), intended)
    return text


def add_measures(text: str, measures: Mapping[str, Sequence[str]]) -> str:
    """Return a configuration with measures, given as TOML by database, each after its settings.

    Lines without a `name` are settings of the database itself, unless it has them. Raise
    NotUnderstoodError as `add_settings` does.
    """
    intended = tomllib.loads(text)
    for number, database in enumerate(intended.get("databases", [])):
        for lines in measures.get(database.get("name"), ()):
            added = tomllib.loads(lines)
            if "name" in added:
                database["measures"] = [*database.get("measures", ()), added]
                text = _with_lines(text, number, partial(_place_of_measure, lines), intended)
            elif not added.keys() & database.keys():
                database.update(added)
                text = _with_lines(text, number, partial(_place_of_own, lines), intended)
    return text


def add_databases(text: str, databases: str) -> str:
    """Return a configuration with databases, given as TOML, after those that it has.

    Raise NotUnderstoodError as `add_settings` does.
    """
    intended = tomllib.loads(text)
    if "databases" not in intended:
        end = "" if text.endswith("\n") else "\n"
        return f"{text}{end}\n{databases}" if text else databases
    intended["databases"] = [*intended["databases"], *tomllib.loads(databases)["databases"]]
    return _with_lines(text, -1, lambda last: (*_end(last), f"\n{databases}"), intended)


def save(path: Path, text: str) -> Path | None:
    """Replace a configuration atomically; return the path of the copy of the former one, if any.

    Raise OSError if it cannot be written.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    new, former = Path(name), None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        if path.exists():
            former = path.with_name(f"{path.name}.old")
            shutil.copy2(path, former)
            shutil.copymode(path, new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return former


def _place_of(table: str, settings: str, database: Table) -> Place:
    own = database.get("tables", {}).get(table)
    if isinstance(own, Table):
        return own.value.body, 0, settings
    key = table if BARE.fullmatch(table) else toml_string(table)
    return *_end(database, "tables"), f"\n[databases.tables.{key}]\n{settings}"


def _place_of_measure(lines: str, database: Table) -> Place:
    return *_end(database, "measures"), f"\n[[databases.measures]]\n{lines}"


def _place_of_own(lines: str, database: Table) -> Place:
    items: Items = database.value.body
    after_name = (at for at, (key, _) in enumerate(items, 1) if key and key.key == "name")
    return items, next(after_name), lines


def _with_lines(
    text: str, number: int, place: Callable[[Table], Place], intended: dict[str, Any]
) -> str:
    """Return a configuration with lines at a place in the database with this index.

    They replace a marker, because tomlkit itself adds tables behind the comments on what follows,
    and below a wrong header if the database has dotted keys.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    text = text if text.endswith("\n") else text + end
    try:
        document = tomlkit.parse(text)
    except TOMLKitError:
        raise NotUnderstoodError(UNCLEAR) from None
    databases = document["databases"]
    if not isinstance(databases, AoT):
        raise NotUnderstoodError("its databases are not written as [[databases]]")
    if tomlkit.dumps(document) != text:  # it would reorder them
        raise NotUnderstoodError("other tables stand between its [[databases]]")
    items, at, added = place(databases[number])
    marker = tomlkit.comment(uuid4().hex)
    marker.trivia.trail = ""
    items.insert(at, (None, marker))
    lines = "".join(line + end for line in added.splitlines())
    after = tomlkit.dumps(document).replace(marker.as_string(), lines)
    with suppress(tomllib.TOMLDecodeError):
        if tomllib.loads(after) == intended:
            return after
    raise NotUnderstoodError(UNCLEAR)


def _end(database: Table, name: str = "") -> tuple[Items, int]:
    """Return the place after the tables of this name in a database, or else after all settings.

    Comments on what follows stay behind it.
    """
    items: Items = database.value.body
    ends = (
        at
        for at, (key, item) in enumerate(items, 1)
        if key and key.key == name and not key.is_dotted() and isinstance(item, Table | AoT)
    )
    at = next(ends, len(items))
    while True:
        while at and isinstance(items[at - 1][1], Comment | Whitespace):
            at -= 1
        key, last = items[at - 1] if at else (None, None)
        last = last.body[-1] if isinstance(last, AoT) else last
        if not isinstance(last, Table) or key is None or key.is_dotted():
            return items, at
        items = last.value.body
        at = len(items)
