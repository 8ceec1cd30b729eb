"""What can be told of a database's files without SQLite."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Self

from dash_app.model.reading import Code

GRANULARITY_NS = 2_000_000_000
"""Timestamps younger than this may not move with the next write: 4 ms on ext4, 2 s on FAT."""

HEADER_BYTES = 100
MAGIC = b"SQLite format 3\0"
JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
READ_VERSION_OFFSET = 19
CHANGE_COUNTER_BYTES = slice(24, 28)
SQLITE_VERSION_BYTES = slice(96, 100)
WAL_FORMAT = 2
OTHER_FORMATS = {3, 255}
"""Read versions of WAL2, which a branch of SQLite has, and of Turso's MVCC. Any other is noise."""

SCHEMA_FORMAT_BYTES = slice(44, 48)
MAX_SCHEMA_FORMAT = 255
"""SQLite has had 4 in twenty years: a larger one comes of noise, or of encryption that leaves the
first bytes as they were."""


ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""Under such a path there can be no file."""

DISK_ERRORS = {
    *(errno.EIO, errno.EREMOTEIO, errno.EBADMSG, errno.EUCLEAN, errno.ENODATA, errno.ESTALE),
    *(errno.ENXIO, errno.ENODEV, errno.ENOMEDIUM, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN),
}
"""How a disk or a network mount fails. Any other error says nothing about it."""

KINDS = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}


class UnreadableError(Exception):
    """A database that has no reading: its code, and the facts that the code's words need."""

    def __init__(self, code: Code, **detail: str) -> None:
        """Take the code, and details by name."""
        super().__init__(code)
        self.code = code
        self.detail = detail


class Mark(NamedTuple):
    """What changes about a file when it is written or replaced."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Files:
    """A database's files as `stat` saw them; `path` is resolved, since SQLite resolves it too.

    `links` is the number of names (hard links) of the main file.
    """

    path: str
    main: Mark
    wal: Mark | None
    journal: Mark | None
    links: int = 1

    @property
    def identity(self) -> tuple[int, int]:
        """The main file's device and inode: the same for every name it has."""
        return self.main.device, self.main.inode

    @property
    def wal_bytes(self) -> int:
        """Size of the write-ahead log; 0 without one."""
        return self.wal.size_bytes if self.wal else 0

    @property
    def has_journal(self) -> bool:
        """Whether a rollback journal with content lies beside the file."""
        return self.journal is not None and self.journal.size_bytes > 0

    @property
    def last_modified(self) -> datetime | None:
        """The latest write to main file, WAL or journal; readers create empty side files.

        None for a time that was set to what no calendar holds.
        """
        return _time(max(mark.mtime_ns for mark in self._marks() if mark.size_bytes))

    @property
    def main_modified(self) -> datetime | None:
        """The last write to the main file, as `last_modified`."""
        return _time(self.main.mtime_ns)

    @property
    def changed_ns(self) -> int:
        """The latest change of any of the files, in nanoseconds since 1970."""
        return max(max(mark.mtime_ns, mark.ctime_ns) for mark in self._marks())

    @property
    def wal_modified(self) -> datetime | None:
        """The last write to the write-ahead log; None without one."""
        return _time(self.wal.mtime_ns) if self.wal and self.wal.size_bytes else None

    def settled(self, at: datetime) -> bool:
        """Whether any write after `at` must show in a timestamp."""
        return self.changed_ns < at.timestamp() * 1e9 - GRANULARITY_NS

    def _marks(self) -> Iterator[Mark]:
        return (mark for mark in (self.main, self.wal, self.journal) if mark)


class Header(NamedTuple):
    """What the first 100 bytes say (sqlite.org/fileformat2.html#the_database_header).

    `sqlite_version` is that of who wrote them last, as 3040001 for 3.40.1.
    """

    is_wal: bool
    change_counter: int
    sqlite_version: int

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the header. Raises UnreadableError where these bytes are no database's."""
        if not data.startswith(MAGIC):
            raise UnreadableError("not_a_database")
        if len(data) < HEADER_BYTES:
            raise UnreadableError("corrupt")
        read_version = data[READ_VERSION_OFFSET]
        if read_version in OTHER_FORMATS:
            raise UnreadableError("unsupported", format=str(read_version))
        schema_format = int.from_bytes(data[SCHEMA_FORMAT_BYTES], "big")
        if read_version > WAL_FORMAT or schema_format > MAX_SCHEMA_FORMAT:
            raise UnreadableError("not_a_database")
        counter = int.from_bytes(data[CHANGE_COUNTER_BYTES], "big")
        version = int.from_bytes(data[SQLITE_VERSION_BYTES], "big")
        return cls(data[READ_VERSION_OFFSET] == WAL_FORMAT, counter, version)


def version_text(version: int) -> str:
    """Return an SQLite version as people write it: 3.40.1 for 3040001."""
    return f"{version // 1_000_000}.{version // 1_000 % 1_000}.{version % 1_000}"


def look(path: str) -> Files:
    """Return the files of a database.

    Raises UnreadableError when there is no regular file with content, or no right to look.
    """
    try:
        resolved = os.path.realpath(path, strict=True)
        info = os.stat(resolved)
        if not stat.S_ISREG(info.st_mode):
            kind = KINDS.get(stat.S_IFMT(info.st_mode), "device")
            raise UnreadableError("not_a_file", kind=kind)
        if not info.st_size:
            raise UnreadableError("file_empty")
        wal, journal = _side(f"{resolved}-wal"), _side(f"{resolved}-journal")
    except OSError as error:
        raise unreadable(error, path) from error
    return Files(resolved, _mark(info), wal, journal, info.st_nlink)


def open_read_only(path: str) -> int:
    """Open a regular file; return its descriptor. Raise OSError if it cannot be opened.

    Reading from it leaves the file's access time alone if we own the file: the kernel allows
    O_NOATIME only to the owner.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(path, flags)


def read_start(path: str, size: int) -> bytes:
    """Read the first bytes of a file. Raise OSError.

    Closing the file drops all locks that this process has on it, so no connection to it may be
    open meanwhile.
    """
    descriptor = open_read_only(path)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def read_header(files: Files) -> Header:
    """Return the main file's header.

    Closing the file drops this process's locks on it, so no connection to it may be open
    meanwhile. Raises UnreadableError.
    """
    return Header.parse(_first_bytes(files.path))


def journal_is_hot(files: Files) -> bool:
    """Whether the journal's header is intact: its transaction is under way, or was cut off.

    Raises UnreadableError.
    """
    try:
        return _first_bytes(f"{files.path}-journal").startswith(JOURNAL_MAGIC)
    except UnreadableError as error:
        if error.code == "file_missing":
            return False
        raise


def _first_bytes(path: str) -> bytes:
    try:
        return read_start(path, HEADER_BYTES)
    except OSError as error:
        raise unreadable(error, path) from error


def _time(time_ns: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(time_ns / 1e9, UTC)
    except (ValueError, OverflowError):
        return None


def _mark(info: os.stat_result) -> Mark:
    return Mark(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def _side(path: str) -> Mark | None:
    try:
        info = os.stat(path)
    except OSError as error:
        if error.errno in ABSENT:  # also a link to itself, or a name that is too long with `-wal`
            return None
        raise
    if stat.S_ISDIR(info.st_mode):  # SQLite opens it, and then reports that the disk fails
        raise IsADirectoryError(errno.EISDIR, f"-{path.rpartition('-')[2]} is a folder")
    return _mark(info)


def unreadable(error: OSError, path: str) -> UnreadableError:
    """Return what an error of the operating system means for the database at a path."""
    if error.errno in ABSENT:
        folder = os.path.dirname(path)
        return UnreadableError("file_missing" if os.path.isdir(folder) else "folder_missing")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return UnreadableError("permission_denied")
    if error.errno in DISK_ERRORS:
        return UnreadableError("io_error")
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return UnreadableError("cannot_read", error=name, text=error.strerror or "without words")
