"""Images of databases: valid originals in many formats, and damaged copies of them.

An image depends only on its seed: the salts of a WAL, which SQLite draws at random, are fixed.
"""

import shutil
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from random import Random

Image = dict[str, bytes]
"""The contents of a database's files by suffix: "", "-wal" and "-shm"."""

SUFFIXES = ("", "-wal", "-shm")
WAL_HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24

PLAIN = """
    CREATE TABLE agents (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, notes BLOB);
    CREATE INDEX by_name ON agents (name) WHERE notes IS NOT NULL;
    CREATE INDEX by_length ON agents (length(notes));
    CREATE TABLE pairs (a, b, note, PRIMARY KEY (a, b)) WITHOUT ROWID;
    CREATE TABLE made (a INTEGER, b AS (a * 2) STORED, c TEXT AS (hex(a)), CHECK (a >= 0));
    CREATE VIEW named AS SELECT name FROM agents;
    CREATE TRIGGER forget AFTER DELETE ON agents BEGIN DELETE FROM pairs WHERE a = old.id; END;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 150)
        INSERT INTO agents (name, notes) SELECT 'agent ' || i, zeroblob(i * 7 % 900) FROM n;
    INSERT INTO agents (name, notes) VALUES ('overflowing', zeroblob(20000));
    INSERT INTO pairs SELECT id, id % 7, name FROM agents;
    INSERT INTO made (a) SELECT id FROM agents;
    DELETE FROM agents WHERE id BETWEEN 20 AND 90;
    ANALYZE;
"""
VIRTUAL = """
    CREATE VIRTUAL TABLE texts USING fts5(body);
    CREATE VIRTUAL TABLE older USING fts4(body);
    CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1, y0, y1);
    CREATE VIRTUAL TABLE mirror USING fts5(name, content=agents, content_rowid=id);
    INSERT INTO texts SELECT name || ' with some words' FROM agents;
    INSERT INTO older SELECT name FROM agents;
    INSERT INTO boxes SELECT id, id, id + 1, 0, id FROM agents;
"""
FORMATS = {
    "page_size = 512": PLAIN,
    "page_size = 1024": PLAIN,
    "page_size = 4096": PLAIN + VIRTUAL,
    "page_size = 65536": PLAIN,
    "auto_vacuum = FULL": PLAIN,
    "auto_vacuum = INCREMENTAL": PLAIN + VIRTUAL,
    "encoding = 'UTF-16le'": PLAIN,
}
"""The SQL that fills a database, by the pragma that sets its format."""

COMMIT = "INSERT INTO agents (name) VALUES ('one more'); CREATE TABLE t{0} (a); DROP TABLE pairs"


def originals(folder: Path) -> list[Image]:
    """Make each format with a rollback journal and with a WAL, closed and as after a crash."""
    images = []
    folder.mkdir()
    for number, (pragma, script) in enumerate(FORMATS.items()):
        path = folder / f"{number}.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript(f"PRAGMA {pragma}; {script}")
        images.append(_image(path))
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(COMMIT.format(number))
            crashed = _image(path)
        without_index = {s: data for s, data in crashed.items() if s != "-shm"}
        images += [_image(path), crashed, without_index]
    shutil.rmtree(folder)
    return images


def _image(path: Path) -> Image:
    files = {suffix: path.with_name(path.name + suffix) for suffix in SUFFIXES}
    image = {suffix: file.read_bytes() for suffix, file in files.items() if file.exists()}
    return sealed(image)


def sealed(image: Image) -> Image:
    """Return an image whose WAL has fixed salts and valid checksums, so that SQLite accepts it.

    Its index is blank: without a writer's lock, SQLite rebuilds it.
    """
    if "-shm" in image:
        image = {**image, "-shm": bytes(len(image["-shm"]))}
    wal = bytearray(image.get("-wal", b""))
    if len(wal) < WAL_HEADER_BYTES:
        return image
    order = ">" if wal[3] & 1 else "<"
    wal[16:24] = b"saltsalt"
    sums = _checksum(order, wal[:24], (0, 0))
    wal[24:32] = struct.pack(">II", *sums)
    size = FRAME_HEADER_BYTES + (int.from_bytes(wal[8:12], "big") & 0x1FFFF)
    for start in range(WAL_HEADER_BYTES, len(wal) - size + 1, size):
        wal[start + 8 : start + 16] = b"saltsalt"
        sums = _checksum(order, wal[start : start + 8] + wal[start + 24 : start + size], sums)
        wal[start + 16 : start + 24] = struct.pack(">II", *sums)
    return {**image, "-wal": bytes(wal)}


def _checksum(order: str, data: bytes | bytearray, sums: tuple[int, int]) -> tuple[int, int]:
    """Return the running checksum of a WAL (sqlite.org/fileformat2.html#walcksm)."""
    first, second = sums
    for one, other in struct.iter_unpack(f"{order}II", data[: len(data) // 8 * 8]):
        first = first + one + second & 0xFFFFFFFF
        second = second + other + first & 0xFFFFFFFF
    return first, second


def damaged(original: Image, random: Random) -> Image:
    """Return an image damaged in one to three ways, each in one of its files."""
    image = dict(original)
    for _damage in range(random.randint(1, 3)):
        suffix = random.choice(sorted(image))
        data = bytearray(image[suffix])
        if data:
            random.choice(DAMAGES)(data, random)
            image[suffix] = bytes(data)
    return sealed(image) if random.random() < 0.5 else image


def _flip(data: bytearray, random: Random) -> None:
    for _byte in range(random.choice((1, 1, 4, 16, 64))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _flip_near_the_start(data: bytearray, random: Random) -> None:
    """Damage the header, the schema's page and the pointers to its cells."""
    for _byte in range(random.choice((1, 2, 8))):
        data[random.randrange(min(len(data), 200))] = random.choice((0, 1, 2, 127, 128, 254, 255))


def _write_large_numbers(data: bytearray, random: Random) -> None:
    """Overwrite a possible size, page number or pointer with the largest possible number."""
    start = random.randrange(len(data))
    for at in range(start, min(start + random.choice((1, 4, 9)), len(data))):
        data[at] = random.choice((0x7F, 0xFF))


def _swap_blocks(data: bytearray, random: Random) -> None:
    size = min(_block_bytes(random), len(data))
    one, other = (random.randrange(0, len(data) - size + 1, 512) for _ in range(2))
    data[one : one + size], data[other : other + size] = (
        data[other : other + size],
        data[one : one + size],
    )


def _copy_block(data: bytearray, random: Random) -> None:
    """Replace a page with another one: trees that contain themselves, endless chains."""
    size = min(_block_bytes(random), len(data))
    one, other = (random.randrange(0, len(data) - size + 1, 512) for _ in range(2))
    data[one : one + size] = data[other : other + size]


def _blank_block(data: bytearray, random: Random) -> None:
    start, size = random.randrange(len(data)), _block_bytes(random)
    data[start : start + size] = bytes([random.choice((0, 255))]) * len(data[start : start + size])


def _cut(data: bytearray, random: Random) -> None:
    del data[random.randrange(len(data)) :]


def _misspell(data: bytearray, random: Random) -> None:
    """Change letters of the schema's SQL, possibly to invalid UTF-8."""
    start = data.find(b"CREATE ", random.randrange(len(data)))
    if start >= 0:
        end = min(start + 120, len(data))
        for _letter in range(random.choice((1, 1, 3))):
            data[random.randrange(start, end)] = random.choice(b"aAeE(),.'\"* \x00\xff\xc3")


def _point_elsewhere(data: bytearray, random: Random) -> None:
    """Exchange the pointers to two cells of a page, or let one point anywhere."""
    page = random.randrange(0, len(data), 512)
    cells = list(range(page + 8, min(page + 40, len(data) - 4), 2))
    for one, other in pairwise(cells[:: random.choice((1, 3))]):
        data[one : one + 2] = random.choice((data[other : other + 2], random.randbytes(2)))


def _block_bytes(random: Random) -> int:
    return random.choice((512, 1024, 4096))


DAMAGES: tuple[Callable[[bytearray, Random], None], ...] = (
    _flip,
    _flip_near_the_start,
    _write_large_numbers,
    _swap_blocks,
    _copy_block,
    _blank_block,
    _cut,
    _misspell,
    _point_elsewhere,
)
