"""The writer of one database: `python -m dash_app.demo.writer NAME PATH`.

It keeps one connection open and exits when its standard input ends. However its parent dies, even
by SIGKILL, the kernel closes that pipe.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from sqlite3 import Connection
from threading import Thread

from dash_app.demo.tables import ARTICLES, EVENTS, MESSAGES, READINGS, TASKS, TOPICS, Table, connect

EMAIL_SECONDS = 90
"""After this time the writer of `email` hangs: alive, connected and silent."""

TOPIC_COUNT = 6
MAX_TASKS, KEPT_TASKS = 150, 126
"""Beyond MAX_TASKS the oldest are deleted, so that there are about as many as in the backfill."""

DELETE_OLD_TASKS = (
    "DELETE FROM tasks WHERE (SELECT count(*) FROM tasks) > :max AND id <="
    " (SELECT id FROM tasks ORDER BY id DESC LIMIT 1 OFFSET :kept)"
)


def insert(connection: Connection, table: Table, count: int = 1) -> None:
    """Insert rows in one transaction. Raise sqlite3.Error."""
    with connection:
        table.insert(connection, [datetime.now(UTC)] * count)


def coordination(connection: Connection, random: Random) -> Iterator[float]:
    """Write steadily, and delete old tasks from time to time."""
    while True:
        insert(connection, TASKS)
        with connection:
            connection.execute(DELETE_OLD_TASKS, {"max": MAX_TASKS, "kept": KEPT_TASKS})
        yield random.uniform(1.5, 2.5)


def observability(connection: Connection, random: Random) -> Iterator[float]:
    """Write in bursts."""
    while True:
        insert(connection, EVENTS, random.randint(2, 9))
        yield random.uniform(5, 20)


def content(connection: Connection, random: Random) -> Iterator[float]:
    """Set up a new database, then write steadily."""
    connection.execute("BEGIN")
    TOPICS.create(connection)
    ARTICLES.create(connection)
    connection.commit()
    insert(connection, TOPICS, TOPIC_COUNT)
    while True:
        insert(connection, ARTICLES)
        yield random.uniform(4, 6)


def email(connection: Connection, random: Random) -> Iterator[float]:
    """Write for a while, then never again."""
    end = time.monotonic() + EMAIL_SECONDS
    while time.monotonic() < end:
        insert(connection, MESSAGES)
        yield random.uniform(6, 10)


def health(connection: Connection, _random: Random) -> Iterator[float]:
    """Write at the start and at every full hour."""
    while True:
        insert(connection, READINGS)
        yield 3600 - time.time() % 3600


WRITERS: dict[str, Callable[[Connection, Random], Iterator[float]]] = {
    "coordination": coordination,
    "observability": observability,
    "content": content,
    "email": email,
    "health": health,
}
"""Each writes to its database and yields the seconds until it wants to continue."""


def main() -> None:
    """Write to one database until standard input ends. Raise sqlite3.Error."""
    parser = argparse.ArgumentParser(prog="python -m dash_app.demo.writer", description=__doc__)
    parser.add_argument("name", choices=WRITERS)
    parser.add_argument("path", type=Path)
    parser.add_argument(
        "--appear-after", type=float, default=0, metavar="SECONDS", help="wait before opening it"
    )
    arguments = parser.parse_args()

    parent = Thread(target=_exit_with_parent, daemon=True)
    parent.start()
    time.sleep(arguments.appear_after)
    connection = connect(arguments.path)  # stays open after the last write
    random = Random(arguments.name)  # noqa: S311 - the same at each run
    for seconds in WRITERS[arguments.name](connection, random):
        time.sleep(seconds)
    parent.join()


def _exit_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
