"""Read the pages of a database without SQLite: no lock is taken, and the WAL is not held back."""

import os
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from struct import Struct

from dash_app.reader.commits import FRAME_HEADER
from dash_app.reader.files import (
    HEADER_BYTES,
    Files,
    Header,
    UnreadableError,
    journal_is_hot,
    open_read_only,
    stat_files,
)
from dash_app.reader.locks import PENDING_BYTE, find_write_lock, is_wal_index_open
from dash_app.reader.wal_index import (
    FRAME_HEADER_BYTES,
    INDEX_BYTES,
    WAL_HEADER_BYTES,
    WalIndex,
    read_wal_index,
)

SETTLED_NS = 20_000_000
"""Two writes within one tick of the kernel's clock, at most 10 ms, may leave the same mtime."""

FIELDS = Struct(">16xH2xB3xIIIII8xI36xI4x")
"""Page size, reserved bytes, change counter, number of pages, first page and number of pages of the
freelist, schema version, the largest root page (0 without a pointer map), and the change counter
for which the number of pages is valid (sqlite.org/fileformat2.html#the_database_header)."""

MAP_ENTRY = Struct(">BI")
"""An entry of a pointer map: how a page is used, and by which page."""

INDEX_BLOCK_BYTES = 32768
BLOCK_SLOTS = 4096
"""Each block of a WAL index begins with the page numbers of 4,096 frames. In the first block, the
index's header takes the first of these slots (sqlite.org/walformat.html)."""

MAX_FRAMES = 200_000
"""Maximum number of frames not yet checkpointed. A dictionary of as many pages takes 20 MB and
25 ms."""


class NotStillError(Exception):
    """The pages of one moment cannot be read now; the text is a sentence with the reason."""


class RawPages:
    """The committed pages of a database at one moment.

    Pages that the WAL has in a newer version are read from there. So the moment is valid beside
    writers, as long as no checkpoint writes to the main file and the WAL does not start over. What
    was read counts only if `stood_still` is true afterwards. Raise NotStillError, UnreadableError
    or OSError.
    """

    def __init__(self, files: Files, main: int, wal: int | None) -> None:
        self.identity = files.identity
        self._path = files.path
        self._main, self._wal = main, wal
        self._before = os.fstat(main)
        if 0 <= time.time_ns() - self._before.st_mtime_ns < SETTLED_NS:
            raise NotStillError("It is written without a pause.")
        if find_write_lock(files.path) is not None or (files.has_journal and journal_is_hot(files)):
            raise NotStillError("Another program keeps it locked.")
        self._index = self._read_index() if wal is not None else None
        self._frames = _newer_frames(files.path, self._index) if self._index else {}
        self._map: tuple[int, bytes] = (0, b"")
        self._read_header()

    def _read_header(self) -> None:
        header = os.pread(self._main, HEADER_BYTES, 0)
        Header.parse(header)
        size = FIELDS.unpack(header)[0]
        self.page_bytes = 1 << 16 if size == 1 else size
        if self.page_bytes < 512 or self.page_bytes & (self.page_bytes - 1):
            raise UnreadableError("corrupt")
        header = self.read(1, HEADER_BYTES)
        _, reserved, counter, pages, *freelist, version, root, valid_for = FIELDS.unpack(header)
        self.usable = self.page_bytes - reserved
        in_main = -(-self._before.st_size // self.page_bytes)
        is_valid = pages and counter == valid_for  # SQLite before 3.7.0 did not keep it
        self.count = min(pages, in_main + len(self._frames)) if is_valid else in_main
        self.first_trunk, self.free_count = freelist
        self.schema_version = version
        self._has_map = root > 0

    def read(self, number: int, size: int = 0) -> bytes:
        """Read a page or its first bytes; fewer if it lies beyond the end of the file."""
        size = size or self.page_bytes
        frame = self._frames.get(number)
        if frame is None or self._wal is None or self._index is None:
            return os.pread(self._main, size, (number - 1) * self.page_bytes)
        offset = WAL_HEADER_BYTES + (frame - 1) * self._index.frame_bytes
        data = os.pread(self._wal, FRAME_HEADER_BYTES + size, offset)
        if len(data) < FRAME_HEADER_BYTES + size:
            raise NotStillError("Its WAL and the index of it differ.")
        page, _, salts, *_ = FRAME_HEADER.unpack_from(data)
        if (page, salts) != (number, self._index.salts):
            raise NotStillError("Its WAL and the index of it differ.")
        return data[FRAME_HEADER_BYTES:]

    def map_entry(self, number: int) -> tuple[int, int] | None:
        """Return how the pointer map says that a page is used; None if there is no entry."""
        if not self._has_map or number == 1:
            return None
        entries = self.usable // 5
        page = (number - 2) // (entries + 1) * (entries + 1) + 2
        page += page == PENDING_BYTE // self.page_bytes + 1
        if self._map[0] != page:
            self._map = page, self.read(page)
        offset = 5 * (number - page - 1)
        if not 0 <= offset <= len(self._map[1]) - MAP_ENTRY.size:
            return 0, 0
        kind, parent = MAP_ENTRY.unpack_from(self._map[1], offset)
        return kind, parent

    def stood_still(self) -> bool:
        """Whether all pages that were read are of one moment."""
        after = os.fstat(self._main)
        if (after.st_mtime_ns, after.st_size) != (self._before.st_mtime_ns, self._before.st_size):
            return False
        return self._index is None or self._read_index().salts == self._index.salts

    def _read_index(self) -> WalIndex:
        # Without a connection, an index may be left from an earlier WAL.
        index = read_wal_index(f"{self._path}-shm") if is_wal_index_open(self._path) else None
        if index is None:
            raise NotStillError("Its WAL is not in use, or is just being written.")
        return index


@contextmanager
def open_pages(path: str) -> Iterator[RawPages]:
    """Open a database, and close it at the end. Raise NotStillError, UnreadableError or OSError.

    No connection of this process to it may be open meanwhile: see `files.read_start`.
    """
    files = stat_files(path)
    with ExitStack() as stack:
        main, wal = stack.enter_context(open_read_only(files.path)), None
        if files.wal_bytes:
            wal = stack.enter_context(open_read_only(f"{files.path}-wal"))
        yield RawPages(files, main, wal)


def _newer_frames(path: str, index: WalIndex) -> dict[int, int]:
    """Return the newest frame of each page that has one that is not checkpointed."""
    first, last = index.checkpointed, index.frames
    if last - first > MAX_FRAMES:
        raise NotStillError("Its WAL is too large.")
    begin, end = INDEX_BYTES // 4 + first, INDEX_BYTES // 4 + last
    pages = array("I")
    with open_read_only(f"{path}-shm") as descriptor:
        for start in range(begin // BLOCK_SLOTS * BLOCK_SLOTS, end, BLOCK_SLOTS):
            slots = range(max(begin, start), min(end, start + BLOCK_SLOTS))
            offset = start // BLOCK_SLOTS * INDEX_BLOCK_BYTES + 4 * (slots.start - start)
            pages.frombytes(os.pread(descriptor, 4 * len(slots), offset))
    if len(pages) != last - first:
        raise NotStillError("Its WAL and the index of it differ.")
    return dict(zip(pages, range(first + 1, last + 1), strict=True))
