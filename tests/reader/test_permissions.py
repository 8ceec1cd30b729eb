"""Whose the files are, what shuts us out, and which SQLite wrote them last."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from tests.airlock_helpers import LoneReader, public_folder, read, watching
from tests.harness import LiveWriter, make_database

OWN = os.geteuid()
OTHER = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another user")


def test_the_owner_of_each_file_and_the_version_of_its_writer(tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    with LiveWriter(path) as writer, watching(path) as airlock:
        writer.do("INSERT INTO messages (text) VALUES ('more')")
        reading = read(airlock)
    access = reading.surroundings.access
    assert access is not None
    assert access.owners == {"": OWN, "-wal": OWN, "-shm": OWN}
    assert access.blocked_by is None
    major, minor, patch = sqlite3.sqlite_version_info
    assert reading.sqlite_version == major * 1_000_000 + minor * 1_000 + patch


@as_root
def test_a_side_file_of_another_owner_is_told(tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    with LiveWriter(path) as writer, watching(path) as airlock:
        writer.do("INSERT INTO messages (text) VALUES ('more')")
        os.chown(f"{path}-wal", OTHER, OTHER)
        access = read(airlock).surroundings.access
    assert access is not None
    assert access.owners == {"": OWN, "-wal": OTHER, "-shm": OWN}


@pytest.mark.parametrize("closed", ["folder", "email.db"])
def test_the_first_thing_that_shuts_us_out_is_told(closed: str) -> None:
    with public_folder() as folder:
        path = make_database(folder / "folder" / "email.db", messages=3)
        shut = path.parent if closed == "folder" else path
        shut.chmod(0)
        with LoneReader(path, nobody=True) as reader:
            reading = reader.read()
        shut.chmod(0o700)
    access = reading.surroundings.access
    assert reading.code == "permission_denied"
    assert access is not None
    assert access.blocked_by == str(shut)
    assert access.blocked_by_folder == (closed == "folder")


def test_a_file_that_is_not_there_has_no_owner(tmp_path: Path) -> None:
    with watching(tmp_path / "none" / "email.db") as airlock:
        access = read(airlock).surroundings.access
    assert access is not None
    assert access.owners == {}
    assert access.blocked_by is None
