"""Databases are found below folders and by patterns, in a process that may hang."""

import os
from pathlib import Path

import pytest

from dash_app.airlock.finder import Finder
from tests.harness import PATIENCE_SECONDS, make_database


def find(*, folders: tuple[Path, ...] = (), patterns: tuple[str, ...] = ()) -> Finder:
    finder = Finder({"folders": list(map(str, folders)), "patterns": list(patterns)})
    assert finder.wait(PATIENCE_SECONDS)
    return finder


def test_a_pattern_matches_files_without_leftovers_and_each_under_one_name(tmp_path: Path) -> None:
    make_database(tmp_path / "a" / "agent" / "m.sqlite", agents=1)
    other = tmp_path / "b" / "agent" / "m.sqlite"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"not a database")
    (other.parent / "x.sqlite").symlink_to(other)
    (other.parent / "m.bak.sqlite").touch()
    (other.parent / "folder.sqlite").mkdir()
    pattern, missing = f"{tmp_path}/*/agent/*.sqlite", f"{tmp_path}/[z]/*"
    finder = find(patterns=(pattern, missing))
    assert finder.is_complete
    assert finder.matches == {
        pattern: [str(tmp_path / "a" / "agent" / "m.sqlite"), str(other)],
        missing: [],
    }
    assert finder.counts == {pattern: 2, missing: 0}


def test_names_with_any_bytes_are_found(tmp_path: Path) -> None:
    names = {"a b.db", 'it\'s "x".db', "Ж.db", os.fsdecode(b"\xff.db"), "[*].db", "a\nb.db"}
    for name in names:
        make_database(tmp_path / name, agents=1)
    finder = find(folders=(tmp_path,), patterns=(f"{tmp_path}/*",))
    paths = {str(tmp_path / name) for name in names}
    assert {message["file"] for message in finder.files} == paths
    assert set(finder.matches[f"{tmp_path}/*"]) == paths


def test_a_failed_search_is_over_and_not_complete(capfd: pytest.CaptureFixture[str]) -> None:
    finder = Finder({"patterns": [1]})
    assert finder.wait(PATIENCE_SECONDS)
    assert not finder.is_complete
    assert "TypeError" in capfd.readouterr().err
