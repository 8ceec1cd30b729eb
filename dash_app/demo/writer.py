"""Plays the agents of one database: `python -m dash_app.demo.writer NAME PATH`.

It holds one connection as long as it lives, and it lives as long as someone holds the other end of
its standard input: however that process dies, SIGKILL included, the system closes the pipe.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from threading import Thread

from dash_app.demo import rows, tables
from dash_app.demo.rhythm import HOUR_SECONDS

EMAIL_SECONDS = 90
"""After so long the postman hangs: alive, connected and silent."""

MAX_TASKS, KEPT_TASKS = 150, 126
"""Done tasks are cleared away now and then, so that there are as many as in the past."""

UPDATE_SHARE = 0.2
"""How many tasks also change the state of an agent."""


class Pen:
    """One writer's connection to its database."""

    def __init__(self, path: Path, random: Random) -> None:
        """Open the database, made where there is none. Raises sqlite3.Error."""
        self.random = random
        self._connection = tables.connect(path)

    def create(self, new: Sequence[tables.Table]) -> None:
        """Make tables in one transaction. Raises sqlite3.Error."""
        self._connection.execute("BEGIN")
        for table in new:
            table.create(self._connection)
        self._connection.commit()

    def add(self, table: tables.Table, count: int = 1) -> None:
        """Write new rows in one transaction. Raises sqlite3.Error."""
        with self._connection:
            table.add(self._connection, self.random, [datetime.now(UTC)] * count)

    def drop_old_tasks(self) -> None:
        """Remove the oldest tasks once there are many. Raises sqlite3.Error."""
        with self._connection:
            self._connection.execute(
                "DELETE FROM tasks WHERE (SELECT count(*) FROM tasks) > :most AND id <="
                " (SELECT id FROM tasks ORDER BY id DESC LIMIT 1 OFFSET :kept)",
                {"most": MAX_TASKS, "kept": KEPT_TASKS},
            )

    def update_agent(self) -> None:
        """Let one of the agents be seen. Raises sqlite3.Error."""
        state = self.random.choice(rows.AGENT_STATES)
        agent = self.random.randint(1, len(rows.AGENTS))
        with self._connection:
            self._connection.execute(
                "UPDATE agents SET status = ?, last_seen_at = ? WHERE id = ?",
                (state, rows.text_of(datetime.now(UTC)), agent),
            )


def coordination(pen: Pen) -> Iterator[float]:
    """Write steadily: a task every two seconds, now and then an agent's state; keep few tasks."""
    while True:
        pen.add(tables.TASKS)
        pen.drop_old_tasks()
        if pen.random.random() < UPDATE_SHARE:
            pen.update_agent()
        yield pen.random.uniform(1.5, 2.5)


def observability(pen: Pen) -> Iterator[float]:
    """Write in bursts."""
    while True:
        pen.add(tables.EVENTS, pen.random.randint(2, 9))
        yield pen.random.uniform(5, 20)


def content(pen: Pen) -> Iterator[float]:
    """Write the topics into a new database, then articles, steadily."""
    pen.create(tables.TABLES["content"])
    pen.add(tables.TOPICS, len(rows.TOPICS))
    while True:
        pen.add(tables.ARTICLES)
        yield pen.random.uniform(4, 6)


def email(pen: Pen) -> Iterator[float]:
    """Write for a while, then never again."""
    end = time.monotonic() + EMAIL_SECONDS
    while time.monotonic() < end:
        pen.add(tables.MESSAGES)
        yield pen.random.uniform(6, 10)


def health(pen: Pen) -> Iterator[float]:
    """Write at the start and at every full hour."""
    while True:
        pen.add(tables.READINGS)
        yield HOUR_SECONDS - time.time() % HOUR_SECONDS


WRITERS: dict[str, Callable[[Pen], Iterator[float]]] = {
    "coordination": coordination,
    "observability": observability,
    "content": content,
    "email": email,
    "health": health,
}
"""What writes each database: each yields the seconds until it goes on."""


def main() -> None:
    """Write one database until the parent ends. Raises sqlite3.Error."""
    parser = argparse.ArgumentParser(prog="python -m dash_app.demo.writer", description=__doc__)
    parser.add_argument("name", choices=WRITERS)
    parser.add_argument("path", type=Path)
    parser.add_argument(
        "--appear-after", type=float, default=0, metavar="SECONDS", help="open the database then"
    )
    arguments = parser.parse_args()

    parent = Thread(target=_end_with_parent, daemon=True)
    parent.start()
    time.sleep(arguments.appear_after)
    pen = Pen(arguments.path, Random(arguments.name))  # noqa: S311 - the same demo each time
    for seconds in WRITERS[arguments.name](pen):
        time.sleep(seconds)
    parent.join()


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
