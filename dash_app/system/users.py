"""Names of users, and our own home folder."""

import os
import pwd
from pathlib import Path


def user_name(uid: int) -> str:
    """Return the name of a user, or the id as text if the system has no name for it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def own_user_name() -> str:
    """Return the name of the effective user. Variables such as USER are ignored."""
    return user_name(os.geteuid())


def home() -> Path | None:
    """Return our user's home folder; None if there is none, or if it is the root folder."""
    try:
        path = Path.home()
    except RuntimeError:
        return None
    return None if path == Path("/") else path
