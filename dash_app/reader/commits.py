"""Finds the newest commit in a WAL that wrote content, from the headers of its frames."""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from struct import Struct

from dash_app.reader.surroundings import Index

WAL_HEADER_BYTES = 32
FRAME_HEADER = Struct(">II8s2I")
"""Page, pages after a commit, salts, checksum (sqlite.org/fileformat2.html#walformat)."""

MAX_FRAMES = 10_000
"""Frames that are looked at, newest first: the first ordinary page ends the search, and 10,000
headers take 15 ms."""


@dataclass(frozen=True, slots=True)
class Commit:
    """How far a WAL was searched: its salts, its frames, and the newest commit of content in it."""

    salts: bytes
    frames: int
    content: str | None


def newest_commit(
    path: str, index: Index, housekeeping: AbstractSet[int], before: Commit | None
) -> Commit:
    """Return the newest commit in a WAL that wrote more than `housekeeping` pages.

    `before` is the last result for this database. A WAL that cannot be read, or is longer than can
    be searched, counts as one whose last commit wrote content.
    """
    is_same = before is not None and before.salts == index.salts and before.frames <= index.frames
    known = before if is_same else None
    content = known.content if known else None
    last_frame = known.frames if known else 0
    try:
        frame = _newest_frame(path, index, housekeeping, last_frame)
    except OSError:
        frame = index.frames
    if frame > last_frame:
        content = f"{index.salts.hex()}:{frame}"
    return Commit(index.salts, index.frames, content)


def _newest_frame(path: str, index: Index, housekeeping: AbstractSet[int], last_frame: int) -> int:
    """Return the newest frame after `last_frame` that holds another page; 0 if there is none."""
    frame_bytes = index.page_bytes + FRAME_HEADER.size
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        for frame in range(index.frames, last_frame, -1):
            offset = WAL_HEADER_BYTES + (frame - 1) * frame_bytes
            data = os.pread(descriptor, FRAME_HEADER.size, offset)
            if len(data) < FRAME_HEADER.size or index.frames - frame >= MAX_FRAMES:
                return index.frames
            page, _pages, salts, *_checksum = FRAME_HEADER.unpack(data)
            if page not in housekeeping or salts != index.salts:
                return frame
    finally:
        os.close(descriptor)
    return 0
