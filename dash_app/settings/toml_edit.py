"""Add settings to tables of a configuration file and keep everything else as it is.

The result is parsed again and compared with the intended settings, so that a file is refused rather
than spoiled.
"""

import os
import re
import shutil
import tempfile
import tomllib
from pathlib import Path
from uuid import uuid4

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Comment, Item, Key, Table, Whitespace

BARE = re.compile(r"[A-Za-z0-9_-]+")

Additions = dict[str, dict[str, str]]
"""Lines of settings, by database name and table name."""

Items = list[tuple[Key | None, Item]]
"""The lines of a TOML table, comments and blank lines too."""


class NotUnderstoodError(Exception):
    """Nothing can be added to the file safely; the text says why."""


def toml_string(value: str) -> str:
    """Return a string as TOML. Characters that a terminal may act on are escaped."""
    plain = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in value)
    return f'"{"".join(plain)}"'


def _toml_key(name: str) -> str:
    return name if BARE.fullmatch(name) else toml_string(name)


def add_settings(text: str, additions: Additions) -> str:
    """Return a configuration with the additions, each next to the settings of its database.

    Raise NotUnderstoodError if the file is written in a way to which nothing can be added safely.
    """
    intended = tomllib.loads(text)
    after = text
    try:
        for number, database in enumerate(intended.get("databases", [])):
            for table, settings in additions.get(database.get("name"), {}).items():
                after = _with_settings(after, number, table, settings)
                own = database.setdefault("tables", {}).setdefault(table, {})
                own.update(tomllib.loads(settings))
        is_intended = tomllib.loads(after) == intended
    except (tomllib.TOMLDecodeError, TOMLKitError):
        is_intended = False
    if not is_intended:
        raise NotUnderstoodError("it is written in a way that cannot be added to safely")
    return after


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


def _with_settings(text: str, number: int, table: str, settings: str) -> str:
    """Return a configuration with settings of one table of the database with this index.

    They replace a marker, because tomlkit itself adds tables behind the comments on what follows,
    and below a wrong header if the database has dotted keys.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    text = text if text.endswith("\n") else text + end
    document = tomlkit.parse(text)
    databases = document["databases"]
    if not isinstance(databases, AoT):
        raise NotUnderstoodError("its databases are not written as [[databases]]")
    if tomlkit.dumps(document) != text:  # it would reorder them
        raise NotUnderstoodError("other tables stand between its [[databases]]")
    items, at, header = _place(databases[number], table)
    marker = tomlkit.comment(uuid4().hex)
    marker.trivia.trail = ""
    items.insert(at, (None, marker))
    lines = "".join(line + end for line in (*header, *settings.splitlines()))
    return tomlkit.dumps(document).replace(marker.as_string(), lines)


def _place(database: Table, table: str) -> tuple[Items, int, tuple[str, ...]]:
    """Return where settings of a table belong: items, an index, and the lines of a missing header.

    Without the header that is after the database's last setting, before any comments.
    """
    own = database.get("tables", {}).get(table)
    if isinstance(own, Table):
        return own.value.body, 0, ()
    items: Items = database.value.body
    while True:
        at = len(items)
        while at and isinstance(items[at - 1][1], Comment | Whitespace):
            at -= 1
        key, last = items[at - 1] if at else (None, None)
        if not isinstance(last, Table) or key is None or key.is_dotted():
            return items, at, ("", f"[databases.tables.{_toml_key(table)}]")
        items = last.value.body
