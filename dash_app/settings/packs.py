"""Packs: measures for the databases of programs that many people have.

A pack is a TOML file in `ops/packs`: `title`, the `source` of its schema, `tables` with the columns
by which it is recognized, and `[[measures]]`, which are copied as they are.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dash_app.model.schema import Schema

FOLDER = Path(__file__).parents[2] / "ops" / "packs"
HEADER = "[[measures]]\n"


@dataclass(frozen=True, slots=True)
class Pack:
    """The measures for a schema."""

    name: str
    title: str
    tables: dict[str, list[str]]
    measures: tuple[str, ...]
    """The settings of each measure, as TOML."""

    def fits(self, schema: Schema) -> bool:
        """Whether a database has all of its tables with all of their columns."""
        return all(
            schema.tables.get(table, {}).keys() >= {*columns}
            for table, columns in self.tables.items()
        )


@cache
def packs() -> tuple[Pack, ...]:
    """Return all packs, by name. Raise OSError."""
    return tuple(_pack(path) for path in sorted(FOLDER.glob("*.toml")))


def _pack(path: Path) -> Pack:
    text = path.read_text(encoding="utf-8")
    settings: dict[str, Any] = tomllib.loads(text)
    measures = (measure.strip() for measure in text.split(HEADER)[1:])
    return Pack(path.stem, settings["title"], settings["tables"], tuple(measures))
