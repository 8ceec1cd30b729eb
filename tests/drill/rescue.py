"""Makes each way in which programs destroy a database, and follows the printed steps.

Real processes commit rows, and each row has a text of its own. A row is recovered if the file put
in place, or one of the copies that the steps keep, has it.
"""

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

from dash_app.doctor import rescue
from dash_app.model.conflict import ConflictKind
from dash_app.model.database import Database
from dash_app.words.rescue import COMPARE, FREEZE, REPLACE
from tests.harness import ROOT, LiveWriter, close_as_last, execute, make_database

BASE_ROWS = 500
ROW_LETTERS = 200
"""Long rows: ten fill a page, so that programs write different pages too."""
TEXTS = "SELECT text FROM messages NOT INDEXED"


class Program(LiveWriter):
    """A process that writes rows and counts those that were committed."""

    def __init__(self, path: Path, name: str, vfs: str = "unix") -> None:
        super().__init__(path, vfs)
        self.name = name
        self.committed: set[str] = set()
        self._thread = Thread(target=self._write_until_end)
        if vfs == "unix-none":  # without locks, a WAL can only be used exclusively
            self.do("PRAGMA locking_mode = EXCLUSIVE")
        self.do("PRAGMA synchronous = OFF")
        self.do("SELECT count(*) FROM messages")

    def write(self, rows: int) -> None:
        """Commit rows, one per transaction."""
        for number in range(len(self.committed), len(self.committed) + rows):
            text = f"{self.name} {number}".ljust(ROW_LETTERS)
            if self.do(f"INSERT INTO messages (text) VALUES ('{text}')") == []:
                self.committed.add(text)

    def write_on(self) -> None:
        """Commit rows without pause until the process ends, but never checkpoint."""
        self.do("PRAGMA wal_autocheckpoint = 0")
        self._thread.start()

    def _write_until_end(self) -> None:
        with suppress(ValueError, OSError):  # its pipes are closed
            while True:
                self.write(1)

    def end(self) -> None:
        """Kill the process, if it still runs, and wait until it is known what it committed."""
        self.kill()
        if self._thread.is_alive():
            self._thread.join()
        with suppress(BrokenPipeError):
            self.__exit__()

    def checkpoint(self) -> None:
        """Write the WAL's content to the main file; the next write restarts the WAL."""
        self.do("PRAGMA wal_checkpoint")


class TursoProgram(Program):
    """A process that writes with Turso, in its mode for several processes."""

    program = """
import json, sys, turso
path = sys.argv[1].removeprefix("file://").partition("?")[0]
several = "multiprocess_wal"
connection = turso.connect(path, experimental_features=several, isolation_level=None)
for line in sys.stdin:
    print(json.dumps(connection.execute(json.loads(line)).fetchall()), flush=True)
"""


class Scene:
    """A database and the programs that use it."""

    def __init__(self, folder: Path) -> None:
        self.path = make_database(folder / "email.db", messages=BASE_ROWS)
        execute(self.path, "CREATE INDEX by_text ON messages (text)")
        self.programs: list[Program] = []
        self.previous: Path | None = None
        """Where the previous main file was moved to."""

    def start(self, name: str, path: Path | None = None, vfs: str = "unix") -> Program:
        """Start a program that stays connected; `path` is another name of the database."""
        return self.add(Program(path or self.path, name, vfs))

    def add(self, program: Program) -> Program:
        """Add a program that was started."""
        self.programs.append(program)
        return program

    def delete(self, *sides: str) -> None:
        """Delete side files, as a clean-up script may."""
        for side in sides:
            Path(f"{self.path}{side}").unlink()

    def restore(self, backup: Path, *, move_aside: bool = False) -> None:
        """Put a backup in place of the main file, and leave its WAL."""
        if move_aside:
            self.previous = self.path.rename(self.path.with_name("previous.db"))
        backup.replace(self.path)

    @property
    def backup(self) -> Path:
        """A copy of the main file of now."""
        return Path(shutil.copy(self.path, self.path.with_name("backup.db")))

    @property
    def committed(self) -> set[str]:
        """The texts of all rows that any program committed."""
        base = {f"row {number}" for number in range(BASE_ROWS)}
        return base.union(*(program.committed for program in self.programs))

    def close(self) -> None:
        """End all programs."""
        for program in self.programs:
            program.end()


@dataclass(frozen=True)
class Mechanism:
    """One way in which programs destroy a database."""

    kind: ConflictKind
    title: str
    make: Callable[[Scene], None]
    """Makes it, with programs that stay connected."""
    loss: str = ""
    """Why some rows cannot be recovered; empty if all must be."""


def deleted_alone(scene: Scene) -> None:
    first = scene.start("first")
    first.write(30)
    scene.delete("-wal", "-shm")
    first.write(10)


def deleted_two(scene: Scene) -> None:
    deleted_alone(scene)
    scene.start("second").write(50)
    scene.programs[0].write(20)


def deleted_and_restarted(scene: Scene) -> None:
    deleted_two(scene)
    for program in scene.programs:
        program.checkpoint()
    for program in scene.programs:
        program.write(100)


def deleted_and_busy(scene: Scene) -> None:
    deleted_two(scene)
    for program in scene.programs:
        program.write_on()


def unlocked(scene: Scene) -> None:
    first, second = scene.start("first"), scene.start("second")
    first.write(30)
    first.read_file(scene.path)
    second.write(20)
    first.write(10)


def index_unlocked(scene: Scene) -> None:
    first, second = scene.start("first"), scene.start("second")
    first.write(30)
    first.do("BEGIN IMMEDIATE")
    first.write(20)
    first.read_file(Path(f"{scene.path}-shm"))
    second.write(10)  # although the first one's transaction is not over
    first.do("COMMIT")
    second.write(10)
    first.write(10)


def orphaned(scene: Scene) -> None:
    first = scene.start("first")
    first.write(30)
    first.read_file(scene.path)
    close_as_last(scene.path)
    first.write(20)
    scene.start("second").write(20)


def replaced(scene: Scene, *, move_aside: bool = False) -> None:
    backup, first = scene.backup, scene.start("first")
    first.write(30)
    first.checkpoint()
    first.write(10)
    scene.restore(backup, move_aside=move_aside)
    first.write(10)


def moved_aside(scene: Scene) -> None:
    replaced(scene, move_aside=True)


def replaced_two(scene: Scene) -> None:
    backup, first = scene.backup, scene.start("first")
    first.write(30)
    first.checkpoint()
    scene.restore(backup)
    scene.start("second").write(20)
    first.write(20)


def linked(scene: Scene) -> None:
    first = scene.start("first")
    first.write(30)
    link = scene.path.with_name("other.db")
    link.hardlink_to(scene.path)
    scene.start("second", link).write(20)
    first.write(10)


def removed(scene: Scene) -> None:
    first = scene.start("first")
    first.write(30)
    scene.delete("-wal")
    first.write(10)
    scene.start("second").write(10)


def index_deleted(scene: Scene) -> None:
    first = scene.start("first")
    first.write(30)
    scene.delete("-shm")
    scene.start("second").write(20)
    first.write(3)


def disagreeing(scene: Scene) -> None:
    first = scene.start("first")
    first.write(30)
    second = scene.start("second", vfs="unix-none")
    for _ in range(20):
        second.write(2)
        first.write(1)


def foreign(scene: Scene) -> None:
    turso = scene.add(TursoProgram(scene.path, "turso"))
    turso.write(30)
    second = scene.start("second")
    for _ in range(20):
        turso.write(2)
        second.write(1)


def stale(scene: Scene) -> None:
    backup, first = scene.backup, scene.start("first")
    first.write(30)
    first.checkpoint()
    first.write(10)
    first.kill()
    scene.restore(backup, move_aside=True)


HAS_TURSO = find_spec("turso") is not None
OVERWRITTEN = "one program had overwritten them in the main file or in the WAL"
MECHANISMS = (
    Mechanism("wal_split", "WAL deleted, one program", deleted_alone),
    Mechanism("wal_split", "WAL deleted, a second program writes", deleted_two),
    Mechanism("wal_split", "the same, and both write without pause", deleted_and_busy),
    Mechanism("wal_split", "a second program uses a hard link", linked),
    Mechanism("wal_split", "WAL deleted, and both checkpoint", deleted_and_restarted, OVERWRITTEN),
    Mechanism("writer_unlocked", "locks on the main file cancelled", unlocked),
    Mechanism("writer_unlocked", "locks on the WAL index cancelled", index_unlocked, OVERWRITTEN),
    Mechanism("writer_unlocked", "main file replaced by a backup", replaced),
    Mechanism("writer_unlocked", "main file moved aside, backup put in place", moved_aside),
    Mechanism(
        "writer_unlocked", "the same, and a second program writes", replaced_two, OVERWRITTEN
    ),
    Mechanism("wal_orphaned", "WAL deleted by a program that closed it", orphaned),
    Mechanism("wal_split", "WAL index deleted, a second program writes", index_deleted),
    Mechanism("wal_removed", "WAL deleted, its index left", removed),
    Mechanism("wal_disagrees", "a second program without locks", disagreeing, OVERWRITTEN),
    Mechanism("wal_stale", "backup put in place, WAL of the previous file left", stale),
    *([Mechanism("engine_foreign", "Turso beside SQLite", foreign, OVERWRITTEN)] * HAS_TURSO),
)


@dataclass(frozen=True)
class Outcome:
    """The rows that a mechanism leaves."""

    committed: set[str]
    rescued: set[str]
    """By the steps."""
    is_damaged: bool
    """Whether damage was found in the file put in place."""
    lost_if_closed: int
    """The number of rows lost if the programs end gracefully instead, in order of their start."""
    lost_if_killed: int


def drill(mechanism: Mechanism, folder: Path, echo: Callable[[str], None]) -> Outcome:
    """Make a mechanism three times: follow the steps, close the programs, kill them."""
    with closing(Scene(folder / "steps")) as scene:
        mechanism.make(scene)
        follow_steps(scene, folder, echo)
        if scene.previous:  # the WAL that was moved aside belongs to it
            for wal in folder.glob("rescue-*/email.db-wal"):
                shutil.copy(wal, f"{scene.previous}-wal")
        rows, is_damaged = read(scene.path)
        copies = [*folder.glob("rescue-*/[0-9].db"), *scene.path.parent.glob("previous.db")]
        rescued = rows.union(*(read(copy)[0] for copy in copies))
    committed = scene.committed
    closed = without_steps(mechanism, folder / "closed", Program.close)
    killed = without_steps(mechanism, folder / "killed", Program.kill)
    return Outcome(committed, rescued & committed, is_damaged, closed, killed)


def follow_steps(scene: Scene, home: Path, echo: Callable[[str], None]) -> None:
    """Run the commands of the steps as printed, with `home` as the home folder."""
    database = Database("email", "Email", scene.path)
    environment = {**os.environ, "HOME": str(home)}
    steps, done, best = rescue.steps(database, datetime.now(UTC)), 0, "1.db"
    while done < len(steps):
        step = steps[done]
        done += 1
        echo(f"{done}. {step.text}")
        for printed in step.commands:
            command = printed.replace("/1.db", f"/{best}") if step.text == REPLACE else printed
            echo(f"   $ {command}")
            output = subprocess.check_output(["sh", "-c", command], cwd=ROOT, env=environment)
            for line in output.decode().splitlines():
                echo(f"   {line}")
            if step.text == COMPARE:
                best = best_copy(output.decode()) or best
        if step.text == FREEZE:  # "Then run doctor again"
            steps = rescue.steps(database, datetime.now(UTC))


def best_copy(output: str) -> str | None:
    """Return the copy with the most rows and no damage, by the output of `compare`."""
    sound = re.findall(r"/(\d+\.db): ([\d,]+) rows?, no damage found", output)
    return max(sound, key=lambda copy: int(copy[1].replace(",", "")), default=(None,))[0]


def without_steps(mechanism: Mechanism, folder: Path, end: Callable[[Program], None]) -> int:
    """Return the number of rows that are lost if the programs end without the steps."""
    with closing(Scene(folder)) as scene:
        mechanism.make(scene)
        for program in scene.programs:
            end(program)
        rows, _ = read(scene.path)
    return len(scene.committed - rows)


def read(path: Path) -> tuple[set[str], bool]:
    """Return the texts in a file as far as they can be read, and whether damage is found."""
    texts: set[str] = set()
    with closing(sqlite3.connect(path)) as connection:
        try:
            texts.update(text for (text,) in connection.execute(TEXTS))
            return texts, connection.execute("PRAGMA integrity_check").fetchone() != ("ok",)
        except sqlite3.Error:
            return texts, True


def summary(mechanism: Mechanism, outcome: Outcome) -> str:
    """Return the result in two sentences."""
    total = len(outcome.committed)
    lost = total - len(outcome.rescued)
    result = f"All {total} committed rows are recovered."
    if lost:
        result = f"{lost} of {total} committed rows cannot be recovered: {mechanism.loss}."
    damage = " Every copy is damaged." if outcome.is_damaged else ""
    closed, killed = outcome.lost_if_closed, outcome.lost_if_killed
    return f"{result}{damage} Without the steps, closing loses {closed} and killing {killed}."


def error(mechanism: Mechanism, outcome: Outcome) -> str:
    """Return how a result differs from the one that is known; empty if it does not."""
    has_lost = outcome.rescued != outcome.committed
    if has_lost and not mechanism.loss:
        return f"{mechanism.title}: rows are lost"
    if mechanism.loss and not has_lost:
        return f"{mechanism.title}: all rows are recovered, though some were said to be lost"
    if outcome.is_damaged and not mechanism.loss:
        return f"{mechanism.title}: the file put in place is damaged"
    return ""
