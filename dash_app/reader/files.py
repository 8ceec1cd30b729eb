"""The facts about a database's files that need no SQLite: stat, permissions, the file header."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple, Self

from dash_app.model.host_facts import Access
from dash_app.model.reading import Code, Reading
from dash_app.system.disk import is_mount_point

GRANULARITY_NS = 2_000_000_000
"""A file's time may stay the same if it is written again within this time: 4 ms on ext4, 2 s on
FAT."""

MAX_ENTRIES, MAX_SHOWN = 10_000, 100
"""Maximum number of files searched in a folder, and length of a name that is shown."""

HEADER_BYTES = 100
MAGIC = b"SQLite format 3\0"
JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
READ_VERSION_OFFSET = 19
CHANGE_COUNTER_BYTES, VALID_FOR_BYTES = slice(24, 28), slice(92, 96)
PAGE_SIZE_BYTES, PAGE_COUNT_BYTES = slice(16, 18), slice(28, 32)
SQLITE_VERSION_BYTES = slice(96, 100)
WAL_FORMAT = 2
OTHER_FORMATS = {3, 255}
"""Read versions of WAL2 (a branch of SQLite) and of Turso's MVCC. Any other value is noise."""

SCHEMA_FORMAT_BYTES = slice(44, 48)
MAX_SCHEMA_FORMAT = 255
"""SQLite has reached 4 in twenty years. A larger number means noise, or encryption that leaves the
first bytes as they were."""

RESERVED_OFFSET, MIN_CIPHER_BYTES = 20, 16
"""Encryption reserves bytes at the end of each page, at least as many as a block of AES has."""

FIRST_PAGE_TYPES = {b"\x05", b"\x0d"}
"""The first byte after the header: the type of the page that begins the schema."""

ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""Errors of paths that cannot lead to a file."""

DISK_ERRORS = {
    *(errno.EIO, errno.EREMOTEIO, errno.EBADMSG, errno.EUCLEAN, errno.ENODATA, errno.ESTALE),
    *(errno.ENXIO, errno.ENODEV, errno.ENOMEDIUM, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN),
}
"""Errors of a failing disk or network mount."""

KINDS = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}


class UnreadableError(Exception):
    """A database cannot be read: a code, and the details that its explanation needs."""

    def __init__(self, code: Code, **detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


class FileStamp(NamedTuple):
    """The attributes of a file that change when it is written or replaced."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Files:
    """The stamps of a database's files; None for a missing WAL or journal."""

    path: str
    """Resolved, since SQLite resolves it too."""
    main: FileStamp
    wal: FileStamp | None
    journal: FileStamp | None
    links: int = 1
    """The number of names (hard links) of the main file."""

    @property
    def identity(self) -> tuple[int, int]:
        """The main file's device and inode, which are the same for all its names."""
        return self.main.device, self.main.inode

    @property
    def wal_bytes(self) -> int:
        """The size of the WAL; 0 if there is none."""
        return self.wal.size_bytes if self.wal else 0

    @property
    def has_journal(self) -> bool:
        """Whether there is a rollback journal that is not empty."""
        return self.journal is not None and self.journal.size_bytes > 0

    @property
    def changed_ns(self) -> int:
        """The latest change of any of the files, in nanoseconds since 1970."""
        return max(max(stamp.mtime_ns, stamp.ctime_ns) for stamp in self._stamps())

    def shows_writes_after(self, at: datetime) -> bool:
        """Whether any write after `at` must change a stamp."""
        return self.changed_ns < at.timestamp() * 1e9 - GRANULARITY_NS

    def reading(self, now: datetime) -> Reading:
        """Return a reading with the facts that need no byte of the database."""
        # Empty side files do not count: readers create those.
        written_ns = max(stamp.mtime_ns for stamp in self._stamps() if stamp.size_bytes)
        return Reading(
            read_at=now,
            verified_at=now,
            last_modified=_time(written_ns),
            size_bytes=self.main.size_bytes,
            wal_bytes=self.wal_bytes,
            file="{}:{}".format(*self.identity),
            file_modified=_time(self.main.mtime_ns),
            wal_modified=_time(self.wal.mtime_ns) if self.wal and self.wal_bytes else None,
        )

    def _stamps(self) -> list[FileStamp]:
        return [stamp for stamp in (self.main, self.wal, self.journal) if stamp]


class Header(NamedTuple):
    """The fields of the first 100 bytes of a main file that are used here.

    `sqlite_version` is that of the last writer, as 3040001 for 3.40.1
    (sqlite.org/fileformat2.html#the_database_header).
    """

    is_wal: bool
    change_counter: int
    sqlite_version: int
    page_bytes: int
    pages: int
    """The number of pages; 0 if a version before 3.7.0 wrote the file last."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse the first bytes of a file. Raise UnreadableError if they are not a header."""
        if not data.startswith(MAGIC):
            raise UnreadableError("not_a_database")
        if len(data) < HEADER_BYTES:
            raise UnreadableError("corrupt")
        read_version = data[READ_VERSION_OFFSET]
        if read_version in OTHER_FORMATS:
            raise UnreadableError("unsupported", format=str(read_version))
        schema_format = int.from_bytes(data[SCHEMA_FORMAT_BYTES], "big")
        is_ciphered = data[RESERVED_OFFSET] >= MIN_CIPHER_BYTES
        is_ciphered &= data[HEADER_BYTES : HEADER_BYTES + 1] not in {*FIRST_PAGE_TYPES, b""}
        if read_version > WAL_FORMAT or schema_format > MAX_SCHEMA_FORMAT or is_ciphered:
            raise UnreadableError("not_a_database")
        counter = int.from_bytes(data[CHANGE_COUNTER_BYTES], "big")
        version = int.from_bytes(data[SQLITE_VERSION_BYTES], "big")
        page_bytes = int.from_bytes(data[PAGE_SIZE_BYTES], "big")
        is_counted = data[VALID_FOR_BYTES] == data[CHANGE_COUNTER_BYTES]
        pages = int.from_bytes(data[PAGE_COUNT_BYTES], "big") if is_counted else 0
        page_bytes = 1 << 16 if page_bytes == 1 else page_bytes
        return cls(read_version == WAL_FORMAT, counter, version, page_bytes, pages)

    def lacks_bytes(self, files: Files) -> bool:
        """Whether the file ends before its last page does, and no WAL or journal can complete it.

        SQLite reads such a page, with zeros at its end.
        """
        is_complete = not files.wal_bytes and not files.has_journal
        return is_complete and files.main.size_bytes < self.pages * self.page_bytes


def stat_files(path: str) -> Files:
    """Stat the files of a database.

    Raise UnreadableError if the file is missing, empty, not a regular file, or not accessible.
    """
    try:
        resolved = os.path.realpath(path, strict=True)
        info = os.stat(resolved)
        if not stat.S_ISREG(info.st_mode):
            kind = KINDS.get(stat.S_IFMT(info.st_mode), "device")
            raise UnreadableError("not_a_file", kind=kind)
        if not info.st_size:
            raise UnreadableError("file_empty")
        wal, journal = _side_stamp(f"{resolved}-wal"), _side_stamp(f"{resolved}-journal")
    except OSError as error:
        raise explain_os_error(error, path) from error
    return Files(resolved, _stamp(info), wal, journal, info.st_nlink)


def identity_of(path: str) -> tuple[int, int] | None:
    """Return the device and inode of a file; None if it is missing or not accessible."""
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino


def find_renamed(path: str, was: FileStamp) -> str | None:
    """Return the present name of a file that was renamed within its folder.

    Size and time must be the same: a new file may get the inode of a deleted one.
    """
    folder = os.path.dirname(path)
    try:
        with os.scandir(folder) as entries:
            same = (one.name for one in islice(entries, MAX_ENTRIES) if one.inode() == was.inode)
            name = next(same, "")
        is_same = _stamp(os.stat(os.path.join(folder, name)))[:4] == was[:4]
    except OSError:
        return None
    return name if is_same and name.isprintable() and len(name) <= MAX_SHOWN else None


def find_access(path: str) -> Access:
    """Find the owners of a database's files, and the first thing on the way that is not accessible.

    `path` is absolute. The files may be missing.
    """
    with suppress(OSError):  # a link that may not be read, such as /proc/PID/root
        path = os.path.realpath(path)
    sides = ("", "-wal", "-shm", "-journal")
    owners = {side: owner for side in sides if (owner := _owner(path + side)) is not None}
    for folder in reversed(list(_folders(path))):
        if not os.access(folder, os.X_OK) and os.path.isdir(folder):
            return Access(path, owners, folder, blocked_by_folder=True)
    blocked_by = next((f for side in owners if not os.access(f := path + side, os.R_OK)), None)
    return Access(path, owners, blocked_by, is_mounted_alone=is_mount_point(path))


@contextmanager
def open_read_only(path: str) -> Iterator[int]:
    """Open a regular file within a context, as a descriptor. Raise OSError.

    Reading from it leaves the file's access time alone if we own the file: the kernel allows
    O_NOATIME only to the owner.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_start(path: str, size: int) -> bytes:
    """Read the first bytes of a file. Raise OSError.

    Closing the file drops all locks that this process has on it, so no connection to it may be
    open meanwhile.
    """
    with open_read_only(path) as descriptor:
        return os.read(descriptor, size)


def read_header(files: Files) -> Header:
    """Read the main file's header. Raise UnreadableError.

    No connection to the file may be open meanwhile: see `read_start`.
    """
    return Header.parse(_read_header_bytes(files.path))


def journal_is_hot(files: Files) -> bool:
    """Whether the journal's header is intact: its transaction is running, or was cut off.

    Raise UnreadableError.
    """
    try:
        return _read_header_bytes(f"{files.path}-journal").startswith(JOURNAL_MAGIC)
    except UnreadableError as error:
        if error.code == "file_missing":
            return False
        raise


def explain_os_error(error: OSError, path: str) -> UnreadableError:
    """Convert an error of the operating system at a database's path."""
    if error.errno in ABSENT:
        folder = os.path.dirname(path)
        if os.path.isdir(folder):
            return UnreadableError("file_missing")
        while not os.path.isdir(os.path.dirname(folder)):
            folder = os.path.dirname(folder)
        return UnreadableError("folder_missing", missing=folder)
    if error.errno in {errno.EACCES, errno.EPERM}:
        return UnreadableError("permission_denied")
    if error.errno in DISK_ERRORS:
        return UnreadableError("io_error")
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return UnreadableError("cannot_read", error=name, text=error.strerror or "no error text")


def _read_header_bytes(path: str) -> bytes:
    try:
        return read_start(path, HEADER_BYTES + 1)
    except OSError as error:
        raise explain_os_error(error, path) from error


def _time(time_ns: int) -> datetime | None:
    """Convert a file's time; None if it was set to one that no calendar has."""
    try:
        return datetime.fromtimestamp(time_ns / 1e9, UTC)
    except (ValueError, OverflowError):
        return None


def _stamp(info: os.stat_result) -> FileStamp:
    return FileStamp(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def _side_stamp(path: str) -> FileStamp | None:
    try:
        info = os.stat(path)
    except OSError as error:
        if error.errno in ABSENT:  # also a link to itself, or a name that is too long with `-wal`
            return None
        raise
    if stat.S_ISDIR(info.st_mode):  # SQLite would open it, and then report a disk I/O error
        raise IsADirectoryError(errno.EISDIR, f"-{path.rpartition('-')[2]} is a folder")
    return _stamp(info)


def _owner(path: str) -> int | None:
    try:
        return os.stat(path).st_uid
    except OSError:
        return None


def _folders(path: str) -> Iterator[str]:
    """Yield the folders of a path, the innermost first."""
    while (folder := os.path.dirname(path)) != path:
        yield folder
        path = folder
