"""The command `discover`: find databases and write their configuration."""

import json
import re
from pathlib import Path

import click

from dash_app import settings
from dash_app.cli.terminal import fail
from dash_app.reader.discover import sqlite_files
from dash_app.words import numbers
from dash_app.words.commands import RUN

EXAMPLES = f"""\b
Examples:
  {RUN} discover ~/clawd         print configuration for the databases below ~/clawd
  {RUN} discover ~/clawd --save  write it to the configuration file, if there is none yet
"""


@click.command(short_help="Find SQLite files below a folder.", epilog=EXAMPLES)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--save", is_flag=True, help="Write the configuration file instead of printing it.")
def discover(folder: Path, *, save: bool) -> None:
    """Find SQLite files below FOLDER and print or save configuration for them."""
    text = _configuration([Path(path) for path in sqlite_files(str(folder.absolute()))])
    if not text:
        fail(f"No SQLite file below {folder}.")
    if not save:
        click.echo(text, nl=False)
        return
    path = settings.default_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        fail(f"{path} exists and was not changed. Without --save, this prints what to add to it.")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}.")
    count = numbers.plural(text.count("[[databases]]"), "database")
    click.echo(f"Saved {count} to {path}. Next: {RUN}")


def _configuration(files: list[Path]) -> str:
    """Return TOML for some files, each with a unique name; empty if there are none."""
    taken: set[str] = set()
    parts = []
    for path in files:
        stem = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-") or "database"
        names = [stem, *(f"{stem}-{number}" for number in range(2, len(files) + 2))]
        name = next(name for name in names if name not in taken)
        taken.add(name)
        # A JSON string is also a TOML string.
        parts.append(
            f'[[databases]]\nname = "{name}"\npath = {json.dumps(str(path), ensure_ascii=False)}\n'
        )
    return "\n".join(parts)
