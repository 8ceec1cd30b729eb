"""Faults of databases, each as a function that causes it at a path.

A function returns a context manager if the fault lasts only as long as a process or mount.
"""

import os
import random
import shutil
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.harness import LiveWriter, execute, make_database
from tests.mounts import Mount

ADD = "INSERT INTO agents (text) VALUES ('one more')"
MANY = "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 300)"
SPILL = (
    "PRAGMA cache_size = 5",
    "BEGIN EXCLUSIVE",
    f"{MANY} INSERT INTO agents (text) SELECT hex(randomblob(2000)) FROM many",
)
"""A transaction larger than the writer's cache: pages reach the files before the commit."""

LARGE_WAL_BYTES = 65_000_000
"""Larger than any WAL that the reader indexes in memory if there is another way to read it."""

make_wal = partial(make_database, agents=3)
make_rollback = partial(make_database, agents=3, wal=False)
make_large = partial(make_database, agents=5000)


def add(path: Path) -> None:
    execute(path, ADD)


def writer_after(path: Path, *statements: str) -> LiveWriter:
    writer = LiveWriter(path)
    for sql in statements:
        assert "error" not in writer.do(sql)
    return writer


def drop(path: Path) -> None:
    execute(path, "DROP TABLE agents")


def drop_tables(path: Path) -> None:
    drop(make_wal(path))


def socket_file(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # an address has at most 107 bytes


def symlink_to_database(path: Path, name: str = "real.db") -> None:
    path.symlink_to(make_wal(path.with_name(name)))


def symlink_to(path: Path, target: str) -> None:
    path.symlink_to(target)


def retarget(path: Path) -> None:
    path.unlink()
    path.symlink_to(make_database(path.with_name("another.db"), tasks=8))


def hard_link(path: Path) -> None:
    path.hardlink_to(path.with_name("quiet.db"))


def random_bytes(path: Path, size: int, after: int = 0) -> None:
    start = path.read_bytes()[:after] if after else b""
    path.write_bytes(start + random.Random(1).randbytes(size))


def zero_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(4096))


def replace_by_text(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("version https://git-lfs.github.com/spec/v1\n" * 9)
    other.replace(path)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replace(path: Path) -> None:
    make_database(path.with_name("new.db"), agents=9).replace(path)


def swap(path: Path) -> None:
    other, aside = make_database(path.with_name("new.db"), tasks=7), path.with_name("aside.db")
    path.rename(aside)
    other.rename(path)
    aside.rename(other)


def recreate(path: Path) -> None:
    path.rename(path.with_name("former"))  # keeps its inode in use
    make_database(path, tasks=2)


def keep_backup(path: Path) -> None:
    os.utime(make_wal(path), (1e9, 1e9))
    shutil.copy2(path, path.with_name("backup"))
    add(path)


def restore(path: Path, copy: Callable[[Path, Path], object] = shutil.copyfile) -> None:
    copy(path.with_name("backup"), path)


def set_times_back(path: Path) -> None:
    for _commit in range(2):
        add(path)
        hour_ago = path.stat().st_mtime - 3600
        os.utime(path, (hour_ago, hour_ago))


def table_name_not_utf8(path: Path) -> None:
    make_database(path, wal=False, agents=3, zzzz=2)
    path.write_bytes(path.read_bytes().replace(b"zzzz", b"zz\xff\xfe"))


def set_newer_format(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:19] + b"\3" + data[20:])


def leave_wal(path: Path) -> None:
    with writer_after(make_wal(path), ADD):
        pass
    path.with_name(f"{path.name}-shm").unlink()


def copy_wal_of_another(path: Path) -> None:
    other = path.with_name("another.db")
    leave_wal(other)
    shutil.copyfile(f"{other}-wal", f"{path}-wal")


def leave_wal_in_closed_folder(path: Path, size_bytes: int = 0) -> None:
    path.parent.mkdir()
    leave_wal(path)
    log = path.with_name(f"{path.name}-wal")
    os.truncate(log, max(size_bytes, log.stat().st_size))
    path.parent.chmod(0o555)


def live_writer(path: Path) -> LiveWriter:
    return writer_after(make_wal(path), ADD)


def unlink_wal(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def cancel_locks(path: Path) -> LiveWriter:
    """Let a writer lose its locks: closing any descriptor of a file drops them all."""
    writer = live_writer(path)
    writer.read_file(path)
    return writer


def open_transaction(path: Path) -> LiveWriter:
    return writer_after(path, *SPILL)


def kill_writer(path: Path) -> None:
    with open_transaction(path):
        pass


def stop_writer(path: Path) -> LiveWriter:
    writer = open_transaction(path)
    writer.process.send_signal(signal.SIGSTOP)
    return writer


def exclusive_transaction(path: Path) -> LiveWriter:
    return writer_after(path, "BEGIN EXCLUSIVE")


def exclusive_mode(path: Path, *statements: str) -> LiveWriter:
    return writer_after(path, "PRAGMA locking_mode = EXCLUSIVE", *(statements or (ADD,)))


def exclusive_mode_large_wal(path: Path) -> LiveWriter:
    """Lock a database whose WAL can be read without locks only while its writer is idle."""
    swell = f"INSERT INTO agents (text) VALUES (zeroblob({LARGE_WAL_BYTES}))"
    return exclusive_mode(path, "PRAGMA wal_autocheckpoint = 0", swell)


def two_commits(path: Path) -> LiveWriter:
    return writer_after(path, ADD, ADD)


def read_only_disk(path: Path) -> Mount:
    disk = Mount(path.parent, "tmpfs", "size=1m")
    leave_wal(path)
    disk.make_read_only()
    return disk


def full_disk(path: Path) -> ExitStack:
    with ExitStack() as stack:
        stack.enter_context(Mount(path.parent, "tmpfs", "size=200k"))
        writer = stack.enter_context(writer_after(make_wal(path), ADD))
        with pytest.raises(OSError, match="No space left"):
            path.with_name("filler").write_bytes(bytes(200_000))
        assert writer.do(ADD) == {"error": "SQLITE_FULL"}
        assert os.statvfs(path).f_bavail == 0
        return stack.pop_all()
