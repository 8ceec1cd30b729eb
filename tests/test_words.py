"""The words and numbers that people read, code by code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest

from dash_app import words
from dash_app.model import ABSENCES, Code, Database, LastGood

HOME = Path.home()
DATABASE = Database("email", "Email", HOME / "clawd" / "email.db")
PLACE = words.Place("~/.config/mission-control/config.toml", "clawd", 5.0)
GOOD = LastGood(datetime(2026, 11, 23, tzinfo=UTC), 10_640, 7)

APPEARS = (
    "It connects by itself once its program creates it. "
    "Wrong place? Change `path` in ~/.config/mission-control/config.toml."
)
SET_UP = "It connects by itself once its program sets it up."
OPEN_ONCE = "Let its own program open it once."
COPY = "Copy it with its `-wal`, then `.recover` the copy."
RESTORE = (
    "Move its `-wal` and `-journal` aside, if any are left. "
    "Then restore a backup, or start its program."
)
STOP_WRITER = (
    "Stop its writer and move its `-wal` and `-journal` aside, if any are left. "
    "Then restore a backup."
)
MOVE_FIRST = (
    "Stop its writers and move it to another folder with its `-wal` and `-journal`. "
    "Then restore a backup, or `.recover` it there."
)
CHECK = "Check `path` in ~/.config/mission-control/config.toml."
EXPECTED: dict[tuple[Code, bool], tuple[str, str]] = {
    ("file_missing", False): ("No file yet at ~/clawd/email.db.", APPEARS),
    ("file_missing", True): ("The file is gone.", RESTORE),
    ("folder_missing", False): ("No folder yet for ~/clawd/email.db.", APPEARS),
    ("folder_missing", True): (
        "Its folder is gone.",
        "Mount its disk again, or restore it from a backup.",
    ),
    ("file_empty", False): ("The file is empty: no tables yet.", SET_UP),
    ("file_empty", True): ("The file was emptied: it held 10,640 rows.", STOP_WRITER),
    ("no_tables", False): ("A database without tables yet.", SET_UP),
    ("no_tables", True): ("All tables are gone: there were 7.", STOP_WRITER),
    ("not_a_file", True): (
        "~/clawd/email.db is a folder, not a file.",
        "Point `path` in ~/.config/mission-control/config.toml to the database file.",
    ),
    ("permission_denied", True): (
        "User clawd may not read ~/clawd/email.db.",
        "`./ops/run doctor` shows the command that grants it.",
    ),
    ("read_only_folder", True): (
        "Its log has no index (`-shm`), and the folder is read-only.",
        OPEN_ONCE,
    ),
    ("needs_recovery", True): ("A crash left unfinished work in its journal or log.", OPEN_ONCE),
    ("locked", True): (
        "node (pid 812) holds it locked.",
        "It clears when that program is done. If it stays, restart that program.",
    ),
    ("not_a_database", True): ("Not an SQLite file, or encrypted.", CHECK),
    ("unsupported", True): (
        "This SQLite can't read it: newer format.",
        "Update Python; `./ops/run doctor` names the versions.",
    ),
    ("corrupt", True): ("The file is damaged (malformed).", MOVE_FIRST),
    ("io_error", True): (
        "The disk did not return the data.",
        "Check free space and `dmesg`; back up now.",
    ),
    ("not_responding", True): (
        "No answer within 5 s.",
        "Disk or network mount may hang. It is tried again by itself.",
    ),
    ("reader_crashed", True): ("Reading it crashed SQLite.", COPY),
}
"""Code and whether tables were ever read there: cause and remedy."""


@pytest.mark.parametrize(("code", "seen"), EXPECTED)
def test_each_code_says_its_cause_and_one_remedy(code: Code, seen: bool) -> None:  # noqa: FBT001
    detail = {"holder": "node (pid 812)", "kind": "folder"}
    fault = words.fault(code, detail, DATABASE, GOOD if seen else None, PLACE)
    assert (fault.code, fault.message, fault.remedy) == (code, *EXPECTED[code, seen])


def test_every_code_has_words_and_only_absences_are_calm() -> None:
    assert {code for code, _ in EXPECTED} == set(get_args(Code)) == set(words.CODES_IN_BRIEF)
    assert {code for code, seen in EXPECTED if not seen} == ABSENCES


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.number(10_640), "10,640"),
        (words.short_number(9_999_999), "9,999,999"),
        (words.short_number(12_400_000), "12.4 M"),
        (words.plural(0, "row"), "0 rows"),
        (words.plural(1, "row"), "1 row"),
        (words.plural(12_345_678, "row"), "12.3 M rows"),
    ],
)
def test_numbers_are_written_in_the_english_way(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "now"),
        (1.9, "now"),
        (2, "2 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (7199, "1 h ago"),
        (86_400 * 4 + 5, "4 d ago"),
    ],
)
def test_an_age_has_one_unit_rounded_down(seconds: float, expected: str) -> None:
    assert words.ago(timedelta(seconds=seconds)) == expected


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(0.5, "30 s"), (5, "5 min"), (60, "1 h"), (90, "90 min"), (36 * 60, "36 h"), (2880, "2 d")],
)
def test_a_length_that_a_person_chose_is_told_exactly(minutes: float, expected: str) -> None:
    assert words.every(timedelta(minutes=minutes)) == expected


def test_a_path_below_the_home_folder_is_shortened() -> None:
    assert words.short_path(HOME / "clawd" / "email.db") == "~/clawd/email.db"
    assert words.short_path(Path("/srv/email.db")) == "/srv/email.db"


def test_a_full_disk_is_named_as_what_pauses_the_history() -> None:
    assert words.history_paused("SQLITE_FULL").startswith("History paused: the disk is full.")
