"""The databases to measure on: the same on any machine, made once per run."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from sqlite3 import connect

from tests.harness import write_config

Files = list[tuple[str, Path]]
NAMES = ("coordination", "observability", "content", "email", "health")
FILL = """
    WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many LIMIT {rows})
    INSERT INTO "{table}" (text) SELECT 'row ' || n || ' of a usual length' FROM many
"""
SEED: dict[str, dict[str, int]] = {
    "coordination": {"agents": 7, "tasks": 126},
    "observability": {"events": 10_000, "runs": 640},
    "email": {"drafts": 0, "messages": 0},
    "health": {"checks": 14},
}
"""133, 10,640, 0 and 14 rows; `content` is missing."""

LARGE, OTHERS, WIDE_TABLES = 10_000_000, 100_000, 200
WRITER = """
import sqlite3, sys, time
path, table, rate = sys.argv[1], sys.argv[2], float(sys.argv[3])
connection = sqlite3.connect(path, isolation_level=None, timeout=30)
connection.execute("PRAGMA synchronous = NORMAL")
insert = f"INSERT INTO \\"{table}\\" (text) VALUES ('one more row of a usual length')"
due = time.monotonic()
while True:
    connection.execute(insert)
    due += 1 / rate
    time.sleep(max(0, due - time.monotonic()))
"""


def make(path: Path, tables: Mapping[str, int]) -> Path:
    """Make a cleanly closed WAL database; `tables` has the number of rows of each table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN")
        for table, rows in tables.items():
            connection.execute(f'CREATE TABLE "{table}" (id INTEGER PRIMARY KEY, text TEXT)')
            if rows:
                connection.execute(FILL.format(table=table, rows=rows))
        connection.execute("COMMIT")
    return path


class Workloads:
    """The workloads of one run, each made in an empty folder when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def seed(self) -> Files:
        """The databases of a first day."""
        return [
            (name, make(self._path("seed", name), SEED[name]))
            if name in SEED
            else (name, self._path("seed", name))
            for name in NAMES
        ]

    @cached_property
    def year_later(self) -> Files:
        """One table with ten million rows, all others with a hundred thousand."""
        rows = {name: dict.fromkeys(tables, OTHERS) for name, tables in SEED.items()}
        rows["content"] = {"articles": OTHERS}
        rows["observability"]["events"] = LARGE
        return [(name, make(self._path("year", name), rows[name])) for name in NAMES]

    @cached_property
    def wide(self) -> Files:
        """Five databases with two hundred tables each."""
        return self.many(len(NAMES), WIDE_TABLES)

    def many(self, databases: int, tables: int, rows: int = 10) -> Files:
        """Return databases with a number of tables each, and of rows in each table."""
        kind = f"{databases}x{tables}x{rows}"
        names = NAMES if databases == len(NAMES) else [f"db{n}" for n in range(databases)]
        wanted = {f"table{n}": rows for n in range(tables)}
        paths = [self._path(kind, name) for name in names]
        for path in paths:
            if not path.exists():
                make(path, wanted)
        return list(zip(names, paths, strict=True))

    def config(self, kind: str, files: Sequence[tuple[str, Path]], interval: str = "5s") -> Path:
        """Write a configuration with an empty history; return its path."""
        folder = self.folder / f"served-{kind}"
        folder.mkdir(exist_ok=True)
        for file in folder.glob("history.db*"):
            file.unlink()
        return write_config(folder, files, interval=interval)

    def _path(self, kind: str, name: str) -> Path:
        return self.folder / kind / f"{name}.db"


@contextmanager
def writer(path: Path, table: str, rate: float) -> Iterator[None]:
    """Let another process commit `rate` times per second."""
    command = [sys.executable, "-c", WRITER, str(path), table, str(rate)]
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.kill()
