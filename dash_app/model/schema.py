"""The tables of a database, as far as their names and types are needed outside the reader."""

from collections.abc import Mapping
from dataclasses import dataclass

Column = tuple[str, str]
"""The names of a table and of a column of it."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The ordinary tables of a database, without views and virtual tables."""

    tables: Mapping[str, Mapping[str, str]]
    """The declared type of each column in upper case, by table and column."""
    unique: frozenset[Column] = frozenset()
    """Columns with a unique index of their own, or that are a primary key by themselves."""
    references: frozenset[Column] = frozenset()
    """Columns of declared foreign keys."""
