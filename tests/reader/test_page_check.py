"""The page check finds damage that a reading does not see, and nothing else."""

import os
import random
import shutil
import sqlite3
import struct
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import Mock

import pytest

from dash_app.reader import connection, files, page_check, routes, short_reads, wal_index
from dash_app.reader.counts import Budget
from dash_app.reader.page_check import SCHEMA_ATTEMPTS, PageCheck
from dash_app.reader.reader import Reader
from dash_app.reader.short_reads import GiveUpError, Limits, ShortReads, TooLongError
from dash_app.reader.table_check import UNNAMED
from tests.harness import PATIENCE_SECONDS, LiveWriter, execute

PAGE_BYTES = 1024
WAYS = ("still", "in slices")
LIKE_EVENTS = ("events", "zeroed", "unindexed", "outdated", "entries")
SCHEMA = """
    PRAGMA page_size = 1024;
    PRAGMA journal_mode = WAL;
    CREATE TABLE texts (id TEXT PRIMARY KEY, body TEXT);
    CREATE TABLE keys (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
    CREATE TABLE blobs (name BLOB, PRIMARY KEY (name)) WITHOUT ROWID;
    CREATE TABLE falling (name TEXT, PRIMARY KEY (name DESC)) WITHOUT ROWID;
    CREATE TABLE words (word TEXT, lower AS (lower(word)));
    CREATE INDEX by_lower ON words (lower(word));
    CREATE VIRTUAL TABLE notes USING fts5(text);
    CREATE TABLE free (text TEXT);
"""
EVENTS = """
    CREATE TABLE {0} (id INTEGER PRIMARY KEY, who TEXT COLLATE NOCASE, "where" TEXT, n INTEGER);
    CREATE INDEX {0}_who ON {0} (who, "where" DESC);
    CREATE INDEX {0}_n ON {0} (n) WHERE n > 3 /* ) */ AND "where" != ') WHERE';
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 900)
    INSERT INTO {0} (who, "where", n) SELECT 'Agent ' || (n * 37 % 211), 'here', n % 9 FROM numbers;
"""
FILL = """
    INSERT INTO texts SELECT 'text ' || id, hex(zeroblob(1500)) FROM events LIMIT 20;
    INSERT INTO keys SELECT 'key ' || id, n FROM events LIMIT 200;
    INSERT INTO blobs SELECT CAST(name AS BLOB) FROM keys;
    INSERT INTO falling SELECT name FROM keys;
    INSERT INTO words (word) SELECT who FROM events LIMIT 100;
    INSERT INTO notes SELECT who FROM events LIMIT 100;
    INSERT INTO free SELECT hex(zeroblob(400)) FROM events LIMIT 300;
    DROP TABLE free;
"""
TABLES = {*LIKE_EVENTS, "texts", "keys", "blobs", "falling", "words"}


class Result(NamedTuple):
    damaged: dict[str, int]
    """The number of damaged pages by table."""
    notes: dict[str, str | None]
    """What was not compared, by table that was checked to its end."""
    messages: list[dict[str, Any]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page-check") / "template.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA + "".join(map(EVENTS.format, LIKE_EVENTS)) + FILL)
    return path


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(template, tmp_path / "a.db"))


@contextmanager
def prepared(way: str, path: Path) -> Iterator[None]:
    """A file that rests, or has a writer; and then tables too large for one statement."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(short_reads, "CONFIRM_SECONDS", 0.01)
        patch.setattr(page_check, "BUSY_SECONDS", 0.02)
        patch.setattr(short_reads, "BUSY_SECONDS", 0.02)
        patch.setattr(short_reads, "REST_FACTOR", 0)
        patch.setattr(short_reads, "LOWEST_PRIORITY", 0)
        patch.setattr(short_reads, "STILL_SECONDS", PATIENCE_SECONDS)
        patch.setattr(page_check, "STILL_SECONDS", PATIENCE_SECONDS)
        patch.setattr(page_check, "Limits", partial(Limits, live_seconds=PATIENCE_SECONDS))
        patch.setattr(routes, "CLOCK_STEP_SECONDS", 0)
        patch.setattr(files, "GRANULARITY_NS", 1)
        if way == "in slices":
            patch.setattr(page_check, "WHOLE_CHECKS", ())
        if way == "still":
            yield
            return
        with LiveWriter(path) as writer:
            assert writer.do("INSERT INTO keys VALUES ('new', 1)") == []
            yield


def check(path: Path, **request: Any) -> Result:
    messages: list[dict[str, Any]] = []
    request = {"path": str(path), "share": 1, "done": [], "progress": {}} | request
    PageCheck(request, messages.append, writes_denied=False).run()
    damaged = {m["damaged"]: m["pages"] for m in messages if "damaged" in m}
    return Result(damaged, {m["checked"]: m["note"] for m in messages if "checked" in m}, messages)


def test_a_busy_machine_delays_a_check_and_does_not_end_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its priority, a reading without locks may not have begun when its 2 s are over."""
    delays, read = iter(range(SCHEMA_ATTEMPTS - 1)), ShortReads.read

    def late(reads: ShortReads, work: Any, seconds: float | None = None) -> Any:
        if next(delays, None) is not None:
            raise TooLongError
        return read(reads, work, seconds)

    monkeypatch.setattr(ShortReads, "read", late)
    with prepared("still", path):
        result = check(path)
        assert (next(delays, None), result.damaged) == (None, {})
        assert result.notes
        delays = iter(range(SCHEMA_ATTEMPTS))  # of a schema that is too slow on any machine
        with pytest.raises(GiveUpError, match="its schema cannot be read"):
            check(path)


@pytest.mark.parametrize("way", WAYS)
def test_a_sound_database_has_no_damage(path: Path, way: str) -> None:
    with prepared(way, path):
        result = check(path)
    assert result.damaged == {}
    shadows = {name for name in result.notes if name.startswith("notes_")}
    assert result.notes.keys() == TABLES | shadows | {""}
    without_rowid = {"blobs", "falling"} if way == "in slices" else set()
    assert {name: note for name, note in result.notes.items() if note} == {
        "words": "expression index",
        **dict.fromkeys(without_rowid, "WITHOUT ROWID"),
    }
    (sizes,) = (message["bytes"] for message in result.messages if "bytes" in message)
    assert sizes["events"] > 9 * PAGE_BYTES
    assert result.messages[-1] == {"ended": True}


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.create_collation("mine", lambda left, right: (left > right) - (left < right))
        connection.execute("CREATE TABLE sorted (name TEXT COLLATE mine)")
        connection.execute("CREATE INDEX by_name ON sorted (name)")
        connection.execute("CREATE TABLE named__ (name)")
    path.write_bytes(path.read_bytes().replace(b"named__", b"named\xff\xfe"))
    with prepared("still", path):
        result = check(path)
    assert result.damaged == {}
    missing = "needs the collation mine"
    assert result.notes == {"": None, "sorted": missing, "named\\xff\\xfe": UNNAMED}


def read_page(path: Path, page: int) -> bytes:
    return path.read_bytes()[(page - 1) * PAGE_BYTES :][:PAGE_BYTES]


def write_page(path: Path, page: int, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES + offset)
        file.write(data)


def leaves(path: Path, name: str) -> list[int]:
    """Return the pages below the root of a table or index with two levels."""
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
        (root,) = connection.execute(sql, (name,)).fetchone()
    page = read_page(path, root)
    (cells,) = struct.unpack_from(">H", page, 3)
    offsets = struct.unpack_from(f">{cells}H", page, 12)
    return [struct.unpack_from(">I", page, offset)[0] for offset in offsets]


def damage_everything(path: Path) -> None:
    """Damage each table in its own way."""
    noise = random.Random(1)
    restore_old_index_leaves(path)
    insert = """INSERT INTO unindexed (n, "where") VALUES (8, 'x')"""
    insert_without_index(path, "unindexed_n", insert)
    write_page(path, leaves(path, "events")[2], 8, noise.randbytes(600))
    write_page(path, leaves(path, "zeroed")[2], 0, bytes(PAGE_BYTES))
    write_page(path, leaves(path, "entries_n")[2], 8, noise.randbytes(600))
    page = leaves(path, "keys")[1]
    write_page(path, page, read_page(path, page).index(b"key 1"), b"z")
    pages = range(1, path.stat().st_size // PAGE_BYTES + 1)
    overflow = [p for p in pages if read_page(path, p)[4:] == b"0" * (PAGE_BYTES - 4)]
    write_page(path, overflow[3], 0, struct.pack(">I", 1 << 20))
    (trunk,) = struct.unpack_from(">I", path.read_bytes(), 32)
    write_page(path, trunk, 4, struct.pack(">I", 60_000))


def restore_old_index_leaves(path: Path) -> None:
    """As if a disk had not written them: an index lacks a row written since."""
    before = {page: read_page(path, page) for page in leaves(path, "outdated_n")}
    execute(path, "UPDATE outdated SET n = 7 WHERE id = 450")
    for page, data in before.items():
        write_page(path, page, 0, data)


def insert_without_index(path: Path, index: str, insert: str) -> None:
    """As a bug of a writer: a new row is missing from an index."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = 1")
        sql = "SELECT * FROM sqlite_schema WHERE name = ?"
        row = connection.execute(sql, (index,)).fetchone()
        connection.execute("DELETE FROM sqlite_schema WHERE name = ?", (index,))
        connection.execute("PRAGMA schema_version = 1000")
    execute(path, insert)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", row)
        connection.execute("PRAGMA schema_version = 1001")


def by_length(left: str, right: str) -> int:
    return (len(left) > len(right)) - (len(left) < len(right)) or (left > right) - (left < right)


def make_in_own_order(path: Path) -> Path:
    """Let a program sort and compare in its own way, under names that SQLite has too."""
    with closing(sqlite3.connect(path)) as connection:
        connection.create_collation("NOCASE", by_length)
        connection.create_function("like", 2, lambda _pattern, text: text > "5", deterministic=True)
        connection.executescript("""
            PRAGMA journal_mode = WAL;
            CREATE TABLE keys (name TEXT, value);
            CREATE TABLE mine (name TEXT COLLATE NOCASE, n);
            CREATE INDEX mine_name ON mine (name);
            CREATE INDEX mine_some ON mine (n) WHERE name = '17';
            CREATE INDEX mine_like ON mine (n) WHERE name LIKE 'x%';
            CREATE TABLE my_keys (name TEXT COLLATE NOCASE PRIMARY KEY) WITHOUT ROWID;
            WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 300)
            INSERT INTO mine SELECT n, n FROM numbers;
            INSERT INTO my_keys SELECT name FROM mine;
        """)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return path


@pytest.mark.parametrize("way", WAYS)
def test_an_order_that_a_program_defines_is_not_damage(tmp_path: Path, way: str) -> None:
    """Many programs replace NOCASE by one for all letters, or LIKE by that of ICU."""
    path = make_in_own_order(tmp_path / "a.db")
    with prepared(way, path):
        result = check(path)
    assert result.damaged == {}
    own = "order by a collation of its program"
    assert result.notes["mine"] == f"expression index, {own}"
    execute(path, "DROP INDEX mine_some", "DROP INDEX mine_like")
    insert_without_index(path, "mine_name", "INSERT INTO mine VALUES ('18', 18)")
    with prepared(way, path):
        result = check(path)
    assert result.damaged == {"mine": 1}  # an entry is missing in any order


def test_damage_is_found_behind_a_hundred_messages_about_something_else(tmp_path: Path) -> None:
    """`integrity_check` lists no more, and first all of an index that only its program knows."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.create_function("upper", 1, lambda text: text * 2, deterministic=True)
        connection.executescript("""
            CREATE TABLE mine (name TEXT, n);
            CREATE INDEX mine_n ON mine (n);
            CREATE INDEX mine_upper ON mine (upper(name));
            WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 300)
            INSERT INTO mine SELECT n, n FROM numbers;
        """)
    with prepared("still", path):
        assert check(path).damaged == {}
        insert_without_index(path, "mine_n", "INSERT INTO mine VALUES ('18', 18)")
        assert check(path).damaged == {"mine": 1}


@pytest.mark.parametrize("way", WAYS)
def test_each_damage_is_found_in_its_table(path: Path, way: str) -> None:
    damage_everything(path)
    with prepared(way, path):
        result = check(path)
    assert result.damaged.keys() == {*LIKE_EVENTS, "texts", "keys", ""}
    assert min(result.damaged.values()) >= 1
    assert result.notes.keys() > TABLES


def test_a_reading_notices_that_a_file_ends_within_its_last_page(path: Path) -> None:
    def lacks_bytes() -> bool:
        reading = Reader(str(path), Budget(1, 2, 0.02)).read()
        assert reading.code is None
        return reading.lacks_bytes

    size_bytes = path.stat().st_size
    assert not lacks_bytes()
    os.truncate(path, size_bytes - 100)
    assert lacks_bytes()
    with LiveWriter(path) as writer:  # what the file lacks may be in its WAL
        assert writer.do("INSERT INTO keys VALUES ('new', 1)") == []
        assert not lacks_bytes()
        writer.do("PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(path, size_bytes + PAGE_BYTES + 100)  # such as of a transaction that was undone
    assert not lacks_bytes()
    write_page(path, 1, 92, bytes(4))  # as SQLite before 3.7.0, which did not keep the page count
    assert not lacks_bytes()


def test_a_writer_without_a_pause_is_left_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Mock(wraps=connection.connect)
    monkeypatch.setattr(short_reads, "connect", opened)
    monkeypatch.setattr(short_reads, "MAX_ATTEMPTS", 2)
    monkeypatch.setattr(wal_index, "BURST_COMMITS_PER_SECOND", 0.001)
    with prepared("live", path), LiveWriter(path) as writer:

        def commit(seconds: float) -> None:
            if seconds in {wal_index.BURST_SECONDS, short_reads.FIRST_BURST_SECONDS}:
                assert writer.do(f"INSERT INTO keys VALUES ('n{random.random()}', 1)") == []

        monkeypatch.setattr(time, "sleep", commit)
        with pytest.raises(GiveUpError, match="written without a pause"):
            check(path)
        opened.assert_not_called()
        monkeypatch.setattr(wal_index, "BURST_COMMITS_PER_SECOND", 1e6)
        assert check(path).damaged == {}
        opened.assert_called()
