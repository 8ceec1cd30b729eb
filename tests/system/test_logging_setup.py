"""The log stays readable and small, whatever is logged and how often."""

from __future__ import annotations

import logging

import pytest

from dash_app.system import logging_setup
from dash_app.system.logging_setup import MAX_LINE_CHARACTERS, MAX_LINES, Flood, OneLine


def record(message: str, line: int = 1) -> logging.LogRecord:
    return logging.LogRecord("dash_app", logging.ERROR, "server.py", line, message, (), None)


def test_a_line_is_cut_where_it_would_be_long() -> None:
    line = OneLine(for_journal=True).format(record("x" * 200_000))
    assert line.startswith("<3>ERROR dash_app: xxx")
    assert len(line) < MAX_LINE_CHARACTERS + 10


def test_text_of_others_cannot_control_a_terminal_or_hide_its_line() -> None:
    """Of a line with such characters, journalctl shows "[57B blob data]" alone."""
    shown = OneLine(for_journal=False).format(record("a\x1b[2Jb\x00\u202ec\x85d é"))
    assert shown == "ERROR dash_app: a\\x1b[2Jb\\x00\\u202ec d é"
    assert len(OneLine(for_journal=False).format(record("\x00" * 9_000))) < MAX_LINE_CHARACTERS + 10


def test_what_is_logged_again_and_again_is_held_back_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flood = Flood()
    told = [one for one in (record("failed") for _ in range(1000)) if flood.filter(one)]
    assert len(told) == MAX_LINES
    assert told[-1].getMessage() == "failed (more like this are left out for a minute)"
    assert flood.filter(record("another place", line=2))
    monkeypatch.setattr(logging_setup, "MINUTE_SECONDS", 0.0)
    later = record("failed")
    assert flood.filter(later)
    assert later.getMessage() == f"failed ({1000 - MAX_LINES} more like this before)"
