"""The command `discover`: find databases and write their configuration."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import click

from dash_app import settings
from dash_app.airlock.finder import Finder
from dash_app.cli.terminal import config_option, load_settings, save_configuration, show_elapsed
from dash_app.service.matching import with_files
from dash_app.settings import toml_edit
from dash_app.settings.proposals import Proposal, propose, usual_folders
from dash_app.system.exit_codes import ExitCode
from dash_app.system.processes import printable
from dash_app.words import numbers
from dash_app.words.commands import RUN

SECONDS = 60.0
MAX_LISTED = 3
"""Maximum number of paths listed per reason. Of more, the first one and their number are shown."""

FILE_REASONS = {
    "watched": "already in the configuration",
    "same_file": "another name of a file that was found",
    "backup": "backup",
    "copy": "copy",
    "dated": "copy with a date",
    "damaged": "damaged copy",
    "temporary": "temporary file",
    "sidecar": "WAL or journal",
    "history": "history of Mission Control",
    "empty": "empty file",
    "other": "not an SQLite file, or encrypted",
    "unreadable": "no permission to read it",
    "not_text": "name is not valid UTF-8, as TOML needs it",
}
FOLDER_REASONS = {
    "missing": "no such folder",
    "not_reached": "not reached in time, or does not respond",
    "remote": "network or FUSE file system",
    "no_access": "no permission",
    "too_many": "only its first 100,000 files were searched",
    "too_deep": "too deep",
    "link": "link to a folder elsewhere",
    "system": "belongs to the system",
    "browser": "profile of a browser or of a similar program",
    "tool": "installed packages or a repository's own files",
    "backups": "backups",
    "cache": "cache",
    "trash": "trash, or snapshots of the disk",
}

EXAMPLES = f"""\b
Examples:
  {RUN} discover                print configuration for the databases that are not watched yet
  {RUN} discover --save         add it to the configuration file
  {RUN} discover ~/clawd /srv   look only into these folders

\b
Files are only read, by a process that cannot write. Copies are left out. --save changes nothing
else in the configuration file, and keeps a copy of the old one as config.toml.old.
"""


@click.command(short_help="Find databases and configure them.", epilog=EXAMPLES)
@config_option
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--save", is_flag=True, help="Add them to the configuration file.")
def discover(config: Path | None, folders: tuple[Path, ...], *, save: bool) -> None:
    """Find SQLite databases, and print or save configuration for those that are not watched yet.

    Look below FOLDERS, by default where agents and common services keep their data.
    """
    path = settings.source_path(config)
    watched, names = _configured(path)
    finder = _search(folders, watched)
    skipped = {printable(path): reason for path, reason in finder.skipped.items()}
    proposals = propose(finder.files, names, finder.schemas, map(Path, watched))
    if not folders:  # most of the usual folders do not exist
        skipped = {path: reason for path, reason in skipped.items() if reason != "missing"}
    if save and proposals:
        _save(path, proposals)
    elif proposals:
        click.echo("\n".join(proposal.toml for proposal in proposals))
    for line in _summary(len(proposals), skipped, is_complete=finder.is_complete):
        click.echo(line if save else f"# {line}")
    if not proposals and "watched" not in skipped.values():
        sys.exit(ExitCode.FAILURE)


def _configured(path: Path) -> tuple[list[str], set[str]]:
    """Return the paths of the databases that a configuration lists, and all names in it."""
    loaded = load_settings(path) if path.exists() else None
    if loaded is None or not loaded.names_databases:
        return [], set()
    names = {entry.name for entry in loaded.declared}
    loaded = with_files(loaded)
    return [str(database.path) for database in loaded.databases], names.union(loaded.names)


def _search(folders: Sequence[Path], watched: Sequence[str]) -> Finder:
    roots = [str(folder.absolute()) for folder in folders] or usual_folders()
    finder = Finder({"folders": roots, "watched": watched, "schema": True}, SECONDS)
    with show_elapsed("Looking for databases"):
        finder.wait()
    return finder


def _summary(found: int, skipped: Mapping[str, str], *, is_complete: bool) -> Iterator[str]:
    """Yield lines on what was found, left out and not searched."""
    yield f"Found {numbers.plural(found, 'database')} not watched yet."
    for heading, reasons in (("Left out", FILE_REASONS), ("Not searched", FOLDER_REASONS)):
        lines = [line for reason in reasons for line in _group(skipped, reason, reasons[reason])]
        yield from [f"{heading}:", *lines] if lines else []
    if not is_complete:
        yield "The search is not complete."


def _group(skipped: Mapping[str, str], reason: str, text: str) -> Iterator[str]:
    paths = sorted(path for path, why in skipped.items() if why == reason)
    if len(paths) > MAX_LISTED:
        first = numbers.short_path(Path(paths[0]))
        yield f"  {text}: {len(paths)}, such as {first}"
    else:
        yield from (f"  {text}: {numbers.short_path(Path(path))}" for path in paths)


def _save(path: Path, proposals: list[Proposal]) -> None:
    databases = "\n".join(proposal.toml for proposal in proposals)
    former = save_configuration(path, partial(toml_edit.add_databases, databases=databases))
    for proposal in proposals:
        click.echo(f"+ {proposal.name}  {numbers.short_path(Path(proposal.path))}")
    count = numbers.plural(len(proposals), "database")
    click.echo(f"Added {count} to {path}.{former} Next: {RUN}, or reload the service.")
