"""Names and labels of databases, made from the parts of their paths that differ."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from pathlib import Path

GENERIC_FOLDERS = {
    *("app", "data", "database", "databases", "db", "files", "instance", "prisma", "sqlite"),
    *("state", "storage", "store", "var"),
}
GENERIC_TITLES = {*GENERIC_FOLDERS, "default", "dev", "development", "main", "prod", "production"}
"""Names of folders, and of files without extension, that say nothing about the contents."""

MAX_CHARACTERS = 180
"""Maximum length of a name before its number. A name in the configuration has at most 200."""

TOKENS = re.compile(r"\[([*?[])]|([*?]|\[!?]?[^]]*])")
"""An escaped character of a pattern, in the first group, or a wildcard, in the second."""


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


def label(text: str) -> str:
    """Return a text as a label: words with a capital letter at the start."""
    words = re.sub(r"[\s_.-]+", " ", text.encode(errors="replace").decode()).strip()
    return words[:1].upper() + words[1:]


def title(path: Path) -> str:
    """Return the name of a file without its extension; empty if it says nothing."""
    return "" if path.stem.lower() in GENERIC_TITLES else path.stem


def distinct_titles(paths: Sequence[Path], titles: Sequence[str]) -> list[str]:
    """Return the titles of absolute paths. Equal ones get the folders that differ before them.

    Titles stay equal if the paths differ only in their generic names.
    """
    groups = defaultdict(list)
    for index, text in enumerate(titles):
        groups[slug(text) if text else ""].append(index)
    distinct = list(titles)
    for text, group in groups.items():
        if text and len(group) == 1:
            continue
        inner_first = [paths[index].parts[-2:0:-1] for index in group]
        for index, part in zip(group, _shortest(_without_common(inner_first)), strict=True):
            distinct[index] = " ".join([*reversed(part), titles[index]]).strip()
    return distinct


def wildcard_parts(pattern: Path, paths: Sequence[Path]) -> list[str]:
    """Return the part of each path that tells it from the other matches of a pattern.

    It is what the pattern's first wildcard stands for. The text of further wildcards, as in
    "main sessions", follows only if it is needed. Paths that differ in nothing else give equal
    parts.
    """
    ends = {
        index: _literal_ends(component)
        for index, component in enumerate(pattern.parts)
        if any(token[2] for token in TOKENS.finditer(component))
    }
    texts = [[_trim(path.parts[i], *literal) for i, literal in ends.items()] for path in paths]
    return [" ".join(part) for part in _shortest(texts)]


def _literal_ends(component: str) -> tuple[str, str]:
    """Return the text before the first and after the last wildcard of a component."""
    spans = [token.span() for token in TOKENS.finditer(component) if token[2]]
    head, tail = component[: spans[0][0]], component[spans[-1][1] :]
    return TOKENS.sub(r"\1", head), TOKENS.sub(r"\1", tail)


def _trim(text: str, head: str, tail: str) -> str:
    return text.removeprefix(head).removesuffix(tail).strip("-_. ") or text


def _without_common(parts: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the parts without generic components, and without a start that all have in common.

    A part that would be empty keeps its first component.
    """
    telling = [
        [p for p in part if p.lower() not in GENERIC_FOLDERS] or list(part) for part in parts
    ]
    columns = enumerate(zip(*telling, strict=False))
    first = next((index for index, column in columns if len(set(column)) > 1), 0)
    return [part[first:] or part[:1] for part in telling]


def _shortest(parts: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the shortest start of each part that no different part has."""
    shortest = [list(part) for part in parts]
    for length in range(max(map(len, parts), default=0), 0, -1):
        numbers = Counter(part[:length] for part in {tuple(part) for part in parts})
        for index, part in enumerate(parts):
            if numbers[tuple(part[:length])] == 1:
                shortest[index] = list(part[:length])
    return shortest
