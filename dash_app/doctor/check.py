"""One thing that was checked, and what a person is told of it."""

from __future__ import annotations

from dataclasses import dataclass

from dash_app.model.level import Level


@dataclass(frozen=True, slots=True)
class Check:
    """A code for programs; what was found and one cure, a command or a sentence, for people.

    A "notice" is worth knowing and lets everything work; a "fault" needs a person.
    """

    level: Level
    code: str
    text: str
    cure: str = ""
