"""Only a write of content counts as a write; other reasons for a new file time do not."""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from dash_app.model.encoding import encode
from dash_app.model.reading import Reading
from dash_app.reader.counts import Budget
from dash_app.reader.reader import Reader
from dash_app.rules.writes import last_write
from dash_app.system.decoding import decode
from tests.airlock_helpers import open_airlock, read_exact
from tests.harness import LiveWriter, execute

HOUR = 3600
READ, ANALYZE, VACUUM = "SELECT count(*) FROM tasks", "ANALYZE", "VACUUM"
INSERT = "INSERT INTO tasks (text) VALUES ('x')"
UPDATE = "UPDATE tasks SET text = 'y' WHERE id = 7"
REPLICATE = "UPDATE _litestream_seq SET seq = seq + 1"
TASKS = "CREATE TABLE tasks (id INTEGER PRIMARY KEY, text TEXT)"
SEQ = "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)"
FILL = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
    " INSERT INTO tasks (text) SELECT 'a row' FROM n"
)


def make(path: Path, mode: str) -> Path:
    execute(path, f"PRAGMA journal_mode = {mode}", TASKS, FILL, SEQ)
    execute(path, "INSERT INTO _litestream_seq VALUES (1, 1)")
    return path


def make_older(path: Path) -> None:
    """Set the times of the files back by an hour."""
    for file in (path, path.with_name(f"{path.name}-wal")):
        if file.exists():
            os.utime(file, times=(file.stat().st_mtime - HOUR,) * 2)


class LastWrite:
    """The last write of a database, reading after reading, as in the service."""

    def __init__(self, path: Path, read: Callable[[], Reading]) -> None:
        self._read = read
        make_older(path)
        first = read()
        self._before = self._with_time(None, first)

    def _with_time(self, before: Reading | None, reading: Reading) -> Reading:
        written = replace(reading, last_modified=last_write(before, reading))
        return decode(Reading, encode(written))

    @property
    def last(self) -> datetime | None:
        return self._before.last_modified

    def has_changed(self) -> bool:
        """Whether content was written since the last call."""
        was = self.last
        self._before = self._with_time(self._before, self._read())
        return self.last != was


@pytest.fixture(params=["crashed", "open", "closed", "rollback"])
def kind(request: pytest.FixtureRequest) -> str:
    """The state in which the last writer left the database."""
    left: str = request.param
    return left


@pytest.fixture
def times(tmp_path: Path, kind: str) -> Iterator[tuple[Path, LastWrite]]:
    path = make(tmp_path / "a.db", "DELETE" if kind == "rollback" else "WAL")
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        if kind in {"crashed", "open"}:
            assert writer.do(INSERT) == []
        if kind != "open":
            writer.process.send_signal(signal.SIGKILL)
            writer.process.wait()
        yield path, LastWrite(path, lambda: read_exact(airlock))


@pytest.mark.parametrize("statements", [[READ], [ANALYZE], [VACUUM], [ANALYZE, VACUUM, READ]])
def test_reads_and_maintenance_are_not_writes(
    times: tuple[Path, LastWrite], statements: list[str]
) -> None:
    """A backup that closes last checkpoints the WAL: sqlitebrowser/sqlitebrowser issue 717."""
    path, last = times
    for statement in statements:
        execute(path, statement)
        assert not last.has_changed()
    assert not last.has_changed()


@pytest.mark.parametrize(
    "statement", [INSERT, UPDATE, "DELETE FROM tasks WHERE id = 9", "DROP TABLE tasks"]
)
def test_a_change_of_content_is_a_write(
    times: tuple[Path, LastWrite], kind: str, statement: str
) -> None:
    path, last = times
    execute(path, statement)
    # Closing a crashed database checkpoints it, which looks the same as an UPDATE.
    assert last.has_changed() or (kind, statement) == ("crashed", UPDATE)
    assert not last.has_changed()


@pytest.mark.parametrize("mode", ["PASSIVE", "RESTART", "TRUNCATE"])
def test_a_checkpoint_is_not_a_write(tmp_path: Path, mode: str) -> None:
    path = make(tmp_path / "a.db", "WAL")
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert writer.do(INSERT) == []
        last = LastWrite(path, lambda: read_exact(airlock))
        assert writer.do(f"PRAGMA wal_checkpoint({mode})")[0][0] == 0
        assert not last.has_changed()
        assert writer.do(UPDATE) == []
        assert last.has_changed()
        assert writer.do(f"PRAGMA wal_checkpoint({mode})")[0][0] == 0
        assert not last.has_changed()


def test_a_replicator_does_not_write(tmp_path: Path) -> None:
    """It writes its own table into an idle database: benbjohnson/litestream issues 896 and 422."""
    path = make(tmp_path / "a.db", "WAL")
    with LiveWriter(path) as replicator, LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert writer.do(INSERT) == []
        assert replicator.do(REPLICATE) == []
        last = LastWrite(path, lambda: read_exact(airlock))
        for _checkpoint in range(3):
            for _second in range(3):
                assert replicator.do(REPLICATE) == []
                assert not last.has_changed()
            assert replicator.do("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0
            assert replicator.do(REPLICATE) == []
            assert not last.has_changed()
        assert writer.do(UPDATE) == []
        assert replicator.do(REPLICATE) == []
        assert last.has_changed()
        assert replicator.do(REPLICATE) == []
        assert not last.has_changed()


def test_a_replicator_does_not_write_while_the_schema_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that is far too busy."""
    path = make(tmp_path / "a.db", "WAL")
    reader = Reader(str(path), Budget(1, 2, 0.02))
    with LiveWriter(path) as replicator, LiveWriter(path) as writer:
        assert writer.do("CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, x)") == []
        assert writer.do("INSERT INTO runs (x) VALUES (1)") == []
        assert replicator.do(REPLICATE) == []
        last = LastWrite(path, reader.read)
        with monkeypatch.context() as patch:
            patch.setattr("dash_app.reader.reader.read_schema", lambda *_: None)
            for _reading in range(2):
                assert replicator.do(REPLICATE) == []
                assert not last.has_changed()
        assert replicator.do(REPLICATE) == []
        assert not last.has_changed()
        assert writer.do(UPDATE) == []
        assert last.has_changed()


def test_a_transaction_that_is_rolled_back_is_not_a_write(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", "WAL")
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert writer.do(INSERT) == []
        last = LastWrite(path, lambda: read_exact(airlock))
        size_bytes = path.with_name("a.db-wal").stat().st_size
        for statement in ("PRAGMA cache_size = 1", "BEGIN", "UPDATE tasks SET text = hex(text)"):
            assert writer.do(statement) == []
        assert path.with_name("a.db-wal").stat().st_size > size_bytes
        assert writer.do("ROLLBACK") == []
        assert not last.has_changed()


def test_touching_a_file_in_rollback_mode_is_not_a_write(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", "DELETE")
    with open_airlock(path) as airlock:
        last = LastWrite(path, lambda: read_exact(airlock))
        path.touch()
        assert not last.has_changed()
        execute(path, UPDATE)
        assert last.has_changed()


def test_a_write_has_the_time_of_its_commit_not_of_its_checkpoint(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", "WAL")
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert writer.do(INSERT) == []
        make_older(path)
        committed_at = path.with_name("a.db-wal").stat().st_mtime
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA wal_checkpoint")
        last = last_write(None, read_exact(airlock))
        assert last is not None
        assert abs(last.timestamp() - committed_at) < 1
