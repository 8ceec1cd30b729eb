"""Names and labels of databases, made from the parts of their paths that differ."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

GENERIC = {
    *("app", "data", "database", "databases", "db", "default", "dev", "development", "files"),
    *("instance", "main", "prisma", "prod", "production", "sqlite", "state", "storage", "store"),
    "var",
}
"""Names of folders, and of files without extension, that say nothing about the contents."""

ESCAPED, WILDCARD = re.compile(r"\[.]"), re.compile(r"[*?]|\[[^]]+]")

PERIOD = re.compile(r"(?<!\d)20\d\d([_-]?[wq]?\d{1,2}){0,2}(?!\d)", re.IGNORECASE)
"""A year, month, week, quarter or day in the name of a table: 2026, 202611, 2026_w48."""

MAX_CHARACTERS = 180
"""Maximum length of a name before its number. A name in the configuration has at most 200."""


def slug(text: str) -> str:
    """Return a text as a name: a-z, 0-9, `_` and `-`. "database" if nothing of it is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")[:MAX_CHARACTERS]
    return name.strip("-_") or "database"


def unique_name(name: str, taken: Container[str]) -> str:
    """Return the name, with a number from 2 on if it is taken."""
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}-{number}"
    return unique


def is_of_a_period(table: str) -> bool:
    """Whether a table holds the rows of a month or the like, so that another one follows it."""
    return PERIOD.search(table) is not None


def label(text: str) -> str:
    """Return a text as a label: words with a capital letter at the start."""
    words = re.sub(r"[\s_.-]+", " ", text.encode(errors="replace").decode()).strip()
    return words[:1].upper() + words[1:]


def titles(files: Mapping[Path, str | None]) -> list[str]:
    """Return a title for each file: that of its program if it is known, or the name of the file.

    If this name says nothing, it is that of the nearest folder that does. Files of one title get
    the folders before it in which they differ, and only as many as they need. Titles stay equal if
    the paths differ in nothing else. The paths are absolute.
    """
    found: dict[Path, str] = {}
    groups = defaultdict(list)
    for path, program in files.items():
        inner_first = [path.stem, *path.parts[-2:0:-1]]
        telling = (name for name in inner_first if name.lower() not in GENERIC)
        found[path] = program or next(telling, path.stem)
        groups[slug(found[path])].append(path)
    for group in groups.values():
        common = set.intersection(*(set(path.parts) for path in group))
        others = [[name for name in path.parts[-2:0:-1] if name not in common] for path in group]
        for names in others:
            names.sort(key=lambda name: name.lower() in GENERIC)
        for path, needed in zip(group, _shortest(others), strict=True):
            found[path] = " ".join([*reversed(needed), found[path]])
    return [*found.values()]


def wildcard_parts(pattern: Path, paths: Sequence[Path]) -> list[str]:
    """Return the part of each path that tells it from the other matches of a pattern.

    It is what the pattern's first component with a wildcard stands for. The text of further ones,
    as in "main sessions", follows only if it is needed. Paths that differ in nothing else give
    equal parts.
    """
    literals = {
        place: texts
        for place, component in enumerate(pattern.parts)
        if len(texts := WILDCARD.split(ESCAPED.sub("", component))) > 1
    }
    parts = [
        [_trim(path.parts[place], texts[0], texts[-1]) for place, texts in literals.items()]
        for path in paths
    ]
    return [" ".join(part) for part in _shortest(parts)]


def _trim(text: str, head: str, tail: str) -> str:
    return text.removeprefix(head).removesuffix(tail).strip("-_. ") or text


def _shortest(parts: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Return the shortest start of each part, of one string or more, that no different part has."""
    different = {tuple(part) for part in parts}
    numbers = Counter(part[:end] for part in different for end in range(len(part)))
    return [
        next((part[:end] for end in range(1, len(part)) if numbers[tuple(part[:end])] == 1), part)
        for part in parts
    ]
