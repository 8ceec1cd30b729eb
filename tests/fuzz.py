"""Reads damaged databases through a real airlock and checks its promises for each.

`python -m tests.fuzz --images 5000 --seed 1` prints a summary. If a promise is broken, the images
that may have caused it are written to a folder, and the exit code is 1.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from dash_app.airlock.airlock import Airlock
from dash_app.airlock.child_process import ChildProcess, Limits
from dash_app.model.database import Database
from dash_app.model.encoding import encode
from dash_app.model.reading import Reading
from dash_app.model.snapshot import DatabaseState
from dash_app.reader.protocol import Message
from dash_app.rules.changes import apply_reading
from dash_app.system.decoding import decode
from tests.airlock_helpers import await_quiet, file_states, rows
from tests.harness import PATIENCE_SECONDS, make_database
from tests.images import Image, damaged, originals

LIMITS = Limits(deadline_seconds=2.0, table_seconds=0.25)
"""The limits of the service."""

SLACK_SECONDS = 30.0
"""How late the parent may notice on a busy machine that a deadline has passed."""

MAX_PEAK_MEGABYTES = 40
"""A child at rest takes 16; 30,000 images took up to 20."""

BATCH = 20
ROUND = 10 * BATCH
NEIGHBOUR = {"agents": 7, "tasks": 126}


@dataclass
class Report:
    """The results of a run. `broken` has promises, each with the images that may have broken it."""

    images: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0
    peak_megabytes: int = 0
    lost_children: int = 0
    broken: list[tuple[range, str]] = field(default_factory=list)

    def expect(self, images: range, promise: str, *, holds: bool) -> None:
        """Record a promise unless it holds."""
        if not holds:
            self.broken.append((images, promise))


class MeasuringAirlock(Airlock):
    """An airlock that measures the time of its readings and the memory of its children."""

    def __init__(self, images: range, folder: Path, report: Report) -> None:
        databases = [Database(path.stem, path.stem, path) for path in folder.glob("*.db")]
        super().__init__(databases, LIMITS)
        self._images = images
        self._report = report

    def _store(self, message: Message) -> None:
        super()._store(message)
        took = datetime.now(UTC) - self._readings[message["name"]].read_at
        self._report.slowest_seconds = max(self._report.slowest_seconds, took.total_seconds())

    def _abandon(self, child: ChildProcess) -> None:
        megabytes = _peak_megabytes(child.pid)
        self._report.lost_children += child.is_closed or bool(child.overdue())
        self._report.peak_megabytes = max(self._report.peak_megabytes, megabytes)
        fits = megabytes <= MAX_PEAK_MEGABYTES
        self._report.expect(self._images, f"memory is bounded: {megabytes} MB", holds=fits)
        super()._abandon(child)


def _peak_megabytes(pid: int) -> int:
    """Return the peak memory of a process; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return max((int(line.split()[1]) // 1000 for line in lines if "VmHWM" in line), default=0)


def fuzz(images: int, seed: int, folder: Path) -> Report:
    """Read a number of images; in every second round, read them right after they were written."""
    report = Report()
    valid = originals(folder / "valid")
    for first in range(0, images, ROUND):
        numbers = range(first, min(first + ROUND, images))
        with TemporaryDirectory(dir=folder) as name:
            batches = [numbers[at : at + BATCH] for at in range(0, len(numbers), BATCH)]
            for batch in batches:
                _write_batch(batch, seed, valid, _folder_of(batch, name))
            if first // ROUND % 2 == 0:
                await_quiet(Path(name))
            for batch in batches:
                _read_batch(batch, _folder_of(batch, name), report)
    return report


def image_of(seed: int, number: int, valid: list[Image]) -> Image:
    """Return an image by its seed and number."""
    random = Random(f"{seed} {number}")
    return damaged(random.choice(valid), random)


def write(image: Image, path: Path) -> None:
    """Write the files of an image."""
    for suffix, data in image.items():
        path.with_name(path.name + suffix).write_bytes(data)


def _folder_of(batch: range, parent: str) -> Path:
    return Path(parent) / str(batch[0])


def _write_batch(batch: range, seed: int, valid: list[Image], folder: Path) -> None:
    make_database(folder / "neighbour.db", wal=True, **NEIGHBOUR)
    for number in batch:
        write(image_of(seed, number, valid), folder / f"{number}.db")


def _read_batch(batch: range, folder: Path, report: Report) -> None:
    """Read a folder's databases until each has a reading, and check the promises."""
    before = file_states(folder)
    with closing(MeasuringAirlock(batch, folder, report)) as airlock:
        readings = _readings(airlock, batch, report)
    state = None
    for number in batch:
        image, reading = range(number, number + 1), readings.get(str(number))
        report.images += 1
        report.codes[reading.code or "read" if reading else "none"] += 1
        report.expect(image, "it has a reading", holds=reading is not None)
        if reading:
            state = _process(image, reading, state, report)
    after = file_states(folder)
    for file in sorted(before.keys() | after.keys()):
        report.expect(batch, f"{file} is unchanged", holds=before.get(file) == after.get(file))


def _readings(airlock: Airlock, batch: range, report: Report) -> Mapping[str, Reading]:
    """Read until all have answered. A lost child costs one deadline together and one alone."""
    readings: Mapping[str, Reading] = {}
    while len(readings) <= len(batch):
        requested_at, start = datetime.now(UTC), time.monotonic()
        lost_before = report.lost_children
        readings = airlock.read(PATIENCE_SECONDS)
        took_seconds, lost = time.monotonic() - start, report.lost_children - lost_before
        allowed_seconds = (1 + lost) * LIMITS.deadline_seconds + SLACK_SECONDS
        in_time = took_seconds < allowed_seconds
        report.expect(batch, f"all answer in time, not in {took_seconds:.1f} s", holds=in_time)
        neighbour = readings.get("neighbour")
        is_correct = (
            neighbour is not None
            and neighbour.verified_at > requested_at
            and rows(neighbour) == NEIGHBOUR
        )
        report.expect(batch, f"the neighbour is read correctly: {neighbour}", holds=is_correct)
        if not in_time:
            break
    return readings


def _process(
    image: range, reading: Reading, state: DatabaseState | None, report: Report
) -> DatabaseState | None:
    """Store, compare and report a reading as the service does; return the new state."""
    try:
        stored = decode(Reading, encode(reading))
        report.expect(image, "its reading is stored whole", holds=stored == reading)
        state, events = apply_reading("fuzzed", reading, state)
        json.dumps([(event.before, event.after) for event in events], allow_nan=False)
    except Exception as error:  # noqa: BLE001 - any exception breaks the promise
        report.expect(image, f"its reading can be compared: {error!r}", holds=False)
    return state


def summary(report: Report, seconds: float) -> str:
    """Return the report as text."""
    codes = ", ".join(f"{code} {count}" for code, count in report.codes.most_common())
    return "\n".join(
        (
            f"{report.images} images in {seconds:.0f} s: {codes}",
            f"slowest reading {report.slowest_seconds:.2f} s",
            f"largest child {report.peak_megabytes} MB",
            f"{report.lost_children} children lost, {len(report.broken)} promises broken",
            *(f"{images[0]} to {images[-1]}: {promise}" for images, promise in report.broken),
        )
    )


def keep(report: Report, seed: int, folder: Path) -> None:
    """Write each image that may have broken a promise."""
    with TemporaryDirectory() as name:
        valid = originals(Path(name) / "valid")
    folder.mkdir(parents=True, exist_ok=True)
    for number in {number for images, _promise in report.broken for number in images}:
        write(image_of(seed, number, valid), folder / f"{seed}-{number}.db")


def main() -> None:
    """Fuzz, print the summary and keep the images that broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzzed"), help="where to write images")
    arguments = parser.parse_args()
    start = time.monotonic()
    with TemporaryDirectory() as name:
        report = fuzz(arguments.images, arguments.seed, Path(name))
    sys.stdout.write(summary(report, time.monotonic() - start) + "\n")
    if report.broken:
        keep(report, arguments.seed, arguments.keep)
        sys.exit(f"the images that may have broken them are in {arguments.keep}")


if __name__ == "__main__":
    main()
