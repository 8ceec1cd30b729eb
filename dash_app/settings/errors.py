"""Explain a rejected setting: its place, its value, and what is allowed."""

import reprlib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

MESSAGES = {
    "int_type": "write a whole number",
    "int_parsing_size": "that is too large",
    "too_short": "list at least one",
    "too_long": "that list is too long",
    "string_too_long": "that is too long",
    "string_too_short": "that is empty",
    "string_unicode": "write text in quotes",
    "greater_than_equal": "that is too small",
    "less_than_equal": "that is too large",
    "string_type": "write text in quotes",
    "string_pattern_mismatch": "use only a to z, 0 to 9, _ and -",
    "tuple_type": "write a list in brackets",
    "bool_type": "write true or false",
    "dict_type": "write a table",
    "model_type": "write a table",
}
"""What to write instead, by pydantic's error type."""

MEASURE = "write [[databases.measures]], with two brackets, below the [[databases]] that it asks"

MAX_SHOWN_NUMBER = 10**40
MAX_SHOWN_CHARACTERS = 100


def explain(problem: Mapping[str, Any], sections: Mapping[str, type[BaseModel]]) -> str:
    """Return a sentence for one error of pydantic.

    `sections` has the model of each table by its name; "databases.tables", "databases.measures" and
    "expect" are inside a database's table.
    """
    section, place, key = _place(problem["loc"])
    place, key = shorten(place), shorten(key)
    if problem["type"] == "extra_forbidden":
        allowed = ", ".join(sections[section].model_fields)
        is_measure = section == "measures" and key in sections["databases.measures"].model_fields
        hint = f" For a measure, {MEASURE}." if is_measure else ""
        return f"{place} has no setting `{key}`. Allowed: {allowed}.{hint}"
    if problem["type"] == "missing":
        return f"{place} needs `{key}`."
    message = MESSAGES.get(problem["type"], str(problem["msg"]).removeprefix("Value error, "))
    if problem["type"] == "literal_error":
        message = message.replace("Input should be", "write").replace("'", '"')
    if problem["type"] == "tuple_type" and key == "databases":
        message = "write [[databases]], with two brackets, above the settings of each database"
    if problem["type"] in {"tuple_type", "model_type"} and key == "measures":
        message = MEASURE
    if problem["type"] == "dict_type" and key == "tables":
        message = "write [databases.tables.NAME] above the settings of each table"
    if key == section in {"databases", "databases.measures"}:
        return f"{place}: {message}."
    return f"{place} `{key}` = {_display(key, problem['input'])}: {message}."


def _display(key: str, value: object) -> str:
    """Return a value in short. A URL in place of a file is a secret and is not shown."""
    if isinstance(value, str):
        is_secret = key.endswith("_file") and "://" in value
        text = "a URL" if is_secret else ascii(value) if not value.isprintable() else repr(value)
    else:
        text = _Brief().repr(value)
    return shorten(text)


class _Brief(reprlib.Repr):
    """A short representation that accepts numbers of any size: Python's own fails at 4,300 digits.

    Such numbers come from hexadecimal notation.
    """

    def repr_int(self, x: int, level: int) -> str:
        """Return a number, or "a number" if it is too long."""
        return super().repr_int(x, level) if abs(x) < MAX_SHOWN_NUMBER else "a number"


def shorten(text: str) -> str:
    """Return a text from the file, cut to `MAX_SHOWN_CHARACTERS`."""
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."


def _place(location: tuple[str | int, ...]) -> tuple[str, str, str]:
    """Return the name of a setting's table as in `sections`, its place in the file, and the key."""
    match location:
        case ("databases", int(number), "tables", str(table), _, *_):
            rest = list(location[4:])
            section = "databases.tables"
            place = f"[databases.tables.{table}] of database number {number + 1}"
        case ("databases", int(number), "measures", int(measure), *rest):
            section = "databases.measures"
            place = f"[[databases.measures]] number {measure + 1} of database number {number + 1}"
        case ("databases", int(number), *rest):
            section, place = "databases", f"[[databases]] number {number + 1}"
        case (str(section), *rest):
            place = f"[{section}]" if rest else "The file"
            place = "[[databases]]" if section == "databases" else place
        case _:
            raise AssertionError(location)
    keys = [str(part) for part in rest if isinstance(part, str)] or [section]
    return "expect" if keys[0] == "expect" and keys[1:] else section, place, ".".join(keys)
