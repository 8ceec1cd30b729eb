"""The writer of one database: `python -m dash_app.demo.writer NAME PATH`.

It exits when its standard input ends. However its parent dies, even by SIGKILL, the kernel closes
that pipe.
"""

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from sqlite3 import Connection
from threading import Event, Thread

from dash_app.demo.rhythm import RHYTHMS
from dash_app.demo.tables import ARTICLES, TABLES, TOPICS, connect

APPEAR_SECONDS, GONE_SECONDS, BACK_SECONDS, LOSS_SECONDS = 60.0, 40.0, 65.0, 100.0
"""Seconds from the start until something happens: `content` appears, the file of `email` is moved
away and back, and old events are deleted. `health` hangs at once: connected and silent."""

TOPIC_COUNT = 6
FIRST_ARTICLES = 4
DELETE_OLD_EVENTS = "DELETE FROM events WHERE id <= (SELECT max(id) * 2 / 3 FROM events)"

Pauses = Iterator[float]
"""Seconds after which a writer wants to continue."""


def write(name: str, connection: Connection) -> Pauses:
    """Write the table of a database in its rhythm. Raise sqlite3.Error."""
    own_table, rhythm = RHYTHMS[name]
    table = next(table for table in TABLES[name] if table.name == own_table)
    random = Random(name)  # noqa: S311 - the same at each run
    while True:
        now = datetime.now(UTC)
        with connection:
            table.insert(connection, [now] * rhythm.rows(random))
        yield rhythm.pause(random, now).total_seconds()


def during(seconds: float, pauses: Pauses) -> Pauses:
    """Yield pauses of `seconds` in all."""
    for pause in pauses:
        yield min(pause, seconds)
        seconds -= pause
        if seconds <= 0:
            return


def coordination(path: Path) -> Pauses:
    """Write steadily."""
    yield from write("coordination", connect(path))


def observability(path: Path) -> Pauses:
    """Write in bursts, and delete most of the events once."""
    connection = connect(path)
    yield from during(LOSS_SECONDS, write("observability", connection))
    with connection:
        connection.execute(DELETE_OLD_EVENTS)
    yield from write("observability", connection)


def content(path: Path) -> Pauses:
    """Set up a new database after a while, then write steadily."""
    yield APPEAR_SECONDS
    connection = connect(path)
    connection.execute("BEGIN")
    TOPICS.create(connection)
    ARTICLES.create(connection)
    TOPICS.insert(connection, [datetime.now(UTC)] * TOPIC_COUNT)
    ARTICLES.insert(connection, [datetime.now(UTC)] * FIRST_ARTICLES)
    connection.commit()
    yield from write("content", connection)


def email(path: Path) -> Pauses:
    """Move the file away after a while, bring it back, and continue."""
    with closing(connect(path)) as connection:
        yield from during(GONE_SECONDS, write("email", connection))
    moved = path.rename(path.with_suffix(".moved"))
    yield BACK_SECONDS - GONE_SECONDS
    moved.rename(path)
    yield from write("email", connect(path))


def health(path: Path) -> Pauses:
    """Write once, then hang: alive, connected and silent."""
    connection = connect(path)
    next(write("health", connection))
    yield 0
    Event().wait()


WRITERS = {
    write_one.__name__: write_one
    for write_one in (coordination, observability, content, email, health)
}
"""Each writes to the database of its name, at a path."""


def main() -> None:
    """Write to one database until standard input ends. Raise sqlite3.Error."""
    parser = argparse.ArgumentParser(prog="python -m dash_app.demo.writer", description=__doc__)
    parser.add_argument("name", choices=WRITERS)
    parser.add_argument("path", type=Path)
    arguments = parser.parse_args()

    parent = Thread(target=_exit_with_parent, daemon=True)
    parent.start()
    for seconds in WRITERS[arguments.name](arguments.path):
        time.sleep(seconds)
    parent.join()


def _exit_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
