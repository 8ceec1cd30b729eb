"""The words and numbers that people read, code by code."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest

from dash_app.model.database import Database
from dash_app.model.problem import Problem
from dash_app.model.reading import ABSENCES, Code, LastGood
from dash_app.words import numbers
from dash_app.words.errors import CODES_IN_BRIEF, WordingContext, explain_error
from dash_app.words.history import history_paused

HOME = Path.home()
DATABASE = Database("email", "Email", HOME / "clawd" / "email.db")
PLACE = WordingContext("~/.config/mission-control/config.toml", "clawd", 5.0)
GOOD = LastGood(datetime(2026, 11, 23, tzinfo=UTC), 10_640, 7)

DETAIL = {
    "not_a_file": [{"kind": "folder"}],
    "locked": [{}, {"holder": "node (pid 812)", "lock": "yes"}, {"writes": "yes"}],
    "not_a_database": [{}, {"was_read": "before"}],
    "unsupported": [
        {"ours": "3.40.1"},
        {"ours": "3.40.1", "writer": "3.54.1"},
        {"format": "3"},
        {"format": "255"},
        {"format": "7"},
    ],
    "corrupt": [{}, {"head": "overwritten"}],
    "cannot_read": [
        {},
        {"error": "SQLITE_TOOBIG", "text": "string or blob too big"},
        {"schema": 'near "frob": syntax error'},
    ],
    "needs_extension": [{}, {"what": "the vec0 module"}],
    "reader_crashed": [{}, {"memory": "256 MB"}, {"signal": "SIGKILL"}, {"bug": "KeyError"}],
}
"""What may come with a code; with any other code, nothing does."""

CASES = [
    (code, detail, seen)
    for code in get_args(Code)
    for detail in DETAIL.get(code, [{}])
    for seen in (False, True)
]
HARMFUL = re.compile(r"aside|restore|recover|delete|remove|drop", re.IGNORECASE)
MAY_HARM = {"corrupt", "file_missing", "file_empty", "no_tables"}
"""Codes whose cause is certain enough for a remedy that replaces a file."""


def said(code: Code, detail: dict[str, str], *, seen: bool = True) -> Problem:
    cause, remedy = explain_error(code, detail, DATABASE, GOOD if seen else None, PLACE)
    return Problem(code, "fault", GOOD.read_at, cause, remedy)


@pytest.mark.parametrize(("code", "detail", "seen"), CASES)
def test_each_code_has_a_cause_and_one_remedy_in_short_sentences(
    code: Code,
    detail: dict[str, str],
    seen: bool,  # noqa: FBT001
) -> None:
    fault = said(code, detail, seen=seen)
    for text in (fault.text, fault.remedy):
        assert text.endswith((".", "?"))
        assert not re.search(r"[{}]|please|oops|failed to|invalid| ago\b", text)
    assert len(fault.text) < 200
    assert code in CODES_IN_BRIEF


@pytest.mark.parametrize(("code", "detail", "seen"), CASES)
def test_a_remedy_that_replaces_a_file_stands_only_where_the_cause_is_certain(
    code: Code,
    detail: dict[str, str],
    seen: bool,  # noqa: FBT001
) -> None:
    fault = said(code, detail, seen=seen)
    is_certain = code in MAY_HARM or fault.text == "SQLite crashed while reading it."
    assert is_certain or not HARMFUL.search(fault.remedy)
    if "aside" in fault.remedy:
        assert "`-wal`, `-shm` and `-journal`" in fault.remedy


@pytest.mark.parametrize("code", sorted(ABSENCES))
def test_what_is_missing_is_calm_only_until_tables_were_read(code: Code) -> None:
    assert "automatically" in said(code, {}, seen=False).remedy
    assert "automatically" not in said(code, {}).remedy


def test_the_words_name_what_was_found() -> None:
    assert said("locked", {"holder": "node (pid 812)"}).text == "node (pid 812) has locked it."
    assert said("file_empty", {}).text == "The file was emptied: it held 10,640 rows."
    assert said("folder_missing", {}).text.startswith("Its folder ~/clawd is gone.")
    newer = said("unsupported", {"writer": "3.54.1", "ours": "3.40.1"}).text
    assert "3.54.1" in newer
    assert "3.40.1" in newer
    assert "MVCC format of Turso" in said("unsupported", {"format": "255"}).text
    assert "WAL2" in said("unsupported", {"format": "3"}).text
    assert "Python" not in said("unsupported", {"format": "3"}).remedy
    text = said("cannot_read", {"error": "SQLITE_TOOBIG", "text": "string or blob too big"}).text
    assert text == "SQLite can't read it: SQLITE_TOOBIG, string or blob too big."


@pytest.mark.parametrize("detail", DETAIL["reader_crashed"][1:])
def test_sqlite_is_said_to_crash_only_where_it_did(detail: dict[str, str]) -> None:
    fault = said("reader_crashed", detail)
    assert "SQLite crashed" not in fault.text
    assert next(iter(detail.values())) in fault.text


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (numbers.number(10_640), "10,640"),
        (numbers.short_number(9_999_999), "9,999,999"),
        (numbers.short_number(12_400_000), "12.4 M"),
        (numbers.plural(0, "row"), "0 rows"),
        (numbers.plural(1, "row"), "1 row"),
        (numbers.plural(12_345_678, "row"), "12.3 M rows"),
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
    assert numbers.ago(timedelta(seconds=seconds)) == expected


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(0.5, "30 s"), (5, "5 min"), (60, "1 h"), (90, "90 min"), (36 * 60, "36 h"), (2880, "2 d")],
)
def test_a_length_that_a_person_chose_is_told_exactly(minutes: float, expected: str) -> None:
    assert numbers.exact_duration(timedelta(minutes=minutes)) == expected


def test_a_path_below_the_home_folder_is_shortened() -> None:
    assert numbers.short_path(HOME / "clawd" / "email.db") == "~/clawd/email.db"
    assert numbers.short_path(Path("/srv/email.db")) == "/srv/email.db"


def test_a_full_disk_is_named_as_what_pauses_the_history() -> None:
    assert history_paused("SQLITE_FULL").startswith("History paused: the disk is full.")
