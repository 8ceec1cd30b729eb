"""Each way in which a database can go wrong, as a function that makes it so at a path.

What has to live on for as long as the fault lasts is returned as a context manager.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest

from tests.harness import LiveWriter, make_database
from tests.mounts import Mount

ADD = "INSERT INTO agents (text) VALUES ('one more')"
MANY = "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 300)"
SPILL = (
    "PRAGMA cache_size = 5",
    "BEGIN EXCLUSIVE",
    f"{MANY} INSERT INTO agents (text) SELECT hex(randomblob(2000)) FROM many",
)
"""A transaction that outgrows the writer's cache: its pages reach the files before its commit."""

LARGE_LOG_BYTES = 65_000_000
"""More than the reader indexes in its own memory if the WAL can be read in another way."""

well = partial(make_database, agents=3)
rollback = partial(make_database, agents=3, wal=False)
large = partial(make_database, agents=5000)


def run(path: Path, sql: str = ADD) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(sql)


def writer_that_ran(path: Path, *statements: str) -> LiveWriter:
    writer = LiveWriter(path)
    for sql in statements:
        assert "error" not in writer.do(sql)
    return writer


drop = partial(run, sql="DROP TABLE agents")


def without_tables(path: Path) -> None:
    drop(well(path))


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # an address holds 107 bytes


def link(path: Path, name: str = "real.db") -> None:
    path.symlink_to(well(path.with_name(name)))


def link_to(path: Path, target: str) -> None:
    path.symlink_to(target)


def retargeted(path: Path) -> None:
    path.unlink()
    path.symlink_to(make_database(path.with_name("another.db"), tasks=8))


def second_name(path: Path) -> None:
    path.hardlink_to(path.with_name("quiet.db"))


def noise(path: Path, size: int, after: int = 0) -> None:
    start = path.read_bytes()[:after] if after else b""
    path.write_bytes(start + random.Random(1).randbytes(size))


def zeroed_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(4096))


def replaced_by_text(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("version https://git-lfs.github.com/spec/v1\n" * 9)
    other.replace(path)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def without_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def halved(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replaced(path: Path) -> None:
    make_database(path.with_name("new.db"), agents=9).replace(path)


def swapped(path: Path) -> None:
    other, aside = make_database(path.with_name("new.db"), tasks=7), path.with_name("aside.db")
    path.rename(aside)
    other.rename(path)
    aside.rename(other)


def recreated(path: Path) -> None:
    path.rename(path.with_name("former"))  # or the new file might be given the same inode
    make_database(path, tasks=2)


def with_a_backup(path: Path) -> None:
    os.utime(well(path), (1e9, 1e9))
    shutil.copy2(path, path.with_name("backup"))
    run(path)


def restored(path: Path, copy: Callable[[Path, Path], object] = shutil.copyfile) -> None:
    copy(path.with_name("backup"), path)


def clock_back(path: Path) -> None:
    for _commit in range(2):
        run(path)
        hour_ago = path.stat().st_mtime - 3600
        os.utime(path, (hour_ago, hour_ago))


def not_utf8(path: Path) -> None:
    make_database(path, wal=False, agents=3, zzzz=2)
    path.write_bytes(path.read_bytes().replace(b"zzzz", b"zz\xff\xfe"))


def newer_format(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:19] + b"\3" + data[20:])


def log_left(path: Path) -> None:
    with writer_that_ran(well(path), ADD):
        pass
    path.with_name(f"{path.name}-shm").unlink()


def log_of_another(path: Path) -> None:
    other = path.with_name("another.db")
    log_left(other)
    shutil.copyfile(f"{other}-wal", f"{path}-wal")


def log_in_closed_folder(path: Path, size_bytes: int = 0) -> None:
    path.parent.mkdir()
    log_left(path)
    log = path.with_name(f"{path.name}-wal")
    os.truncate(log, max(size_bytes, log.stat().st_size))
    path.parent.chmod(0o555)


def writing(path: Path) -> LiveWriter:
    return writer_that_ran(path, *SPILL)


def killed(path: Path) -> None:
    with writing(path):
        pass


def stopped(path: Path) -> LiveWriter:
    writer = writing(path)
    writer.process.send_signal(signal.SIGSTOP)
    return writer


def locking(path: Path) -> LiveWriter:
    return writer_that_ran(path, "BEGIN EXCLUSIVE")


def exclusive(path: Path, *statements: str) -> LiveWriter:
    return writer_that_ran(path, "PRAGMA locking_mode = EXCLUSIVE", *(statements or (ADD,)))


def exclusive_large(path: Path) -> LiveWriter:
    """Lock a database beside a WAL that is read without locks only once its writer rests."""
    swell = f"INSERT INTO agents (text) VALUES (zeroblob({LARGE_LOG_BYTES}))"
    return exclusive(path, "PRAGMA wal_autocheckpoint = 0", swell)


def two_commits(path: Path) -> LiveWriter:
    return writer_that_ran(path, ADD, ADD)


def on_a_read_only_disk(path: Path) -> Mount:
    disk = Mount(path.parent, "tmpfs", "size=1m")
    log_left(path)
    disk.make_read_only()
    return disk


def on_a_full_disk(path: Path) -> ExitStack:
    with ExitStack() as stack:
        stack.enter_context(Mount(path.parent, "tmpfs", "size=200k"))
        writer = stack.enter_context(writer_that_ran(well(path), ADD))
        with pytest.raises(OSError, match="No space left"):
            path.with_name("filler").write_bytes(bytes(200_000))
        assert writer.do(ADD) == {"error": "SQLITE_FULL"}
        assert os.statvfs(path).f_bavail == 0
        return stack.pop_all()
