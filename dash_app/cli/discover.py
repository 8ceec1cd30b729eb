"""The command that finds databases: `discover`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from dash_app import settings
from dash_app.cli.terminal import fail
from dash_app.reader.discover import sqlite_files
from dash_app.words import numbers

EXAMPLES = """\b
Examples:
  ./ops/run discover ~/clawd         look what there is
  ./ops/run discover ~/clawd --save  write it to the configuration, if there is none yet
"""


@click.command(short_help="Find SQLite files below a folder.", epilog=EXAMPLES)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--save", is_flag=True, help="Write the configuration instead of printing it.")
def discover(folder: Path, *, save: bool) -> None:
    """Find SQLite files below FOLDER and print, or save, configuration for them."""
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
        fail(f"{path} exists and stays as it is. Without --save, this prints what you may add.")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}.")
    found = numbers.plural(text.count("[[databases]]"), "database")
    click.echo(f"Saved {found} to {path}. Next: ./ops/run")


def _configuration(files: list[Path]) -> str:
    """Return TOML for some files, each with a name of its own; empty for none."""
    taken: set[str] = set()
    parts = []
    for path in files:
        stem = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-") or "database"
        names = [stem, *(f"{stem}-{number}" for number in range(2, len(files) + 2))]
        name = next(one for one in names if one not in taken)
        taken.add(name)
        # A JSON string is a TOML string too.
        parts.append(
            f'[[databases]]\nname = "{name}"\npath = {json.dumps(str(path), ensure_ascii=False)}\n'
        )
    return "\n".join(parts)
