"""Adds settings of tables to a configuration file, and changes nothing else in it.

What comes out is read again and compared with what was meant, so that a file written in a way that
is not understood here is refused and never spoiled.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

HEADER = re.compile(r"\s*\[")
BARE = re.compile(r"[A-Za-z0-9_-]+")

Additions = dict[str, dict[str, str]]
"""Lines of settings, by the names of a database and of a table in it."""


class NotUnderstoodError(Exception):
    """A file into which nothing can be added without a risk."""


def text_of(value: str) -> str:
    """Return a text as TOML writes it."""
    plain = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in value)
    return f'"{"".join(plain)}"'


def key_of(name: str) -> str:
    """Return a name as TOML writes it before `=` or in a header."""
    return name if BARE.fullmatch(name) else text_of(name)


def added(text: str, additions: Additions) -> str:
    """Return a configuration with further settings of tables, each after its own database.

    Raises NotUnderstoodError.
    """
    before = tomllib.loads(text)
    lines = text.splitlines(keepends=True)
    end = "\r\n" if "\r\n" in text else "\n"
    for number, database in enumerate(before.get("databases", [])):
        for table, settings in additions.get(database.get("name"), {}).items():
            at, header = _place(lines, number, table)
            if not lines[at - 1].endswith("\n"):
                lines[at - 1] += end
            lines[at:at] = [line + end for line in (*header, *settings.splitlines())]
    after = "".join(lines)
    try:
        is_meant = tomllib.loads(after) == _meant(before, additions)
    except tomllib.TOMLDecodeError:
        is_meant = False
    if not is_meant:
        raise NotUnderstoodError("it is written in a way that cannot be added to safely")
    return after


def save(path: Path, text: str) -> Path | None:
    """Write a configuration in one step; return where the file is that was there before.

    Raises OSError.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    new = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        former = _copied(path)
        if former:
            shutil.copymode(path, new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return former


def _copied(path: Path) -> Path | None:
    if not path.exists():
        return None
    former = path.with_name(f"{path.name}.old")
    shutil.copy2(path, former)
    return former


def _place(lines: Sequence[str], number: int, table: str) -> tuple[int, tuple[str, ...]]:
    """Return before which line settings of a table belong, and the header that is still missing.

    That is after the last setting of its database, before the comments on what follows.
    """
    headers = [(at, _keys(line)) for at, line in enumerate(lines) if HEADER.match(line)]
    starts = [at for at, keys in headers if keys == ["databases"]]
    if number >= len(starts):
        raise NotUnderstoodError("its databases are not written as [[databases]]")
    own = [(at, keys) for at, keys in headers if at >= starts[number]]
    if found := next((at for at, keys in own if keys == ["databases", "tables", table]), None):
        next_start = starts[number + 1] if number + 1 < len(starts) else len(lines)
        if found < next_start:
            return found + 1, ()
    ends = next((at for at, keys in own[1:] if keys[:1] != ["databases"] or keys[1:] == []), None)
    at = len(lines) if ends is None else ends
    while lines[at - 1].strip() == "" or lines[at - 1].lstrip().startswith("#"):
        at -= 1
    return at, ("", f"[databases.tables.{key_of(table)}]")


def _keys(header: str) -> list[str]:
    """Return the keys of the line of a header; none for what only looks like one."""
    try:
        found: Any = tomllib.loads(header)
    except tomllib.TOMLDecodeError:
        return []
    keys = []
    while found:
        if isinstance(found, list):
            found = found[0]
            continue
        key, found = next(iter(found.items()))
        keys.append(key)
    return keys


def _meant(before: Mapping[str, Any], additions: Additions) -> Mapping[str, Any]:
    meant: dict[str, Any] = deepcopy(dict(before))
    for database in meant.get("databases", []):
        for table, settings in additions.get(database.get("name"), {}).items():
            own = database.setdefault("tables", {}).setdefault(table, {})
            own.update(tomllib.loads(settings))
    return meant
