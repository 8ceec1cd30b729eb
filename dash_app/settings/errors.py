"""Says what is wrong with a setting: its place, and what is allowed there."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

MESSAGES = {
    "int_type": "write a whole number",
    "int_parsing_size": "that is too large",
    "too_short": "name at least one",
    "too_long": "those are too many",
    "string_too_long": "that is too long",
    "string_unicode": "write a text in quotes",
    "greater_than_equal": "that is too small",
    "less_than_equal": "that is too large",
    "string_type": "write a text in quotes",
    "string_pattern_mismatch": "use a to z, 0 to 9, _ and - alone",
    "tuple_type": "write a list in brackets",
    "bool_type": "write true or false",
    "dict_type": "write a table",
    "model_type": "write a table",
}
"""What to write instead, by pydantic's type of error."""

MAX_SHOWN_NUMBER = 10**40
MAX_SHOWN = 100
"""Maximum number of characters of a refused value."""


def explain(problem: Mapping[str, Any], sections: Mapping[str, type[BaseModel]]) -> str:
    """Return one problem that pydantic found as its place and what is allowed there.

    `sections` maps the names of tables to their settings; "databases.tables" and "expect" are those
    within the table of a database.
    """
    section, place, key = _place(problem["loc"])
    place, key = cut(place), cut(key)
    if problem["type"] == "extra_forbidden":
        allowed = ", ".join(sections[section].model_fields)
        return f"{place} has no setting `{key}`. Allowed: {allowed}."
    if problem["type"] == "missing":
        return f"{place} needs `{key}`."
    message = MESSAGES.get(problem["type"], str(problem["msg"]).removeprefix("Value error, "))
    if problem["type"] == "tuple_type" and key == "databases":
        message = "write [[databases]], with two brackets"
    return f"{place} `{key}` = {_shown(key, problem['input'])}: {message}."


def _shown(key: str, value: object) -> str:
    """Return a value for a log line, cut. A URL in place of a file is a secret."""
    if isinstance(value, str):
        secret = key.endswith("_file") and "://" in value
        text = "a URL" if secret else ascii(value) if not value.isprintable() else repr(value)
    else:
        text = _Brief().repr(value)
    return cut(text)


class _Brief(reprlib.Repr):
    """A value in brief, with any number: Python itself shows none of more than 4,300 digits."""

    def repr_int(self, x: int, level: int) -> str:
        """Return a number, or that it is too long to be shown."""
        return super().repr_int(x, level) if abs(x) < MAX_SHOWN_NUMBER else "a number"


def cut(text: str) -> str:
    """Return a text from the file, cut for a log line."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _place(location: tuple[str | int, ...]) -> tuple[str, str, str]:
    """Return which kind of table a setting stands in, that table's place, and the setting."""
    match location:
        case ("databases", int(number), "tables", str(table), _, *_):
            rest = list(location[4:])
            section = "databases.tables"
            place = f"[databases.tables.{table}] of database number {number + 1}"
        case ("databases", int(number), *rest):
            section, place = "databases", f"[[databases]] number {number + 1}"
        case (str(section), *rest):
            place = f"[{section}]" if rest else "The file"
            place = "[[databases]]" if section == "databases" else place
        case _:
            raise AssertionError(location)
    keys = [str(part) for part in rest if isinstance(part, str)] or [section]
    return "expect" if keys[0] == "expect" and keys[1:] else section, place, ".".join(keys)
