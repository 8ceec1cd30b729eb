"""Find the newest commit in a WAL that wrote content, from the headers of its frames."""

import os
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from struct import Struct

from dash_app.reader.files import open_read_only
from dash_app.reader.wal_index import WAL_HEADER_BYTES, WalIndex

FRAME_HEADER = Struct(">II8s2I")
"""Page, database size after a commit, salts, checksum (sqlite.org/fileformat2.html#walformat)."""

MAX_FRAMES = 10_000
"""Maximum number of frames searched, which takes 15 ms. The search starts at the newest frame and
ends at the first page of content."""


@dataclass(frozen=True, slots=True)
class SearchedCommits:
    """The part of a WAL that was searched, and the newest commit of content in it."""

    salts: bytes
    frames: int
    content: str | None
    fits: bool = True
    """Whether the last frame that the index names is the last one of a commit in the WAL."""


def find_content_commit(
    path: str, index: WalIndex, housekeeping: AbstractSet[int], before: SearchedCommits | None
) -> SearchedCommits:
    """Find the newest commit in a WAL that wrote more than `housekeeping` pages.

    `before` is the previous result for this database. If the WAL cannot be read, or is too long to
    search, its last commit is assumed to have written content.
    """
    is_same = before is not None and before.salts == index.salts and before.frames <= index.frames
    searched = before if is_same else None
    content = searched.content if searched else None
    last_frame = searched.frames if searched else 0
    fits = True
    try:
        with open_read_only(path) as wal:
            fits = index.fits(wal) and not index.find_strays(wal)
            frame = _newest_frame(wal, index, housekeeping, last_frame)
    except OSError:
        frame = index.frames
    if frame > last_frame:
        content = f"{index.salts.hex()}:{frame}"
    return SearchedCommits(index.salts, index.frames, content, fits)


def _newest_frame(
    wal: int, index: WalIndex, housekeeping: AbstractSet[int], last_frame: int
) -> int:
    """Return the newest frame after `last_frame` with a page of content; 0 if there is none."""
    for frame in range(index.frames, last_frame, -1):
        offset = WAL_HEADER_BYTES + (frame - 1) * index.frame_bytes
        data = os.pread(wal, FRAME_HEADER.size, offset)
        if len(data) < FRAME_HEADER.size or index.frames - frame >= MAX_FRAMES:
            return index.frames
        page, _database_pages, salts, *_checksum = FRAME_HEADER.unpack(data)
        if page not in housekeeping or salts != index.salts:
            return frame
    return 0
