"""Reading through an airlock, as another user, and recording what happens to files."""

import ctypes
import hashlib
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import Self
from unittest.mock import patch

import pytest

from dash_app.airlock import child_process
from dash_app.airlock.airlock import Airlock
from dash_app.airlock.child_process import Limits
from dash_app.model.database import Database
from dash_app.model.reading import Reading
from dash_app.reader.files import GRANULARITY_NS
from dash_app.system.decoding import decode_parsed
from tests.harness import PATIENCE_SECONDS, ROOT, eventually

LIMITS = Limits(deadline_seconds=30.0, table_seconds=10.0)
"""Long, so that a busy machine misses no deadline. Tests of the limits have their own."""

NOBODY = 65534

READ_ONCE = """
import json, os, sys, time
sys.path.insert(0, sys.argv[1])
from dash_app.reader import sandbox
from dash_app.reader.counts import Budget
from dash_app.model.encoding import encode
from dash_app.reader.reader import Reader
if os.geteuid() == 0 and sys.argv[3] == "as nobody":
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
guarded = sys.argv[4] == "guarded" and bool(sandbox.deny_writes())
reader = Reader(sys.argv[2], Budget(1, 2, 0.02), writes_denied=guarded)
for _line in sys.stdin:
    print(encode([reader.read(), reader.cost]), flush=True)
"""

CHANGED_CHILD = """#!/bin/sh
test "$4" = dash_app.reader || exec {python} "$@"
shift 4
exec {python} -S -B -c '
import os
import select
import signal
from dash_app.reader import __main__ as child
{changes}
child.main()
' "$@"
"""
"""Stands in for Python: imports our modules, and changes them before the child starts."""

WITHOUT_TURNS = "child.CORE_SHARE = 1"
"""Counts a changed table at once, whatever its previous count took of a core."""

AS_NOBODY = "os.setgroups([])\nos.setgid(65534)\nos.setuid(65534)"


def change_children(folder: Path, monkeypatch: pytest.MonkeyPatch, *changes: str) -> None:
    """Run Python code in the airlock's children before they start."""
    python, own = folder / "python", quote(sys.executable)
    python.write_text(CHANGED_CHILD.format(python=own, changes="\n".join(changes)))
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that every user may read, unlike those of pytest."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


@contextmanager
def open_airlock(*paths: Path, limits: Limits = LIMITS) -> Iterator[Airlock]:
    """An airlock over databases named "0", "1", "2" and so on.

    Unless it has limits of its own, a child may also acknowledge as late as a busy machine lets it.
    """
    seconds = PATIENCE_SECONDS if limits is LIMITS else child_process.ACKNOWLEDGE_SECONDS
    airlock = Airlock([Database(str(n), str(n), path) for n, path in enumerate(paths)], limits)
    with closing(airlock), patch.object(child_process, "ACKNOWLEDGE_SECONDS", seconds):
        yield airlock


def read(airlock: Airlock, name: str = "0") -> Reading:
    """Read all databases once; return the reading of one."""
    return airlock.read(PATIENCE_SECONDS)[name]


def read_until(airlock: Airlock, holds: Callable[[Reading], bool], name: str = "0") -> Reading:
    """Read until a reading satisfies the condition; return that reading."""

    def probe() -> Reading | None:
        reading = airlock.read(1).get(name)
        return reading if reading and holds(reading) else None

    reading = eventually(probe)
    assert reading is not None
    return reading


def read_exact(airlock: Airlock, name: str = "0") -> Reading:
    """Read until no count is an estimate. Right after a count, the next one may not be due yet.

    The answer to a request may take longer than a call waits, and the call returns an earlier one.
    """
    begun = datetime.now(UTC)
    return read_until(airlock, lambda one: one.verified_at >= begun and is_exact(one), name)


def is_exact(reading: Reading) -> bool:
    """Whether every table was counted since the file last changed."""
    counts = reading.tables.values()
    return reading.code is None and all(c.estimate is None and not c.error for c in counts)


def rows(reading: Reading) -> dict[str, int | None]:
    """Return the row counts by table of a reading that succeeded."""
    assert reading.code is None, reading
    return {name: count.rows for name, count in reading.tables.items()}


class ReaderProcess:
    """A reader process without an airlock: as an ordinary user, or without the sandbox."""

    def __init__(self, path: Path, *, nobody: bool = False, guarded: bool = True) -> None:
        user, guard = "as nobody" if nobody else "", "guarded" if guarded else ""
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-B", "-c", READ_ONCE, str(ROOT), str(path), user, guard],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self) -> Reading:
        self.request()
        return self.response()

    def request(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def response(self) -> Reading:
        assert self._process.stdout is not None
        message, (_open_seconds, self.sidecars_left) = json.loads(self._process.stdout.readline())
        return decode_parsed(Reading, message)

    def stop_while_reading(self) -> bool:
        """Request a reading and stop it while it holds a lock; return whether one was met."""
        self.request()
        assert self._process.stdout is not None
        while not select.select([self._process.stdout], [], [], 0)[0]:
            if self._holds_locks():
                os.kill(self.pid, signal.SIGSTOP)
                os.waitid(os.P_PID, self.pid, os.WSTOPPED)
                if self._holds_locks():
                    return True
                os.kill(self.pid, signal.SIGCONT)
        self.response()
        return False

    def _holds_locks(self) -> bool:
        return f" {self.pid} " in Path("/proc/locks").read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


EVENTS = {
    0x2: "modified",
    0x4: "attributes",
    0x8: "closed after writing",
    0x20: "opened",
    0x40: "moved",
    0x80: "moved",
    0x100: "created",
    0x200: "deleted",
}
"""Names of events by their bits (inotify(7))."""


class FileEvents:
    """The events that any process causes on the files of a folder, from the kernel."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK)
        assert self._descriptor >= 0
        assert libc.inotify_add_watch(self._descriptor, os.fsencode(folder), sum(EVENTS)) >= 0

    def take(self) -> set[tuple[str, str]]:
        """Return the events since the previous call, as pairs of event and file name."""
        try:
            data = os.read(self._descriptor, 1 << 20)
        except BlockingIOError:
            return set()
        events = set()
        while data:
            _watch, mask, _cookie, length = struct.unpack_from("iIII", data)
            name = os.fsdecode(data[16 : 16 + length].rstrip(b"\0"))
            events |= {(what, name) for bit, what in EVENTS.items() if mask & bit and name}
            data = data[16 + length :]
        return events

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def give_to_nobody(folder: Path) -> None:
    """Give files that root made to an ordinary user; other users own them already."""
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)


def await_quiet(folder: Path) -> None:
    """Wait until the last change of each file is older than the resolution of timestamps."""
    latest = max(path.stat().st_ctime for path in folder.rglob("*"))
    eventually(lambda: time.time() > latest + GRANULARITY_NS / 1e9 + 0.1)


def file_states(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return all metadata and hashes of a folder's files: they differ if anyone touched a file."""
    return {
        path.name: (*_facts(path.stat()), hashlib.sha256(path.read_bytes()).hexdigest())
        for path in [*sorted(folder.iterdir()), folder]
        if path.is_file()
    } | {".": _facts(folder.stat())}


def _facts(info: os.stat_result) -> tuple[object, ...]:
    return (
        *(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns),
        *(info.st_mode, info.st_uid, info.st_gid),
    )
