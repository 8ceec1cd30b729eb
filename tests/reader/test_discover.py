"""Finding SQLite files below a folder: by content, without being caught by what is no file."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from dash_app.reader.discover import MAX_DEPTH, sqlite_files
from tests.airlock_helpers import FileEvents
from tests.harness import LiveWriter, make_database


def found(folder: Path) -> list[str]:
    return [os.path.relpath(path, folder) for path in sqlite_files(str(folder))]


def test_files_are_known_by_content_and_sorted_within_each_folder(tmp_path: Path) -> None:
    for name in ("z.db", "a.sqlite3", "no extension", "deep/er/b.db"):
        make_database(tmp_path / name, agents=1)
    (tmp_path / "text.db").write_text("SQLite format 4")
    (tmp_path / "empty.db").touch()
    (tmp_path / "short.db").write_bytes(b"SQLite")
    assert found(tmp_path) == ["a.sqlite3", "no extension", "z.db", "deep/er/b.db"]


def test_what_is_no_readable_file_is_passed_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_database(tmp_path / "a.db", agents=1)
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "device.db").symlink_to("/dev/zero")
    (tmp_path / "dangling.db").symlink_to("nowhere")
    (tmp_path / "circular.db").symlink_to("circular.db")
    (tmp_path / "round").symlink_to(tmp_path, target_is_directory=True)
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the name of a socket has 107 bytes at most
        server.bind("socket.db")
        with FileEvents(tmp_path) as spy:
            assert found(tmp_path) == ["a.db"]
            assert spy.take() == {("opened", "a.db")}


def test_hidden_tool_and_very_deep_folders_are_left_out(tmp_path: Path) -> None:
    deepest = "/".join("d" * MAX_DEPTH)
    for folder in (".hidden", "node_modules/x", "venv", "__pycache__", deepest, f"{deepest}/d"):
        make_database(tmp_path / folder / "a.db", agents=1)
    assert found(tmp_path) == [f"{deepest}/a.db"]


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert found(tmp_path / "nowhere") == []
    (tmp_path / "file").touch()
    assert found(tmp_path / "file") == []


def test_looking_changes_nothing_and_disturbs_no_writer(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=1)
    with LiveWriter(path) as writer, FileEvents(tmp_path) as spy:
        assert writer.do("BEGIN IMMEDIATE") == []
        spy.take()
        assert found(tmp_path) == ["a.db"]
        assert {what for what, _name in spy.take()} == {"opened"}
        assert writer.do("INSERT INTO agents (text) VALUES ('x')") == writer.do("COMMIT") == []
