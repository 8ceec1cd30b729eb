"""Propose entries of the configuration for files that were found."""

import glob
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dash_app.model.known_programs import FOLDERS, PROGRAMS
from dash_app.model.naming import label, slug, titles, unique_name
from dash_app.model.schema import Schema
from dash_app.settings.packs import packs
from dash_app.settings.toml_edit import toml_string
from dash_app.system.users import home

PATTERNS = {title: end for title, _tables, end in PROGRAMS if end}
"""The ends of the patterns of programs that have any number of databases."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """An entry of `[[databases]]`."""

    name: str
    label: str
    path: str
    """A pattern in the syntax of the configuration, which may match one file only."""
    program: str | None
    """The program whose tables it has, if it was recognized."""
    packs: tuple[str, ...] = ()
    """The packs that fit its tables."""

    @property
    def toml(self) -> str:
        """The entry as TOML."""
        lines = ["[[databases]]", f'name = "{self.name}"']
        if self.program in PATTERNS:
            lines.insert(0, f"# Each {self.program}, also new ones, by its tables.")
        elif self.program:
            lines.insert(0, f"# {self.program}, by its tables.")
        if self.packs:
            lines.insert(0, f"# `suggest` proposes the measures of {' and '.join(self.packs)}.")
        lines.append(f"path = {toml_string(self.path)}")
        if self.label != label(self.name):
            lines.append(f"label = {toml_string(self.label)}")
        return "\n".join(lines) + "\n"


def usual_folders() -> list[str]:
    """Return folders in which agents and common services keep their data. Most do not exist."""
    own = str(home() or "")
    return [folder.replace("~", own, 1) for folder in FOLDERS if own or folder[0] != "~"]


def propose(
    files: Mapping[Path, str | None],
    taken: Collection[str],
    schemas: Mapping[Path, Schema],
    watched: Iterable[Path] = (),
) -> list[Proposal]:
    """Propose an entry per file, or per set of files of one program, in order of path.

    `files`: the program of each, if known, by absolute path; `taken`: names of other databases;
    `schemas`: the tables of those that could be read; `watched`: the other databases, from which a
    name should differ by more than a number.
    """
    sets = {_pattern(path, files[path]): path for path in sorted(files)}
    proposals: list[Proposal] = []
    names = set(taken)
    texts = titles({path: files[path] for path in sets.values()} | dict.fromkeys(watched))
    for (pattern, path), text in zip(sets.items(), texts, strict=False):
        name = unique_name(slug(text), names)
        names.add(name)
        shown = text if text == files[path] else label(text)
        number = name.removeprefix(slug(text)).replace("-", " ")
        schema = schemas.get(path)
        fitting = tuple(pack.name for pack in packs() if schema and pack.fits(schema))
        proposals.append(Proposal(name, shown + number, pattern, files[path], fitting))
    return proposals


def _pattern(path: Path, program: str | None) -> str:
    """Return the path as the configuration has it, or the pattern of its program's databases."""
    end = PATTERNS.get(program or "")
    if not end:
        return glob.escape(str(path)) if "*" in str(path) else str(path)
    return f"{glob.escape(str(path.parents[end.count('/')]))}/{end}"
