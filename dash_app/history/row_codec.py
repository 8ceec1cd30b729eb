"""Convert values of the model to rows of the history and back.

Times are stored in ISO format, tuples and mappings as JSON. A kind or level that only a later
version knows is passed on unchanged, so that the history outlives a return to this version.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from dash_app.model.encoding import encode

TUPLES = frozenset({"databases", "problem_ids", "delivered_to"})
MAPPINGS = frozenset({"before", "after"})


def to_row(value: object, names: Iterable[str]) -> list[object]:
    """Return the attributes with these names as SQL values."""
    return [_encoded(getattr(value, name)) for name in names]


def select(
    connection: sqlite3.Connection,
    sql: str,
    parameters: Mapping[str, object] | tuple[object, ...] = (),
) -> Iterator[dict[str, Any]]:
    """Yield each row as attributes by column name.

    Raise sqlite3.Error, and ValueError or TypeError if a value is damaged.
    """
    cursor = connection.execute(sql, parameters)
    names = [name for name, *_ in cursor.description]
    for row in cursor:
        yield {name: _decoded(name, value) for name, value in zip(names, row, strict=True)}


def _encoded(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return encode(value) if isinstance(value, tuple | Mapping) else value


def _decoded(name: str, value: Any) -> Any:  # noqa: ANN401 - of any column
    if value is None:
        return None
    if name.rpartition("_")[2] in {"at", "since", "until"}:
        return datetime.fromisoformat(value)
    if name in TUPLES:
        return tuple(json.loads(value))
    if name.startswith("is_"):
        return bool(value)
    return json.loads(value) if name in MAPPINGS else value
