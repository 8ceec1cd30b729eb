"""Exit codes of the commands, which scripts rely on."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Of `status` and `doctor`, the worst that they found; FAILURE and USAGE of any command."""

    WELL = 0
    FAILURE = 1
    USAGE = 2
    """Wrong options or arguments; click exits with it by itself."""
    NEEDS_YOU = 3
    CANNOT_TELL = 4
