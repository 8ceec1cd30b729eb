"""SQLite files below a folder are found by content, and no other files are opened."""

import os
import socket
from pathlib import Path

import pytest

from dash_app.reader.discover import MAX_DEPTH, sqlite_files
from tests.airlock_helpers import FileEvents
from tests.harness import LiveWriter, make_database


def discover(folder: Path) -> list[str]:
    return [os.path.relpath(path, folder) for path in sqlite_files(str(folder))]


def test_files_are_found_by_content_and_sorted_within_each_folder(tmp_path: Path) -> None:
    for name in ("z.db", "a.sqlite3", "no extension", "deep/er/b.db"):
        make_database(tmp_path / name, agents=1)
    (tmp_path / "text.db").write_text("SQLite format 4")
    (tmp_path / "empty.db").touch()
    (tmp_path / "short.db").write_bytes(b"SQLite")
    assert discover(tmp_path) == ["a.sqlite3", "no extension", "z.db", "deep/er/b.db"]


def test_pipes_devices_and_broken_links_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_database(tmp_path / "a.db", agents=1)
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "device.db").symlink_to("/dev/zero")
    (tmp_path / "dangling.db").symlink_to("nowhere")
    (tmp_path / "circular.db").symlink_to("circular.db")
    (tmp_path / "round").symlink_to(tmp_path, target_is_directory=True)
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the path of a socket has at most 107 bytes
        server.bind("socket.db")
        with FileEvents(tmp_path) as spy:
            assert discover(tmp_path) == ["a.db"]
            assert spy.take() == {("opened", "a.db")}


def test_hidden_tool_and_very_deep_folders_are_skipped(tmp_path: Path) -> None:
    deepest = "/".join("d" * MAX_DEPTH)
    for folder in (".hidden", "node_modules/x", "venv", "__pycache__", deepest, f"{deepest}/d"):
        make_database(tmp_path / folder / "a.db", agents=1)
    assert discover(tmp_path) == [f"{deepest}/a.db"]


def test_a_missing_folder_contains_nothing(tmp_path: Path) -> None:
    assert discover(tmp_path / "nowhere") == []
    (tmp_path / "file").touch()
    assert discover(tmp_path / "file") == []


def test_discovery_changes_no_file_and_does_not_block_writers(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=1)
    with LiveWriter(path) as writer, FileEvents(tmp_path) as spy:
        assert writer.do("BEGIN IMMEDIATE") == []
        spy.take()
        assert discover(tmp_path) == ["a.db"]
        assert {event for event, _name in spy.take()} == {"opened"}
        assert writer.do("INSERT INTO agents (text) VALUES ('x')") == writer.do("COMMIT") == []
