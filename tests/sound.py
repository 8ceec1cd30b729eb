"""Sound databases in random formats: page sizes, reserved bytes, pointer maps, kinds of tables."""

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

PAGE_SIZES = [512 << power for power in range(8)]
ENCODINGS = ("UTF-8", "UTF-8", "UTF-16le", "UTF-16be")
RESERVED_BYTES = (0, 0, 0, 8, 32)

SCHEMA = """
    CREATE TABLE events (id INTEGER PRIMARY KEY, who TEXT, score REAL, body, note);
    CREATE INDEX by_who ON events (who COLLATE NOCASE, score DESC);
    CREATE INDEX by_body ON events (body) WHERE note IS NOT NULL;
    CREATE INDEX by_length ON events (length(note));
    CREATE TABLE pairs (a, b, note, PRIMARY KEY (a, b DESC)) WITHOUT ROWID;
    CREATE INDEX by_note ON pairs (note);
    CREATE TABLE far (value);
    CREATE TABLE gone (value TEXT);
    CREATE VIRTUAL TABLE texts USING fts5(body);
    CREATE VIRTUAL TABLE older USING fts4(body);
    CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1, y0, y1);
"""


def make_sound(path: Path, seed: int, rows: int) -> Path:
    """Make a closed database whose format depends on the seed: the page size, and the rest."""
    random = Random(seed)
    page_bytes = PAGE_SIZES[seed % len(PAGE_SIZES)]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {page_bytes}")
        connection.execute(f"PRAGMA auto_vacuum = {random.randrange(3)}")
        connection.execute(f"PRAGMA encoding = '{random.choice(ENCODINGS)}'")
        connection.execute("PRAGMA user_version = 1")  # writes the first page
    _reserve(path, page_bytes, random.choice(RESERVED_BYTES))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA journal_mode = {random.choice(('DELETE', 'WAL'))}")
        connection.executescript(SCHEMA)
        _fill(connection, random, rows)
        _change(connection, random, rows)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], (path, seed)
    return path


def _reserve(path: Path, page_bytes: int, reserved: int) -> None:
    """Reserve bytes at the end of each page, as extensions of SQLite do, in an empty database."""
    data = bytearray(path.read_bytes())
    content = page_bytes - reserved
    data[20], data[105:107] = reserved, (content % 65536).to_bytes(2, "big")
    path.write_bytes(data)


def _fill(connection: sqlite3.Connection, random: Random, rows: int) -> None:
    def text(most: int) -> str:
        return "".join(random.choices("abcde é€", k=random.randrange(most)))

    def value() -> object:
        kinds = (None, random.randrange(-(2**63), 2**63), random.random(), text(40), b"x" * 30)
        return random.choice((*kinds, 0, 1, random.randrange(-300, 70000)))

    connection.execute("BEGIN")
    for number in range(rows):
        large = random.choice((20, 60, 400, 60)) if number % 50 else random.choice((5000, 90000))
        row = (text(20), random.random(), value(), text(large))
        connection.execute("INSERT INTO events (who, score, body, note) VALUES (?, ?, ?, ?)", row)
        pair = (value() or 0, number, text(large) if number % 3 else None)
        connection.execute("INSERT INTO pairs VALUES (?, ?, ?)", pair)
        far = (random.randrange(-(2**63), 2**63), value())
        connection.execute("INSERT OR IGNORE INTO far (rowid, value) VALUES (?, ?)", far)
        connection.execute("INSERT INTO gone VALUES (?)", (text(300),))
        if number % 5 == 0:
            connection.execute("INSERT INTO texts VALUES (?)", (text(200),))
            connection.execute("INSERT INTO older VALUES (?)", (text(200),))
            box = (number, number, number + 1, 0, random.random())
            connection.execute("INSERT INTO boxes VALUES (?, ?, ?, ?, ?)", box)
    connection.execute("COMMIT")


CHANGES = (
    "DROP TABLE gone",
    "ALTER TABLE events ADD COLUMN late DEFAULT 7",
    "INSERT INTO far (value) SELECT note FROM pairs",
    "PRAGMA incremental_vacuum(20)",
    "ANALYZE",
    "REINDEX",
    "VACUUM",
)
"""Some of the ways in which databases change."""


def _change(connection: sqlite3.Connection, random: Random, rows: int) -> None:
    connection.execute("DELETE FROM events WHERE id % 3 = 0 OR id < ?", (rows // 4,))
    connection.execute("UPDATE events SET note = substr(note, 2), who = who || 'x' WHERE id % 2")
    connection.execute("DELETE FROM pairs WHERE b % 5 = 0")
    connection.execute("DELETE FROM gone WHERE rowid % 9")
    connection.execute("INSERT INTO texts (texts) VALUES ('optimize')")
    for change in random.sample(CHANGES, random.randrange(len(CHANGES))):
        connection.execute(change)
