"""Exit codes of the commands, which scripts rely on."""

from enum import IntEnum


class ExitCode(IntEnum):
    """`status` and `doctor` exit with the worst that they found; 1 and 2 are of all commands."""

    WELL = 0
    FAILURE = 1
    USAGE = 2
    """Wrong options or arguments; click exits with it by itself."""
    NEEDS_YOU = 3
    CANNOT_TELL = 4
