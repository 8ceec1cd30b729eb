"""What a person is told of an incident: whom it concerns, what is amiss, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash_app.words.numbers import number, short_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

MOST_NAMES = 3
MOST_SENTENCES = 2


def incident(labels: Sequence[str], sentences: Sequence[str]) -> str:
    """Return whom an incident concerns, and the worst of what is amiss, which each says once."""
    once = list(dict.fromkeys(sentences))
    rest = len(once) - MOST_SENTENCES
    more = [f"And {number(rest)} more."] if rest > 0 else []
    return f"{names(labels)}: {' '.join([*once[:MOST_SENTENCES], *more])}"


def names(labels: Sequence[str]) -> str:
    """Return some names in a row: Email; Email and Content; A, B, C and 2 more."""
    rest = len(labels) - MOST_NAMES
    shown = [*labels[:MOST_NAMES], f"{number(rest)} more"] if rest > 0 else list(labels)
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def folder_gone(folder: Path) -> str:
    """Return that a folder with several databases is gone."""
    return f"Their folder {short_path(folder)} is gone."


def process_gone(command: str, pid: int, until: datetime, labels: Sequence[str]) -> str:
    """Return which process had silent databases open, and until when."""
    what = "it" if len(labels) == 1 else "them"
    return f"{command} (pid {pid}) had {what} open until {until:%H:%M} UTC."


def process_remedy(command: str) -> str:
    """Return what to do where a process that wrote is gone."""
    return f"Start {command} again, if it should run."
