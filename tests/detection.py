"""Measures which damage the page check finds, and that it suspects no sound page.

`python -m tests.detection` checks sound databases, then sound databases beside writers, and then
damaged ones: for each class of damage, it prints how many of those that SQLite's integrity_check
finds were found by other checks: quick_check, the sweep, the page check of a file that nobody
writes, and the page check beside a writer of tables that are too large for one statement. The exit
code is 1 if a sound page was suspected, or if the page check finds less than 99%.
"""

import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from unittest.mock import patch

import click

from dash_app.reader.connection import Route, connect
from dash_app.reader.page_check import PageCheck
from dash_app.reader.protocol import Message
from dash_app.reader.short_reads import GiveUpError
from dash_app.reader.sweep import PageSweep, Suspect, read_targets
from tests.harness import LiveWriter
from tests.sound import make_sound

FORMATS = ("page_size = 4096", "page_size = 1024", "auto_vacuum = INCREMENTAL")
SCHEMA = """
    CREATE TABLE events (id INTEGER PRIMARY KEY, who TEXT, score REAL, body TEXT, note TEXT);
    CREATE INDEX by_who ON events (who);
    CREATE INDEX by_score ON events (score, who);
    CREATE TABLE pairs (a TEXT, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID;
    CREATE TABLE short_lived (x TEXT);
"""
LATER = """
    UPDATE events SET who = 'w' || id % 500, score = score + 1 WHERE id % 10 = 3;
    UPDATE events SET body = substr(body, 3) || 'yy' WHERE id % 100 = 7;
    DELETE FROM events WHERE id % 997 = 0;
"""


WRITER = """
import random, sqlite3, sys, time
path, journal_mode, rate, rows = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
connection = sqlite3.connect(path, isolation_level=None, timeout=60)
connection.execute(f"PRAGMA journal_mode = {journal_mode}")
connection.execute("PRAGMA synchronous = NORMAL")
changes = (
    "INSERT INTO events (who, score, body) VALUES (?1, random(), hex(randomblob(?2 % 400)))",
    "UPDATE events SET who = ?1, body = hex(randomblob(?2 % 250)) WHERE id = ?2",
    "UPDATE events SET body = hex(randomblob(?2 * 4)) WHERE id = ?2",
    "DELETE FROM events WHERE id BETWEEN ?2 AND ?2 + 2",
    "INSERT OR REPLACE INTO pairs VALUES (?1 || ?1 || ?1, ?2)",
    "DELETE FROM pairs WHERE b = ?2",
)
started, commits = time.monotonic(), 0
while True:
    connection.execute("BEGIN IMMEDIATE")
    for _ in range(rows):
        (change,) = random.choices(changes, (8, 8, 1, 4, 4, 4))
        connection.execute(change, (f"w{random.randrange(500)}", random.randrange(5000)))
    connection.execute("COMMIT")
    commits += 1
    if commits == 1:
        print(flush=True)
    if rate:
        time.sleep(max(0, started + commits / rate - time.monotonic()))
"""
WRITERS: dict[str, tuple[str, str, int, int]] = {
    "WAL, 500 commits/s": ("page_size = 4096", "WAL", 500, 1),
    "WAL, full speed": ("page_size = 4096", "WAL", 0, 1),
    "WAL, 20 rows a commit, full speed": ("auto_vacuum = FULL", "WAL", 0, 20),
    "WAL, small pages, 100 commits/s": ("page_size = 1024", "WAL", 100, 5),
    "rollback journal, 20 commits/s": ("auto_vacuum = INCREMENTAL", "DELETE", 20, 2),
}
"""Format, journal mode, commits per second (0: all that are possible) and rows per commit."""


@dataclass(frozen=True, slots=True)
class Base:
    """A sound database, and an earlier state of it."""

    page_bytes: int
    now: bytes
    before: bytes

    def page(self, number: int, *, before: bool = False) -> bytes:
        """Return a page of one of the two states."""
        start = (number - 1) * self.page_bytes
        return (self.before if before else self.now)[start : start + self.page_bytes]

    def with_page(self, number: int, data: bytes | bytearray) -> bytes:
        """Return the database with another page."""
        start = (number - 1) * self.page_bytes
        return self.now[:start] + bytes(data) + self.now[start + self.page_bytes :]

    def any_page(self, random: Random) -> int:
        """Choose any page but the first."""
        return random.randint(2, len(self.now) // self.page_bytes)


def make_base(path: Path, pragma: str, rows: int) -> Base:
    """Make a database with overflow chains, free pages and an earlier state."""
    random = Random(1)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(f"PRAGMA synchronous = OFF; PRAGMA {pragma}; {SCHEMA}")
        connection.execute("BEGIN")
        for number in range(rows):
            length = random.randrange(200, 520) if number % 200 else random.randrange(3000, 20000)
            who = f"w{random.randrange(500)}"
            event = (who, random.random() * 1e9, "x" * length, None)
            connection.execute("INSERT INTO events VALUES (NULL, ?, ?, ?, ?)", event)
            connection.execute("INSERT OR IGNORE INTO pairs VALUES (?, ?)", (who * 9, number % 50))
            connection.execute("INSERT INTO short_lived VALUES (?)", ("z" * 100,))
        connection.execute("COMMIT")
        connection.execute("DELETE FROM short_lived WHERE rowid > 20")
        before = path.read_bytes()
        connection.executescript(LATER)
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
        connection.execute("PRAGMA journal_mode = WAL")
    return Base(page_bytes, path.read_bytes(), before)


def flip_bit(base: Base, random: Random) -> bytes:
    """Flip one bit."""
    number = base.any_page(random)
    data = bytearray(base.page(number))
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return base.with_page(number, data)


def overwrite(base: Base, random: Random) -> bytes:
    """Overwrite 64 bytes at random."""
    number = base.any_page(random)
    data = bytearray(base.page(number))
    start = random.randrange(len(data) - 64)
    data[start : start + 64] = random.randbytes(64)
    return base.with_page(number, data)


def zero(base: Base, random: Random) -> bytes:
    """Overwrite a page with zeros."""
    return base.with_page(base.any_page(random), bytes(base.page_bytes))


def swap(base: Base, random: Random) -> bytes:
    """Exchange two pages, as a disk does that writes to the wrong place."""
    one, other = base.any_page(random), base.any_page(random)
    data = bytearray(base.with_page(one, base.page(other)))
    start = (other - 1) * base.page_bytes
    data[start : start + base.page_bytes] = base.page(one)
    return bytes(data)


def lose_write(base: Base, random: Random) -> bytes:
    """Put back an earlier state of a page, as a disk does that loses a write."""
    while True:
        number = base.any_page(random)
        before = base.page(number, before=True)
        if len(before) == base.page_bytes and before != base.page(number):
            return base.with_page(number, before)


DAMAGES: dict[str, Callable[[Base, Random], bytes]] = {
    "one bit": flip_bit,
    "64 bytes": overwrite,
    "zero page": zero,
    "swapped pages": swap,
    "stale page": lose_write,
}


def started(path: Path, route: Route) -> PageSweep | None:
    """Begin a sweep; return None if the schema cannot be read."""
    try:
        with connect(str(path), route) as connection:
            return PageSweep(str(path), *read_targets(connection))
    except sqlite3.Error:
        return None


def swept(path: Path) -> PageSweep | None:
    """Sweep through a database that nobody writes to; None if its schema is damaged."""
    sweep = started(path, "immutable")
    while sweep and not sweep.is_done:
        sweep.step(1)
        assert sweep.blocked is None
        assert not sweep.is_outdated
    return sweep


def sweep_finds(path: Path) -> bool:
    """Whether the sweep suspects a page."""
    sweep = swept(path)
    return sweep is None or bool(sweep.suspects)


def pragma_finds(path: Path, pragma: str) -> bool:
    """Whether SQLite's own check finds damage."""
    try:
        with connect(str(path), "immutable") as connection:
            return connection.execute(f"PRAGMA {pragma}(1)").fetchall() != [(b"ok",)]
    except sqlite3.Error:
        return True


def page_check_finds(path: Path) -> bool:
    """Whether the page check reports damage, without its rests."""
    messages: list[Message] = []
    request = {"path": str(path), "share": 1e9, "done": [], "progress": {}}
    with suppress(GiveUpError):
        PageCheck(request, messages.append, writes_denied=False).run()
    return any("damaged" in message for message in messages)


def page_check_finds_live(path: Path) -> bool:
    """Whether it does so beside a writer, in tables that are too large for one statement."""
    with (
        LiveWriter(path) as writer,
        patch("dash_app.reader.page_check.WHOLE_CHECKS", ()),
    ):
        writer.do("PRAGMA user_version = 7")  # makes a WAL
        return page_check_finds(path)


CHECKS: dict[str, Callable[[Path], bool]] = {
    "quick_check": lambda path: pragma_finds(path, "quick_check"),
    "sweep": sweep_finds,
    "check, quiet": page_check_finds,
    "check, live": page_check_finds_live,
}
MIN_SHARE = 0.99
WAITS = (
    *("short_reads.CONFIRM_SECONDS", "short_reads.REST_FACTOR", "short_reads.BURST_SECONDS"),
    *("page_check.MIN_REST_SECONDS", "page_check.PAUSE_FACTOR"),
)
"""Waits that are of no use where nobody writes."""


def measure(
    folder: Path, rows: int, damages: int, seed: int, checks: Iterable[str] = CHECKS
) -> dict[str, Counter[str]]:
    """Count for each class of damage what integrity_check and each other check finds of that."""
    bases = [make_base(folder / f"{at}.db", pragma, rows) for at, pragma in enumerate(FORMATS)]
    found: dict[str, Counter[str]] = {name: Counter() for name in DAMAGES}
    path = folder / "damaged.db"
    for name, damage in DAMAGES.items():
        for number in range(damages):
            random = Random(f"{seed} {name} {number}")
            write_settled(path, damage(random.choice(bases), random))
            if pragma_finds(path, "integrity_check"):
                found[name].update(["integrity_check"])
                found[name].update(check for check in checks if CHECKS[check](path))
    return found


def write_settled(path: Path, data: bytes) -> None:
    """Write a database that looks as if it was not written recently."""
    for side in ("-wal", "-shm"):
        path.with_name(path.name + side).unlink(missing_ok=True)
    path.write_bytes(data)
    os.utime(path, (time.time() - 60, time.time() - 60))


def false_suspects(
    folder: Path,
    seeds: Iterable[int],
    rows: int,
    checks: Iterable[str] = ("check, quiet", "check, live"),
) -> tuple[int, list[str]]:
    """Check sound databases; return the number of pages, and what was suspected."""
    pages, suspects = 0, []
    for seed in seeds:
        path = make_sound(folder / f"sound-{seed}.db", seed, rows)
        write_settled(path, path.read_bytes())
        sweep = swept(path)
        assert sweep is not None
        pages += sum(sweep.bytes_by_name.values()) // sweep.page_bytes + sweep.free_pages
        suspects += [f"seed {seed}: {suspect}" for suspect in sweep.suspects]
        suspects += [f"seed {seed}: {check}" for check in checks if CHECKS[check](path)]
        path.unlink()
    return pages, suspects


def sweep_beside_writer(
    path: Path, writer: tuple[str, str, int, int], seconds: float
) -> tuple[int, list[Suspect]]:
    """Sweep again and again beside a writer; return the number of pages, and what was suspected."""
    pragma, *arguments = writer
    make_base(path, pragma, 4000)
    pages, suspects, ends = 0, [], time.monotonic() + seconds
    command = [sys.executable, "-c", WRITER, str(path), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while not pages or time.monotonic() < ends:
            sweep = None
            while sweep is None:
                sweep = started(path, "shared")
            while not (sweep.is_done or sweep.is_outdated):
                sweep.step(0.02)
                time.sleep(0.02)
            pages += sum(sweep.bytes_by_name.values()) // sweep.page_bytes
            suspects += sweep.suspects
        process.kill()
    return pages, suspects


def table(found: dict[str, Counter[str]]) -> Iterator[str]:
    """Yield the lines of a table of what each check finds."""
    names = ("integrity_check", *CHECKS)
    total = sum(found.values(), Counter[str]())
    yield f"{'':16}" + "".join(f"{name:>17}" for name in names)
    for damage, counts in {**found, "all": total}.items():
        yield f"{damage:16}" + "".join(f"{counts[name]:17}" for name in names)
    yield f"{'':16}" + "".join(f"{total[name] / total['integrity_check']:17.1%}" for name in names)


@click.command(help=__doc__)
@click.option("--damages", default=200, help="Number of damages of each class.")
@click.option("--files", default=100, help="Number of sound databases.")
@click.option("--seconds", default=30, help="Time beside each writer.")
@click.option("--seed", default=1, help="Varies the databases and the damages.")
def main(damages: int, files: int, seconds: int, seed: int) -> None:
    """Print what was suspected of sound databases, and what was found in damaged ones."""
    with TemporaryDirectory(prefix="detection-") as name, ExitStack() as stack:
        folder = Path(name)
        all_suspects: list[object] = []
        for number, (writer, settings) in enumerate(WRITERS.items()):
            path = folder / f"live-{number}.db"
            pages, suspects = sweep_beside_writer(path, settings, seconds)
            click.echo(f"{writer}: {pages:,} pages, {len(suspects)} suspected")
            all_suspects += suspects
        for wait in WAITS:
            stack.enter_context(patch(f"dash_app.reader.{wait}", 0))
        pages, alarms = false_suspects(folder, range(seed, seed + files), 2000)
        click.echo(f"{files} sound databases, {pages:,} pages: {len(alarms)} suspected")
        all_suspects += alarms
        for suspect in all_suspects:
            click.echo(suspect)
        found = measure(folder, 2000, damages, seed)
    for line in table(found):
        click.echo(line)
    total = sum(found.values(), Counter[str]())
    shares = [total[check] / total["integrity_check"] for check in ("check, quiet", "check, live")]
    sys.exit(bool(all_suspects) or min(shares) < MIN_SHARE)


if __name__ == "__main__":
    main()
