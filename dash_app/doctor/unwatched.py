"""Databases in the folders of watched ones that are not watched themselves."""

import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from dash_app.airlock.finder import Finder
from dash_app.doctor.check import Check
from dash_app.model.database import Database
from dash_app.settings import SettingsError, default_path
from dash_app.words import numbers
from dash_app.words.commands import RUN

MAX_FOLDERS = 10
"""Maximum number of folders that get a check of their own."""


def examine(databases: Iterable[Database], source: Path) -> Iterator[Check]:
    """Yield one notice per folder with unwatched databases. Raise OSError.

    `source` is the configuration file.
    """
    config = f" --config {shlex.quote(str(source))}"
    with suppress(SettingsError):  # without a home folder, there is no default path
        config = "" if source == default_path() else config
    paths = [database.path for database in databases]
    folders = sorted({str(path.parent) for path in paths})
    request = {"folders": folders, "depth": 0, "watched": [*map(str, paths)]}
    finder = Finder(request)
    finder.wait()
    found: dict[Path, list[str]] = {}
    for path in sorted(finder.files):
        found.setdefault(path.parent, []).append(numbers.one_line(path.name))
    for folder, names in list(found.items())[:MAX_FOLDERS]:
        count = "A database" if len(names) == 1 else numbers.plural(len(names), "database")
        is_not = "is not" if len(names) == 1 else "are not"
        place = numbers.short_path(folder)
        text = f"{count} in {place} {is_not} watched: {numbers.join_names(names)}."
        cure = f"{RUN} discover {shlex.quote(str(folder))} --save{config}"
        yield Check("notice", "unwatched", text, cure)
    if (more := len(found) - MAX_FOLDERS) > 0:
        text = f"There are unwatched databases in {numbers.plural(more, 'more folder')}."
        yield Check("notice", "unwatched", text)
    if not finder.is_complete:
        text = "The folders of your databases could not all be searched for unwatched databases."
        yield Check("notice", "not_searched", text)
