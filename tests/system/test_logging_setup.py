"""Log lines are short, printable and limited in number."""

import logging

import pytest

from dash_app.system import logging_setup
from dash_app.system.logging_setup import (
    MAX_LINE_CHARACTERS,
    MAX_LINES,
    Flood,
    OncePerHour,
    OneLine,
)


def record(message: str, line: int = 1) -> logging.LogRecord:
    return logging.LogRecord("dash_app", logging.ERROR, "server.py", line, message, (), None)


def test_a_long_line_is_cut() -> None:
    line = OneLine(for_journal=True).format(record("x" * 200_000))
    assert line.startswith("<3>ERROR dash_app: xxx")
    assert len(line) < MAX_LINE_CHARACTERS + 10


def test_control_characters_are_escaped() -> None:
    """journalctl shows a line with such characters only as "[57B blob data]"."""
    line = OneLine(for_journal=False).format(record("a\x1b[2Jb\x00\u202ec\x85d é"))
    assert line == "ERROR dash_app: a\\x1b[2Jb\\x00\\u202ec d é"
    assert len(OneLine(for_journal=False).format(record("\x00" * 9_000))) < MAX_LINE_CHARACTERS + 10


def test_repeated_lines_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    flood = Flood()
    logged = [line for line in (record("failed") for _ in range(1000)) if flood.filter(line)]
    assert len(logged) == MAX_LINES
    assert logged[-1].getMessage() == "failed (further lines like this are dropped for a minute)"
    assert flood.filter(record("another place", line=2))
    monkeypatch.setattr(logging_setup, "MINUTE_SECONDS", 0.0)
    later = record("failed")
    assert flood.filter(later)
    assert later.getMessage() == f"failed ({1000 - MAX_LINES} lines like this were dropped)"


def test_a_key_is_allowed_once_per_hour_and_the_number_of_keys_is_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit = OncePerHour(2)
    assert [limit.allows(key) for key in ("a", "a", "b", "c", "b")] == [True, False, True] + [
        False
    ] * 2
    monkeypatch.setattr(logging_setup, "HOUR_SECONDS", 0.0)
    assert limit.allows("c")
