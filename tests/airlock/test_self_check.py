"""The self-check detects broken promises."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dash_app import settings
from dash_app.airlock.self_check import count_locks
from dash_app.history.writer import History
from dash_app.sampler import Sampler
from dash_app.system.processes import bytes_written, count_open_files, memory_bytes
from dash_app.web.app import create_server
from tests.airlock_helpers import open_airlock
from tests.harness import (
    PATIENCE_SECONDS,
    LiveWriter,
    Served,
    eventually,
    make_database,
    write_config,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_database(tmp_path / "email.db", tasks=9)


@pytest.fixture
def service(tmp_path: Path, path: Path) -> Iterator[Callable[[], Any]]:
    """A function that requests `/api/service` of a sampler in this process."""
    loaded = settings.load(write_config(tmp_path, [("email", path)]))
    with closing(History(loaded.history)) as history:
        sampler = Sampler(loaded, history)
        sampler.start()
        try:
            assert sampler.first_snapshot.wait(PATIENCE_SECONDS)
            client = create_server(loaded, sampler, datetime.now(UTC)).test_client()
            yield lambda: client.get("/api/service").get_json()
        finally:
            sampler.stop()


def broken_promises(document: Any) -> list[str]:
    return [promise["name"] for promise in document["promises"] if not promise["kept"]]


def test_the_uptime_does_not_depend_on_the_wall_clock(tmp_path: Path) -> None:
    """The clock was set back by a day after the start."""
    loaded = settings.load(write_config(tmp_path, [("email", tmp_path / "email.db")]))
    with closing(History(loaded.history)) as history:
        started_at = datetime.now(UTC) + timedelta(days=1)
        client = create_server(loaded, Sampler(loaded, history), started_at).test_client()
        assert client.get("/api/service").get_json()["uptimeSeconds"] >= 0


def test_an_answer_that_a_child_owes_is_awaited_before_it_is_measured(path: Path) -> None:
    """What it has written and nobody has received yet would count as written to a file."""
    with open_airlock(path) as airlock:
        airlock.read(PATIENCE_SECONDS)
        eventually(lambda: airlock.read(1) and airlock.is_idle)
        (child,) = airlock._children()
        os.kill(child.pid, signal.SIGSTOP)
        child.request_readings({})
        assert not airlock.is_idle
        os.kill(child.pid, signal.SIGCONT)
        eventually(lambda: not child.readings() and airlock.is_idle)


def test_the_service_reports_its_state_and_its_promises(tmp_path: Path, path: Path) -> None:
    with LiveWriter(path) as writer, Served(write_config(tmp_path, [("email", path)])) as served:
        for _commit in range(5):
            assert writer.do("INSERT INTO tasks (text) VALUES ('one more')") == []
        eventually(lambda: served.database("email")["totalRows"] == 14)
        document = served.json("/api/service")
        assert broken_promises(document) == []
        # On a busy machine, a snapshot may briefly be older than three short intervals.
        eventually(lambda: served.json("/api/service")["level"] == "well")
        assert [promise["name"] for promise in document["promises"]] == [
            "bytesWritten",
            "locksHeldBetweenReadings",
            "watchedFilesLeftOpen",
            "longestReadMs",
        ]
        measured = {promise["name"]: promise["measured"] for promise in document["promises"]}
        assert measured["bytesWritten"] == 0
        assert measured["longestReadMs"] > 0
        assert document["memory"]["serviceBytes"] > document["memory"]["readerBytes"][0] > 1e6
        assert document["ticks"]["done"] > 0
        assert "seccomp" in document["guards"]
        assert document["sidecarsLeft"] == 0
        assert document["uptimeSeconds"] >= 0
        assert document["historyDisk"]["freeBytes"] > 0


def test_changed_access_times_do_not_count_as_writes(tmp_path: Path) -> None:
    paths = [make_database(tmp_path / f"{number}.db", tasks=9) for number in range(20)]
    loaded = settings.load(write_config(tmp_path, [(path.stem, path) for path in paths]))
    with closing(History(loaded.history)) as history:
        for path in paths:
            os.utime(path, (0, path.stat().st_mtime))  # with relatime, the next read changes it
        os.sync()
        sampler = Sampler(loaded, history)
        sampler.start()
        try:
            assert sampler.first_snapshot.wait(PATIENCE_SECONDS)
            eventually(lambda: sampler.snapshot and sampler.snapshot.self_report.ticks > 1)
            assert all(path.stat().st_atime > 0 for path in paths)
            assert sampler.snapshot
            (written, *_) = sampler.snapshot.self_report.promises
            assert (written.name, written.measured) == ("bytesWritten", 0)
        finally:
            sampler.stop()


def test_a_watched_file_left_open_breaks_a_promise(path: Path, service: Callable[[], Any]) -> None:
    eventually(lambda: service()["level"] == "well")
    with path.open("rb"):
        eventually(lambda: broken_promises(service()) == ["watchedFilesLeftOpen"])
        assert service()["level"] == "fault"
    eventually(lambda: service()["level"] == "well")


def test_a_lock_of_this_process_breaks_a_promise(path: Path, service: Callable[[], Any]) -> None:
    with path.open("r+b") as file:
        os.lockf(file.fileno(), os.F_LOCK, 1)
        expected = {"locksHeldBetweenReadings", "watchedFilesLeftOpen"}
        # If the machine stood still for a while, the promise of short readings is broken too.
        eventually(lambda: expected <= set(broken_promises(service())))


def test_locks_open_files_writes_and_memory_of_a_process_are_measured(path: Path) -> None:
    info = path.stat()
    files = {f"{info.st_dev}:{info.st_ino}"}
    with LiveWriter(path) as writer:
        pid = writer.process.pid
        assert writer.do("PRAGMA synchronous = FULL") == []
        assert writer.do("INSERT INTO tasks (text) VALUES (hex(randomblob(90000)))") == []
        # The kernel lists locks in pieces, so one may be missed while others come and go.
        eventually(lambda: count_locks({pid}, files) > 0)
        assert count_open_files(pid, files) == 1
        assert bytes_written(pid) > 0
        assert (memory_bytes(pid) or 0) > 1_000_000
        assert count_locks({os.getpid()}, files) == 0
    assert (bytes_written(pid), count_open_files(pid, files), memory_bytes(pid)) == (0, 0, None)
