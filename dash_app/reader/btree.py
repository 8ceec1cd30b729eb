"""Check one page of a B-tree by itself: what SQLite can never have written there.

The format is described in sqlite.org/fileformat2.html#b_tree_pages. Only what every version of
SQLite keeps is checked, so a page that fails is damaged: a test checks this on sound databases of
all formats. Changed values inside rows are not noticed, since pages have no checksum.
"""

import struct
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import ge
from struct import Struct, unpack_from
from typing import NamedTuple

from dash_app.reader.files import HEADER_BYTES

KINDS = {
    2: (False, True),
    5: (False, False),
    10: (True, True),
    13: (True, False),
}
"""Whether a page is a leaf, and whether it belongs to an index, by its first byte."""

PAGE_HEADER = Struct(">BHHHB")
PAGE_NUMBER = Struct(">I")
FREEBLOCK = Struct(">HH")
MIN_CELL_BYTES = 4
MAX_PAGE_BYTES = 65536

BODY_BYTES = bytes(
    [0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 255, 255, *((code - 12) // 2 for code in range(12, 256))]
)
"""The size of a value by its serial type, for types below 128. Types 10 and 11 never occur."""


class DamagedPageError(Exception):
    """A page is not as SQLite writes it; the text is the reason."""


class Page(NamedTuple):
    """The references and keys of a page."""

    is_leaf: bool
    is_index: bool
    children: Sequence[int]
    rowids: Sequence[int]
    """In a leaf, those of its rows; above the leaves, the highest of each child except the last.
    Empty for an index."""
    chains: Sequence[tuple[int, int]]
    """The first page of each overflow chain, and the bytes that the chain holds."""


def parse_page(data: bytes, number: int, usable: int) -> Page:
    """Parse a page. `usable` is the page size without the reserved bytes.

    Raise DamagedPageError.
    """
    if len(data) < usable:
        raise DamagedPageError("beyond the end of the file")
    at = HEADER_BYTES if number == 1 else 0
    kind, freeblock, count, content, fragments = PAGE_HEADER.unpack_from(data, at)
    if kind not in KINDS:
        raise DamagedPageError(f"unknown page type {kind}")
    is_leaf, is_index = KINDS[kind]
    array = at + (8 if is_leaf else 12)
    content = content or MAX_PAGE_BYTES
    if array + 2 * count > content or content > usable:
        raise DamagedPageError("its cell pointers reach into its content")
    pointers: tuple[int, ...] = unpack_from(f">{count}H", data, array)
    if pointers and (min(pointers) < content or max(pointers) > usable - MIN_CELL_BYTES):
        raise DamagedPageError("a cell pointer leads out of its content")
    children: list[int] = []
    rowids: list[int] = []
    chains: list[tuple[int, int]] = []
    if not is_leaf:
        children = [PAGE_NUMBER.unpack_from(data, pointer)[0] for pointer in pointers]
        children.append(PAGE_NUMBER.unpack_from(data, at + 8)[0])
    try:
        if is_leaf or is_index:
            starts = pointers if is_leaf else [pointer + 4 for pointer in pointers]
            ends = _parse_records(data, starts, usable, None if is_index else rowids, chains)
        else:
            ends = _parse_keys(data, pointers, rowids)
        _check_space(
            data, (content, usable), freeblock, fragments, zip(pointers, ends, strict=True)
        )
    except (IndexError, struct.error) as error:
        raise DamagedPageError("a cell reaches beyond the page") from error
    if any(map(ge, rowids, rowids[1:])):
        raise DamagedPageError("its rowids are out of order")
    return Page(is_leaf, is_index, children, rowids, chains)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer at a place, and the place after it. Raise IndexError."""
    value = 0
    for place in range(at, at + 8):
        byte = data[place]
        if byte < 128:
            return value << 7 | byte, place + 1
        value = value << 7 | byte & 127
    return value << 8 | data[at + 8], at + 9


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _parse_keys(data: bytes, pointers: Sequence[int], rowids: list[int]) -> list[int]:
    """Append the rowids of cells above the leaves of a table; return the ends of the cells."""
    ends = []
    for pointer in pointers:
        rowid, end = read_varint(data, pointer + 4)
        rowids.append(_signed(rowid))
        ends.append(end)
    return ends


def _parse_records(
    data: bytes,
    starts: Sequence[int],
    usable: int,
    rowids: list[int] | None,
    chains: list[tuple[int, int]],
) -> list[int]:
    """Append rowids, if it is a table, and overflow chains; return the ends of the cells."""
    smallest = (usable - 12) * 32 // 255 - 23
    largest = (usable - 12) * 64 // 255 - 23 if rowids is None else usable - 35
    ends = []
    for start in starts:
        payload, at = read_varint(data, start)
        if rowids is not None:
            rowid, at = read_varint(data, at)
            rowids.append(_signed(rowid))
        local = payload
        if payload > largest:
            local = smallest + (payload - smallest) % (usable - 4)
            local = smallest if local > largest else local
            chains.append((PAGE_NUMBER.unpack_from(data, at + local)[0], payload - local))
        _check_record(data, at, at + local, payload)
        ends.append(at + local + (4 if local < payload else 0))
    return ends


def _check_record(data: bytes, at: int, end: int, payload: int) -> None:
    """Check that the types in a record's header add up to the size of its payload."""
    header_bytes, first = read_varint(data, at)
    last = at + header_bytes
    if last < first or header_bytes > payload:
        raise DamagedPageError("the header of a row is longer than the row")
    if last > end:
        return  # the header continues in the overflow chain
    types = data[first:last]
    if types.isascii():
        body_bytes = sum(types.translate(BODY_BYTES))
    else:
        body_bytes = 0
        while first < last:
            code, first = read_varint(data, first)
            body_bytes += BODY_BYTES[code] if code < 12 else (code - 12) // 2
    if first > last or header_bytes + body_bytes != payload:
        raise DamagedPageError("the types of a row do not add up to its size")


def _check_space(
    data: bytes,
    content: tuple[int, int],
    freeblock: int,
    fragments: int,
    cells: Iterable[tuple[int, int]],
) -> None:
    """Check that cells and free blocks fill the content but for its fragments, without overlap."""
    start, usable = content
    blocks = [(start, start)]
    blocks += ((begin, max(end, begin + MIN_CELL_BYTES)) for begin, end in cells)
    while freeblock:
        following, size = FREEBLOCK.unpack_from(data, freeblock)
        if freeblock < start or 0 < following <= freeblock:
            raise DamagedPageError("its free blocks are out of order")
        blocks.append((freeblock, freeblock + size))
        freeblock = following
    blocks.sort()
    blocks.append((usable, usable))
    gaps = [after - end for (_, end), (after, _) in pairwise(blocks)]
    if min(gaps) < 0:
        raise DamagedPageError("its cells overlap or reach beyond the page")
    if sum(gaps) != fragments:
        raise DamagedPageError("its free space is not what its header says")
