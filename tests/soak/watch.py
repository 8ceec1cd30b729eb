"""Watch databases through a real airlock while processes live and die beside them."""

import fcntl
import os
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

from dash_app.model.conflict import Conflict
from tests.airlock_helpers import open_airlock
from tests.harness import PATIENCE_SECONDS, make_database
from tests.soak.lives import LIVES, live

DATABASES, MAX_PROCESSES = 5, 4
"""Database number n has 1 + n % 4 processes at a time."""

MAX_PAUSE_SECONDS = 0.2

STANDING_LOCKS, CHURNING_PROCESSES = 400, 3
"""A crowd makes `/proc/locks` several pieces long, whose lines shift while it is read."""


@dataclass
class Report:
    """The results of a run: process lives by kind, readings, and false alarms.

    `held` counts readings in which all looks showed a conflict that the next tick did not confirm.
    """

    lives: Counter[str]
    readings: Counter[str] = field(default_factory=Counter)
    held: int = 0
    unknown: int = 0
    alarms: dict[tuple[str, int | None], Conflict] = field(default_factory=dict)


def stand_in_the_crowd(folder: Path, locks: int, watcher: int) -> None:
    """Hold a number of locks; without a number, take and drop locks a thousand times per second."""
    with (folder / f"{os.getpid()}").open("wb") as file:
        for number in range(locks):
            fcntl.lockf(file, fcntl.LOCK_EX, 1, 2 * number)
        while Path(f"/proc/{watcher}").exists():
            if locks:
                time.sleep(0.1)
            else:
                fcntl.lockf(file, fcntl.LOCK_EX, 1, time.monotonic_ns() % 40)
                fcntl.lockf(file, fcntl.LOCK_UN)
                time.sleep(0.0005)


class Population:
    """The processes that live beside the databases."""

    def __init__(self, paths: list[Path], random: Random) -> None:
        self._random = random
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(["tests.soak.lives"])
        self._processes: dict[Path, list[BaseProcess]] = {path: [] for path in paths}
        self.lives: Counter[str] = Counter()

    def add_crowd(self, folder: Path, stack: ExitStack) -> None:
        """Start the processes that hold, or take and drop, locks on other files."""
        for locks in [STANDING_LOCKS, *[0] * CHURNING_PROCESSES]:
            process = self._context.Process(
                target=stand_in_the_crowd, args=(folder, locks, os.getpid())
            )
            process.start()
            stack.callback(process.kill)

    def renew(self, max_lives: int) -> bool:
        """Start a process in place of each that has exited; return whether any is alive."""
        for number, (path, processes) in enumerate(self._processes.items()):
            processes[:] = [process for process in processes if process.is_alive()]
            while len(processes) < 1 + number % MAX_PROCESSES and self.lives.total() < max_lives:
                life = self._random.choice(LIVES)
                arguments = (life, path, self._random.getrandbits(32))
                processes.append(self._context.Process(target=live, args=arguments))
                processes[-1].start()
                self.lives[life.__name__] += 1
        return any(self._processes.values())


def soak(lives: int, seed: int, folder: Path, *, crowd: bool = False) -> Report:
    """Watch databases until processes have lived this number of lives."""
    paths = [make_database(folder / f"{number}.db", agents=300) for number in range(DATABASES)]
    random = Random(seed)
    population = Population(paths, random)
    report = Report(population.lives)
    with ExitStack() as stack:
        if crowd:
            population.add_crowd(folder, stack)
        airlock = stack.enter_context(open_airlock(*paths))
        while population.renew(lives):
            for reading in airlock.read(PATIENCE_SECONDS).values():
                conflicts = reading.surroundings.conflicts
                report.alarms |= {(found.kind, found.pid): found for found in conflicts}
                what = [reading.code, *reading.detail.values()] if reading.code else ["read"]
                report.readings[" ".join(map(str, what))] += 1
                report.held += "one_generation" in reading.detail and not conflicts
                report.unknown += reading.surroundings.conflicts_unknown is not None
            time.sleep(random.random() * MAX_PAUSE_SECONDS)
    return report


def summary(report: Report) -> str:
    """Describe the results of a run."""
    lives = ", ".join(f"{name} {count}" for name, count in sorted(report.lives.items()))
    readings = ", ".join(f"{code} {count}" for code, count in report.readings.most_common())
    alarms = "\n".join(map(str, report.alarms.values()))
    return (
        f"{report.lives.total():,} process lives: {lives}\n"
        f"{report.readings.total():,} readings: {readings}\n"
        f"{report.held} held through all looks of one tick only\n"
        f"{report.unknown} with a reason why conflicts may be unseen\n"
        f"false alarms: {alarms or 'none'}"
    )
