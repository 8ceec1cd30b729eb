"""Recognize files that are no database of their own by their names alone."""

import re

LEFTOVERS = (
    ("sidecar", r"-(wal|shm|journal)$"),
    ("temporary", r"^\.?tmp[._-]|[._-]tmp([._-]|$)|^~|~$|\.(temp|part|partial|swp|lock)$"),
    ("temporary", r"\.(db|sqlite3?)[._-]([a-z]+-)*(new|next|swap|rebuild|reindex)([._-]|$)"),
    ("damaged", r"[._-](corrupt|corrupted|damaged|malformed|broken)\d*([._-]|$)"),
    ("backup", r".[._ -](bak|backup|old|orig|prev|previous|pre|before|snapshot)\d*([._ -]|$)"),
    ("backup", r"^(bak|backup|old)[_ -].|\.save\d*$"),
    ("copy", r".[._ (-](copy|copie|kopie)([._ )-]|$)|^copy[ _-]|.\(\d+\)(\.\w+)?$"),
    ("dated", r"(^|\D)20\d\d[._-]?(0[1-9]|1[0-2])[._-]?(0[1-9]|[12]\d|3[01])(\D|T|$)"),
    ("dated", r"(?<!\d)1[5-9]\d{8}(\d{3})?(?!\d)|\.(db|sqlite3?)[._-]v?\d+$"),
)
"""Reasons, and patterns of names in lower case. A date is one with a day, since some programs begin
a new database each month. Ten or thirteen digits are a time in seconds or milliseconds."""


def leftover_reason(path: str) -> str | None:
    """Return why a file is skipped, as a code; None if its name is that of a database.

    A path that is not UTF-8 can be neither stored nor shown.
    """
    if any("\ud800" <= character <= "\udfff" for character in path):
        return "not_text"
    name = path.rpartition("/")[2].lower()
    return next((reason for reason, form in LEFTOVERS if re.search(form, name)), None)
