"""One thing that was checked, and what a person is told of it."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dash_app.model import Level


@dataclass(frozen=True, slots=True)
class Check:
    """A code for programs; what was found and one cure, a command or a sentence, for people.

    A "notice" is worth knowing and lets everything work; a "fault" needs a person.
    """

    level: Level
    code: str
    text: str
    cure: str = ""


def user_name(uid: int) -> str:
    """Return a user's name; the number of one who has none here."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def own_name() -> str:
    """Return the name of the user we run as, whatever the environment says."""
    return user_name(os.geteuid())
