"""Damaged and hostile files affect only their own card, and memory stays bounded."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from dash_app.airlock.child_process import Limits
from dash_app.model.reading import Reading
from dash_app.reader.protocol import MAX_DATA_BYTES
from dash_app.reader.schema import MAX_NAME_CHARACTERS, MAX_OBJECTS_CHARACTERS
from tests.airlock_helpers import open_airlock, read, rows
from tests.fuzz import fuzz, image_of, keep, summary
from tests.harness import PATIENCE_SECONDS, make_database
from tests.images import originals

FEED = """
    CREATE TABLE fine (a);
    INSERT INTO fine VALUES (1);
    CREATE VIEW feed AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)
        SELECT id, {body} AS body FROM n;
    CREATE VIRTUAL TABLE texts USING fts5(body, content=feed, content_rowid=id);
"""
"""A full-text index over an endless view: counting its rows reads the whole view."""


def test_a_hundred_damaged_images_break_no_promise(tmp_path: Path) -> None:
    report = fuzz(100, 2, tmp_path)
    assert not report.broken, summary(report, 0)
    assert report.images == 100
    assert report.codes["read"] > 20
    assert report.codes["corrupt"] > 10


def test_a_broken_promise_keeps_its_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.MAX_PEAK_MEGABYTES", 1)
    report = fuzz(3, 2, tmp_path)
    assert [images for images, _promise in report.broken] == [range(3)]
    keep(report, 2, tmp_path / "kept")
    kept = {path.name for path in (tmp_path / "kept").glob("*.db")}
    assert kept == {"2-0.db", "2-1.db", "2-2.db"}


def test_images_are_reproducible(tmp_path: Path) -> None:
    first, second = (originals(tmp_path / name) for name in ("first", "second"))
    assert first == second
    assert len({image_of(seed, 7, first)[""] for seed in range(20)}) > 15


def test_every_original_is_valid(tmp_path: Path) -> None:
    for number, image in enumerate(originals(tmp_path / "valid")):
        path = tmp_path / f"{number}.db"
        for suffix, data in image.items():
            path.with_name(path.name + suffix).write_bytes(data)
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            made = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name GLOB 't[0-9]'")
            assert made.fetchone()[0] == ("-wal" in image or image[""][18] == 2)


def make(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def read_with_neighbour(path: Path, table_seconds: float = 10.0) -> Reading:
    """Read a hostile database once, together with a healthy one."""
    neighbour = make_database(path.with_name("well.db"), agents=7)
    with open_airlock(path, neighbour, limits=Limits(30.0, table_seconds)) as airlock:
        readings = airlock.read(PATIENCE_SECONDS)
        assert rows(readings["1"]) == {"agents": 7}
    return readings["0"]


def test_a_table_that_needs_too_much_memory_crashes_only_its_reader(tmp_path: Path) -> None:
    assert MAX_DATA_BYTES < 400_000_000
    path = make(tmp_path / "a.db", FEED.format(body="hex(zeroblob(400000000))"))
    assert path.stat().st_size < 50_000
    assert read_with_neighbour(path).code == "reader_crashed"


def test_an_endless_table_is_not_counted(tmp_path: Path) -> None:
    reading = read_with_neighbour(make(tmp_path / "a.db", FEED.format(body="'x'")), 0.25)
    assert rows(reading) == {"fine": 1, "texts": None}


def test_invalid_sequences_are_ignored(tmp_path: Path) -> None:
    others = ("NULL", "'text'", "x'00ff'", "9e999", "1.5", "9223372036854775808")
    tables = "".join(
        f"CREATE TABLE t{n} (id INTEGER PRIMARY KEY AUTOINCREMENT);"
        f"INSERT INTO sqlite_sequence VALUES ('t{n}', {value});"
        for n, value in enumerate(("9223372036854775807", *others))
    )
    strangers = """
        INSERT INTO sqlite_sequence VALUES (NULL, 1), (x'7430', 2), (CAST(x'ff' AS TEXT), 3);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000)
            INSERT INTO sqlite_sequence SELECT 'stranger ' || i, i FROM n;
    """
    reading = read_with_neighbour(make(tmp_path / "a.db", tables + strangers))
    assert reading.sequences == {"t0": 9223372036854775807}


def test_a_huge_schema_is_not_compared(tmp_path: Path) -> None:
    columns = ", ".join(f"c{number}" for number in range(1900))
    names = [letter * MAX_NAME_CHARACTERS for letter in "tuv"]
    tables = "CREATE TABLE fine (a);" + "".join(f"CREATE TABLE {n} ({columns});" for n in names)
    reading = read_with_neighbour(make(tmp_path / "a.db", tables))
    assert (tmp_path / "a.db").stat().st_size < 100_000
    assert MAX_OBJECTS_CHARACTERS < 3 * 1900 * MAX_NAME_CHARACTERS
    assert reading.objects is None
    assert set(rows(reading)) == {"fine", *names}


def test_a_large_schema_is_read(tmp_path: Path) -> None:
    columns = ", ".join(f"column_{number} TEXT" for number in range(20))
    tables = "".join(f"CREATE TABLE table_{number} ({columns});" for number in range(300))
    with open_airlock(make(tmp_path / "a.db", f"BEGIN; {tables} COMMIT;")) as airlock:
        reading = read(airlock)
    assert rows(reading) == {f"table_{number}": 0 for number in range(300)}
    assert reading.objects is not None
    assert len(reading.objects) == 300 * 21


@pytest.mark.parametrize(("kind", "table"), [("NULL", "'fine'"), ("'table'", "NULL")])
def test_an_incomplete_row_of_the_schema_is_ignored(tmp_path: Path, kind: str, table: str) -> None:
    index = "CREATE TABLE fine (a); CREATE INDEX by_a ON fine (a); PRAGMA writable_schema = ON;"
    again = f"SELECT {kind}, name, {table}, rootpage, NULL FROM sqlite_schema WHERE name = 'by_a'"
    path = make(tmp_path / "a.db", f"{index} INSERT INTO sqlite_schema {again};")
    reading = read_with_neighbour(path)
    assert rows(reading) == {"fine": 0}
    assert reading.objects is not None
    assert "column fine.a" in reading.objects


@pytest.mark.parametrize(
    "command", ["exec yes", "exec cat /dev/zero", "exec yes '{}'", "exec yes '[1]'"]
)
def test_a_child_that_breaks_the_protocol_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    broken = tmp_path / "python"
    broken.write_text(f"#!/bin/sh\n{command}\n")
    broken.chmod(0o755)
    with open_airlock(path) as airlock:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(broken))
            assert airlock.read(0.5) == {}
        assert rows(read(airlock)) == {"agents": 3}
