"""Lives of processes that use a WAL database in every way that SQLite allows."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from threading import Thread, Timer

CHECKPOINTS = ("PASSIVE", "FULL", "RESTART", "TRUNCATE")

Life = Callable[[Path, Random], None]


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=0.1, check_same_thread=False)


def work(connection: sqlite3.Connection, random: Random, statements: int) -> None:
    """Write, delete, count and checkpoint at random, with pauses."""
    for _statement in range(statements):
        chance = random.random()
        with suppress(sqlite3.OperationalError):
            if chance < 0.6:
                connection.execute("INSERT INTO agents (text) VALUES (hex(randomblob(50)))")
            elif chance < 0.75:
                connection.execute("DELETE FROM agents WHERE id = (SELECT max(id) FROM agents)")
            elif chance < 0.85:
                connection.execute("SELECT count(*) FROM agents").fetchone()
            elif chance < 0.93:
                connection.execute(f"PRAGMA wal_checkpoint({random.choice(CHECKPOINTS)})")
            elif chance < 0.95:
                connection.execute("VACUUM")
            else:
                time.sleep(random.random() * 0.05)


def plain(path: Path, random: Random) -> None:
    with closing(connect(path)) as connection:
        work(connection, random, random.randrange(80))


def killed_in_a_transaction(path: Path, random: Random) -> None:
    connection = connect(path)
    work(connection, random, 20)
    connection.execute("BEGIN IMMEDIATE")
    work(connection, random, 5)
    os._exit(0)


def killed_at_any_moment(path: Path, random: Random) -> None:
    Timer(random.random(), os._exit, [0]).start()
    while True:
        plain(path, random)


def threads(path: Path, random: Random) -> None:
    connections = [connect(path) for _ in range(5)]
    workers = [
        Thread(target=work, args=(connection, Random(random.random()), 30))
        for connection in connections
    ]
    for worker in workers:
        worker.start()
    for worker, connection in zip(workers, connections, strict=True):
        worker.join()
        connection.close()
        time.sleep(0.02)


def open_and_close(path: Path, random: Random) -> None:
    for _visit in range(200):
        with closing(connect(path)) as connection:
            connection.execute("SELECT max(id) FROM agents").fetchone()
            work(connection, random, random.randrange(2))


def shell(path: Path, _random: Random) -> None:
    sql = "SELECT count(*) FROM agents; INSERT INTO agents (text) VALUES ('from the shell')"
    code = f"import sqlite3; sqlite3.connect({str(path)!r}).executescript({sql!r})"
    for _visit in range(3):
        subprocess.run([sys.executable, "-S", "-c", code], check=False, capture_output=True)


def exclusive(path: Path, random: Random) -> None:
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        work(connection, random, 40)


def exclusive_for_a_while(path: Path, random: Random) -> None:
    with closing(connect(path)) as connection:
        work(connection, random, 20)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        work(connection, random, 40)
        time.sleep(0.4)
        connection.execute("PRAGMA locking_mode = NORMAL")
        work(connection, random, 20)


def exclusive_beside_its_own(path: Path, random: Random) -> None:
    """One connection waits to have the file to itself; it stays so when the other is closed."""
    with closing(connect(path)) as waiting:
        with closing(connect(path)) as other:
            work(other, random, 10)
            waiting.execute("PRAGMA locking_mode = EXCLUSIVE")
            work(waiting, random, 10)
        time.sleep(0.5)
        work(waiting, random, 10)


def exclusive_beside_short_visits(path: Path, random: Random) -> None:
    """One connection waits to have the file to itself; others of the same process come and go."""
    with closing(connect(path)) as waiting:
        with closing(connect(path)) as other:
            work(other, random, 5)
            waiting.execute("PRAGMA locking_mode = EXCLUSIVE")
            work(waiting, random, 3)
        for _visit in range(100):
            with closing(connect(path)) as other, suppress(sqlite3.OperationalError):
                other.execute("INSERT INTO agents (text) VALUES ('one more')")
            time.sleep(0.005)


def journal_modes(path: Path, random: Random) -> None:
    with closing(connect(path)) as connection:
        for mode in ("DELETE", "WAL", "TRUNCATE", "WAL"):
            connection.execute(f"PRAGMA journal_mode = {mode}")
            work(connection, random, 10)


def long_read(path: Path, random: Random) -> None:
    with closing(connect(path)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT * FROM agents LIMIT 1").fetchone()
        time.sleep(0.6)
        connection.execute("COMMIT")
        work(connection, random, 10)


LIVES: tuple[Life, ...] = (
    *(plain, killed_in_a_transaction, killed_at_any_moment, threads, open_and_close, shell),
    *(exclusive, exclusive_for_a_while, exclusive_beside_its_own, exclusive_beside_short_visits),
    *(journal_modes, long_read),
)


def live(life: Life, path: Path, seed: int) -> None:
    """Live one life in this process."""
    with suppress(sqlite3.OperationalError):  # another one has it to itself
        life(path, Random(seed))
