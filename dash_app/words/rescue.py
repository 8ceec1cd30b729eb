"""How to save the rows of a database in danger, in the order that `./ops/drill rescue` proves."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dash_app.words.commands import RUN

NOTHING_YET = (
    "Open it with no other program, and end none of those that have it open: "
    "closing it can overwrite the rows of another."
)
FREEZE = (
    "Freeze its programs. Then run doctor again and go on with step 3, because its files may have "
    "changed."
)
COPY = "Copy its files as each program sees them. This changes none of them."
COMPARE = "Apply each WAL to its own copy, and see which rows only one copy has."
CHECK = "Apply the WAL to the copy, and check it."
END = "End its programs. Stop their services first, so that nothing starts them again."
REPLACE = (
    "Move its files aside. Put the copy with the most rows and no damage in their place, here the "
    "first. If all are damaged, restore a backup instead."
)
REPLACE_BY_ONE = (
    "Move its files aside, and put the copy in their place. If it is damaged, restore a backup "
    "instead."
)
KEEP = "Start its programs again. Keep the folder until you are sure that no row is missing."
CLOSED = "Do not open it yet: SQLite would apply the WAL of another file to it."
MOVE_WAL = "Move that WAL aside."
KEEP_WAL = "Start its programs again. Keep the WAL: it has the newest rows of the previous file."

OUTSIDE = (
    "Run doctor outside of the container, as the user of its programs, for the steps that save its "
    "rows."
)
OTHER_USER = (
    "Run this as the user of its programs, or as root with --config FILE, for the steps that save "
    "its rows."
)


@dataclass(frozen=True, slots=True)
class Generation:
    """A main file, its WAL and the WAL's index, by paths from which they can be copied.

    The index keeps what a program sees of a WAL that another one overwrites.
    """

    main: Path
    wal: Path | None = None
    index: Path | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, and the shell commands that do it."""

    text: str
    commands: tuple[str, ...] = ()


def rescue_steps(
    path: Path,
    beside: Iterable[Path],
    folder: str,
    pids: Iterable[int],
    generations: Sequence[Generation],
) -> list[Step]:
    """Return the steps that save every generation of a database, in order.

    `beside` are the paths of its WAL and of indexes, as far as they exist. `folder` is for the
    copies and must not exist. If no program has the database open, the WAL is that of another file.
    """
    main, programs = _quote(path), " ".join(map(str, pids))
    aside = " ".join(map(_quote, beside))
    make = f"mkdir -m 700 {folder}"
    if not programs:
        move = f"mv {aside} {folder}/"
        return [Step(CLOSED), Step(MOVE_WAL, (make, move)), Step(KEEP_WAL)]
    copies = [f"{folder}/{number}.db" for number, _ in enumerate(generations, 1)]
    copying = [
        f"cp -p {_quote(source)} {copy}{side}"
        for copy, files in zip(copies, generations, strict=True)
        for side, source in (("", files.main), ("-wal", files.wal), ("-shm", files.index))
        if source
    ]
    compare, replace = (CHECK, REPLACE_BY_ONE) if len(copies) == 1 else (COMPARE, REPLACE)
    return [
        Step(NOTHING_YET),
        Step(FREEZE, (f"kill -STOP {programs}",)),
        Step(COPY, (make, *copying)),
        Step(compare, (f"{RUN} compare {' '.join(copies)}",)),
        Step(END, (f"kill -KILL {programs}",)),
        Step(replace, (f"mv {main} {aside} {folder}/", f"cp -p {copies[0]} {main}")),
        Step(KEEP),
    ]


def spell_out_steps(steps: Iterable[Step]) -> str:
    """Return steps as numbered lines, each command on a line of its own."""
    lines = (
        "\n".join((f"{number}. {step.text}", *(f"   {command}" for command in step.commands)))
        for number, step in enumerate(steps, 1)
    )
    return "\n".join(lines)


def _quote(path: Path) -> str:
    return shlex.quote(str(path))
