"""The cost of an idle tick, counted in reads, writes, opened files and allocations."""

import cProfile
import gc
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dash_app import loader, settings
from dash_app.history.writer import History
from dash_app.page.cards import cards
from dash_app.sampler import Sampler
from dash_app.settings.schema import HistorySettings
from dash_app.system import processes
from tests.airlock_helpers import await_quiet, open_airlock, read_exact
from tests.factories import snapshot
from tests.harness import ROOT, eventually, make_database, write_config

TICKS, MAX_ROUNDS = 100, 12
MAX_KEPT_BYTES = 10_000
"""Enough for the newest snapshot and some caches; 100 bytes per tick would exceed it."""

MAX_READS_PER_TICK = 30
MAX_CALLS_PER_CARD = 2_000

OPENED = """
import json, sys
from dash_app.reader.counts import Budget
from dash_app.reader.reader import Reader
reader, opened = Reader(sys.argv[1], Budget(1, 2, 0.02)), []
reader.read()
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event in EVENTS else None)
EVENTS = {"open", "sqlite3.connect"}
for _ in range(10):
    reader.read()
print(json.dumps(opened))
"""


STARTED = """
import sys
from dash_app.reader.counts import Budget
from dash_app.reader.reader import Reader
started = []
sys.addaudithook(lambda event, args: event == "_thread.start_new_thread" and started.append(1))
reading = Reader(sys.argv[1], Budget(1, 5, 0.02)).read()
print(sum(count.rows for count in reading.tables.values()), len(started))
"""


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Path]]:
    """Five databases that were not written recently, and that no test writes."""
    folder = tmp_path_factory.mktemp("watched")
    paths = [(f"db{n}", make_database(folder / f"db{n}.db", a=3, b=40)) for n in range(5)]
    await_quiet(folder)
    return paths


def calls(pid: int | str) -> tuple[int, int]:
    """Return how often a process called read and write, of any kind (proc_pid_io(5))."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    numbers = dict(line.split(": ") for line in lines)
    return int(numbers["syscr"]), int(numbers["syscw"])


def reads_of_locks() -> int:
    """Return how many calls reading the kernel's locks takes; other tests hold locks too."""
    first, _ = calls("self")
    second, _ = calls("self")
    Path("/proc/locks").read_bytes()
    third, _ = calls("self")
    return (third - second) - (second - first)


def output(code: str, path: Path) -> str:
    """Run code in a new process, because an audit hook cannot be removed; return its output."""
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_small_tables_are_counted_without_threads(tmp_path: Path) -> None:
    """Starting a thread costs more than the count itself."""
    tables = {f"t{n}": n % 7 for n in range(200)}
    wide = make_database(tmp_path / "wide.db", wal=True, **tables)
    assert output(STARTED, wide).split() == [str(sum(n % 7 for n in range(200))), "0"]


def test_reading_unchanged_files_opens_none_of_them(
    quiet: list[tuple[str, Path]],
) -> None:
    assert json.loads(output(OPENED, quiet[0][1])) == ["/proc/locks"] * 10


def test_an_idle_tick_of_the_child_needs_few_calls(
    quiet: list[tuple[str, Path]],
) -> None:
    """It lists the kernel's locks once, and writes two lines for each of five databases."""
    with open_airlock(*(path for _, path in quiet)) as airlock:
        read_exact(airlock)
        airlock.read(5)
        (pid,) = airlock.pids

        def is_cheap() -> bool:
            """Whether ten ticks take the calls they should: locks of other tests may add some."""
            reads_per_list, before = reads_of_locks(), calls(pid)
            for _ in range(10):
                airlock.read(5)
            reads, writes = (now - then for now, then in zip(calls(pid), before, strict=True))
            # A long list is read twice, and a child that is late gets one more request.
            return writes == 110 and reads <= 10 * (2 + 2 * reads_per_list)

        eventually(is_cheap)


@pytest.fixture
def sampler(tmp_path: Path, quiet: list[tuple[str, Path]]) -> Iterator[Sampler]:
    """A sampler without a thread."""
    configured = settings.load(write_config(tmp_path, quiet, history='every = "1d"'))
    with closing(History(configured.history)) as history:
        sampler = Sampler(configured, history)
        yield sampler
        sampler.finish()


def test_ticks_leak_no_memory(sampler: Sampler) -> None:
    """A leak grows in every round. Python's free lists, of 2,000 tuples each, soon stop growing."""

    def kept_bytes() -> int:
        processes.parse_lock.cache_clear()  # it has the locks of other tests
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    def growth() -> int:
        before = kept_bytes()
        for _ in range(TICKS):
            sampler.tick()
        return kept_bytes() - before

    tracemalloc.start()
    assert any(growth() < MAX_KEPT_BYTES for _ in range(MAX_ROUNDS))
    tracemalloc.stop()


def test_the_memory_of_a_chart_grows_less_than_its_series(tmp_path: Path) -> None:
    peaks, now = [], datetime.now(UTC)
    for tables in (10, 100):
        path = tmp_path / f"{tables}.db"
        with closing(History(HistorySettings(path=path))) as history:
            for minute in (20, 10, 1):
                rows: dict[str, int | None] = dict.fromkeys(map(str, range(tables)), minute)
                history.record(snapshot(now - timedelta(minutes=minute), email=rows))
        trend = loader.Trend(timedelta(hours=24), 300, timedelta(minutes=1))
        loader.trend_frame(path, trend)
        tracemalloc.start()
        loader.trend_frame(path, trend)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 4 * peaks[0]


def test_a_card_takes_few_calls() -> None:
    """Choosing its rows of a frame by pandas took 7,000 a card."""

    def calls_of(databases: int) -> int:
        rows: dict[str, int | None] = {"a": 1, "b": 20, "empty": 0}
        taken = snapshot(datetime.now(UTC), **{f"d{one}": rows for one in range(databases)})
        counts = loader.counts_frame(taken)
        profile = cProfile.Profile()
        profile.runcall(cards, taken.databases, (), counts, taken.taken_at)
        return sum(entry.callcount for entry in profile.getstats())

    assert (calls_of(60) - calls_of(10)) / 50 < MAX_CALLS_PER_CARD


def test_an_idle_tick_of_the_service_needs_few_calls(sampler: Sampler) -> None:
    """The child's answers, the kernel's locks, and how much both processes wrote."""
    for _ in range(20):
        sampler.tick()

    def is_cheap() -> bool:
        """Whether ten ticks take the calls they should: a late child takes more or fewer."""
        before = calls(os.getpid())
        for _ in range(10):
            sampler.tick()
        reads, writes = (now - then for now, then in zip(calls(os.getpid()), before, strict=True))
        return reads <= 10 * MAX_READS_PER_TICK and writes == 10

    eventually(is_cheap)
