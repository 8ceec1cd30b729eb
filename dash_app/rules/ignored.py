"""Tables that the configuration ignores: counted and shown, but without events and problems."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from dash_app.model.expectation import Rules
from dash_app.model.reading import Reading

T = TypeVar("T")

OWNER = re.compile(r"""\sON\b\s*("[^"]+"|'[^']+'|`[^`]+`|\[[^]]+\]|[^\s("'`\[]+)""", re.IGNORECASE)
"""The table of an index or trigger, in its SQL."""


def without_ignored(reading: Reading, rules: Rules) -> Reading:
    """Return a reading as if it had no ignored tables. Its `objects` stay."""
    if not rules.ignored_tables:
        return reading

    def judged(values: Mapping[str, T]) -> dict[str, T]:
        return {table: value for table, value in values.items() if not rules.ignores(table)}

    return replace(
        reading,
        tables=judged(reading.tables),
        sequences=judged(reading.sequences),
        roots=judged(reading.roots),
    )


def judged_objects(names: Iterable[str], definitions: Mapping[str, str], rules: Rules) -> list[str]:
    """Return the objects of a schema that do not belong to an ignored table."""
    return [name for name in names if not rules.ignores(_table_of(name, definitions[name]))]


def _table_of(name: str, definition: str) -> str:
    kind, _, table = name.partition(" ")
    if kind == "column":
        return table.rpartition(".")[0]
    owner = OWNER.search(definition) if kind in {"index", "trigger"} else None
    return owner[1].strip("\"'`[]") if owner else table
