"""A pattern in the configuration, and a file that it matched."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Match:
    """A file that the pattern of a configured entry matched, now or earlier."""

    entry: str
    """The `name` of the entry."""
    path: Path
    name: str
    """The name of its database. The file keeps it, and no other file ever gets it."""
    is_watched: bool = True
    """False once the file is gone and a person acknowledged that, until it is back."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A configured pattern, and how many of the files that it matches are watched."""

    name: str
    path: str
    watched: int
    unwatched: int | None
    """The number of files that are not watched because of the maximum per entry. None if the
    pattern could not be searched."""
