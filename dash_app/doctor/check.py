"""The result of one check."""

from dataclasses import dataclass

from dash_app.model.problem import Level


@dataclass(frozen=True, slots=True)
class Check:
    """A code for programs; for people a text and one fix, which is a command or a sentence.

    A "notice" is worth knowing while everything works; a "fault" needs a person.
    """

    level: Level
    code: str
    text: str
    cure: str = ""
