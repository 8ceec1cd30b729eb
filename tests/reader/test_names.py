"""Paths and tables with awkward names, and the kinds of tables that are counted."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.airlock_helpers import open_airlock, read, read_exact, rows
from tests.factories import AWKWARD_TABLE_NAMES
from tests.harness import LiveWriter, make_database

pytestmark = pytest.mark.usefixtures("count_at_once")

PATHS = [
    "with space.db",
    "a?mode=rwc.db",
    "a#fragment.db",
    "100%25.db",
    "%00.db",
    "a&immutable=1.db",
    'quote\'s "n" back\\slash.db',
    "ünïcödé 🚀.db",
    "new\nline.db",
    ":memory:",
    "file:a.db",
    "-wal",
    os.fsdecode(b"latin\xe9.db"),
]


@pytest.mark.parametrize("name", PATHS)
def test_a_path_is_used_literally(tmp_path: Path, name: str) -> None:
    path = tmp_path / "deep?er #1%" / name
    make_database(tmp_path / "made.db", agents=3)
    path.parent.mkdir()
    (tmp_path / "made.db").rename(path)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert rows(read(airlock)) == {"agents": 3}
        assert writer.do("INSERT INTO agents (text) VALUES ('one more')") == []
        assert rows(read_exact(airlock)) == {"agents": 4}


def test_tables_with_any_name_are_counted(tmp_path: Path) -> None:
    expected = {name: count for count, name in enumerate(AWKWARD_TABLE_NAMES, start=1)}
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        for name, count in expected.items():
            quoted = name.replace('"', '""')
            connection.execute(f'CREATE TABLE "{quoted}" (x)')
            connection.executemany(f'INSERT INTO "{quoted}" VALUES (?)', [(1,)] * count)
        connection.commit()
    with open_airlock(tmp_path / "a.db") as airlock:
        assert rows(read(airlock)) == expected


def test_a_table_name_that_is_not_utf8_does_not_affect_other_tables(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", wal=False, agents=3, zzzz=2)
    path.write_bytes(path.read_bytes().replace(b"zzzz", b"zz\xff\xfe"))
    with open_airlock(path) as airlock:
        reading = read(airlock)
        assert reading.tables["zz\\xff\\xfe"].error == "its name is not UTF-8"
        assert rows(reading) == {"agents": 3, "zz\\xff\\xfe": None}
        assert not reading.total_complete
        assert reading.total_rows == 3


def test_a_missing_module_or_tokenizer_affects_only_its_table(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3, filler=1)
    with LiveWriter(path) as writer:
        for sql in (
            "PRAGMA writable_schema = ON",
            (
                "INSERT INTO sqlite_schema VALUES ('table', 'vectors', 'vectors', 0,"
                " 'CREATE VIRTUAL TABLE vectors USING vec0(embedding float[3])')"
            ),
            "CREATE VIRTUAL TABLE texts USING fts5(body)",
            (
                "UPDATE sqlite_schema SET sql = 'CREATE VIRTUAL TABLE texts"
                " USING fts5(body, tokenize=''unheard of'')' WHERE name = 'texts'"
            ),
        ):
            assert writer.do(sql) == []
    with open_airlock(path) as airlock:
        reading = read(airlock)
    assert reading.code is None
    errors = {name: count.error for name, count in reading.tables.items() if count.error}
    # Since SQLite 3.53, only a search needs the tokenizer, so the rows are counted.
    needs = "needs the tokenizer unheard"
    assert errors.pop("texts", needs) == needs
    assert errors == {"vectors": "needs the vec0 module"}
    assert reading.tables["agents"].rows == 3
    assert not reading.total_complete


def test_only_user_tables_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("""
            CREATE TABLE agents (id INTEGER PRIMARY KEY AUTOINCREMENT, name UNIQUE);
            INSERT INTO agents (name) VALUES ('one'), ('two');
            CREATE TABLE settings (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
            INSERT INTO settings VALUES ('a', 1), ('b', 2), ('c', 3);
            CREATE TABLE strict (n INTEGER) STRICT;
            CREATE VIEW everyone AS SELECT name FROM agents;
            CREATE VIRTUAL TABLE notes USING fts5(body);
            INSERT INTO notes VALUES ('hello'), ('there');
            CREATE VIRTUAL TABLE places USING rtree(id, x0, x1);
            CREATE INDEX by_name ON agents (name);
            ANALYZE;
        """)
    with open_airlock(path) as airlock:
        assert rows(read(airlock)) == {
            "agents": 2,
            "notes": 2,
            "places": 0,
            "settings": 3,
            "strict": 0,
        }


def test_a_thousand_tables_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        for number in range(1000):
            connection.execute(f"CREATE TABLE table_number_{number:04} (x)")
        connection.execute("COMMIT")
    with open_airlock(path) as airlock:
        reading = read_exact(airlock)
    assert len(reading.tables) == 1000
    assert reading.total_rows == 0


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_databases_in_any_encoding_are_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA encoding = '{encoding}'")
        connection.execute('CREATE TABLE "tâche 🚀" (x)')
    with open_airlock(path) as airlock:
        assert rows(read(airlock)) == {"tâche 🚀": 0}


def test_names_of_a_million_characters_are_cut_and_stay_distinct(tmp_path: Path) -> None:
    """Otherwise such a name would be in every response, and on every line of a CSV file."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        for end in "ab":
            connection.execute(f'CREATE TABLE "{"n" * 900_000}{end}" (x {"t" * 90_000})')
        connection.execute(f'INSERT INTO "{"n" * 900_000}b" VALUES (1)')
        connection.commit()
    with open_airlock(path) as airlock:
        reading = read_exact(airlock)
    assert set(rows(reading).values()) == {0, 1}
    assert all(name.startswith("n" * 1000 + "… (900001 characters, ") for name in reading.tables)
    assert reading.objects is not None
    assert len(json.dumps(dict(reading.objects))) < 20_000
