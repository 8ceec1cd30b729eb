"""A child that dies, hangs or cannot start costs nobody else a reading, and is replaced."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dash_app.watched.airlock import MAX_ABANDONED, Suspect
from dash_app.watched.process import ChildProcess, Limits
from tests.harness import LiveWriter, eventually, make_database
from tests.watched import LIMITS, read, read_exact, read_until, rows, watching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dash_app.model import Reading
    from dash_app.watched.airlock import Airlock

QUICK = Limits(deadline_seconds=0.6, table_seconds=0.1)
ADD = "INSERT INTO agents (text) VALUES ('one more')"


def send(airlock: Airlock, number: signal.Signals) -> list[int]:
    """Send every child a signal; return their ids."""
    pids = airlock.pids
    for pid in pids:
        os.kill(pid, number)
    return pids


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_a_lost_child_is_replaced_in_the_same_call(tmp_path: Path, number: signal.Signals) -> None:
    paths = [make_database(tmp_path / f"{n}.db", agents=n) for n in range(5)]
    with watching(*paths) as airlock:
        airlock.read(20)
        for _again in range(3):
            asked_at = datetime.now(UTC)
            lost = send(airlock, number)
            readings = airlock.read(20)
            assert [rows(readings[str(n)]) for n in range(5)] == [{"agents": n} for n in range(5)]
            assert all(reading.verified_at > asked_at for reading in readings.values())
            assert airlock.pids
            assert not set(lost) & set(airlock.pids)
            await_end(airlock, lost)


def await_end(airlock: Airlock, pids: list[int]) -> None:
    """Return once no trace of these processes is left."""

    def gone() -> bool:
        airlock.read(20)
        return not any(map(exists, pids))

    eventually(gone)


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_closing_leaves_no_process_and_no_descriptor(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    descriptors = os.listdir("/proc/self/fd")  # noqa: PTH208
    with watching(path) as airlock:
        seen = set()
        for _again in range(5):
            read(airlock)
            seen |= {*send(airlock, signal.SIGKILL)}
        read(airlock)
        seen |= {*airlock.pids}
        assert len(seen) == 6
    assert not [pid for pid in seen if exists(pid)]
    assert os.listdir("/proc/self/fd") == descriptors  # noqa: PTH208


def test_a_child_that_cannot_start_is_not_tried_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    log = tmp_path / "starts"
    broken = tmp_path / "python"
    broken.write_text(f"#!/bin/sh\necho start >> {log}\nexit 1\n")
    broken.chmod(0o755)
    with watching(path) as airlock:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(broken))
            assert airlock.read(1.0) == {}
            assert len(log.read_text().splitlines()) <= 4
            patched.setattr(sys, "executable", str(tmp_path / "nowhere"))
            assert airlock.read(1.0) == {}
            assert airlock.pids == []
        assert rows(read(airlock)) == {"agents": 3}


def test_a_last_reading_keeps_its_age_while_no_child_can_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with watching(path) as airlock:
        before = read(airlock)
        send(airlock, signal.SIGKILL)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(tmp_path / "nowhere"))
            assert airlock.read(1.0) == {"0": before}
        assert read(airlock).verified_at > before.verified_at


@contextmanager
def slow_to_read(path: Path) -> Iterator[Callable[[], object]]:
    """A database that keeps each reader waiting for a lock; what to call before each reading."""
    make_database(path, agents=3)
    with LiveWriter(path) as writer:
        writer.do("PRAGMA locking_mode = EXCLUSIVE")
        yield lambda: writer.do(ADD)


def strike(airlock: Airlock, busy: Callable[[], object], number: signal.Signals) -> Reading | None:
    """Signal every child that is reading database 0 now, and return that one's reading."""
    busy()
    found = airlock.read(0.02).get("0")
    for child in airlock._children():
        if "0" in child.began:
            os.kill(child.pid, number)
    return found


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, "reader_crashed"), (signal.SIGSTOP, "not_responding")]
)
def test_the_database_that_costs_its_reader_is_read_alone_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: str
) -> None:
    monkeypatch.setattr("dash_app.watched.airlock.BACK_OFF_SECONDS", 1.0)
    well = make_database(tmp_path / "well.db", agents=7)
    paths = (tmp_path / "slow.db", well)
    with LiveWriter(well) as writer, watching(*paths, limits=QUICK) as airlock:
        with slow_to_read(paths[0]) as busy:
            found = eventually(
                lambda: (hit := strike(airlock, busy, number)) and hit.code == code and hit
            )
            assert found
            assert not found.tables
            asked_at = datetime.now(UTC)
            read_until(airlock, lambda reading: reading.verified_at > asked_at, "1")
            assert airlock.read(20)["0"].code == code
            assert len(airlock.pids) == 1  # nobody reads it until its pause is over
            assert writer.do(ADD) == []
            assert rows(read_exact(airlock, "1")) == {"agents": 8}
        assert set(read_until(airlock, lambda reading: reading.code is None).tables) == {"agents"}
        assert len(airlock.pids) == 1  # read together with the others again


def test_a_suspect_waits_longer_after_each_failure() -> None:
    suspect = Suspect()
    pauses = []
    for _failure in range(6):
        began = time.monotonic()
        suspect.fail("not_responding")
        assert not suspect.may_be_asked()
        pauses.append(round(suspect.retry_at - began))
    assert pauses == [5, 10, 20, 30, 30, 30]
    assert suspect.reading is not None
    assert suspect.reading.code == "not_responding"


def test_children_that_cannot_be_killed_are_capped(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with watching(path) as airlock:
        held = [ChildProcess(LIMITS) for _ in range(MAX_ABANDONED)]
        airlock._abandoned = held  # alive, as if the kernel held them
        assert airlock.read(1.0) == {}
        assert airlock.pids == []
        for child in held:
            child.kill()
        assert rows(read_until(airlock, lambda reading: reading.code is None)) == {"agents": 3}
        assert airlock._abandoned == []
