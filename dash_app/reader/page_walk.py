"""Walk through the trees of a database at one moment, and find pages that cannot be right there."""

import time
from bisect import bisect_right
from struct import Struct, unpack_from
from typing import NamedTuple

from dash_app.reader.btree import PAGE_NUMBER, DamagedPageError, Page, parse_page
from dash_app.reader.raw_pages import RawPages

MAX_DEPTH = 20
"""SQLite follows no deeper tree (BTCURSOR_MAX_DEPTH)."""

MAX_FOLLOWED_PAGES = 20_000
"""Overflow or free pages that one walk follows, which takes 0.1 s."""

LOWEST, HIGHEST = -(2**63) - 1, 2**63 - 1
TRUNK = Struct(">II")

ROOT_PAGE, FREE_PAGE, FIRST_OVERFLOW, LATER_OVERFLOW, TREE_PAGE = 1, 2, 3, 4, 5
"""Kinds of entries in a pointer map (sqlite.org/fileformat2.html#ptrmap)."""

Path = tuple[int, ...]
"""The way from a root to a page: for each step the place among the children."""

Position = int | Path
"""Where a walk continues: in a table after this rowid, in an index with the page at this path."""


class Place(NamedTuple):
    """A page in a tree, and what its parents say about it.

    All its rowids are higher than `low`, and none is higher than `high`.
    """

    page: int
    parent: int
    low: int = LOWEST
    high: int = HIGHEST
    path: Path = ()


class WrongPage(NamedTuple):
    """A page that cannot be right, and the rowids that its parents allow; None in an index."""

    page: int
    reason: str
    rowids: tuple[int, int] | None


class Walk:
    """A walk through one tree, or through the freelist.

    `claims` are the pages that it came to. `skipped` counts those of long overflow chains and
    freelists that were not looked at. `above` is the number of pages to which the next walk
    comes again, on its way from the root.
    """

    def __init__(self, pages: RawPages, *, is_index: bool) -> None:
        self.claims: set[int] = set()
        self.problems: list[WrongPage] = []
        self.skipped = self.above = 0
        self._pages = pages
        self._is_index = is_index
        self._leaf_depth = 0
        self._may_follow = MAX_FOLLOWED_PAGES

    def tree(self, root: int, position: Position, deadline: float) -> Position | None:
        """Check the leaves from a position on until a deadline, and all pages that lead there.

        At least one leaf is checked. Return the next position; None at the end of the tree.
        """
        stack, has_leaf = [Place(root, root)], False
        resume = [] if isinstance(position, int) else list(position)
        rowid = position if isinstance(position, int) else LOWEST
        while stack and not (has_leaf and time.monotonic() >= deadline):
            place = stack.pop()
            try:
                page = self._check(place)
            except DamagedPageError as error:
                self._report(place, str(error))
            else:
                self._check_chains(place, page)
                if not page.is_leaf:
                    stack += self._children(place, page, rowid, resume)
                    continue
            has_leaf = True
            resume.clear()
        if not stack:
            return None
        self.above = len(stack[-1].path)
        return stack[-1].path if self._is_index else stack[-1].low

    def freelist(self) -> None:
        """Check the freelist, or its start if it is long."""
        page, trunk, found = 1, self._pages.first_trunk, 0
        try:
            while trunk and self._may_follow > 0:
                self._claim(trunk, (FREE_PAGE, 0))
                page = trunk
                trunk, leaves = self._read_trunk(page)
                for leaf in leaves:
                    self._claim(leaf, (FREE_PAGE, 0))
                found += 1 + len(leaves)
                self._may_follow -= 1 + len(leaves)
        except DamagedPageError as error:
            self._report(Place(page, page), f"freelist: {error}")
            return
        if trunk:
            self.skipped += max(self._pages.free_count - found, 0)
        elif found != self._pages.free_count:
            self._report(Place(page, page), "freelist: its length is not what the header says")

    def _read_trunk(self, page: int) -> tuple[int, tuple[int, ...]]:
        """Return the next page of the freelist and the free pages that a page lists."""
        data = self._pages.read(page)
        following, count = TRUNK.unpack_from(data.ljust(TRUNK.size, b"\0"))
        if count > self._pages.usable // 4 - 2 or TRUNK.size + 4 * count > len(data):
            raise DamagedPageError("a page lists more pages than fit into it")
        return following, unpack_from(f">{count}I", data, TRUNK.size)

    def _check(self, place: Place) -> Page:
        """Check a page and its relation to its parents. Raise DamagedPageError."""
        if len(place.path) > MAX_DEPTH:
            raise DamagedPageError("the tree is too deep")
        is_root = place.page == place.parent
        use = (ROOT_PAGE, 0) if is_root else (TREE_PAGE, place.parent)
        self._claim(place.page, use)
        page = parse_page(self._pages.read(place.page), place.page, self._pages.usable)
        if page.is_index != self._is_index:
            raise DamagedPageError("a page of a table and an index are mixed up")
        if page.rowids and not (place.low < page.rowids[0] and page.rowids[-1] <= place.high):
            raise DamagedPageError("its rowids are not those that its parent announces")
        if page.is_leaf:
            self._leaf_depth = self._leaf_depth or len(place.path)
            if self._leaf_depth != len(place.path):
                raise DamagedPageError("a leaf is at another depth than others")
        elif len(set(page.children)) < len(page.children):
            raise DamagedPageError("it refers to a page twice")
        elif min(page.children) < 2 or max(page.children) > self._pages.count:
            raise DamagedPageError("it refers to a page that does not exist")
        return page

    def _children(self, place: Place, page: Page, rowid: int, resume: list[int]) -> list[Place]:
        """Return the children from a position on, the last one first."""
        pages, first = page.children, 0
        if not page.is_index:
            first = bisect_right(page.rowids, rowid)
        elif resume:  # the tree may have changed
            first = min(resume.pop(0), len(pages) - 1)
        bounds = [LOWEST] * len(pages) if page.is_index else [place.low, *page.rowids]
        bounds.append(place.high)
        return [
            Place(pages[at], place.page, bounds[at], bounds[at + 1], (*place.path, at))
            for at in range(len(pages) - 1, first - 1, -1)
        ]

    def _check_chains(self, place: Place, page: Page) -> None:
        for number, size in page.chains:
            try:
                self._follow_chain(place.page, number, size)
            except DamagedPageError as error:
                self._report(place, f"an overflow chain: {error}")

    def _follow_chain(self, owner: int, number: int, size: int) -> None:
        """Check that a chain has as many pages as its payload needs. Raise DamagedPageError."""
        capacity = self._pages.usable - 4
        missing = -(-size // capacity)
        if missing > self._pages.count:
            raise DamagedPageError("a row is larger than the file")
        use = (FIRST_OVERFLOW, owner)
        while missing and self._may_follow > 0:
            self._claim(number, use)
            use = (LATER_OVERFLOW, number)
            number = int.from_bytes(self._pages.read(number, PAGE_NUMBER.size), "big")
            missing -= 1
            self._may_follow -= 1
        self.skipped += missing
        if number and not missing:
            raise DamagedPageError("it is longer than its row")

    def _claim(self, page: int, use: tuple[int, int]) -> None:
        """Note that a page is in use. Raise DamagedPageError if it cannot be in use so."""
        if not 1 <= page <= self._pages.count:
            raise DamagedPageError(f"there is no page {page}")
        if page in self.claims:
            raise DamagedPageError(f"page {page} is used twice")
        self.claims.add(page)
        if self._pages.map_entry(page) not in {None, use}:
            raise DamagedPageError(f"the pointer map is wrong about page {page}")

    def _report(self, place: Place, reason: str) -> None:
        rowids = None if self._is_index else (place.low + 1, place.high)
        self.problems.append(WrongPage(place.page, reason, rowids))
