"""The sweep through raw pages: it finds damage, and suspects no sound page, beside writers too."""

import json
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dash_app.reader import raw_pages
from dash_app.reader.btree import Page, parse_page
from dash_app.reader.connection import Route, connect
from dash_app.reader.page_walk import Position, Walk
from dash_app.reader.sweep import PageSweep, Suspect, read_targets
from tests.detection import (
    WRITERS,
    false_suspects,
    make_base,
    measure,
    sweep_beside_writer,
    swept,
    write_settled,
)
from tests.harness import LiveWriter, execute
from tests.sound import PAGE_SIZES


class Tree:
    """A sound database and its pages."""

    def __init__(self, path: Path, pragma: str) -> None:
        self.path = path
        self.base = make_base(path, pragma, 1200)
        with connect(str(path), "immutable") as connection:
            self.roots = {target.name: target.root for target in read_targets(connection)[0]}

    def parse(self, number: int) -> Page:
        return parse_page(self.base.page(number), number, self.base.page_bytes)

    def leaf(self, name: str, at: int = 5) -> int:
        """A leaf of a tree, as a page number."""
        number = self.roots[name]
        while not (page := self.parse(number)).is_leaf:
            number = page.children[min(at, len(page.children) - 1)]
        return number

    def parent(self, name: str, at: int = 5) -> int:
        """The page above `leaf`."""
        number = self.roots[name]
        while not self.parse((page := self.parse(number)).children[0]).is_leaf:
            number = page.children[min(at, len(page.children) - 1)]
        return number

    def chain(self, name: str) -> tuple[int, int]:
        """The first leaf of a tree with an overflow chain, and the first page of that."""
        leaves = (self.leaf(name, at) for at in range(10_000))
        return next(
            (leaf, page.chains[0][0]) for leaf in leaves if (page := self.parse(leaf)).chains
        )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return Tree(tmp_path_factory.mktemp("tree") / "base.db", "page_size = 1024")


def start(
    path: Path, route: Route = "immutable", progress: dict[str, Any] | None = None
) -> PageSweep:
    with connect(str(path), route) as connection:
        return PageSweep(str(path), *read_targets(connection), progress)


def finish(sweep: PageSweep) -> None:
    """Step until the sweep is done, as a busy machine may need it."""
    while not sweep.is_done:
        sweep.step(1)
        assert not sweep.is_outdated


def suspects_of(path: Path, data: bytes) -> list[Suspect]:
    write_settled(path, data)
    sweep = swept(path)
    assert sweep is not None
    return sweep.suspects


def write_settled_in_place(path: Path, data: bytes) -> None:
    """Write a page into a file, which keeps its inode."""
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, (1, 1))


def wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def replaced(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def test_no_page_of_a_sound_database_is_suspected(tmp_path: Path) -> None:
    pages, suspects = false_suspects(tmp_path, range(len(PAGE_SIZES)), 100, [])
    assert suspects == []
    assert pages > 500


def test_the_damage_that_structure_shows_is_found(tmp_path: Path) -> None:
    found = measure(tmp_path, 600, 6, 1, ["sweep"])
    total = found["64 bytes"] + found["zero page"] + found["swapped pages"]
    assert total["sweep"] >= total["integrity_check"] - 1 >= 9


def test_a_suspect_names_page_table_reason_and_rowids(tree: Tree, tmp_path: Path) -> None:
    leaf = tree.leaf("events")
    rowids = tree.parse(leaf).rowids
    data = tree.base.with_page(leaf, bytes(tree.base.page_bytes))
    (suspect,) = suspects_of(tmp_path / "a.db", data)
    assert suspect[:4] == (leaf, "events", "events", "unknown page type 0")
    assert suspect.rowids is not None
    assert suspect.rowids[0] <= rowids[0] <= rowids[-1] <= suspect.rowids[1]
    leaf = tree.leaf("by_score")
    (suspect,) = suspects_of(tmp_path / "a.db", tree.base.with_page(leaf, bytes(1024)))
    assert suspect == (leaf, "by_score", "events", "unknown page type 0", None)


def listed_twice(tree: Tree) -> tuple[bytes, set[int]]:
    """Let the freelist list a page twice."""
    (trunk,) = struct.unpack_from(">I", tree.base.now, 32)
    page = tree.base.page(trunk)
    return tree.base.with_page(trunk, replaced(page, 8, page[12:16])), {trunk}


def lost_trunk(tree: Tree) -> tuple[bytes, set[int]]:
    """Overwrite a page of the freelist with zeros."""
    (trunk,) = struct.unpack_from(">I", tree.base.now, 32)
    return tree.base.with_page(trunk, bytes(1024)), {trunk}


def exchanged(tree: Tree) -> tuple[bytes, set[int]]:
    """Exchange two leaves of a table: each is right by itself."""
    one, other = tree.leaf("events", 5), tree.leaf("events", 9)
    data = tree.base.with_page(one, tree.base.page(other))
    return replaced(data, (other - 1) * 1024, tree.base.page(one)), {one, other}


def index_leaf_in_a_table(tree: Tree) -> tuple[bytes, set[int]]:
    leaf = tree.leaf("events")
    return tree.base.with_page(leaf, tree.base.page(tree.leaf("by_who"))), {leaf}


def short_chain(tree: Tree) -> tuple[bytes, set[int]]:
    leaf, overflow = tree.chain("events")
    return tree.base.with_page(overflow, bytes(1024)), {leaf}


def chain_into_a_tree(tree: Tree) -> tuple[bytes, set[int]]:
    leaf, overflow = tree.chain("events")
    link = replaced(tree.base.page(overflow), 0, struct.pack(">I", tree.leaf("pairs")))
    return tree.base.with_page(overflow, link), {leaf}


def serial_type(tree: Tree) -> tuple[bytes, set[int]]:
    """Change the type of one value: its row is longer then than its cell."""
    leaf = tree.leaf("by_who")
    data = tree.base.page(leaf)
    cell = struct.unpack_from(">H", data, 8)[0]
    return tree.base.with_page(leaf, replaced(data, cell + 2, bytes([data[cell + 2] ^ 2]))), {leaf}


@pytest.mark.parametrize(
    "damage",
    [
        *(listed_twice, lost_trunk, exchanged, index_leaf_in_a_table),
        *(short_chain, chain_into_a_tree, serial_type),
    ],
    ids=lambda damage: damage.__name__,
)
def test_relations_between_pages_are_checked(
    tree: Tree, tmp_path: Path, damage: Callable[[Tree], tuple[bytes, set[int]]]
) -> None:
    data, pages = damage(tree)
    assert {suspect.page for suspect in suspects_of(tmp_path / "a.db", data)} == pages


def test_only_the_page_that_is_damaged_is_suspected(tree: Tree, tmp_path: Path) -> None:
    parent = tree.parse(tree.roots["events"]).children[0]
    assert not tree.parse(parent).is_leaf
    data = tree.base.with_page(parent, bytes(1024))
    assert [suspect.page for suspect in suspects_of(tmp_path / "a.db", data)] == [parent]


def test_an_entry_of_the_pointer_map_is_checked(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "base.db", "auto_vacuum = FULL")
    leaf = tree.leaf("events")
    entry = tree.base.page_bytes + 5 * (leaf - 3)  # page 2 is the first of the map
    (suspect,) = suspects_of(tmp_path / "a.db", replaced(tree.base.now, entry, b"\x01"))
    assert (suspect.page, suspect.reason) == (leaf, f"the pointer map is wrong about page {leaf}")


def test_a_sweep_continues_after_a_restart(tree: Tree, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    last = {name: tree.leaf(name, 10_000) for name in ("events", "by_score")}
    data = tree.base.now
    for page in last.values():
        data = replaced(data, (page - 1) * 1024, bytes(1024))
    write_settled(path, data)
    sweep, steps = start(path), 0
    while not sweep.is_done:
        sweep.step(0.0001)
        steps += 1
        sweep = start(path, progress=json.loads(json.dumps(sweep.progress)))
    assert steps > 10
    assert {suspect.page for suspect in sweep.suspects} == set(last.values())
    whole = swept(path)
    assert whole is not None
    assert sweep.suspects == whole.suspects
    assert sweep.bytes_by_name == pytest.approx(whole.bytes_by_name, rel=0.05)


def test_a_step_is_bounded_and_leaves_nothing_open(tree: Tree) -> None:
    sweep = start(tree.path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    sweep.step(0)
    assert sweep.share == 0
    sweep.step(0.002)
    assert 0 < sweep.share < 0.5
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    sweep.step(60)
    assert sweep.is_done
    assert sweep.share == 1
    size = tree.path.stat().st_size
    assert sum(sweep.bytes_by_name.values()) + sweep.free_pages * sweep.page_bytes == size
    assert sweep.free_pages > 10


def test_another_file_ends_a_sweep_and_another_schema_continues_it(
    tree: Tree, tmp_path: Path
) -> None:
    path = tmp_path / "a.db"
    write_settled(path, tree.base.now)
    sweep = start(path)
    while "events" not in sweep.bytes_by_name:
        sweep.step(0.002)
    progress = sweep.progress
    write_settled(tmp_path / "b.db", tree.base.now)
    (tmp_path / "b.db").replace(path)
    sweep.step(60)
    assert (sweep.is_outdated, sweep.is_done) == (True, False)
    sweep = start(path, progress=progress)
    assert sweep.share == 0
    while "events" not in sweep.bytes_by_name:
        sweep.step(0.002)
    execute(path, "CREATE TABLE another (x)", "DROP TABLE short_lived")
    os.utime(path, (1, 1))
    sweep.step(60)
    assert (sweep.is_outdated, sweep.is_done) == (True, False)
    sweep = start(path, progress=json.loads(json.dumps(sweep.progress)))
    assert 0.2 < sweep.share < 1
    finish(sweep)
    tables = {"sqlite_schema", "events", "by_who", "by_score", "pairs", "another"}
    assert sweep.bytes_by_name.keys() == tables


# Beside writers.


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[Path, LiveWriter]]:
    """A database in WAL mode with a writer."""
    path = tmp_path / "live.db"
    make_base(path, "page_size = 1024", 1200)
    execute(path, "PRAGMA journal_mode = WAL")
    with LiveWriter(path) as writer:
        writer.do("PRAGMA wal_autocheckpoint = 0")
        writer.do("SELECT count(*) FROM events")  # opens the WAL
        yield path, writer


INSERT = """
    INSERT INTO events (who, score, body)
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 900)
    SELECT 'v' || i, random(), hex(randomblob(60 + i % 300)) FROM n
"""


def test_pages_that_are_newer_in_the_wal_are_read_from_there(
    live: tuple[Path, LiveWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, writer = live
    writer.do(INSERT)
    writer.do("DELETE FROM events WHERE id % 3 = 0")
    before, size = path.stat(), wal_of(path).stat().st_size
    sweep = start(path, "shared")
    finish(sweep)
    assert sweep.suspects == []
    (pages,) = writer.do("PRAGMA page_count")[0]
    assert pages * 1024 > before.st_size
    assert sum(sweep.bytes_by_name.values()) == (pages - sweep.free_pages) * 1024
    # A checkpoint that is held back makes the main file a mixture of two commits.
    with LiveWriter(path) as reader:
        reader.do("BEGIN")
        reader.do("SELECT count(*) FROM events")
        writer.do(INSERT)
        writer.do("UPDATE events SET body = hex(randomblob(400)) WHERE id % 2")
        busy, frames, done = writer.do("PRAGMA wal_checkpoint(PASSIVE)")[0]
        assert (busy, size // 1048) == (0, done)
        assert done < frames
        sweep = start(path, "shared")
        finish(sweep)
        assert sweep.suspects == []
        monkeypatch.setattr(raw_pages, "_newer_frames", lambda *_: {})
        sweep = start(path, "shared")
        finish(sweep)
        assert sweep.suspects != []


def test_a_sweep_holds_back_neither_writer_nor_wal(live: tuple[Path, LiveWriter]) -> None:
    path, writer = live
    sweep = start(path, "shared")
    rounds = 0
    while not sweep.is_done:
        os.utime(path, (1, 1))  # as if the last checkpoint were some time ago
        sweep.step(0.002)
        assert writer.do("INSERT INTO events (body) VALUES (hex(randomblob(3000)))") == []
        busy, frames, done = writer.do("PRAGMA wal_checkpoint(RESTART)")[0]
        assert (busy, frames) == (0, done)
        rounds += 1
    assert rounds > 3
    assert sweep.suspects == []
    assert wal_of(path).stat().st_size < 100_000


def test_pages_that_change_hands_during_a_sweep_are_no_suspects(
    live: tuple[Path, LiveWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, writer = live
    rng = random.Random(1)
    roots: dict[int, set[int]] = {}

    class RecordedWalk(Walk):
        def tree(self, root: int, position: Position, deadline: float) -> Position | None:
            following = super().tree(root, position, deadline)
            for page in self.claims:
                roots.setdefault(page, set()).add(root)
            return following

    monkeypatch.setattr("dash_app.reader.sweep.Walk", RecordedWalk)
    for sql in ("CREATE TABLE other (body)", "CREATE INDEX by_body ON other (body)"):
        writer.do(sql)
    sweep = start(path, "shared")
    while not sweep.is_done:
        os.utime(path, (1, 1))
        sweep.step(0.002)
        if rng.random() < 0.8:
            first = rng.randrange(1200)
            writer.do(f"DELETE FROM events WHERE id BETWEEN {first} AND {first + 60}")
            writer.do("INSERT INTO other SELECT hex(randomblob(300)) FROM events LIMIT 50")
        else:
            writer.do("PRAGMA wal_checkpoint(PASSIVE)")
    assert sum(len(trees) > 1 for trees in roots.values()) > 10
    assert sweep.suspects == []


def test_damage_is_found_beside_a_writer_except_under_a_newer_page(
    live: tuple[Path, LiveWriter], tree: Tree
) -> None:
    path, writer = live  # with the same pages as `tree`
    damaged, rewritten = tree.leaf("events", 5), tree.leaf("events", 9)
    rowid = tree.parse(rewritten).rowids[0]
    writer.do(f"UPDATE events SET score = 1 WHERE id = {rowid}")
    with path.open("r+b") as file:
        for page in (damaged, rewritten):
            file.seek((page - 1) * 1024)
            file.write(bytes(1024))
    sweep = start(path, "shared")
    while not sweep.is_done:
        writer.do("INSERT INTO events (body) VALUES ('x')")
        sweep.step(0.02)
    assert [suspect.page for suspect in sweep.suspects] == [damaged]


def test_no_page_is_suspected_beside_a_writer_at_full_speed(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    pages, suspects = sweep_beside_writer(path, WRITERS["WAL, full speed"], 0)
    assert pages > 300
    assert suspects == []


def test_a_sweep_says_why_it_can_read_nothing(live: tuple[Path, LiveWriter]) -> None:
    path, writer = live
    sweep = start(path, "shared")
    writer.do(INSERT)
    writer.kill()
    sweep.step(0.001)
    assert sweep.blocked == "Its WAL is not in use, or is just being written."
    with LiveWriter(path) as other:
        other.do("PRAGMA wal_checkpoint")
        while sweep.blocked != "It is written without a pause.":
            os.utime(path)
            sweep.step(0.001)
        other.do("PRAGMA journal_mode = DELETE")
        other.do("BEGIN IMMEDIATE")
        while "pause" in str(sweep.blocked):
            sweep.step(0.001)
        assert sweep.blocked == "Another program keeps it locked."
        other.do("COMMIT")
        finish(sweep)
        assert sweep.blocked is None
