"""The index of a WAL (the `-shm` file): its frames, those checkpointed, and the readers' marks.

The format is described in sqlite.org/walformat.html. Integers have the machine's byte order.
"""

import os
import time
from contextlib import ExitStack
from struct import Struct
from typing import NamedTuple, Self

from dash_app.model.host_facts import Use
from dash_app.reader.files import open_read_only, read_start

HEADER = Struct("=II IBBH II II 8s 2I")
CHECKSUM = Struct(">II")
WAL_SALTS = slice(16, 24)
FRAME_COMMIT_PAGES, FRAME_SALTS, FRAME_CHECKSUM = slice(4, 8), slice(8, 16), slice(16, 24)
FRAME_SALTS_AND_CHECKSUM = slice(8, 24)
MAX_STRAY_FRAMES = 1000
WAL_HEADER_BYTES = 32
CHECKPOINT = Struct("=I5I")
CHECKPOINT_OFFSET = 96
"""Number of checkpointed frames, and five read marks."""

INDEX_BYTES = 136
INDEX_VERSION = 3007000
FRAME_HEADER_BYTES = 24
UNUSED_MARK = 0xFFFFFFFF

FIRST_LOCK_BYTE, OPEN_LOCK_BYTE = 120, 128
LOCK_USES: dict[int, Use] = {120: "write", 121: "checkpoint", 122: "recover", 128: "open"}
READ_LOCK_BYTES = range(123, 128)
"""Bytes of the index that SQLite locks, and why (sqlite.org/walformat.html, "WAL Locks")."""

BURST_COMMITS_PER_SECOND, BURST_SECONDS = 4000, 0.02
"""Beside a faster writer, each read of 5 ms would add more than 2% to a WAL of the usual 1,000
frames, and might meet an index that is just being written: SQLite then takes the writer's lock for
an instant (`walIndexReadHdr` in wal.c). A checkpoint stops a writer for up to 10 ms."""

Commit = tuple[int, bytes]
"""The number and the checksum of the last frame of a commit in a WAL."""


class WalIndex(NamedTuple):
    """Size and number of frames in a WAL, number of those checkpointed, and five read marks.

    A read mark is the number of the last frame that a reader uses. `salts` are in the header of
    the WAL and of each frame that belongs to it, `checksum` is in the last frame. `commits` counts
    all commits since the index was made.
    """

    frame_bytes: int
    frames: int
    checkpointed: int
    read_marks: tuple[int, ...]
    salts: bytes = b""
    checksum: bytes = b""
    commits: int = 0

    @property
    def used_bytes(self) -> int:
        """The size of all frames."""
        return self.frames * self.frame_bytes

    @property
    def backlog_bytes(self) -> int:
        """The size of the frames that are not yet checkpointed."""
        return (self.frames - self.checkpointed) * self.frame_bytes

    def is_held_back_by(self, slot: int) -> bool:
        """Whether the reader of a mark keeps newer frames from being checkpointed."""
        mark = self.read_marks[slot]
        return self.backlog_bytes > 0 and mark < self.frames and mark != UNUSED_MARK

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Parse the start of an index. Return None if it is invalid, or is being written."""
        size = HEADER.size
        # SQLite keeps two copies of the header, which differ while it writes them.
        if len(data) < INDEX_BYTES or data[:size] != data[size : 2 * size]:
            return None
        fields = HEADER.unpack_from(data)
        version, _, commits, is_initialized, _, page_bytes, frames, _, *sums, salts, _, _ = fields
        checkpointed, *read_marks = CHECKPOINT.unpack_from(data, CHECKPOINT_OFFSET)
        if version != INDEX_VERSION or not is_initialized or checkpointed > frames:
            return None
        frame_bytes = FRAME_HEADER_BYTES + (1 << 16 if page_bytes == 1 else page_bytes)
        checksum, marks = CHECKSUM.pack(*sums), tuple(read_marks)
        return cls(frame_bytes, frames, checkpointed, marks, salts, checksum, commits)

    def fits(self, wal: int) -> bool:
        """Whether the last frame that this index names is in a WAL, given as a descriptor.

        If not, a writer wrote the WAL without this index. Raise OSError.
        """
        if not self.frames:
            return True
        header = os.pread(wal, WAL_HEADER_BYTES, 0)
        offset = WAL_HEADER_BYTES + (self.frames - 1) * self.frame_bytes
        frame = os.pread(wal, FRAME_HEADER_BYTES, offset)
        is_last = frame[FRAME_SALTS_AND_CHECKSUM] == self.salts + self.checksum
        return is_last and header[WAL_SALTS] == self.salts

    def find_strays(self, wal: int) -> frozenset[Commit]:
        """Return the commits of this generation in a WAL that this index does not name.

        A writer is about to name it, or was killed before it could, or uses another index. Return
        nothing if many frames follow: a crash of the machine may leave those. Raise OSError.
        """
        strays: set[Commit] = set()
        for frame in range(self.frames + 1, self.frames + MAX_STRAY_FRAMES):
            offset = WAL_HEADER_BYTES + (frame - 1) * self.frame_bytes
            data = os.pread(wal, FRAME_HEADER_BYTES, offset)
            if data[FRAME_SALTS] != self.salts:
                return frozenset(strays)
            if any(data[FRAME_COMMIT_PAGES]):
                strays.add((frame, data[FRAME_CHECKSUM]))
        return frozenset()


def read_wal_index(path: str) -> WalIndex | None:
    """Read the index at a path. Return None if it is missing, invalid or being written.

    No connection to its database may be open meanwhile: see `read_start`.
    """
    try:
        return WalIndex.parse(read_start(path, INDEX_BYTES))
    except OSError:
        return None


class Pace:
    """How fast a database is written, by the commits that the index of its WAL counts.

    `is_burst`: whether there were more since the last time than short reads should delay.
    """

    def __init__(self) -> None:
        """Start with the first time."""
        self._seen: tuple[int, float] | None = None
        self.is_burst = False

    @property
    def is_known(self) -> bool:
        """Whether there was a time before."""
        return self._seen is not None

    def note(self, index: WalIndex | None) -> None:
        """Note the index at this time; None if it is just being written, or there is no WAL."""
        now = time.monotonic()
        if index is None:
            self.is_burst = True
        elif self._seen is not None:
            before, at = self._seen
            commits = index.commits - (before if before <= index.commits else 0)
            self.is_burst = commits > BURST_COMMITS_PER_SECOND * (now - at)
        self._seen = index.commits if index else 0, now


def compare_with_wal(path: str) -> tuple[WalIndex, bool, frozenset[Commit]] | None:
    """Find a difference between a WAL and its index.

    Return the index, whether the WAL lacks the last frame, and its stray commits; None if both
    agree. The index is read before and after, since a writer may be at it. It means nothing while
    no process has it open. The same condition applies as for `read_wal_index`.
    """
    for _attempt in range(3):
        index = read_wal_index(f"{path}-shm")
        if index is None:
            return None
        with ExitStack() as stack:
            try:
                wal = stack.enter_context(open_read_only(f"{path}-wal"))
            except OSError:  # the last connection to close removes it first
                return None
            lacks_frame, strays = not index.fits(wal), index.find_strays(wal)
        if read_wal_index(f"{path}-shm") == index:
            return (index, lacks_frame, strays) if lacks_frame or strays else None
    return None
