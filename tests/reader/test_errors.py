"""Each cause for which a database cannot be read has its own error code."""

import os
import random
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dash_app.reader.files import Files, FileStamp, UnreadableError, read_header, stat_files
from dash_app.reader.locks import write_lock_holder
from tests.airlock_helpers import ReaderProcess, open_airlock, public_folder, read, read_until, rows
from tests.harness import LiveWriter, make_database

pytestmark = pytest.mark.usefixtures("count_at_once")


def nothing(_path: Path) -> None:
    pass


def empty(path: Path) -> None:
    path.touch()


def without_tables(path: Path) -> None:
    make_database(path, gone=1)
    with LiveWriter(path) as writer:
        assert writer.do("DROP TABLE gone") == []
        assert writer.do("PRAGMA wal_checkpoint(TRUNCATE)") == [[0, 0, 0]]


def only_a_view(path: Path) -> None:
    with LiveWriter(path) as writer:
        assert writer.do("CREATE VIEW seen AS SELECT 1") == []


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def socket_file(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere.db"))


def circular(path: Path) -> None:
    path.symlink_to(path)


def another(path: Path) -> None:
    path.symlink_to(make_database(path.with_name("another.db"), agents=1))


def text(path: Path) -> None:
    path.write_text("coordination: none\n" * 1000)


def random_bytes(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(40_000))


def only_the_magic(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


def half(path: Path) -> None:
    make_database(path, agents=5000)
    os.truncate(path, path.stat().st_size // 2)


def garbage_after_the_header(path: Path) -> None:
    make_database(path, agents=5000)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(100)
        file.write(random.Random(2).randbytes(size - 100))


def read_version_3(path: Path) -> None:
    make_database(path, agents=3)
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\3\3")


def schema_format_9(path: Path) -> None:
    make_database(path, agents=3)
    with path.open("r+b") as file:
        file.seek(47)
        file.write(b"\x09")


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (nothing, "file_missing"),
        (dangling, "file_missing"),
        (circular, "file_missing"),
        (empty, "file_empty"),
        (without_tables, "no_tables"),
        (only_a_view, "no_tables"),
        (folder, "not_a_file"),
        (pipe, "not_a_file"),
        (socket_file, "not_a_file"),
        (device, "not_a_file"),
        (text, "not_a_database"),
        (random_bytes, "not_a_database"),
        (only_the_magic, "corrupt"),
        (half, "corrupt"),
        (garbage_after_the_header, "corrupt"),
        (read_version_3, "unsupported"),
        (schema_format_9, "unsupported"),
    ],
)
def test_each_cause_has_its_code_and_does_not_affect_other_databases(
    tmp_path: Path, make: Callable[[Path], None], code: str
) -> None:
    path = tmp_path / "a.db"
    make(path)
    well = make_database(tmp_path / "well.db", agents=7)
    with open_airlock(path, well) as airlock:
        reading = read(airlock)
        assert reading.code == code
        assert reading.total_rows is None
        assert not reading.tables
        assert rows(airlock.read(0.1)["1"]) == {"agents": 7}


@pytest.mark.parametrize(
    ("make", "kind"),
    [(folder, "folder"), (pipe, "pipe"), (socket_file, "socket"), (device, "device")],
)
def test_the_kind_of_a_path_that_is_not_a_file_is_reported(
    tmp_path: Path, make: Callable[[Path], None], kind: str
) -> None:
    make(tmp_path / "a.db")
    with open_airlock(tmp_path / "a.db") as airlock:
        assert read(airlock).detail == {"kind": kind}


@pytest.mark.parametrize("path", ["gone/a.db", "gone/deeper/a.db", "file/a.db"])
def test_the_first_missing_folder_above_a_missing_file_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    with open_airlock(tmp_path / path) as airlock:
        reading = read(airlock)
    first = tmp_path / path.partition("/")[0]
    assert (reading.code, reading.detail) == ("folder_missing", {"missing": str(first)})


@pytest.mark.parametrize("unreadable", ["a.db", "a.db-wal", "."])
def test_an_unreadable_file_wal_or_folder_is_permission_denied(unreadable: str) -> None:
    with public_folder() as folder:
        path = make_database(folder / "private" / "a.db", agents=3)
        with LiveWriter(path) as writer, ReaderProcess(path, nobody=True) as reader:
            writer.do("INSERT INTO agents (text) VALUES ('one more')")
            for file in path.parent.iterdir():
                file.chmod(0o644)
            path.parent.chmod(0o755)
            assert rows(reader.read()) == {"agents": 4}
            target = path.parent / unreadable
            target.chmod(0o000)
            assert reader.read().code == "permission_denied"
            target.chmod(0o755)
            assert rows(reader.read()) == {"agents": 4}


def test_a_table_with_a_damaged_page_makes_the_file_corrupt(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=5000, tasks=3)
    with open_airlock(path) as airlock:
        assert rows(read(airlock)) == {"agents": 5000, "tasks": 3}
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 4096)
        assert read_until(airlock, lambda reading: reading.code is not None).code == "corrupt"


@pytest.mark.parametrize("how", ["emptied first", "in place", "head last"])
def test_a_copy_in_progress_is_not_damage(tmp_path: Path, how: str) -> None:
    """`cp` empties the file, `rsync --inplace` does not, and a restore may write the end first."""
    path = make_database(tmp_path / "a.db", agents=3000)
    data = make_database(tmp_path / "copy.db", agents=4000).read_bytes()
    half = len(data) // 8192 * 4096
    parts = ((0, half), (half, len(data)))
    with open_airlock(path) as airlock:
        assert rows(read(airlock)) == {"agents": 3000}
        if how == "head last":
            path.unlink()
            path.touch()
        with path.open("r+b", buffering=0) as file:
            if how == "emptied first":
                file.truncate(0)
            for number, (start, end) in enumerate(parts[::-1] if how == "head last" else parts):
                file.seek(start)
                file.write(data[start:end])
                reading = read(airlock)
                is_first = number == 0
                assert (reading.wait_reason == "writes") == is_first, reading
                assert reading.code in ({None, "locked"} if is_first else {None})
        assert rows(read_until(airlock, lambda reading: reading.total_rows != 3000)) == {
            "agents": 4000
        }


def test_a_copy_that_stops_halfway_or_takes_too_long_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_database(tmp_path / "a.db", agents=3000)
    with open_airlock(path) as airlock:
        read(airlock)
        os.truncate(path, path.stat().st_size // 8192 * 4096)
        assert read(airlock).code is None
        os.utime(path, times=(time.time() + 1,) * 2)  # written during the reading
        assert read(airlock).code is None
        with monkeypatch.context() as patched:
            patched.setattr("dash_app.airlock.airlock.LOCKED_SECONDS", 0.0)
            assert read(airlock).code == "corrupt"
    with open_airlock(path) as airlock:
        assert read(airlock).code == "corrupt"


def test_a_failed_reading_has_the_facts_from_stat_and_header(tmp_path: Path) -> None:
    garbage_after_the_header(tmp_path / "a.db")
    with open_airlock(tmp_path / "a.db") as airlock:
        reading = read(airlock)
    assert reading.size_bytes == (tmp_path / "a.db").stat().st_size
    assert reading.wal_bytes == 0
    assert reading.journal_mode == "wal"
    assert reading.last_modified is not None


def test_a_file_time_beyond_the_calendar_is_unknown() -> None:
    stamp = FileStamp(1, 2, 4096, mtime_ns=10**21, ctime_ns=0)
    now = datetime.now(UTC)
    assert Files("a.db", stamp, None, None).reading(now).last_modified is None
    known = Files("a.db", stamp._replace(mtime_ns=0), None, None)
    assert known.reading(now).last_modified is not None


@pytest.mark.parametrize("swap", [pipe, device, another, dangling, nothing])
def test_a_file_swapped_after_stat_is_not_opened(
    tmp_path: Path, swap: Callable[[Path], None]
) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    files = stat_files(str(path))
    path.unlink()
    swap(path)
    with pytest.raises(UnreadableError):
        read_header(files)
    assert write_lock_holder(files) is None
