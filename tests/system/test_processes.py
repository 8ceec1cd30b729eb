"""Unusual lines of `/proc/locks` are left out, and hide no others."""

from io import StringIO

import pytest

from dash_app.system import processes
from dash_app.system.processes import END_OF_FILE, RecordLock, record_locks

LINES = """\
1: POSIX  ADVISORY  READ 812 08:02:1234 120 123
2: -> POSIX  ADVISORY  WRITE 5 08:02:12 0 EOF
3: FLOCK  ADVISORY  WRITE 6 08:02:13 0 EOF
4: LEASE  ACTIVE    READ 7 08:02:14 0 EOF
5: POSIX  ADVISORY  READ 8 <none>:0 0 EOF
6: POSIX  *NOINODE* READ 8 0 EOF
7: POSIX  ADVISORY  READ 9 08:02:15 120 some
8: POSIX
a line without a number

9: OFDLCK ADVISORY  WRITE -1 fd:00:16 0 EOF
"""


def test_unusual_lines_of_locks_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "open", lambda *_, **__: StringIO(LINES), raising=False)
    assert record_locks() == {
        RecordLock(812, is_write=False, file=(0x802, 1234), first=120, last=123),
        RecordLock(-1, is_write=True, file=(0xFD00, 16), first=0, last=END_OF_FILE),
    }
