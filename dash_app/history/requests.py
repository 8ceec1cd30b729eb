"""What a command asks of the service that writes the history: an empty file beside it.

Whoever may make a file in that folder, which is open to its owner alone, may ask; the service looks
at each tick, does it and takes the file away.
"""

from __future__ import annotations

from pathlib import Path


def to_forget(history: Path, database: str) -> Path:
    """Return the file that asks to forget a database, by its name."""
    return history.with_name(f"{history.name}-forget-{database}")
