"""A reading reports the owners of the files, what denies access, and the last writer's SQLite."""

import os
import sqlite3
from pathlib import Path

import pytest

from tests.airlock_helpers import ReaderProcess, open_airlock, public_folder, read
from tests.harness import LiveWriter, make_database

OWN = os.geteuid()
OTHER = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another user")


def test_a_reading_has_the_owners_and_the_sqlite_version_of_the_last_writer(tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        writer.do("INSERT INTO messages (text) VALUES ('more')")
        reading = read(airlock)
    access = reading.surroundings.access
    assert access is not None
    assert access.owners == {"": OWN, "-wal": OWN, "-shm": OWN}
    assert access.blocked_by is None
    major, minor, patch = sqlite3.sqlite_version_info
    assert reading.sqlite_version == major * 1_000_000 + minor * 1_000 + patch


@as_root
def test_a_side_file_of_another_owner_is_reported(tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        writer.do("INSERT INTO messages (text) VALUES ('more')")
        os.chown(f"{path}-wal", OTHER, OTHER)
        access = read(airlock).surroundings.access
    assert access is not None
    assert access.owners == {"": OWN, "-wal": OTHER, "-shm": OWN}


@pytest.mark.parametrize("blocked_by", ["folder", "email.db"])
def test_the_first_folder_or_file_that_denies_access_is_reported(blocked_by: str) -> None:
    with public_folder() as folder:
        path = make_database(folder / "folder" / "email.db", messages=3)
        blocked = path.parent if blocked_by == "folder" else path
        blocked.chmod(0)
        with ReaderProcess(path, nobody=True) as reader:
            reading = reader.read()
        blocked.chmod(0o700)
    access = reading.surroundings.access
    assert reading.code == "permission_denied"
    assert access is not None
    assert access.blocked_by == str(blocked)
    assert access.blocked_by_folder == (blocked_by == "folder")


def test_a_missing_file_has_no_owner(tmp_path: Path) -> None:
    with open_airlock(tmp_path / "none" / "email.db") as airlock:
        access = read(airlock).surroundings.access
    assert access is not None
    assert access.owners == {}
    assert access.blocked_by is None
