"""Decide which files that match a pattern are watched, and under which names.

Pure functions: their callers have searched the file system.
"""

import os
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dash_app.model.match import Match
from dash_app.model.naming import slug, unique_name, wildcard_parts
from dash_app.settings import MAX_DATABASES, Settings
from dash_app.settings.schema import DatabaseSettings

MAX_MATCHES = 200
"""Maximum number of files watched per pattern."""

MAX_NAME_CHARACTERS = 190
"""Maximum length of a name before its number. A name in the configuration has at most 200."""

Found = Mapping[str, Sequence[Path]]
"""The absolute paths of files by the pattern that they match. A pattern is missing if its search
did not end."""

Known = Mapping[Path, Match]
"""The matches of one entry by path."""


def with_found(settings: Settings, found: Found, over: Container[str] = ()) -> Settings:
    """Return settings with the files that a search found.

    A watched file that was not found stays, unless its database is in `over`: the file is gone, and
    a person knows. A file belongs to the entry that names it, otherwise to the first that matches.
    """
    plain = [entry for entry in settings.declared if entry.pattern is None]
    own = [settings.history.path, *(entry.path for entry in plain)]
    claimed = {os.path.normpath(path) for path in own}
    reserved, room = {entry.name for entry in plain}, MAX_DATABASES - len(plain)
    matches = {(match.entry, match.path): match for match in settings.matches}
    unwatched = {}
    for entry in settings.declared:
        if entry.pattern is None:
            continue
        known = {match.path: match for match in matches.values() if match.entry == entry.name}
        matching = _files(known, entry.pattern, found, over)
        files = [path for path in matching if os.path.normpath(path) not in claimed]
        watched = sorted(files[: max(0, min(MAX_MATCHES, room))])
        claimed.update(map(os.path.normpath, files))
        room -= len(watched)
        if entry.pattern in found:
            unwatched[entry.name] = len(files) - len(watched)
        taken = reserved.union(match.name for match in matches.values())
        for path, match in known.items():
            matches[entry.name, path] = replace(match, is_watched=False)
        for match in _named(entry, watched, known, reserved, taken):
            matches[entry.name, match.path] = match
    in_order = sorted(matches.values(), key=lambda match: (match.path, match.entry))
    return settings.with_matches(tuple(in_order), unwatched)


def _files(known: Known, pattern: str, found: Found, over: Container[str]) -> list[Path]:
    """Return the files of a pattern, first those that are watched already."""
    watched = [
        path
        for path, match in known.items()
        if match.is_watched and path.match(pattern)  # which may be another one than then
    ]
    if (matching := found.get(pattern)) is None:
        return watched
    present = set(matching)
    kept = [path for path in watched if path in present or known[path].name not in over]
    return list(dict.fromkeys([*kept, *sorted(matching)]))


def _named(
    entry: DatabaseSettings,
    paths: Sequence[Path],
    known: Known,
    reserved: set[str],
    taken: set[str],
) -> Iterator[Match]:
    """Yield each file with its name; a new name if it has none, or if another has it."""
    parts = wildcard_parts(Path(entry.path), paths)
    for path, part in zip(paths, parts, strict=True):
        name = known[path].name if path in known else ""
        if not name or name in reserved:
            name = unique_name(f"{entry.prefix}{slug(part)}"[:MAX_NAME_CHARACTERS], taken)
        taken.add(name)
        reserved.add(name)
        yield Match(entry.name, path, name)
