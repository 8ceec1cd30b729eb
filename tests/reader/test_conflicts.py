"""Each way in which live programs destroy a database is found, with the right process.

The programs are real, as are their locks. Each scene goes on step by step; after each step, two
readings must show exactly the conflicts that the scene names.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from dash_app.model.conflict import Conflict, ConflictKind
from dash_app.model.reading import Reading
from tests.airlock_helpers import open_airlock
from tests.harness import PATIENCE_SECONDS, LiveWriter, execute, make_database
from tests.mounts import CAN_MOUNT

ADD = "INSERT INTO agents (text) VALUES ('one more')"
COUNT = "SELECT count(*) FROM agents"

Expected = Mapping[ConflictKind, LiveWriter | None]
Open = Callable[..., LiveWriter]
Scene = Callable[[Path, Open], Iterator[Expected]]


def side(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def write(writer: LiveWriter, commits: int = 1) -> None:
    for _commit in range(commits):
        assert writer.do(ADD) == []


def wal_and_index_unlinked(path: Path, start: Open) -> Iterator[Expected]:
    write(first := start(path))
    yield {}
    side(path, "-wal").unlink()
    side(path, "-shm").unlink()
    yield {"wal_split": first}
    execute(path, COUNT)  # leaves a new, empty pair
    yield {"wal_split": first}
    write(second := start(path))
    write(first)
    yield {"wal_split": first}
    first.kill()
    yield {}
    write(second)
    yield {}


def index_unlinked(path: Path, start: Open) -> Iterator[Expected]:
    write(first := start(path))
    yield {}
    side(path, "-shm").unlink()
    yield {"wal_split": first}
    write(start(path))
    yield {"wal_split": first}


def wal_unlinked(path: Path, start: Open) -> Iterator[Expected]:
    write(first := start(path))
    yield {}
    side(path, "-wal").unlink()
    yield {"wal_removed": first}


def main_locks_cancelled(path: Path, start: Open) -> Iterator[Expected]:
    write(first := start(path))
    yield {}
    first.read_file(path)
    yield {"writer_unlocked": first}
    execute(path, COUNT)  # takes itself for the last connection, and removes the WAL
    assert not side(path, "-wal").exists()
    yield {"wal_orphaned": first}
    write(first)
    write(start(path))
    yield {"wal_orphaned": first}


def index_locks_cancelled(path: Path, start: Open) -> Iterator[Expected]:
    write(first := start(path))
    write(start(path))
    yield {}
    assert first.do("BEGIN IMMEDIATE") == []
    write(first)
    first.read_file(side(path, "-shm"))
    yield {}  # as of a connection that waits to have the file to itself
    assert first.do("COMMIT") == first.do("BEGIN") == []
    assert first.do(COUNT) == [[6]]
    yield {"writer_unlocked": first}
    assert first.do("COMMIT") == []
    yield {"writer_unlocked": first}


def main_replaced(path: Path, start: Open) -> Iterator[Expected]:
    copy = Path(shutil.copy(path, side(path, "-copy")))
    write(first := start(path))
    yield {}
    copy.rename(path)
    write(first)
    yield {"writer_unlocked": first}
    first.kill()
    yield {"wal_stale": None}


def wal_left_beside_another_main(path: Path, start: Open) -> Iterator[Expected]:
    write(writer := start(path))
    writer.kill()
    yield {}
    make_database(side(path, "-other"), agents=9).rename(path)
    yield {"wal_stale": None}
    side(path, "-wal").unlink()
    yield {}


def wal_left_and_started_over(path: Path, start: Open) -> Iterator[Expected]:
    write(writer := start(path))
    writer.kill()
    yield {}
    make_database(side(path, "-other"), agents=3).rename(path)
    yield {"wal_stale": None}
    writer = start(path)
    assert writer.do("PRAGMA wal_checkpoint(RESTART)")[0][0] == 0
    write(writer)
    yield {}


def main_mounted_alone(path: Path, start: Open) -> Iterator[Expected]:
    inside = path.parent / "inside" / "a.db"
    inside.parent.mkdir()
    if CAN_MOUNT:
        inside.touch()
        subprocess.run(["mount", "--bind", path, inside], check=True)
    else:
        inside.hardlink_to(path)
    write(start(path))
    yield {}
    write(second := start(inside))
    yield {"wal_split": second}
    second.close()
    if CAN_MOUNT:
        subprocess.run(["umount", inside], check=True)
    yield {}


def written_without_locks(path: Path, start: Open) -> Iterator[Expected]:
    write(first := start(path))
    yield {}
    second = start(path, vfs="unix-none")
    assert second.do("PRAGMA locking_mode = EXCLUSIVE") == [["exclusive"]]
    unlike = "INSERT INTO agents (text) VALUES ('not the same page')"
    assert second.do(unlike) == []
    write(first, 2)
    assert second.do(unlike) == []  # over the second commit of the other
    yield {"wal_disagrees": None}
    second.close()
    assert not side(path, "-wal").exists()
    yield {"wal_removed": first}


def opened_by_turso(path: Path, start: Open) -> Iterator[Expected]:
    yield {}
    side(path, "-tshm").touch()
    yield {"engine_foreign": None}
    write(start(path))
    yield {"engine_foreign": None}


def used_as_intended(path: Path, start: Open) -> Iterator[Expected]:
    write(first := start(path))
    write(second := start(path))
    yield {}
    assert first.do("BEGIN") == second.do("BEGIN IMMEDIATE") == []
    assert first.do(COUNT) == [[5]]
    write(second)
    yield {}
    assert first.do("COMMIT") == second.do("COMMIT") == []
    first.close()
    assert second.do("PRAGMA journal_mode = DELETE") == [["delete"]]
    write(second)
    yield {}
    assert second.do("PRAGMA journal_mode = WAL") == [["wal"]]
    assert second.do("VACUUM") == []
    write(second)
    yield {}
    second.close()
    make_database(side(path, "-other"), agents=9).rename(path)
    yield {}


SCENES: list[Scene] = [
    wal_and_index_unlinked,
    index_unlinked,
    wal_unlinked,
    main_locks_cancelled,
    index_locks_cancelled,
    main_replaced,
    wal_left_beside_another_main,
    wal_left_and_started_over,
    main_mounted_alone,
    written_without_locks,
    opened_by_turso,
    used_as_intended,
]


def test_each_conflict_is_found_with_its_process_within_two_ticks(tmp_path: Path) -> None:
    with ExitStack() as stack:
        paths = [make_database(tmp_path / scene.__name__ / "a.db", agents=3) for scene in SCENES]
        airlock = stack.enter_context(open_airlock(*paths))

        def start(path: Path, vfs: str = "unix") -> LiveWriter:
            return stack.enter_context(LiveWriter(path, vfs))

        scenes = {
            str(number): (scene.__name__, scene(path, start))
            for number, (scene, path) in enumerate(zip(SCENES, paths, strict=True))
        }
        while scenes:
            expected = {}
            for number, (name, steps) in list(scenes.items()):
                if (conflicts := next(steps, None)) is None:
                    del scenes[number]
                else:
                    expected[number, name] = {
                        kind: writer and writer.process.pid for kind, writer in conflicts.items()
                    }
            airlock.read(PATIENCE_SECONDS)
            readings = airlock.read(PATIENCE_SECONDS)
            found = {
                (number, name): {c.kind: c.pid for c in conflicts_of(readings[number])}
                for number, name in expected
            }
            assert found == expected


def conflicts_of(reading: Reading) -> tuple[Conflict, ...]:
    return reading.surroundings.conflicts
