"""Causes, remedies, numbers and ages as people read them."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

from dash_app.model.database import Database
from dash_app.model.problem import ProblemCode
from dash_app.model.reading import ABSENCES, Code, LastGood
from dash_app.words import numbers
from dash_app.words.errors import NEVER_SEEN, TEXTS, VARIANTS, WordingContext, explain_error
from dash_app.words.history import history_paused
from dash_app.words.problems import BRIEFLY, REMEDIES, kind_in_brief

HOME = Path.home()
DATABASE = Database("email", "Email", HOME / "clawd" / "email.db")
CONTEXT = WordingContext(
    Path("~/.config/mission-control/config.toml"), "clawd", timedelta(seconds=5)
)
GOOD = LastGood(datetime(2026, 11, 23, tzinfo=UTC), 10_640, 7)

MAX_CAUSE, MAX_REMEDY = 150, 200
"""What fits on a card of a phone: three and four lines."""

VARIATIONS = [*((code, "") for code in get_args(Code)), *VARIANTS]
CASES = [(code, variant, seen) for code, variant in VARIATIONS for seen in (False, True)]
"""Each code, alone and with each detail that changes its text; before and after a good reading."""

HARMFUL = re.compile(r"aside|restore|recover|delete|remove|drop|overwrite", re.IGNORECASE)
CERTAIN = {"corrupt", "file_missing", "file_empty", "no_tables"}
"""Codes whose cause is certain enough for a remedy that replaces a file."""


def explain(code: Code, detail: dict[str, str], *, seen: bool = True) -> tuple[str, str]:
    return explain_error(code, detail, DATABASE, GOOD if seen else None, CONTEXT)


def explain_variant(code: Code, variant: str, *, seen: bool) -> tuple[str, str]:
    return explain(code, {variant: "7"} if variant else {}, seen=seen)


@pytest.mark.parametrize(("code", "variant", "seen"), CASES)
def test_each_code_has_a_short_cause_and_a_remedy(code: Code, variant: str, *, seen: bool) -> None:
    cause, remedy = explain_variant(code, variant, seen=seen)
    for text in (cause, remedy):
        assert text.endswith((".", "?"))
        assert not re.search(r"[{}]|please|oops|failed to|invalid| ago\b|None|Error\b", text)
    assert len(cause) < MAX_CAUSE
    assert len(remedy) < MAX_REMEDY


@pytest.mark.parametrize(("code", "variant", "seen"), CASES)
def test_only_a_certain_cause_has_a_remedy_that_replaces_a_file(
    code: Code, variant: str, *, seen: bool
) -> None:
    _, remedy = explain_variant(code, variant, seen=seen)
    has_sqlite_crashed = (code, variant) == ("reader_crashed", "")
    assert code in CERTAIN or has_sqlite_crashed or not HARMFUL.search(remedy)
    if "aside" in remedy:
        assert "`-wal`, `-shm` and `-journal`" in remedy
    if "recover" in remedy:
        assert re.search(r"[Cc]opy it with its `-wal`", remedy)


@pytest.mark.parametrize("texts", [NEVER_SEEN, TEXTS, VARIANTS])
def test_every_fact_of_a_reading_is_shown(texts: dict[object, tuple[str, str]]) -> None:
    for key, templates in texts.items():
        code, variant = key if isinstance(key, tuple) else (key, "")
        fields = {name for text in templates for _, name, _, _ in Formatter().parse(text) if name}
        detail = {variant: "yes"} if variant else {}
        detail |= {field: f"the {field}" for field in fields}
        shown = " ".join(explain(code, detail, seen=texts is not NEVER_SEEN))
        assert [field for field in fields if detail[field] not in shown] == []


@pytest.mark.parametrize("code", sorted(ABSENCES))
def test_a_missing_database_is_expected_only_until_tables_were_read(code: Code) -> None:
    assert "automatically" in explain(code, {}, seen=False)[1]
    assert "automatically" not in explain(code, {})[1]


@pytest.mark.parametrize("variant", [variant for code, variant in VARIANTS if code == "corrupt"])
def test_a_file_that_may_be_encrypted_is_restored_only_otherwise(variant: str) -> None:
    cause, remedy = explain("corrupt", {variant: "yes"})
    assert "encrypted" in cause
    assert "encrypted" in remedy


@pytest.mark.parametrize("code", ["cannot_read", "io_error", "not_responding", "permission_denied"])
def test_a_file_that_cannot_be_read_is_never_called_damaged(code: Code) -> None:
    cause, remedy = explain(code, {})
    assert "damage" not in cause
    assert not re.search(r"damage", remedy) or "No sign of damage" in remedy


@pytest.mark.parametrize("variant", [name for code, name in VARIANTS if code == "reader_crashed"])
def test_sqlite_is_blamed_only_if_it_crashed(variant: str) -> None:
    assert "SQLite" in explain("reader_crashed", {})[0]
    assert "SQLite" not in explain("reader_crashed", {variant: "x"})[0]


def test_paths_rows_and_formats_are_shown_as_people_know_them() -> None:
    assert "10,640 rows" in explain("file_empty", {})[0]
    assert "~/clawd" in explain("folder_missing", {})[0]
    assert "there was 1" in explain_error(
        "no_tables", {}, DATABASE, LastGood(GOOD.read_at, 3, 1), CONTEXT
    )[0]  # fmt: skip
    assert "Turso" in explain("unsupported", {"format": "255"})[0]
    assert "WAL2" in explain("unsupported", {"format": "3"})[0]
    assert "7" in explain("unsupported", {"format": "7"})[0]
    assert "Python" not in explain("unsupported", {"format": "3"})[1]


@pytest.mark.parametrize("code", get_args(ProblemCode))
def test_each_problem_has_a_brief_name(code: ProblemCode) -> None:
    brief, _ = BRIEFLY[code]
    assert 0 < len(brief) <= 28
    assert kind_in_brief(code) == brief


def test_only_codes_have_a_brief_name() -> None:
    assert BRIEFLY.keys() == set(get_args(ProblemCode))


def test_an_unknown_code_of_a_later_version_is_spelled_out() -> None:
    assert kind_in_brief("backup_late") == "backup late"


@pytest.mark.parametrize("remedy", REMEDIES.values())
def test_each_remedy_is_a_short_sentence(remedy: str) -> None:
    assert remedy.endswith(".")
    assert len(remedy) < MAX_REMEDY


def test_a_remedy_that_replaces_a_file_stops_its_writer_first() -> None:
    for kind, remedy in REMEDIES.items():
        if re.search(r"aside|restore", remedy):
            assert kind == "rows_dropped"
            assert remedy.index("stop its writer") < remedy.index("aside")
            assert remedy.index("`-wal` aside") < remedy.index("restore")


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
def test_numbers_have_an_english_format(shown: str, expected: str) -> None:
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
def test_an_age_has_one_unit_and_is_rounded_down(seconds: float, expected: str) -> None:
    assert numbers.ago(timedelta(seconds=seconds)) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(1.9, "after a moment"), (2, "after 2 s"), (61, "after 1 min")]
)
def test_something_is_over_after_a_moment_or_a_length(seconds: float, expected: str) -> None:
    assert numbers.after(timedelta(seconds=seconds)) == expected


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (0.5, "30 s"),
        (1, "minute"),
        (5, "5 min"),
        (60, "hour"),
        (90, "90 min"),
        (1440, "day"),
        (36 * 60, "36 h"),
        (2880, "2 d"),
    ],
)
def test_an_interval_is_shown_exactly_and_as_people_say_it(minutes: float, expected: str) -> None:
    assert numbers.every(timedelta(minutes=minutes)) == f"every {expected}"


def test_a_path_in_the_home_folder_is_shortened() -> None:
    assert numbers.short_path(HOME / "clawd" / "email.db") == "~/clawd/email.db"
    assert numbers.short_path(Path("/srv/email.db")) == "/srv/email.db"


def test_a_full_disk_is_the_reason_for_a_paused_history() -> None:
    assert history_paused("SQLITE_FULL").startswith("History paused: the disk is full.")


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (timedelta(hours=-23), "15:02 UTC"),
        (timedelta(hours=-25), "13:02 UTC on 31 Dec"),
        (timedelta(days=-60), "2 Nov"),
        (timedelta(days=-700), "31 Jan 2025"),
        (timedelta(hours=23), "13:02 UTC"),
        (timedelta(hours=60), "02:02 UTC on 4 Jan"),
        (timedelta(days=400), "5 Feb 2028"),
    ],
)
def test_a_time_is_as_precise_as_its_distance_needs(distance: timedelta, words: str) -> None:
    """A last write of two years ago, or the end of a weekend of quiet hours."""
    now = datetime(2027, 1, 1, 14, 2, tzinfo=UTC)
    assert numbers.clock(now + distance, now) == words
