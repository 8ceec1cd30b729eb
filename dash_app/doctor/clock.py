"""Whether the clock is right, as far as a machine can know: all ages on the page hang on it."""

from __future__ import annotations

import ctypes
import sqlite3
import struct
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dash_app
from dash_app.doctor.check import Check
from dash_app.history.query import last_watched

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TIMEX = struct.Struct("@Illl")
"""The head of the kernel's struct: modes, offset, freq, maxerror (adjtimex(2))."""

TIMEX_BYTES = 256
MAX_ERROR_MICROSECONDS = 16_000_000
"""Grown so large, nobody has set the clock for long: how systemd tells, too (timedatectl(1))."""

SLACK_SECONDS = 60
"""A clock that is put right moves back a little."""

CURE = "sudo timedatectl set-ntp true"


def examine(history: Path) -> Iterator[Check]:
    """Yield whether the clock stands before what has happened already, and whether it is kept."""
    behind = behind_of(time.time(), _happened(history))
    yield behind or _kept(synchronised=is_synchronised())


def behind_of(now: float, happened: Mapping[str, float]) -> Check | None:
    """Return that the clock stands before something that has happened, by its words; None if not.

    All times are seconds since 1970.
    """
    what = max(happened, key=lambda one: happened[one])
    if now >= happened[what] - SLACK_SECONDS:
        return None
    then = _shown(happened[what])
    text = f"The clock is wrong: it says {_shown(now)}, and {what} is from {then}."
    return Check("fault", "clock_wrong", text, CURE)


def is_synchronised() -> bool | None:
    """Return whether something keeps the clock right; None where the kernel may not be asked."""
    state = ctypes.create_string_buffer(TIMEX_BYTES)
    if ctypes.CDLL(None, use_errno=True).adjtimex(state) < 0:
        return None
    error_microseconds: int = TIMEX.unpack_from(state)[3]
    return error_microseconds < MAX_ERROR_MICROSECONDS


def _kept(*, synchronised: bool | None) -> Check:
    if synchronised is None:
        return Check(
            "notice", "clock_unknown", "Whether the clock is kept right can't be asked here."
        )
    if synchronised:
        return Check("well", "clock", "The clock is kept right.")
    text = "Nothing keeps the clock right: in time all ages will be wrong."
    return Check("notice", "clock_not_synchronised", text, CURE)


def _happened(history: Path) -> dict[str, float]:
    """Return times in the past whatever the clock says."""
    sources = Path(dash_app.__file__).parent.rglob("*.py")
    found = {"our own program": max(source.stat().st_mtime for source in sources)}
    with suppress(sqlite3.Error):
        found["the last record"] = float(last_watched(history) or 0)
    return found


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d %b %Y, %H:%M UTC")
