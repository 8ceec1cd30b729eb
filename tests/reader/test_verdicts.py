"""Sound files are never reported as damaged, and rows are counted in the table itself."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import pytest

from dash_app.model.reading import Reading
from dash_app.reader import files
from dash_app.reader.counts import Budget
from dash_app.reader.errors import explain_error
from dash_app.reader.files import read_header, stat_files
from dash_app.reader.reader import Reader
from tests.airlock_helpers import ReaderProcess, open_airlock, public_folder, read, read_until, rows
from tests.harness import LiveWriter, make_database

pytestmark = pytest.mark.usefixtures("count_at_once")

OURS = sqlite3.sqlite_version
NEWER, OLDER = 3_099_001, 3_008_000


def run(path: Path, *statements: str) -> Path:
    """Run statements with collations and a function that only this connection has."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.create_collation("unicase", lambda left, right: (left > right) - (left < right))
        connection.create_collation("icu_root", lambda left, right: (left > right) - (left < right))
        connection.create_function("fold", 1, str, deterministic=True)
        for sql in statements:
            connection.execute(sql)
    return path


def schema_row(kind: str, name: str, sql: str, page: int = 0) -> Iterable[str]:
    """Statements that add a schema entry that this SQLite would reject."""
    quoted = sql.replace("'", "''")
    entry = f"VALUES ('{kind}', '{name}', '{name}', {page}, '{quoted}')"
    return ("PRAGMA writable_schema = ON", f"INSERT INTO sqlite_schema {entry}")


def set_writer_version(path: Path, version: int) -> None:
    """Set the SQLite version of the last writer (sqlite.org/fileformat2.html, offset 96)."""
    with path.open("r+b") as file:
        file.seek(96)
        file.write(version.to_bytes(4, "big"))


def count_by_index(path: Path, table: str) -> int:
    """Count as SQLite does by default: the entries of the smallest index."""
    with closing(sqlite3.connect(path)) as connection:
        rows: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return rows


def read_once(path: Path) -> Reading:
    with open_airlock(path) as airlock:
        return read(airlock)


def test_rows_are_counted_although_an_index_is_empty(tmp_path: Path) -> None:
    """Like libSQL's vector index for any other SQLite (tursodatabase/libsql issue 1819)."""
    path = make_database(tmp_path / "a.db", memories=400, few=7)
    run(
        path,
        "CREATE INDEX by_text ON memories (id) WHERE text IS NULL",
        "CREATE INDEX few_by_text ON few (id) WHERE text IS NULL",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, ' WHERE text IS NULL', '')",
    )
    assert count_by_index(path, "memories") == 0
    assert rows(read_once(path)) == {"memories": 400, "few": 7}


def test_rows_are_counted_although_an_index_lacks_some(tmp_path: Path) -> None:
    """As after a restore in benbjohnson/litestream issues 582 and 1164."""
    path = make_database(tmp_path / "a.db", messages=9000)
    run(
        path,
        "CREATE INDEX by_text ON messages (id) WHERE id > 4000",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, ' WHERE id > 4000', '')",
    )
    assert count_by_index(path, "messages") == 5000
    assert rows(read_once(path)) == {"messages": 9000}


@pytest.mark.parametrize(
    "key",
    [
        "name TEXT COLLATE unicase PRIMARY KEY",
        "name TEXT COLLATE unicase, other COLLATE icu_root, PRIMARY KEY (name, other)",
    ],
)
def test_tables_with_an_unknown_collation_are_counted(tmp_path: Path, key: str) -> None:
    """As in Anki and Plex (techouse/sqlite3-to-mysql issue 28, PlexPlaylistImporter issue 18)."""
    path = make_database(tmp_path / "a.db", notes=3)
    run(
        path,
        "CREATE INDEX by_text ON notes (text COLLATE icu_root)",
        f"CREATE TABLE tags ({key}) WITHOUT ROWID",
        "INSERT INTO tags (name) VALUES ('a'), ('b')"
        if "other" not in key
        else "INSERT INTO tags VALUES ('a', 1), ('b', 2)",
        "CREATE TABLE kinds (name TEXT COLLATE unicase UNIQUE)",
        "INSERT INTO kinds VALUES ('a')",
    )
    assert rows(read_once(path)) == {"notes": 3, "tags": 2, "kinds": 1}


def test_missing_extensions_affect_only_their_tables(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    run(
        path,
        "CREATE TABLE items (n, low AS (fold(n)), CHECK (fold(n) <> ''))",
        "INSERT INTO items (n) VALUES ('A')",
        "CREATE INDEX by_fold ON items (fold(n))",
        "CREATE VIEW folded AS SELECT fold(n) AS n FROM items",
        "CREATE VIRTUAL TABLE titles USING fts4(title)",
        "CREATE VIRTUAL TABLE found USING fts5(n, content = 'folded')",
        *schema_row("table", "near", "CREATE VIRTUAL TABLE near USING vec0(e float[3])"),
        "UPDATE sqlite_schema SET sql = 'CREATE VIRTUAL TABLE titles"
        " USING fts4(title, tokenize=icu_like)' WHERE name = 'titles'",
    )
    reading = read_once(path)
    assert reading.code is None
    assert {name: count.error for name, count in reading.tables.items() if count.error} == {
        "near": "needs the vec0 module",
        "titles": "needs the tokenizer icu_like",
        "found": "needs the function fold",
    }
    assert (reading.tables["agents"].rows, reading.tables["items"].rows) == (3, 1)


def test_a_damaged_virtual_table_affects_only_itself(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    run(
        path,
        "CREATE VIRTUAL TABLE places USING rtree(id, x0, x1)",
        "INSERT INTO places VALUES (1, 2, 3)",
        "PRAGMA writable_schema = ON",
        "UPDATE places_node SET data = x'00'",
    )
    reading = read_once(path)
    assert reading.code is None
    assert reading.tables["agents"].rows == 3
    assert reading.tables["places"].error == "its module finds its index damaged"


def test_a_database_without_countable_tables_reports_the_missing_extension(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    run(path, *schema_row("table", "near", "CREATE VIRTUAL TABLE near USING vec0(e float[3])"))
    reading = read_once(path)
    assert (reading.code, reading.detail) == ("needs_extension", {"what": "the vec0 module"})


@pytest.mark.parametrize(
    ("kind", "sql", "page"),
    [
        ("view", "CREATE VIEW entry AS SELECT group_concat(text ORDER BY id FROB) FROM mail", 0),
        ("table", "CREATE TABLE entry (n INTEGER) FROBBED", 2),
        ("index", "CREATE INDEX entry ON mail (id) WHERE id > 1__0x", 2),
    ],
)
def test_a_schema_of_a_newer_sqlite_is_not_damage(
    tmp_path: Path, kind: str, sql: str, page: int
) -> None:
    """As with STRICT, 1_000 or ORDER BY in an aggregate (sqlitebrowser issue 3409)."""
    path = run(make_database(tmp_path / "a.db", mail=3), *schema_row(kind, "entry", sql, page))
    set_writer_version(path, NEWER)
    with open_airlock(path) as airlock:
        assert read(airlock).detail == {"writer": "3.99.1", "ours": OURS}
        assert read(airlock).code == "unsupported"
        set_writer_version(path, OLDER)  # not newer, so only SQLite's own error is reported
        reading = read_until(airlock, lambda reading: reading.code != "unsupported")
    assert reading.code == "cannot_read"
    assert reading.detail["schema"]


@pytest.mark.parametrize("version", [OLDER, NEWER])
def test_a_view_that_names_an_attached_database_is_not_damage(tmp_path: Path, version: int) -> None:
    """As in pawelsalawa/letos issue 4982: it works only where db2 is attached."""
    path = make_database(tmp_path / "a.db", urls=3)
    run(path, *schema_row("view", "seen", "CREATE VIEW seen AS SELECT * FROM db2.urls"))
    set_writer_version(path, version)
    reading = read_once(path)
    assert reading.code == "cannot_read"
    assert reading.detail == {"schema": "view seen cannot reference objects in database db2"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sqlite_schema SET rootpage = 99",
        "UPDATE sqlite_schema SET sql = NULL",
        "INSERT INTO sqlite_schema SELECT * FROM sqlite_schema",
    ],
)
def test_a_schema_entry_without_its_page_or_text_is_damage(tmp_path: Path, statement: str) -> None:
    path = run(make_database(tmp_path / "a.db", agents=3), "PRAGMA writable_schema = ON", statement)
    set_writer_version(path, NEWER)
    assert read_once(path).code == "corrupt"


@pytest.mark.parametrize(
    "sql", ["SELECT zeroblob(2000000000)", "SELECT nothing()", "SELECT abs(-9223372036854775808)"]
)
def test_an_unknown_error_is_cannot_read_with_sqlites_text(tmp_path: Path, sql: str) -> None:
    files = stat_files(str(make_database(tmp_path / "a.db", agents=3)))
    with closing(sqlite3.connect(":memory:")) as memory, pytest.raises(sqlite3.Error) as caught:
        memory.execute(sql).fetchall()
    error = explain_error(caught.value, files, read_header(files))
    assert error.code == "cannot_read"
    assert error.detail == {"error": caught.value.sqlite_errorname, "text": str(caught.value)}


def test_an_error_that_is_not_sqlites_is_raised_again(tmp_path: Path) -> None:
    files = stat_files(str(make_database(tmp_path / "a.db", agents=3)))
    with pytest.raises(KeyError):
        explain_error(KeyError("our own bug"), files, read_header(files))


def test_a_name_in_an_error_that_is_not_utf8_is_not_damage(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", wal=False, agents=3)
    run(path, *schema_row("view", "zzzz", "CREATE VIEW zzzz AS SELECT * FROM db2.x"))
    path.write_bytes(path.read_bytes().replace(b"zzzz", b"zz\xff\xfe"))
    reading = read_once(path)
    assert reading.code == "cannot_read"
    assert "db2" in reading.detail["schema"]


def test_views_that_join_each_other_cost_no_time(tmp_path: Path) -> None:
    views = [f"CREATE VIEW v{n} AS SELECT a.x FROM v{n - 1} a, v{n - 1} b" for n in range(1, 40)]
    path = make_database(tmp_path / "a.db", agents=3)
    run(path, "CREATE VIEW v0 AS SELECT 1 AS x", *views)
    reading = read_once(path)
    assert rows(reading) == {"agents": 3}
    assert reading.objects is not None
    assert "view v39" in reading.objects


def test_a_path_that_is_too_long_is_cannot_read(tmp_path: Path) -> None:
    """SQLite opens paths of up to 512 bytes (os_unix.c, MAX_PATHNAME)."""
    folder = tmp_path
    for _ in range(5):
        folder /= "d" * 120
    make_database(tmp_path / "a.db", agents=3)
    folder.mkdir(parents=True)
    (tmp_path / "a.db").rename(folder / "a.db")
    reading = read_once(folder / "a.db")
    assert reading.code == "cannot_read"
    assert reading.detail["error"].startswith("SQLITE_CANTOPEN")


def test_a_path_through_a_link_that_may_not_be_read_is_permission_denied() -> None:
    """Like /proc/PID/root of another user's process, which leads to a container's files."""
    with public_folder() as folder:
        path = make_database(folder / "a.db", agents=3)
        through = f"/proc/{os.getpid()}/root{path}"
        with ReaderProcess(folder / through, nobody=os.geteuid() == 0) as reader:
            reading = reader.read()
            assert reading.code in ({"permission_denied"} if os.geteuid() == 0 else {None})


def zero_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(4096))


def text_over_it(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"<!DOCTYPE html><title>404</title>" * 20)


def odd_page_size(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(16)
        file.write(b"\0\3")


@pytest.mark.parametrize("overwrite", [zero_page, text_over_it, odd_page_size])
def test_a_file_that_was_never_read_is_not_a_database_rather_than_corrupt(
    tmp_path: Path, overwrite: Callable[[Path], None]
) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    overwrite(path)
    reading = read_once(path)
    assert reading.code == "not_a_database"
    assert reading.file is not None


def test_rows_of_a_live_database_are_counted_although_an_index_is_empty(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", memories=1500)
    run(
        path,
        "CREATE INDEX by_text ON memories (id) WHERE text IS NULL",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, ' WHERE text IS NULL', '')",
    )
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert writer.do("CREATE TABLE other (n)") == []
        assert rows(read(airlock)) == {"memories": 1500, "other": 0}


def test_damage_stays_until_the_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large table is counted in slices: its first ones may be sound."""
    path = make_database(tmp_path / "a.db", wal=False, agents=3000)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 4096)
        file.write(bytes(4096))
    monkeypatch.setattr(files, "GRANULARITY_NS", 1)
    reader = Reader(str(path), Budget(1, 2, 0.02))
    first = reader.read()
    assert first.code == "corrupt"
    second = reader.read()
    assert (second.code, second.read_at) == ("corrupt", first.read_at)
    shutil.copy(make_database(tmp_path / "b.db", wal=False, agents=2), path)
    assert reader.read().code is None


def noise_after_the_magic(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(16)
        file.write(random.Random(1).randbytes(4080))


def noise_after_a_plain_head(path: Path) -> None:
    """Like SQLCipher with `cipher_plaintext_header_size = 32`."""
    with path.open("r+b") as file:
        file.seek(32)
        file.write(random.Random(1).randbytes(4064))


def noise_after_the_header(path: Path) -> None:
    """Like SQLCipher with `cipher_plaintext_header_size = 96`, and 80 bytes at each page's end."""
    with path.open("r+b") as file:
        file.seek(20)
        file.write(b"\x50")
        file.seek(96)
        file.write(random.Random(1).randbytes(4000))


@pytest.mark.parametrize(
    "encrypt", [noise_after_the_magic, noise_after_a_plain_head, noise_after_the_header]
)
def test_noise_after_the_magic_is_not_a_newer_format(
    tmp_path: Path, encrypt: Callable[[Path], None]
) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    encrypt(path)
    assert read_once(path).code == "not_a_database"


@pytest.mark.parametrize("side", ["wal", "journal"])
def test_a_folder_in_place_of_a_side_file_is_not_a_disk_error(tmp_path: Path, side: str) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    path.with_name(f"a.db-{side}").mkdir()
    assert read_once(path).code == "cannot_read"


def test_side_files_that_cannot_exist_are_ignored(tmp_path: Path) -> None:
    long = make_database(tmp_path / "made.db", agents=3).rename(tmp_path / ("n" * 253))
    assert rows(read_once(long)) == {"agents": 3}
    path = make_database(tmp_path / "a.db", agents=3)
    path.with_name("a.db-wal").symlink_to("a.db-wal")
    assert rows(read_once(path)) == {"agents": 3}
