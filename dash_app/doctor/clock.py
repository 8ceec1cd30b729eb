"""Whether the clock is right, as far as a machine can know: all ages depend on it."""

import ctypes
import sqlite3
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import dash_app
from dash_app.doctor.check import Check
from dash_app.history.coverage import last_watched

TIMEX = struct.Struct("@Illl")
"""The head of the kernel's struct: modes, offset, freq, maxerror (adjtimex(2))."""

TIMEX_BYTES = 256
MAX_ERROR_MICROSECONDS = 16_000_000
"""Estimated error from which the clock counts as unsynchronized, as in timedatectl(1)."""

SLACK_SECONDS = 60
"""A correction may move the clock back a little."""

CURE = "sudo timedatectl set-ntp true"


def examine(history: Path) -> Iterator[Check]:
    """Yield whether the clock is synchronized, and whether it is behind a past event."""
    synchronized = is_synchronized()
    yield _kept(synchronized=synchronized)
    now = time.time()
    if not synchronized:
        sources = Path(dash_app.__file__).parent.rglob("*.py")
        installed_at = max(source.stat().st_mtime for source in sources)
        if wrong := before_installation(now, installed_at):
            yield wrong
    with suppress(sqlite3.Error):
        cure = "" if synchronized else CURE
        if set_back := before_record(now, float(last_watched(history) or 0), cure):
            yield set_back


def before_installation(now: float, installed_at: float) -> Check | None:
    """Return a fault if the clock is before our own files. Times are seconds since 1970."""
    if now >= installed_at - SLACK_SECONDS:
        return None
    then = _shown(installed_at)
    text = f"The clock is wrong: it shows {_shown(now)}, but this program was installed on {then}."
    return Check("fault", "clock_wrong", text, CURE)


def before_record(now: float, recorded_at: float, cure: str) -> Check | None:
    """Return a notice if the clock is before the last record. Times are seconds since 1970.

    Either may be wrong: the clock may have been ahead when the record was made.
    """
    if now >= recorded_at - SLACK_SECONDS:
        return None
    text = (
        f"The clock was set back: it shows {_shown(now)}, but the last record is from"
        f" {_shown(recorded_at)}. Charts show future records once their time comes."
    )
    return Check("notice", "clock_set_back", text, cure)


def is_synchronized() -> bool | None:
    """Return whether the clock is synchronized; None if the kernel does not report it."""
    state = ctypes.create_string_buffer(TIMEX_BYTES)
    if ctypes.CDLL(None, use_errno=True).adjtimex(state) < 0:
        return None
    error_microseconds: int = TIMEX.unpack_from(state)[3]
    return error_microseconds < MAX_ERROR_MICROSECONDS


def _kept(*, synchronized: bool | None) -> Check:
    if synchronized is None:
        text = "Cannot determine here whether the clock is synchronized."
        return Check("notice", "clock_unknown", text)
    if synchronized:
        return Check("well", "clock", "The clock is synchronized.")
    text = "Nothing synchronizes the clock: over time, all ages become wrong."
    return Check("notice", "clock_not_synchronised", text, CURE)


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d %b %Y, %H:%M UTC")
